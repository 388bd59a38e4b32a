//! What happened when: a line each in a file, counted by kind.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

/// The file and the counts.
pub(super) struct Journal {
    started: Instant,
    folder: PathBuf,
    kept: Mutex<(File, BTreeMap<&'static str, usize>)>,
}

impl Journal {
    /// A journal of its own for each seed; one of the same seed is replaced.
    pub(super) fn open(seed: u64) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("chaos-{seed}"));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let file = File::create(folder.join("faults.log")).unwrap();
        Self { started: Instant::now(), folder, kept: Mutex::new((file, BTreeMap::new())) }
    }

    /// Where it is, and the logs of the handlers beside it.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Notes that something was done or befell something.
    pub(super) fn note(&self, what: &'static str, about: impl Display) {
        let seconds = self.started.elapsed().as_secs_f64();
        let mut kept = self.kept.lock().unwrap();
        writeln!(kept.0, "{seconds:8.3} {what}: {about}").unwrap();
        *kept.1.entry(what).or_default() += 1;
    }

    /// The counts.
    pub(super) fn table(&self, title: &str) -> String {
        let kept = self.kept.lock().unwrap();
        let mut table = format!("\n        {title}\n");
        for (what, count) in &kept.1 {
            writeln!(table, "{count:6}  {what}").unwrap();
        }
        table
    }
}
