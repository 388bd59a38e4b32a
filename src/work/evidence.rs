//! Evidence: everything that proves a completed run, as one zip. The same run gives the same bytes: names are sorted, nothing
//! is compressed, and every entry is of 1980. It goes out as it is made, one artifact after the other.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};

use super::archive::{Content, Entry, archive};
use super::files::MANIFEST;
use super::reproduce::Original;
use super::{App, ENGINE_TARGET, ENGINE_VERSION, sha256_hex};
use crate::run::{Publication, Run, RunEvent};
use crate::store::artifacts::{ArtifactError, ByteStream};

/// The packages of this program (CycloneDX 1.5), made by the build.
const SBOM: &str = include_str!(concat!(env!("OUT_DIR"), "/sbom.cdx.json"));

/// Folder of the files of the run.
pub const ARTIFACTS: &str = "artifacts/";

/// Name of the list of digests, as `sha256sum --check` reads it.
pub const SUMS: &str = "SHA256SUMS";

/// Why there is no evidence.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// The manifest or a file that it lists is not there any more.
    #[error("{0} of the run is not there any more")]
    Gone(String),
    /// A file is not what was published.
    #[error("{0} of the run is not what was published")]
    Changed(String),
    /// The artifact store did not answer.
    #[error(transparent)]
    Artifacts(#[from] ArtifactError),
    /// A document could not be written.
    #[error("write a document")]
    Document(#[from] serde_json::Error),
}

/// The evidence of a completed run. `record` is the run as callers see it.
///
/// # Errors
/// Before the first byte if the manifest, or a file that it lists, is gone. What is found to be changed later ends the
/// stream.
pub async fn evidence(
    app: &App,
    run: &Run,
    published: &Publication,
    record: &Value,
    events: &[RunEvent],
) -> Result<ByteStream, EvidenceError> {
    let gone = |name: &str| EvidenceError::Gone(name.to_owned());
    let manifest = app.artifacts.whole(&published.location, MANIFEST).await?.ok_or_else(|| gone(MANIFEST))?;
    if sha256_hex(&manifest) != published.manifest_sha256 {
        return Err(EvidenceError::Changed(MANIFEST.to_owned()));
    }
    let original = Original::of_manifest(&manifest)?;
    for file in &original.artifacts {
        if app.artifacts.size(&published.location, &file.name).await?.is_none() {
            return Err(gone(&file.name));
        }
    }
    let entries = entries(run, published, record, events, manifest, &original)?;
    Ok(archive(Arc::clone(&app.artifacts), published.location.clone(), entries))
}

/// The files of the zip, by name.
fn entries(
    run: &Run,
    published: &Publication,
    record: &Value,
    events: &[RunEvent],
    manifest: Bytes,
    original: &Original,
) -> Result<Vec<Entry>, serde_json::Error> {
    let mut sums: BTreeMap<String, String> = BTreeMap::new();
    let mut entries = Vec::with_capacity(original.artifacts.len() + 8);
    for file in &original.artifacts {
        let name = format!("{ARTIFACTS}{}", file.name);
        sums.insert(name.clone(), file.sha256.clone());
        let content = Content::Artifact { name: file.name.clone(), sha256: Some(file.sha256.clone()) };
        entries.push(Entry { name, content });
    }
    let mut known = |name: String, content: Bytes| {
        sums.insert(name.clone(), sha256_hex(&content));
        entries.push(Entry { name, content: Content::Known(content) });
    };
    known(format!("{ARTIFACTS}{MANIFEST}"), manifest);
    known("run.json".to_owned(), pretty(record)?);
    known("events.json".to_owned(), pretty(&json!({ "events": events }))?);
    known("statement.json".to_owned(), pretty(&statement(run, published, original))?);
    known("sbom.cdx.json".to_owned(), SBOM.into());
    known("ENGINE.txt".to_owned(), engine().into());
    known("README.txt".to_owned(), readme(run).into());
    let sums: String = sums.iter().map(|(name, sum)| format!("{sum}  {name}\n")).collect();
    entries.push(Entry { name: SUMS.to_owned(), content: Content::Known(sums.into()) });
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

fn pretty(document: &impl Serialize) -> Result<Bytes, serde_json::Error> {
    Ok((serde_json::to_string_pretty(document)? + "\n").into())
}

/// What the files are, as an in-toto statement (v1). It is not signed; whoever wants signs it.
fn statement(run: &Run, published: &Publication, original: &Original) -> Value {
    let subjects = original.artifacts.iter().map(
        |file| json!({ "name": format!("{ARTIFACTS}{}", file.name), "digest": { "sha256": file.sha256 } }),
    );
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subjects.collect::<Vec<_>>(),
        "predicateType": "urn:backtest-functions:result:v1",
        "predicate": {
            "run_id": run.id,
            "config_sha256": run.submission.config_sha256,
            "data_versions": published.data_versions,
            "engine_version": original.engine_version,
            "fingerprint": published.fingerprint,
            "results_sha256": published.results_sha256,
            "manifest_sha256": published.manifest_sha256,
        },
    })
}

/// The engine that packed this, which need not be the one that computed the run.
fn engine() -> String {
    format!("packed by {ENGINE_VERSION}\ntarget {ENGINE_TARGET}\n{}\n", env!("BACKTESTS_RUSTC"))
}

fn readme(run: &Run) -> String {
    let id = &run.id;
    format!(
        "Evidence of backtest {id}.\n\nartifacts/      what the run published; artifacts/{MANIFEST} lists it\n\
         run.json        the record of the run, events.json its history\n\
         statement.json  digests of the artifacts, with config, data and engine, as an unsigned in-toto statement\n\
         sbom.cdx.json   the packages of the program that packed this, ENGINE.txt its version\n\n\
         To check that nothing was changed:\n    sha256sum --check {SUMS}\n\
         The same, and that the manifest is that of the record:\n    backtests verify {id}.zip\n\
         To compute the run again and compare every file, with the lake at DIR:\n    backtests verify {id}.zip --lake DIR\n"
    )
}
