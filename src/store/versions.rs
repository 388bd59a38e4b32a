//! What was read, by name: of tables what their log says, of plain files their content. Equal names mean equal rows. And
//! the pins by which a later read finds the same. How a version is found in a log is told in `delta`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::task::JoinHandle;

use super::delta::TableVersion;
use super::files::{FileState, Found};
use super::load_error::LoadError;
use super::parquet::ParquetFile;
use crate::clock::Timestamp;

/// What a run may read, as its record names it.
pub const INPUTS: [&str; 4] = ["prices", "signals", "benchmark", "risk_free"];

/// Versions of the tables of a run, found once and held by every attempt. What is not a table has none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pins {
    /// Version of the table of prices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prices: Option<Pin>,
    /// Version of the table of signals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signals: Option<Pin>,
    /// Of the table of the benchmark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub benchmark: Option<Pin>,
    /// Of the table of the risk-free rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub risk_free: Option<Pin>,
    /// Whether what these tables said first of the days of the run is read beside, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub first_rows: bool,
}

/// Versions of the tables of one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Pin {
    /// A version of a Delta table.
    Table(TableVersion),
    /// Of the table of each symbol; one that is not named had none.
    PerSymbol {
        /// By symbol.
        tables: BTreeMap<String, TableVersion>,
    },
    /// There was no table, and needed none: signals that are computed from prices.
    Without {
        /// What stands in its place.
        source: String,
    },
}

/// Where signals come from that no table has.
pub(super) const COMPUTED: &str = "computed from prices";

/// What a record says of these.
pub(super) fn computed() -> Value {
    json!({ "source": COMPUTED })
}

impl Pins {
    /// What a published run read, so that another can read it again. Runs of before tables had ids pin nothing.
    pub fn of(data_versions: &Value) -> Self {
        let pin = |source: &str| serde_json::from_value(data_versions[source].clone()).ok();
        let [prices, signals, benchmark, risk_free] = INPUTS.map(pin);
        Self { prices, signals, benchmark, risk_free, first_rows: false }
    }

    /// Whether nothing is pinned.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Pin {
    /// The version of the table, or of the table of a symbol; `None` where there was no table.
    pub(super) fn version_of(&self, symbol: Option<&str>) -> Option<&TableVersion> {
        match self {
            Self::Table(version) => Some(version),
            Self::PerSymbol { tables } => tables.get(symbol?),
            Self::Without { .. } => None,
        }
    }
}

/// Whether a description names what was read exactly: by the ids and files of tables, by the content of files. Those of
/// earlier versions of this program named tables by their number and files by their path alone.
pub fn names_content(data_versions: &Value) -> bool {
    let exact = |source: &Value| source.is_null() || is_exact(source);
    data_versions["prices"].is_object() && INPUTS.iter().all(|input| exact(&data_versions[*input]))
}

/// The same of one source: it has a digest, or is [`computed`] from one that has.
pub(super) fn is_exact(source: &Value) -> bool {
    ["files_digest", "content_sha256", "rows_sha256", "source"].iter().any(|name| source[*name].is_string())
}

/// Several reads of the same sources as one: of each source the widest, since a longer history takes more files of the same
/// version, and a source that only some of them need. `None` if two of them saw different versions or contents.
pub fn united<'v>(seen: impl IntoIterator<Item = &'v Value>) -> Option<Value> {
    let mut seen = seen.into_iter();
    let Some(first) = seen.next() else { return Some(Value::Null) };
    seen.try_fold(first.clone(), |mut all, one| {
        if all != *one {
            for source in ["prices", "signals"] {
                all[source] = wider(&all[source], &one[source])?;
            }
        }
        Some(all)
    })
}

/// Of two reads of a source the one of more files.
fn wider(a: &Value, b: &Value) -> Option<Value> {
    if a == b || b.is_null() {
        return Some(a.clone());
    }
    if a.is_null() {
        return Some(b.clone());
    }
    // Only tables tell their version apart from the files that a window needs.
    let version = |read: &Value| {
        let mut version = read
            .as_object()
            .filter(|read| ["table_id", "tables"].iter().any(|id| read.contains_key(*id)))?
            .clone();
        for of_window in ["files", "files_digest"] {
            version.shift_remove(of_window);
        }
        Some(version)
    };
    (version(a)? == version(b)?)
        .then(|| if b["files"].as_u64() > a["files"].as_u64() { b } else { a }.clone())
}

/// One table or file that was read.
#[derive(Debug)]
pub(super) struct Seen {
    /// The symbol that it alone holds.
    pub(super) symbol: Option<String>,
    pub(super) kind: SeenKind,
}

#[derive(Debug)]
pub(super) enum SeenKind {
    Table {
        version: TableVersion,
        committed_at: Option<Timestamp>,
        /// The files that may hold rows of the window, a line each.
        files: Vec<String>,
    },
    File {
        place: String,
        size_bytes: u64,
        content_sha256: String,
    },
}

