//! Evidence: everything that proves a completed run, as one zip. The same run gives the same bytes: names are sorted, nothing
//! is compressed, and every entry is of 1980. It goes out as it is made, one artifact after the other.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};

use super::archive::{Content, Entry, archive};
use super::experiments::experiment;
use super::files::MANIFEST;
use super::reproduce::Original;
use super::{App, ENGINE_TARGET, ENGINE_VERSION, sha256_hex};
use crate::run::{Kind, Location, Publication, Run, RunEvent, RunState};
use crate::store::artifacts::{ArtifactError, ByteStream};
use crate::store::runs::StoreError;

/// The packages of this program (CycloneDX 1.5), made by the build.
const SBOM: &str = include_str!(concat!(env!("OUT_DIR"), "/sbom.cdx.json"));

/// Folder of the files of the run.
pub const ARTIFACTS: &str = "artifacts/";

/// Name of what the ledger counts under the experiment of the run. It grows with every new trial of anybody, so that this file
/// alone is not the same in every bundle.
const LEDGER: &str = "ledger.json";

/// Folder of the files of the parts of a study, each in a folder of its own.
const PARTS: &str = "parts/";

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
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A document could not be written.
    #[error("write a document")]
    Document(#[from] serde_json::Error),
}

/// The evidence of a completed run, of a study with that of its parts. `record` is the run as callers see it.
///
/// # Errors
/// Before the first byte if a manifest, or a file that one lists, is gone. What is found to be changed later ends the stream.
pub async fn evidence(
    app: &App,
    run: &Run,
    published: &Publication,
    record: &Value,
    events: &[RunEvent],
) -> Result<ByteStream, EvidenceError> {
    let mut listed = vec![Listing::of(app, ARTIFACTS.to_owned(), published).await?];
    if run.submission.kind == Kind::Study {
        for part in app.runs.parts(&run.id).await? {
            let RunState::Completed { publication, .. } = &part.state else { continue };
            listed.push(Listing::of(app, format!("{PARTS}{}/", part.id), publication).await?);
        }
    }
    let mut documents =
        vec![("run.json", pretty(record)?), ("events.json", pretty(&json!({ "events": events }))?)];
    if let Some(name) = &run.submission.experiment
        && let Some(counted) = experiment(app, name).await?
    {
        documents.push((LEDGER, pretty(&counted)?));
    }
    let entries = entries(run, published, documents, listed)?;
    Ok(archive(Arc::clone(&app.artifacts), entries))
}

/// The files of one run, below a folder of the zip.
struct Listing {
    folder: String,
    at: Location,
    manifest: Bytes,
    original: Original,
}

impl Listing {
    /// Reads the manifest, and looks whether what it lists is there.
    async fn of(app: &App, folder: String, published: &Publication) -> Result<Self, EvidenceError> {
        let gone = |name: &str| EvidenceError::Gone(format!("{folder}{name}"));
        let manifest = app.artifacts.whole(&published.location, MANIFEST).await?;
        let manifest = manifest.ok_or_else(|| gone(MANIFEST))?;
        if sha256_hex(&manifest) != published.manifest_sha256 {
            return Err(EvidenceError::Changed(format!("{folder}{MANIFEST}")));
        }
        let original = Original::of_manifest(&manifest)?;
        for file in &original.artifacts {
            if app.artifacts.size(&published.location, &file.name).await?.is_none() {
                return Err(gone(&file.name));
            }
        }
        Ok(Self { folder, at: published.location.clone(), manifest, original })
    }
}

/// The files of the zip, by name. The first listing is that of the run.
fn entries(
    run: &Run,
    published: &Publication,
    documents: Vec<(&str, Bytes)>,
    listed: Vec<Listing>,
) -> Result<Vec<Entry>, serde_json::Error> {
    let mut sums: BTreeMap<String, String> = BTreeMap::new();
    let mut entries = Vec::new();
    let statement = pretty(&statement(run, published, &listed))?;
    for Listing { folder, at, manifest, original } in listed {
        for file in original.artifacts {
            let name = format!("{folder}{}", file.name);
            sums.insert(name.clone(), file.sha256.clone());
            let content = Content::Artifact { at: at.clone(), name: file.name, sha256: Some(file.sha256) };
            entries.push(Entry { name, content });
        }
        let name = format!("{folder}{MANIFEST}");
        sums.insert(name.clone(), sha256_hex(&manifest));
        entries.push(Entry { name, content: Content::Known(manifest) });
    }
    let made = [
        ("statement.json", statement),
        ("sbom.cdx.json", SBOM.into()),
        ("ENGINE.txt", engine().into()),
        ("README.txt", readme(run).into()),
    ];
    for (name, content) in documents.into_iter().chain(made) {
        sums.insert(name.to_owned(), sha256_hex(&content));
        entries.push(Entry { name: name.to_owned(), content: Content::Known(content) });
    }
    let sums: String = sums.iter().map(|(name, sum)| format!("{sum}  {name}\n")).collect();
    entries.push(Entry { name: SUMS.to_owned(), content: Content::Known(sums.into()) });
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

fn pretty(document: &impl Serialize) -> Result<Bytes, serde_json::Error> {
    Ok((serde_json::to_string_pretty(document)? + "\n").into())
}

/// What the files are, as an in-toto statement (v1). It is not signed; the reader may sign it.
fn statement(run: &Run, published: &Publication, listed: &[Listing]) -> Value {
    let subject = |folder: &str, name: &str, sha256: &str| json!({ "name": format!("{folder}{name}"), "digest": { "sha256": sha256 } });
    let subjects = listed.iter().flat_map(|Listing { folder, original, .. }| {
        original.artifacts.iter().map(move |file| subject(folder, &file.name, &file.sha256))
    });
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subjects.collect::<Vec<_>>(),
        "predicateType": "urn:backtest-functions:result:v1",
        "predicate": {
            "run_id": run.id,
            "config_sha256": run.submission.config_sha256,
            "data_versions": published.data_versions,
            "engine_version": listed.first().map(|listed| &listed.original.engine_version),
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
    let ledger = match &run.submission.experiment {
        Some(_) => "ledger.json     what was tried under its experiment when this was packed, by anybody\n",
        None => "",
    };
    let (kind, parts, again) = match run.submission.kind {
        Kind::Study => (
            "study",
            "parts/          what each of its parts published: every trial that was evaluated\n",
            "To compute the study anew, with the lake at DIR:\n    backtests run artifacts/config.yaml --lake DIR\n".to_owned(),
        ),
        _ => (
            "backtest",
            "",
            format!(
                "To compute the run again and compare every file, with the lake at DIR:\n    backtests verify {id}.zip --lake \
                 DIR\n"
            ),
        ),
    };
    format!(
        "Evidence of {kind} {id}.\n\nartifacts/      what the run published; artifacts/{MANIFEST} lists it\n{parts}{ledger}\
         run.json        the record of the run, events.json its history\n\
         statement.json  digests of the artifacts, with config, data and engine, as an unsigned in-toto statement\n\
         sbom.cdx.json   the packages of the program that packed this, ENGINE.txt its version\n\n\
         To check that nothing was changed:\n    sha256sum --check {SUMS}\n\
         The same, and that the manifest is that of the record:\n    backtests verify {id}.zip\n{again}"
    )
}
