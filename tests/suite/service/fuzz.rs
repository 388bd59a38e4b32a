//! What strangers send us: the bytes that `make fuzz` kept, those that once broke something among them, are tried again.

#[path = "../../fuzz/src/targets.rs"]
mod targets;

use std::collections::BTreeSet;

use crate::support::service::project;
pub(crate) use crate::support::{html, toy};

#[test]
fn what_fuzzing_kept_breaks_nothing() {
    let corpus = project("tests/fuzz/corpus");
    let folders: BTreeSet<String> = std::fs::read_dir(&corpus)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let named: BTreeSet<String> = targets::TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(folders, named, "a folder for each target");
    for (name, target) in targets::TARGETS {
        let mut tried = 0;
        for file in std::fs::read_dir(corpus.join(name)).unwrap() {
            let path = file.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            let done = std::panic::catch_unwind(|| target(&bytes));
            assert!(done.is_ok(), "{} breaks {name}", path.display());
            tried += 1;
        }
        assert!(tried > 0, "nothing is kept for {name}");
    }
}