/// The lines that stand for files of a table: path, size and time of writing, as the log has them.
pub(super) fn file_lines(files: &[ParquetFile]) -> Vec<String> {
    let line = |file: &ParquetFile| {
        let modified_ms = file.table.as_ref().map_or(0, |table| table.modified_ms);
        format!("{}\t{}\t{modified_ms}\n", file.path, file.size)
    };
    files.iter().map(line).collect()
}

/// What prices are taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Basis {
    /// As they stand; so is what are no prices.
    Plain,
    /// Adjusted by the adjusted close beside them.
    Adjusted,
    /// As they were quoted, with dividends and splits beside them.
    Unadjusted,
}

impl Basis {
    /// What the record of a run says of its prices.
    pub(super) fn of(described: &Value) -> Self {
        let known = [Self::Adjusted, Self::Unadjusted].into_iter();
        let mut said = known.filter(|basis| basis.key().is_some_and(|key| described[key] == json!(true)));
        said.next().unwrap_or(Self::Plain)
    }

    fn key(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Adjusted => Some("adjusted"),
            Self::Unadjusted => Some("unadjusted"),
        }
    }
}

/// What stands in the record of a run for one source: `name` is its table, its file or what has a place for each symbol.
pub(super) fn describe(name: &str, seen: &[Seen], basis: Basis) -> Value {
    let mut about = match seen {
        [Seen { symbol: None, kind: SeenKind::Table { version, committed_at, files } }] => json!({
            "table": name,
            "table_id": version.table_id,
            "version": version.version,
            "committed_at": committed_at,
            "files": files.len(),
            "files_digest": digest_of(files.iter().map(String::as_str)),
        }),
        [Seen { symbol: None, kind: SeenKind::File { size_bytes, content_sha256, .. } }] => {
            json!({ "path": name, "size_bytes": size_bytes, "content_sha256": content_sha256 })
        }
        several => of_several(name, several),
    };
    if let Some(key) = basis.key() {
        about[key] = json!(true);
    }
    about
}

/// Files of a folder, or what there is for each symbol.
fn of_several(name: &str, seen: &[Seen]) -> Value {
    let (mut tables, mut versions) = (BTreeMap::new(), BTreeMap::new());
    let (mut lines, mut count) = (Vec::new(), 0);
    for Seen { symbol, kind } in seen {
        let symbol = symbol.as_deref().unwrap_or_default();
        match kind {
            SeenKind::Table { version, files, .. } => {
                tables.insert(symbol, version);
                versions.insert(symbol, version.version);
                count += files.len();
                let TableVersion { table_id, version } = version;
                lines.push(format!("{symbol}\t{table_id}\t{version}\n"));
                lines.extend(files.iter().map(|line| format!("{symbol}\t{line}")));
            }
            SeenKind::File { place, size_bytes, content_sha256 } => {
                count += 1;
                lines.push(format!("{place}\t{size_bytes}\t{content_sha256}\n"));
            }
        }
    }
    lines.sort_unstable();
    let mut about =
        json!({ "path": name, "files": count, "files_digest": digest_of(lines.iter().map(String::as_str)) });
    if !tables.is_empty() {
        about["versions"] = json!(versions);
        about["tables"] = json!(tables);
    }
    about
}

fn digest_of<'l>(lines: impl Iterator<Item = &'l str>) -> String {
    let mut digest = Sha256::new();
    lines.for_each(|line| digest.update(line));
    format!("sha256:{}", hex(digest))
}

fn hex(digest: Sha256) -> String {
    digest.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing into a text does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A file whose content is hashed on the way, while it is read for another purpose.
pub(super) struct Hashing {
    file: Found,
    before: FileState,
    digest: JoinHandle<Result<String, LoadError>>,
}

impl Hashing {
    /// Begins; what is read from now on is what the digest stands for, or [`Self::finish`] refuses it.
    pub(super) async fn start(file: &Found) -> Result<Self, LoadError> {
        let before = file.state().await?;
        let hashed = file.clone();
        let digest = tokio::spawn(async move {
            let digest = hashed.content(Sha256::new(), |digest, bytes| digest.update(bytes)).await?;
            Ok(hex(digest))
        });
        Ok(Self { file: file.clone(), before, digest })
    }

    /// The file as it was read.
    ///
    /// # Errors
    /// [`LoadError::Changed`] if it was written to meanwhile: then it is not known what was read.
    pub(super) async fn finish(self) -> Result<SeenKind, LoadError> {
        let place = self.file.place.clone();
        let panicked = |error| LoadError::Open { place: place.clone(), source: std::io::Error::other(error) };
        let content_sha256 = self.digest.await.map_err(panicked)??;
        if self.file.state().await? != self.before {
            return Err(LoadError::Changed { place });
        }
        Ok(SeenKind::File { place, size_bytes: self.before.size, content_sha256 })
    }
}
