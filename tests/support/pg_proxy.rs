//! A TCP proxy between a handler and Postgres that cuts connections where a test asks for it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Where a connection is cut, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The server never sees the statement.
    BeforeRequest,
    /// The server has done it and says so, but the answer gets lost.
    BeforeReply,
}

/// Cuts that are still to be made: a text of the statement, and where.
type Plan = Arc<Mutex<Vec<(&'static str, Cut)>>>;

pub(crate) struct Proxy {
    /// The same connection string by way of the proxy.
    pub(crate) dsn: String,
    /// Statements of the store that went to the server.
    pub(crate) statements: Arc<AtomicUsize>,
    plan: Plan,
}

impl Proxy {
    /// A proxy before the server of `dsn`.
    pub(crate) async fn before(dsn: &str) -> Self {
        let address = dsn.split(['@', '/']).nth(3).unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().to_string();
        let (dsn, plan, statements) = (dsn.replace(&address, &own), Plan::default(), Arc::default());
        let (shared, count) = (Arc::clone(&plan), Arc::clone(&statements));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&address).await else { continue };
                tokio::spawn(carry(client, server, Arc::clone(&shared), Arc::clone(&count)));
            }
        });
        Self { dsn, statements, plan }
    }

    /// Cuts the next connection that sends a statement with this text.
    pub(crate) fn cut(&self, text: &'static str, cut: Cut) {
        self.plan.lock().unwrap().push((text, cut));
    }

    /// Whether every cut was made.
    pub(crate) fn is_done(&self) -> bool {
        self.plan.lock().unwrap().is_empty()
    }
}

async fn carry(mut client: TcpStream, mut server: TcpStream, plan: Plan, statements: Arc<AtomicUsize>) {
    let (mut request, mut reply) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    loop {
        tokio::select! {
            read = client.read(&mut request) => {
                let Ok(read @ 1..) = read else { return };
                let says = |text: &str| request[..read].windows(text.len()).any(|part| part == text.as_bytes());
                statements.fetch_add(usize::from(says("-- ")), Ordering::Relaxed);
                let due = {
                    let mut plan = plan.lock().unwrap();
                    plan.iter().position(|(text, _)| says(text)).map(|at| plan.remove(at).1)
                };
                if due == Some(Cut::BeforeRequest) || server.write_all(&request[..read]).await.is_err() {
                    return;
                }
                if due == Some(Cut::BeforeReply) {
                    // Ready for the next query: whatever there was to commit is committed.
                    let mut seen = Vec::new();
                    while !seen.ends_with(b"Z\0\0\0\x05I") {
                        let Ok(read @ 1..) = server.read(&mut reply).await else { return };
                        seen.extend_from_slice(&reply[..read]);
                    }
                    return;
                }
            }
            read = server.read(&mut reply) => {
                let Ok(read @ 1..) = read else { return };
                if client.write_all(&reply[..read]).await.is_err() {
                    return;
                }
            }
        }
    }
}
