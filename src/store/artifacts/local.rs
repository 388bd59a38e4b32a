//! Artifacts below a folder of this machine: `<root>/<run_id>/f<fence>/<name>`.

use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{BoxStream, iter};
use futures_util::{StreamExt, TryStreamExt};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use super::{ArtifactError, ArtifactStore, Attempt, ByteStream, NewFile, fence_of};
use crate::clock::Timestamp;
use crate::run::{Fence, Location, RunId};

/// Bytes of one step of a streamed file.
const CHUNK: usize = 256 * 1024;

/// Artifacts below a folder of this machine.
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
    fn check(&self, _dir: &str) -> Result<(), String> {
        Err("needs a service that is configured with a storage account".into())
    }

    fn location(&self, dir: Option<&str>, run: &RunId, fence: Fence) -> Result<Location, String> {
        dir.map_or(Ok(()), |dir| self.check(dir))?;
        let dir = self.root.join(run.as_str()).join(format!("f{fence}")).display().to_string();
        Ok(Location::Local { dir })
    }

    async fn create(&self, at: &Location, file: NewFile<'_>) -> Result<(), ArtifactError> {
        let fault = |source| ArtifactError { doing: "write", name: file.name.to_owned(), source };
        let path = path_of(at, file.name).map_err(fault)?;
        write_new(&path, &file.content).await.map_err(fault)
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

    fn attempts(&self) -> BoxStream<'static, Result<Attempt, ArtifactError>> {
        let root = self.root.clone();
        let found = tokio::task::spawn_blocking(move || attempts(&root));
        let found = async move {
            let found = found.await.map_err(std::io::Error::other).flatten();
            found.map_err(|source| ArtifactError::new("list", "attempts", source))
        };
        futures_util::stream::once(found)
            .map_ok(|found| iter(found.into_iter().map(Ok)))
            .try_flatten()
            .boxed()
    }

    async fn remove(&self, at: &Location) -> Result<(), ArtifactError> {
        let fault = |source| ArtifactError::new("remove", "an attempt", source);
        let Location::Local { dir } = at else { return Err(fault(elsewhere())) };
        tokio::fs::remove_dir_all(dir).await.map_err(fault)?;
        if let Some(run) = Path::new(dir).parent() {
            // Goes if that was its last attempt, and stays otherwise.
            let _ = tokio::fs::remove_dir(run).await;
        }
        Ok(())
    }

    fn kind(&self) -> &'static str {
        "local"
    }

    async fn ping(&self) -> Result<(), ArtifactError> {
        let fault = |doing| {
            let name = self.root.display().to_string();
            move |source| ArtifactError { doing, name, source }
        };
        tokio::fs::create_dir_all(&self.root).await.map_err(fault("create the folder"))?;
        // A folder may be there and full, or read-only.
        let probe = self.root.join(format!(".ready-{}", uuid::Uuid::new_v4().simple()));
        let written = write_new(&probe, b"ready").await;
        let _ = tokio::fs::remove_file(&probe).await;
        written.map_err(fault("write to the folder"))
    }
}

/// All attempts below a folder.
fn attempts(root: &Path) -> std::io::Result<Vec<Attempt>> {
    let mut found = Vec::new();
    for run in folders(root)? {
        let Some(id) = name_of(&run).and_then(|name| name.parse::<RunId>().ok()) else { continue };
        for attempt in folders(&run)? {
            let Some(fence) = name_of(&attempt).and_then(fence_of) else { continue };
            let newest = Timestamp::from(newest_file(&attempt)?);
            let location = Location::Local { dir: attempt.display().to_string() };
            found.push(Attempt { run: id.clone(), fence, location, newest });
        }
    }
    Ok(found)
}

fn name_of(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

/// The folders in a folder; one that is not there has none.
fn folders(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut folders = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            folders.push(entry.path());
        }
    }
    Ok(folders)
}

/// When anything below a folder was last written.
fn newest_file(folder: &Path) -> std::io::Result<SystemTime> {
    let mut newest = SystemTime::UNIX_EPOCH;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        newest =
            newest.max(if metadata.is_dir() { newest_file(&entry.path())? } else { metadata.modified()? });
    }
    Ok(newest)
}

fn elsewhere() -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::NotFound, "the artifacts are not on this machine")
}

async fn write_new(path: &Path, content: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        tokio::fs::create_dir_all(folder).await?;
    }
    let mut file = tokio::fs::OpenOptions::new().write(true).create_new(true).open(path).await?;
    file.write_all(content).await?;
    // Only this tells of a write that failed in the background, for example on a full disk.
    file.flush().await?;
    // On disk before the row can name it.
    file.sync_all().await
}

/// The path of a named file; a name that leads out of its folder is not a name.
fn path_of(at: &Location, name: &str) -> std::io::Result<PathBuf> {
    let Location::Local { dir } = at else {
        return Err(elsewhere());
    };
    let inside =
        !name.is_empty() && Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    if inside {
        Ok(Path::new(dir).join(name))
    } else {
        Err(std::io::Error::new(std::io::ErrorKind::NotFound, "not a name of an artifact"))
    }
}
