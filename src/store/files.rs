//! The data files at a place: a file, or those of a folder, flat or in `key=value` folders, here or in storage. What is
//! in them is told in `text` and `parquet`.

use std::collections::HashMap;
use std::io::{Cursor, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt as _;
use object_store::local::LocalFileSystem;
use object_store::{ObjectStore, ObjectStoreExt as _};

use super::delta::{self, Location, StorageOptions};
use super::load_error::{LoadError, is_nothing};
use super::parquet::ParquetFile;
use super::text::{self, Text};

/// Values of the columns that the folders of a file name, by column; `None` is not a value.
pub(super) type Keys = HashMap<String, Option<String>>;

/// What a folder says of a date or symbol that is none, as Hive and Spark write it.
const NO_VALUE: &str = "__HIVE_DEFAULT_PARTITION__";

/// As much of a text file in storage as is fetched for its header, in bytes.
const HEADER_BYTES: u64 = 64 * 1024;

/// A file that holds rows.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// The file, for messages.
    pub(super) place: String,
    /// What the folders above it say of every row.
    pub(super) keys: Keys,
    at: At,
}

#[derive(Debug, Clone)]
enum At {
    Here(PathBuf),
    Stored { store: Arc<dyn ObjectStore>, path: object_store::path::Path, size: u64 },
}

/// What tells whether a file was written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileState {
    /// In bytes.
    pub(super) size: u64,
    written: DateTime<Utc>,
    tag: Option<String>,
}

/// Whether a file with this name holds rows, to go by its end. Hidden files are what systems and other programs note
/// beside the data.
fn holds_rows(name: &str) -> bool {
    !is_hidden(name) && (text::is_text(name) || name.to_ascii_lowercase().ends_with(".parquet"))
}

fn is_hidden(name: &str) -> bool {
    name.starts_with(['.', '_'])
}

/// Column and value of a folder that names them.
fn key_of(folder: &str) -> Option<(String, Option<String>)> {
    let (key, value) = folder.split_once('=')?;
    let value = percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned();
    Some((key.to_owned(), Some(value).filter(|value| value != NO_VALUE)))
}

/// The files at a place that is not a Delta table.
pub(super) async fn at(location: &Location, options: &StorageOptions) -> Result<Vec<Found>, LoadError> {
    match location {
        Location::Local(path) => local(path),
        Location::Remote(_) => stored(location, options).await,
    }
}

/// The file at a path of this machine, whatever its name, or the files below a folder in the order of their paths; none
/// if there is nothing.
///
/// # Errors
/// When a folder cannot be read, or has a Delta table in it: its files are not all there is to know of it.
pub(super) fn local(path: &Path) -> Result<Vec<Found>, LoadError> {
    let mut files = Vec::new();
    let mut rest = vec![(path.to_owned(), Keys::new())];
    while let Some((path, keys)) = rest.pop() {
        let open = |source| LoadError::Open { place: path.display().to_string(), source };
        match path.metadata() {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => {
                files.push(Found { place: path.display().to_string(), keys, at: At::Here(path) });
                continue;
            }
            Err(error) if is_nothing(&error) => continue,
            Err(error) => return Err(open(error)),
        }
        if delta::is_table(&path) {
            return Err(LoadError::TableInFolder { place: path.display().to_string() });
        }
        let mut inside = Vec::new();
        for entry in path.read_dir().map_err(open)? {
            let path = entry.map_err(open)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let mut keys = keys.clone();
            if path.is_dir() {
                if is_hidden(&name) {
                    continue;
                }
                keys.extend(key_of(&name));
            } else if !holds_rows(&name) {
                continue;
            }
            inside.push((path, keys));
        }
        // The last one is looked at first.
        inside.sort_by(|a, b| b.0.cmp(&a.0));
        rest.extend(inside);
    }
    Ok(files)
}

/// The same of a place in storage.
async fn stored(location: &Location, options: &StorageOptions) -> Result<Vec<Found>, LoadError> {
    let fault = |source| LoadError::Storage { place: location.to_string(), source };
    let store = delta::store(location, options)?;
    let mut listed: Vec<_> = store.list(None).try_collect().await.map_err(fault)?;
    listed.sort_by(|a, b| a.location.cmp(&b.location));
    let mut files = Vec::new();
    for file in listed {
        let parts: Vec<String> = file.location.parts().map(|part| part.as_ref().to_owned()).collect();
        let Some((name, folders)) = parts.split_last() else { continue };
        if let Some(table) = folders.iter().position(|folder| folder == "_delta_log") {
            let place = location.join(&folders[..table].join("/")).to_string();
            return Err(LoadError::TableInFolder { place });
        }
        if folders.iter().any(|folder| is_hidden(folder)) || !holds_rows(name) {
            continue;
        }
        files.push(Found {
            place: location.join(&parts.join("/")).to_string(),
            keys: folders.iter().filter_map(|folder| key_of(folder)).collect(),
            at: At::Stored { store: Arc::clone(&store), path: file.location, size: file.size },
        });
    }
    if files.is_empty()
        && let Some((folder, name)) = location.split_last()
    {
        let store = delta::store(&folder, options)?;
        let path = object_store::path::Path::from(name);
        match store.head(&path).await {
            Ok(found) => files.push(Found {
                place: location.to_string(),
                keys: Keys::new(),
                at: At::Stored { store, path, size: found.size },
            }),
            Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(fault(error)),
        }
    }
    Ok(files)
}

