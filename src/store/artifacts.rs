//! Files of finished attempts. A name is written once and never again; nobody finds a file but through the row
//! that names its place, so what a lost executor wrote stays invisible.

use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use crate::run::{Fence, Location, RunId};

/// Bytes of one step of a streamed file.
const CHUNK: usize = 256 * 1024;

/// Keeps artifacts.
#[async_trait]
pub trait ArtifactStore: Send + Sync {
    /// Place of the files of one attempt.
    fn location(&self, run: &RunId, fence: Fence) -> Location;

    /// Writes a file that must not exist yet.
    async fn create(&self, at: &Location, name: &str, content: Bytes) -> Result<(), ArtifactError>;

    /// Size of a file, or `None`.
    async fn size(&self, at: &Location, name: &str) -> Result<Option<u64>, ArtifactError>;

    /// Bytes of a file that exists.
    async fn read(&self, at: &Location, name: &str, range: Range<u64>) -> Result<ByteStream, ArtifactError>;

    /// Whether files leave this machine.
    fn is_remote(&self) -> bool;

    /// Whether files can be kept.
    async fn ping(&self) -> Result<(), ArtifactError>;
}

/// Content as it comes.
pub type ByteStream = BoxStream<'static, std::io::Result<Bytes>>;

/// A file could not be kept or found.
#[derive(Debug, thiserror::Error)]
#[error("{doing} {name}")]
pub struct ArtifactError {
    /// What was being done.
    pub doing: &'static str,
    /// To which file.
    pub name: String,
    /// Why it failed.
    #[source]
    pub source: std::io::Error,
}

/// Artifacts below a folder of this machine: `<root>/<run_id>/f<fence>/<name>`.
#[derive(Debug, Clone)]
pub struct LocalArtifacts {
    root: PathBuf,
}

impl LocalArtifacts {
    /// A store below `root`, which is made when it is first needed.
    pub fn new(root: impl AsRef<Path>) -> std::io::Result<Self> {
        Ok(Self { root: std::path::absolute(root)? })
    }
}

#[async_trait]
impl ArtifactStore for LocalArtifacts {
    fn location(&self, run: &RunId, fence: Fence) -> Location {
        Location::Local { dir: self.root.join(run.as_str()).join(format!("f{fence}")).display().to_string() }
    }

    async fn create(&self, at: &Location, name: &str, content: Bytes) -> Result<(), ArtifactError> {
        let fault = |source| ArtifactError { doing: "write", name: name.to_owned(), source };
        let path = path_of(at, name).map_err(fault)?;
        write_new(&path, &content).await.map_err(fault)
    }

    async fn size(&self, at: &Location, name: &str) -> Result<Option<u64>, ArtifactError> {
        let fault = |source| ArtifactError { doing: "look up", name: name.to_owned(), source };
        match tokio::fs::metadata(path_of(at, name).map_err(fault)?).await {
            Ok(metadata) if metadata.is_file() => Ok(Some(metadata.len())),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(fault(error)),
        }
    }

    async fn read(&self, at: &Location, name: &str, range: Range<u64>) -> Result<ByteStream, ArtifactError> {
        let fault = |source| ArtifactError { doing: "read", name: name.to_owned(), source };
        let mut file = tokio::fs::File::open(path_of(at, name).map_err(fault)?).await.map_err(fault)?;
        file.seek(std::io::SeekFrom::Start(range.start)).await.map_err(fault)?;
        let left = range.end.saturating_sub(range.start);
        let chunks = futures_util::stream::try_unfold((file, left), |(mut file, left)| async move {
            let mut chunk = vec![0; CHUNK.min(usize::try_from(left).unwrap_or(CHUNK))];
            let read = if chunk.is_empty() { 0 } else { file.read(&mut chunk).await? };
            chunk.truncate(read);
            Ok::<_, std::io::Error>((read > 0).then(|| (Bytes::from(chunk), (file, left - read as u64))))
        });
        Ok(chunks.boxed())
    }

    fn is_remote(&self) -> bool {
        false
    }

    async fn ping(&self) -> Result<(), ArtifactError> {
        tokio::fs::create_dir_all(&self.root).await.map_err(|source| ArtifactError {
            doing: "create the folder",
            name: self.root.display().to_string(),
            source,
        })
    }
}

async fn write_new(path: &Path, content: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        tokio::fs::create_dir_all(folder).await?;
    }
    let mut file = tokio::fs::OpenOptions::new().write(true).create_new(true).open(path).await?;
    file.write_all(content).await?;
    // On disk before the row can name it.
    file.sync_all().await
}

/// The path of a named file; a name that leads out of its folder is no name.
fn path_of(at: &Location, name: &str) -> std::io::Result<PathBuf> {
    let Location::Local { dir } = at else {
        return Err(std::io::Error::new(
            std::io::ErrorKind::NotFound,
            "the artifacts are not on this machine",
        ));
    };
    let inside =
        !name.is_empty() && Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    if inside {
        Ok(Path::new(dir).join(name))
    } else {
        Err(std::io::Error::new(std::io::ErrorKind::NotFound, "not a name of an artifact"))
    }
}
