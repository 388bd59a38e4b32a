//! All files of a run in one ZIP archive, made while it is sent. Files are stored as they are and without a date, so that a
//! run gives the same bytes whenever it is asked.

use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use crate::run::Location;
use crate::store::artifacts::{ArtifactStore, ByteStream};

/// Bytes that are sent at once.
const CHUNK: usize = 64 * 1024;

/// Chunks that may wait for a slow reader.
const WAITING: usize = 8;

/// The archive of these files, in this order, each below a folder that is named like the run. It breaks off with an error if
/// a file cannot be read to its end.
pub fn archive(
    artifacts: Arc<dyn ArtifactStore>,
    at: Location,
    folder: String,
    names: Vec<String>,
) -> ByteStream {
    let (sender, receiver) = mpsc::channel(WAITING);
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || {
        let out = Chunks { waiting: Vec::with_capacity(CHUNK), sender: sender.clone() };
        if let Err(error) = write(out, &runtime, artifacts.as_ref(), &at, &folder, &names) {
            // Whoever has gone needs no reason.
            let _ = sender.blocking_send(Err(error));
        }
    });
    futures_util::stream::unfold(
        receiver,
        |mut receiver| async move { Some((receiver.recv().await?, receiver)) },
    )
    .boxed()
}

fn write(
    out: Chunks,
    runtime: &Handle,
    artifacts: &dyn ArtifactStore,
    at: &Location,
    folder: &str,
    names: &[String],
) -> io::Result<()> {
    let mut zip = ZipWriter::new_stream(out);
    for name in names {
        let size = runtime.block_on(artifacts.size(at, name)).map_err(io::Error::other)?;
        let size =
            size.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("{name} is not there")))?;
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .last_modified_time(DateTime::default())
            .unix_permissions(0o644)
            .large_file(size >= u64::from(u32::MAX));
        zip.start_file(format!("{folder}/{name}"), options).map_err(io::Error::other)?;
        let mut content = runtime.block_on(artifacts.read(at, name, 0..size)).map_err(io::Error::other)?;
        let mut written = 0;
        while let Some(chunk) = runtime.block_on(content.next()) {
            let chunk = chunk?;
            written += chunk.len() as u64;
            zip.write_all(&chunk)?;
        }
        if written != size {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("{name} ended early")));
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
