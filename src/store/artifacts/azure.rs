//! Artifacts in a storage account: `<container>/<prefix>/<run_id>/f<fence>/<name>`.

use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{BoxStream, try_unfold};
use futures_util::{StreamExt, TryStreamExt};

use super::{ArtifactError, ArtifactStore, Attempt, ByteStream, NewFile, fence_of};
use crate::run::{Fence, Location, RunId};
use crate::store::blob::{BlobAccount, BlobError, Condition, Container, Directory, Link, join};

/// Requests at once when many files are removed.
const PARALLEL: usize = 8;

/// Artifacts in the containers of one storage account.
#[derive(Debug, Clone)]
pub struct AzureArtifacts {
    account: BlobAccount,
    root: Option<Directory>,
    allowed: Vec<String>,
}

impl AzureArtifacts {
    /// A store that keeps files below `root` and, where a config asks for it, in one of the `allowed` containers.
    pub fn new(account: BlobAccount, root: Option<Directory>, allowed: Vec<String>) -> Self {
        Self { account, root, allowed }
    }

    /// Whether there is a place for files of configs that name none.
    pub(super) fn has_root(&self) -> bool {
        self.root.is_some()
    }

    /// The directory that a config asks for.
    fn asked(&self, dir: &str) -> Result<Directory, String> {
        let directory = Directory::parse(dir)?;
        if directory.account.as_deref().is_some_and(|account| account != self.account.name()) {
            return Err(format!("is in another account than this service's, {}", self.account.name()));
        }
        if !self.allowed.contains(&directory.container) {
            return Err(format!(
                "container '{}' is not in BACKTEST_ADLS_CONTAINER_ALLOWLIST",
                directory.container
            ));
        }
        Ok(directory)
    }

    /// Container and prefix of a place.
    fn place<'a>(&self, at: &'a Location) -> Result<(Container, &'a str), Failure> {
        let Location::Adls { container, prefix } = at else { return Err(Failure::Elsewhere) };
        Ok((self.account.container(container)?, prefix))
    }

    /// Container and name of a file.
    fn blob(&self, at: &Location, name: &str) -> Result<(Container, String), Failure> {
        let (container, prefix) = self.place(at)?;
        if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(Failure::NoName);
        }
        Ok((container, join(prefix, name)))
    }
}

/// Why a place could not be used.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the artifacts are not in a storage account")]
    Elsewhere,
    #[error("not a name of an artifact")]
    NoName,
    #[error("the file is there with other content")]
    Different,
    #[error(transparent)]
    Blob(#[from] BlobError),
}

impl From<Failure> for std::io::Error {
    fn from(error: Failure) -> Self {
        match error {
            Failure::Blob(error) => error.into(),
            Failure::Different => Self::new(std::io::ErrorKind::AlreadyExists, error),
            error => Self::new(std::io::ErrorKind::NotFound, error),
        }
    }
}

#[async_trait]
impl ArtifactStore for AzureArtifacts {
    fn check(&self, dir: &str) -> Result<(), String> {
        self.asked(dir).map(drop)
    }

    fn location(&self, dir: Option<&str>, run: &RunId, fence: Fence) -> Result<Location, String> {
        let directory = match (dir, &self.root) {
            (Some(dir), _) => &self.asked(dir)?,
            (None, Some(root)) => root,
            (None, None) => return Err("no directory for artifacts is configured".into()),
        };
        let prefix = directory.join(&format!("{run}/f{fence}"));
        Ok(Location::Adls { container: directory.container.clone(), prefix })
    }

    async fn create(&self, at: &Location, file: NewFile<'_>) -> Result<(), ArtifactError> {
        let written = async {
            let (container, name) = self.blob(at, file.name)?;
            let put = container.put(&name, file.content.clone(), file.content_type, &Condition::Absent);
            if put.await?.is_some() {
                return Ok(());
            }
            // A retried request may have found its own first try, whose reply was lost.
            match container.get(&name).await? {
                Some((content, _)) if content == file.content => Ok(()),
                _ => Err(Failure::Different),
            }
        };
        written.await.map_err(|error: Failure| ArtifactError::new("write", file.name, error))
    }

