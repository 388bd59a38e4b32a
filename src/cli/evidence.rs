//! `backtests evidence` and `backtests verify`: everything that proves a run as one file, and whether it does.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::{Value, json};

use super::reproduce::{here, print, verdict};
use super::service::{Client, Listed, RunName, Service};
use super::{CliError, Output, say};
use crate::work::evidence::{ARTIFACTS, SUMS};
use crate::work::files::MANIFEST;
use crate::work::sha256_hex;

/// Fetch everything that proves a completed run, as one zip.
#[derive(Debug, clap::Args)]
pub(super) struct EvidenceArgs {
    /// The run: its id, the beginning of it, @latest or @latest-failed.
    run: RunName,
    /// The file [default: RUN.zip].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    pub(super) service: Service,
}

/// Check the evidence of a run: that no file of it was changed and none is missing; with --lake also that the run can be
/// made again. Exit code 0: all of that; 1: something differs; 3: the run cannot be made again here.
#[derive(Debug, clap::Args)]
pub(super) struct VerifyArgs {
    /// The zip.
    file: PathBuf,
    /// Make the run again from the lake at this root.
    #[arg(long, value_name = "DIR")]
    lake: Option<String>,
    /// How the answer is printed.
    #[arg(long, value_enum, default_value = "table")]
    pub(super) output: Output,
}

pub(super) async fn evidence(args: EvidenceArgs) -> Result<(), CliError> {
    let client = Client::connect(&args.service)?;
    let id = client.id(&args.run).await?;
    let path = args.out.unwrap_or_else(|| PathBuf::from(format!("{id}.zip")));
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .ok_or_else(|| CliError::usage(format!("--out {}: must be the name of a file", path.display())))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let request = client.request(Method::GET, &format!("backtests/{id}/evidence"));
    client.fetch_from(request, &Listed { name, sha256: None }, folder).await?;
    match args.service.output {
        Output::Json => say(json!({ "evidence": path })),
        Output::Table => say(format_args!("evidence of {id}: {}", path.display())),
    }
    Ok(())
}

pub(super) async fn verify(args: VerifyArgs) -> Result<(), CliError> {
    let place = args.file.display().to_string();
    let unpacked = tempfile::tempdir().map_err(|error| CliError::because("make a folder", error))?;
    let count = check(&args.file, unpacked.path())?;
    let Some(lake) = &args.lake else {
        match args.output {
            Output::Json => say(json!({ "file": place, "files": count, "unchanged": true })),
            Output::Table => say(format_args!("{place}: {count} files, none was changed")),
        }
        return Ok(());
    };
    let record = std::fs::read(unpacked.path().join("run.json")).unwrap_or_default();
    let record: Value = serde_json::from_slice(&record).unwrap_or_default();
    if record["kind"] == "study" {
        return Err(CliError::usage(format!(
            "{place}: a study is not made again from its evidence; leave out --lake, or compute it anew with `backtests run \
             {ARTIFACTS}config.yaml`"
        )));
    }
    let found = here(&unpacked.path().join(ARTIFACTS), Some(lake)).await?;
    let found = serde_json::to_value(found).map_err(|error| CliError::because("write the answer", error))?;
    if args.output == Output::Table {
        say(format_args!("{place}: {count} files, none was changed"));
    }
    print(&found, args.output);
    verdict(&found)
}

/// Unpacks a zip and holds every file against its sums, and the manifest against the record; answers how many files.
fn check(file: &Path, folder: &Path) -> Result<usize, CliError> {
    let place = file.display().to_string();
    let broken = |error: &dyn std::fmt::Display| CliError::failed(format!("{place}: {error}"));
    let opened =
        std::fs::File::open(file).map_err(|error| CliError::because(format!("open {place}"), error))?;
    let mut zip = zip::ZipArchive::new(opened).map_err(|error| broken(&error))?;
    let mut digests = std::collections::BTreeMap::new();
    for at in 0..zip.len() {
        let mut entry = zip.by_index(at).map_err(|error| broken(&error))?;
        let name = entry.name().map_err(|error| broken(&error))?.into_owned();
        // Nothing is written outside the folder, whatever a name says.
        let Some(relative) = entry.enclosed_name() else {
            return Err(broken(&format!("the name {name:?} leads out of it")));
        };
        let mut content = Vec::new();
        entry.read_to_end(&mut content).map_err(|error| broken(&format!("{name}: {error}")))?;
        let path = folder.join(relative);
        let parent = path.parent().unwrap_or(folder);
        let written = std::fs::create_dir_all(parent).and_then(|()| std::fs::write(&path, &content));
        written.map_err(|error| CliError::because(format!("write {}", path.display()), error))?;
        if digests.insert(name.clone(), sha256_hex(&content)).is_some() {
            return Err(broken(&format!("{name} is there twice")));
        }
    }
    let sums = std::fs::read_to_string(folder.join(SUMS)).map_err(|_| broken(&format!("has no {SUMS}")))?;
    let mut listed = 0;
    for line in sums.lines() {
        let Some((sum, name)) = line.split_once("  ") else {
            return Err(broken(&format!("{SUMS} has a line that is none")));
        };
        match digests.get(name) {
            None => return Err(broken(&format!("{name} is missing"))),
            Some(digest) if digest != sum => return Err(broken(&format!("{name} was changed"))),
            Some(_) => listed += 1,
        }
    }
    if listed + 1 != digests.len() {
        return Err(broken(&format!("holds files that {SUMS} does not list")));
    }
    let read = |name: &str| -> Option<Value> {
        serde_json::from_slice(&std::fs::read(folder.join(name)).ok()?).ok()
    };
    let statement = read("statement.json").ok_or_else(|| broken(&"has no statement.json"))?;
    let stated = statement["predicate"]["manifest_sha256"].as_str();
    let manifest = format!("{ARTIFACTS}{MANIFEST}");
    if stated.is_none() || digests.get(&manifest).map(String::as_str) != stated {
        return Err(broken(&format!("{manifest} is not the one that statement.json names")));
    }
    Ok(listed)
}
