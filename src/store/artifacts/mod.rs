//! Files of finished attempts. A name is written once and never again; a file is found only through the row
//! that names its place, so what a lost executor wrote stays invisible until it is swept.

mod azure;
mod local;

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use futures_util::stream::BoxStream;
use tokio::sync::Mutex;

pub use self::azure::AzureArtifacts;
pub use self::local::LocalArtifacts;
use crate::clock::Timestamp;
use crate::run::{Fence, Location, RunId};
use crate::store::blob::Link;

/// Keeps artifacts.
#[async_trait]
pub trait ArtifactStore: Send + Sync {
    /// Whether a config may ask for `dir`; the error says why not.
    fn check(&self, dir: &str) -> Result<(), String>;

    /// Place of the files of one attempt, below `dir` if a config asks for that.
    fn location(&self, dir: Option<&str>, run: &RunId, fence: Fence) -> Result<Location, String>;

    /// Writes a file that must not exist yet.
    async fn create(&self, at: &Location, file: NewFile<'_>) -> Result<(), ArtifactError>;

    /// Size of a file, or `None`.
    async fn size(&self, at: &Location, name: &str) -> Result<Option<u64>, ArtifactError>;

    /// Bytes of a file that exists.
    async fn read(&self, at: &Location, name: &str, range: Range<u64>) -> Result<ByteStream, ArtifactError>;

    /// A whole file, for small ones; `None` if there is no such file.
    async fn whole(&self, at: &Location, name: &str) -> Result<Option<Bytes>, ArtifactError> {
        let Some(size) = self.size(at, name).await? else { return Ok(None) };
        let chunks: std::io::Result<Vec<Bytes>> = self.read(at, name, 0..size).await?.try_collect().await;
        Ok(Some(chunks.map_err(|source| ArtifactError::new("read", name, source))?.concat().into()))
    }

    /// An address whose holder may read a file for `lifetime`; `None` where there is no such thing.
    async fn link(
        &self,
        _at: &Location,
        _name: &str,
        _lifetime: Duration,
    ) -> Result<Option<Link>, ArtifactError> {
        Ok(None)
    }

    /// What all attempts left behind where files go by default.
    fn attempts(&self) -> BoxStream<'static, Result<Attempt, ArtifactError>>;

    /// Removes the files of an attempt.
    async fn remove(&self, at: &Location) -> Result<(), ArtifactError>;

    /// Where files go by default: `local` or `adls`.
    fn kind(&self) -> &'static str;

    /// Whether files can be kept: tries to write, and leaves nothing behind.
    async fn ping(&self) -> Result<(), ArtifactError>;
}

/// A file to be written.
#[derive(Debug, Clone)]
pub struct NewFile<'a> {
    /// Name below the attempt, with `/` between folders.
    pub name: &'a str,
    /// Media type, where the store keeps one.
    pub content_type: &'a str,
    /// All of it.
    pub content: Bytes,
}

/// What an attempt left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Run whose files these are.
    pub run: RunId,
    /// The fence of the attempt.
    pub fence: Fence,
    /// Folder that the files of the attempt are in.
    pub location: Location,
    /// When its newest file was written.
    pub newest: Timestamp,
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

impl ArtifactError {
    fn new(doing: &'static str, name: impl Into<String>, source: impl Into<std::io::Error>) -> Self {
        Self { doing, name: name.into(), source: source.into() }
    }
}

/// Artifacts on this machine and in a storage account: a row says which, whatever new runs do.
#[derive(Debug, Clone)]
pub struct Artifacts {
    local: LocalArtifacts,
    azure: Option<AzureArtifacts>,
    /// When files could last be kept. Meanwhile that is the answer, without another try.
    kept: Arc<Mutex<Option<Instant>>>,
}

/// How long it is believed that files can be kept.
const BELIEVED: Duration = Duration::from_secs(10);

impl Artifacts {
    /// New files go to the storage account if it has a directory for them.
    pub fn new(local: LocalArtifacts, azure: Option<AzureArtifacts>) -> Self {
        Self { local, azure, kept: Arc::default() }
    }

    /// The store that new files go to.
    fn default_store(&self) -> &dyn ArtifactStore {
        match &self.azure {
            Some(azure) if azure.has_root() => azure,
            _ => &self.local,
        }
    }

    /// The store of a place.
    fn store_of(&self, at: &Location) -> Result<&dyn ArtifactStore, ArtifactError> {
        match (at, &self.azure) {
            (Location::Local { .. }, _) => Ok(&self.local),
            (Location::Adls { .. }, Some(azure)) => Ok(azure),
            (Location::Adls { container, .. }, None) => {
                let error = std::io::Error::other("no storage account is configured");
                Err(ArtifactError::new("use container", container, error))
            }
        }
    }
}

#[async_trait]
impl ArtifactStore for Artifacts {
    fn check(&self, dir: &str) -> Result<(), String> {
        match &self.azure {
            Some(azure) => azure.check(dir),
            None => self.local.check(dir),
        }
    }

    fn location(&self, dir: Option<&str>, run: &RunId, fence: Fence) -> Result<Location, String> {
        match (dir, &self.azure) {
            (Some(_), Some(azure)) => azure.location(dir, run, fence),
            _ => self.default_store().location(dir, run, fence),
        }
    }

    async fn create(&self, at: &Location, file: NewFile<'_>) -> Result<(), ArtifactError> {
        self.store_of(at)?.create(at, file).await
    }

    async fn size(&self, at: &Location, name: &str) -> Result<Option<u64>, ArtifactError> {
        self.store_of(at)?.size(at, name).await
    }

    async fn read(&self, at: &Location, name: &str, range: Range<u64>) -> Result<ByteStream, ArtifactError> {
        self.store_of(at)?.read(at, name, range).await
    }

    async fn link(
        &self,
        at: &Location,
        name: &str,
        lifetime: Duration,
    ) -> Result<Option<Link>, ArtifactError> {
        self.store_of(at)?.link(at, name, lifetime).await
    }

    fn attempts(&self) -> BoxStream<'static, Result<Attempt, ArtifactError>> {
        self.default_store().attempts()
    }

    async fn remove(&self, at: &Location) -> Result<(), ArtifactError> {
        self.store_of(at)?.remove(at).await
    }

    fn kind(&self) -> &'static str {
        self.default_store().kind()
    }

    async fn ping(&self) -> Result<(), ArtifactError> {
        // One tries, and the others wait for what it finds.
        let mut kept = self.kept.lock().await;
        if kept.is_some_and(|at| at.elapsed() < BELIEVED) {
            return Ok(());
        }
        *kept = None;
        self.default_store().ping().await?;
        *kept = Some(Instant::now());
        Ok(())
    }
}

/// The fence in `f<fence>`.
fn fence_of(name: &str) -> Option<Fence> {
    name.strip_prefix('f')?.parse().ok().map(Fence)
}