    async fn size(&self, at: &Location, name: &str) -> Result<Option<u64>, ArtifactError> {
        let found = async {
            let (container, blob) = self.blob(at, name)?;
            Ok(container.size(&blob).await?)
        };
        found.await.map_err(|error: Failure| ArtifactError::new("look up", name, error))
    }

    async fn read(&self, at: &Location, name: &str, range: Range<u64>) -> Result<ByteStream, ArtifactError> {
        if range.is_empty() {
            return Ok(futures_util::stream::empty().boxed());
        }
        let read = async {
            let (container, blob) = self.blob(at, name)?;
            Ok(container.read(&blob, range).await?)
        };
        let content = read.await.map_err(|error: Failure| ArtifactError::new("read", name, error))?;
        Ok(content.map_err(std::io::Error::from).map_ok(Bytes::from).boxed())
    }

    async fn link(
        &self,
        at: &Location,
        name: &str,
        lifetime: Duration,
    ) -> Result<Option<Link>, ArtifactError> {
        let linked = async {
            let (container, blob) = self.blob(at, name)?;
            let file_name = name.rsplit('/').next().unwrap_or(name);
            Ok(self.account.link(&container, &blob, file_name, lifetime).await?)
        };
        linked.await.map_err(|error: Failure| ArtifactError::new("make a link to", name, error))
    }

    fn attempts(&self) -> BoxStream<'static, Result<Attempt, ArtifactError>> {
        let Some(root) = self.root.clone() else { return futures_util::stream::empty().boxed() };
        let failed = |error: BlobError| ArtifactError::new("list", "attempts", error);
        let container = match self.account.container(&root.container) {
            Ok(container) => container,
            Err(error) => return futures_util::stream::iter([Err(failed(error))]).boxed(),
        };
        let below = root.join("");
        let names = container.list(&below).map_err(failed);
        // Names come sorted, so the files of an attempt stand together.
        let state = (names.boxed().peekable(), root, below);
        try_unfold(state, move |(mut names, root, below)| async move {
            loop {
                let Some(first) = names.next().await.transpose()? else { return Ok(None) };
                let Some((run, fence, prefix)) = attempt_of(&first.name, &below) else { continue };
                let mut newest = first.modified;
                let same = |next: &Result<crate::store::blob::Listed, ArtifactError>| {
                    next.as_ref().is_ok_and(|next| next.name.starts_with(&format!("{prefix}/")))
                };
                while let Some(next) = std::pin::Pin::new(&mut names).next_if(same).await {
                    newest = newest.max(next?.modified);
                }
                let location = Location::Adls { container: root.container.clone(), prefix };
                return Ok(Some((Attempt { run, fence, location, newest }, (names, root, below))));
            }
        })
        .boxed()
    }

    async fn remove(&self, at: &Location) -> Result<(), ArtifactError> {
        let removed = async {
            let (container, prefix) = self.place(at)?;
            let names = container.list(&format!("{prefix}/"));
            let removals = names.map(|listed| {
                let container = container.clone();
                async move { container.delete(&listed?.name).await }
            });
            removals.buffer_unordered(PARALLEL).try_collect::<Vec<()>>().await?;
            Ok(())
        };
        removed.await.map_err(|error: Failure| ArtifactError::new("remove", "an attempt", error))
    }

    fn kind(&self) -> &'static str {
        "adls"
    }

    async fn ping(&self) -> Result<(), ArtifactError> {
        let Some(root) = &self.root else { return Ok(()) };
        let container = async {
            let container = self.account.container(&root.container)?;
            container.ping().await?;
            Ok(container)
        };
        let failed = |doing| {
            move |error: BlobError| ArtifactError::new(doing, format!("container {}", root.container), error)
        };
        let container = container.await.map_err(failed("reach"))?;
        container.try_writing(&root.join("readiness")).await.map_err(failed("write to"))
    }
}

/// Run, fence and prefix in `<below><run_id>/f<fence>/<file>`; `None` for a blob that is none of ours.
fn attempt_of(name: &str, below: &str) -> Option<(RunId, Fence, String)> {
    let mut parts = name.strip_prefix(below)?.splitn(3, '/');
    let (run, attempt, _file) = (parts.next()?, parts.next()?, parts.next()?);
    Some((run.parse().ok()?, fence_of(attempt)?, format!("{below}{run}/{attempt}")))
}