impl Found {
    /// Its name without what stands before it.
    pub(super) fn name(&self) -> String {
        match &self.at {
            At::Here(path) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            At::Stored { path, .. } => path.filename().unwrap_or_default().to_owned(),
        }
    }

    /// Where it is, if that is a path of this machine.
    pub(super) fn path(&self) -> Option<&Path> {
        match &self.at {
            At::Here(path) => Some(path),
            At::Stored { .. } => None,
        }
    }

    /// Whether it is a text file.
    pub(super) fn is_text(&self) -> bool {
        text::is_text(&self.name())
    }

    /// The text file from its beginning; without a separator its header tells which one it has.
    pub(super) async fn text(&self, separator: Option<u8>) -> Result<Text, LoadError> {
        self.begin(separator, u64::MAX).await
    }

    /// The text file for its header alone.
    pub(super) async fn header(&self) -> Result<Text, LoadError> {
        self.begin(None, HEADER_BYTES).await
    }

    async fn begin(&self, separator: Option<u8>, bytes: u64) -> Result<Text, LoadError> {
        match &self.at {
            At::Here(path) => text::open(path, separator),
            At::Stored { store, path, size } => {
                let wanted = store.get_range(path, 0..bytes.min(*size)).await;
                let wanted =
                    wanted.map_err(|source| LoadError::Storage { place: self.place.clone(), source })?;
                text::read(self.place.clone(), Cursor::new(wanted), separator)
            }
        }
    }

    /// The Parquet file, with what its folders say.
    pub(super) fn parquet(&self) -> Result<ParquetFile, LoadError> {
        match &self.at {
            At::Here(path) => {
                let file = local_parquet(path).map_err(|source| self.open(source))?;
                Ok(ParquetFile { constants: self.keys.clone(), ..file })
            }
            At::Stored { store, path, size } => Ok(ParquetFile {
                store: Arc::clone(store),
                path: path.clone(),
                size: *size,
                constants: self.keys.clone(),
                table: None,
            }),
        }
    }

    /// What tells whether it was written to.
    pub(super) async fn state(&self) -> Result<FileState, LoadError> {
        match &self.at {
            At::Here(path) => {
                let state = path.metadata().and_then(|found| Ok((found.len(), found.modified()?)));
                let (size, written) = state.map_err(|source| self.open(source))?;
                Ok(FileState { size, written: DateTime::from(written), tag: None })
            }
            At::Stored { store, path, .. } => {
                let found = store.head(path).await.map_err(|source| self.storage(source))?;
                Ok(FileState { size: found.size, written: found.last_modified, tag: found.e_tag })
            }
        }
    }

    /// Hands every byte to `take`, piece by piece; a file of this machine is read on a thread of its own.
    pub(super) async fn content<T: Send + 'static>(
        &self,
        mut taken: T,
        take: impl Fn(&mut T, &[u8]) + Send + 'static,
    ) -> Result<T, LoadError> {
        match &self.at {
            At::Here(path) => {
                let path = path.clone();
                let read = tokio::task::spawn_blocking(move || -> std::io::Result<T> {
                    let mut file = std::fs::File::open(path)?;
                    let mut room = vec![0; 1 << 20];
                    loop {
                        match file.read(&mut room)? {
                            0 => return Ok(taken),
                            read => take(&mut taken, &room[..read]),
                        }
                    }
                });
                read.await
                    .unwrap_or_else(|error| Err(std::io::Error::other(error)))
                    .map_err(|error| self.open(error))
            }
            At::Stored { store, path, .. } => {
                let found = store.get(path).await.map_err(|source| self.storage(source))?;
                let mut pieces = found.into_stream();
                while let Some(piece) = pieces.try_next().await.map_err(|source| self.storage(source))? {
                    take(&mut taken, &piece);
                }
                Ok(taken)
            }
        }
    }

    fn open(&self, source: std::io::Error) -> LoadError {
        LoadError::Open { place: self.place.clone(), source }
    }

    fn storage(&self, source: object_store::Error) -> LoadError {
        LoadError::Storage { place: self.place.clone(), source }
    }

    /// Its size in bytes.
    pub(super) fn size(&self) -> Result<u64, LoadError> {
        match &self.at {
            At::Here(path) => Ok(path.metadata().map_err(|source| self.open(source))?.len()),
            At::Stored { size, .. } => Ok(*size),
        }
    }
}

/// A Parquet file of this machine.
pub fn local_parquet(path: &Path) -> std::io::Result<ParquetFile> {
    let path = path.canonicalize()?;
    let size = path.metadata()?.len();
    let path = object_store::path::Path::from_absolute_path(&path).map_err(std::io::Error::other)?;
    Ok(ParquetFile {
        store: Arc::new(LocalFileSystem::new()),
        path,
        size,
        constants: HashMap::new(),
        table: None,
    })
}
