//! Files of a run in one ZIP archive, made while it is sent. They are stored as they are and without a date, so that a
//! run gives the same bytes whenever it is asked.

use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use sha2::{Digest as _, Sha256};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use zip::write::{SimpleFileOptions, StreamWriter};
use zip::{CompressionMethod, DateTime, ZipWriter};

use crate::run::Location;
use crate::store::artifacts::{ArtifactStore, ByteStream};

/// Bytes that are sent at once.
const CHUNK: usize = 64 * 1024;

/// Chunks that may wait for a slow reader.
const WAITING: usize = 8;

/// A file of an archive.
pub struct Entry {
    /// Its name there.
    pub name: String,
    /// What it holds.
    pub content: Content,
}

/// What a file of an archive holds.
pub enum Content {
    /// These bytes.
    Known(Bytes),
    /// An artifact, read when it is its turn.
    Artifact {
        /// Where the run put its files.
        at: Location,
        /// Its name below the run.
        name: String,
        /// SHA-256 that it must have; another one breaks the archive off.
        sha256: Option<String>,
    },
}

/// The archive of these files, in this order. It breaks off with an error if a file cannot be read to its end.
pub fn archive(artifacts: Arc<dyn ArtifactStore>, entries: Vec<Entry>) -> ByteStream {
    let (sender, receiver) = mpsc::channel(WAITING);
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || {
        let out = Chunks { waiting: Vec::with_capacity(CHUNK), sender: sender.clone() };
        if let Err(error) = write(out, &runtime, artifacts.as_ref(), &entries) {
            // A caller who has gone needs no reason.
            let _ = sender.blocking_send(Err(error));
        }
    });
    futures_util::stream::unfold(
        receiver,
        |mut receiver| async move { Some((receiver.recv().await?, receiver)) },
    )
    .boxed()
}

fn write(out: Chunks, runtime: &Handle, artifacts: &dyn ArtifactStore, entries: &[Entry]) -> io::Result<()> {
    let mut zip = ZipWriter::new_stream(out);
    for Entry { name: entry, content } in entries {
        let start = |size: u64, zip: &mut ZipWriter<StreamWriter<Chunks>>| {
            let options = SimpleFileOptions::default()
                .compression_method(CompressionMethod::Stored)
                .last_modified_time(DateTime::default())
                .unix_permissions(0o644)
                .large_file(size >= u64::from(u32::MAX));
            zip.start_file(entry.as_str(), options).map_err(io::Error::other)
        };
        let (at, name, sha256) = match content {
            Content::Known(content) => {
                start(content.len() as u64, &mut zip)?;
                zip.write_all(content)?;
                continue;
            }
            Content::Artifact { at, name, sha256 } => (at, name, sha256),
        };
        let size = runtime.block_on(artifacts.size(at, name)).map_err(io::Error::other)?;
        let size =
            size.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("{name} is not there")))?;
        start(size, &mut zip)?;
        let mut content = runtime.block_on(artifacts.read(at, name, 0..size)).map_err(io::Error::other)?;
        let (mut written, mut digest) = (0, Sha256::new());
        while let Some(chunk) = runtime.block_on(content.next()) {
            let chunk = chunk?;
            written += chunk.len() as u64;
            if sha256.is_some() {
                digest.update(&chunk);
            }
            zip.write_all(&chunk)?;
        }
        if written != size {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("{name} ended early")));
        }
        if sha256.as_ref().is_some_and(|sha256| *sha256 != format!("{:x}", digest.finalize())) {
            return Err(io::Error::other(format!("{name} is not what was published")));
        }
    }
    let mut out = zip.finish().map_err(io::Error::other)?.into_inner();
    out.flush()
}

/// Sends what is written in chunks.
struct Chunks {
    waiting: Vec<u8>,
    sender: mpsc::Sender<io::Result<Bytes>>,
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() >= CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::replace(&mut self.waiting, Vec::with_capacity(CHUNK));
        self.sender.blocking_send(Ok(chunk.into())).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
