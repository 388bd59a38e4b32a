//! A TCP proxy between a handler and Postgres that cuts connections and holds traffic back where a test asks for it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

/// Where a connection is cut, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The server never sees the statement.
    BeforeRequest,
    /// The server has done it and says so, but the answer gets lost.
    BeforeReply,
    /// Nothing is cut, but the server sees the statement only after this time.
    Late(Duration),
}

/// What all connections of a proxy share.
struct Shared {
    statements: Arc<AtomicUsize>,
    /// Cuts that are still to be made: a text of the statement, and where.
    plan: Mutex<Vec<(&'static str, Cut)>>,
    /// Nothing passes before this moment.
    held_until: Mutex<Instant>,
    /// Late statements that changed nothing.
    too_late: AtomicUsize,
}

pub(crate) struct Proxy {
    /// The same connection string by way of the proxy.
    pub(crate) dsn: String,
    /// Statements of the store that went to the server.
    pub(crate) statements: Arc<AtomicUsize>,
    shared: Arc<Shared>,
}

impl Proxy {
    /// A proxy before the server of `dsn`.
    pub(crate) async fn before(dsn: &str) -> Self {
        let address = dsn.split(['@', '/']).nth(3).unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().to_string();
        let dsn = dsn.replace(&address, &own);
        let statements = Arc::default();
        let shared = Arc::new(Shared {
            statements: Arc::clone(&statements),
            plan: Mutex::default(),
            held_until: Mutex::new(Instant::now()),
            too_late: AtomicUsize::new(0),
        });
        let carried = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&address).await else { continue };
                tokio::spawn(carry(client, server, Arc::clone(&carried)));
            }
        });
        Self { dsn, statements, shared }
    }

    /// Cuts the next connection that sends a statement with this text.
    pub(crate) fn cut(&self, text: &'static str, cut: Cut) {
        self.shared.plan.lock().unwrap().push((text, cut));
    }

    /// Whether every cut was made.
    pub(crate) fn is_done(&self) -> bool {
        self.shared.plan.lock().unwrap().is_empty()
    }

    /// Lets nothing pass for a while, and then everything.
    pub(crate) fn hold(&self, time: Duration) {
        *self.shared.held_until.lock().unwrap() = Instant::now() + time;
    }

    /// Late statements that changed nothing, because of what had happened before they came.
    pub(crate) fn too_late(&self) -> usize {
        self.shared.too_late.load(Ordering::Relaxed)
    }

    /// Makes no further cuts; answers which were not made.
    pub(crate) fn calm(&self) -> Vec<(&'static str, Cut)> {
        std::mem::take(&mut self.shared.plan.lock().unwrap())
    }
}

impl Shared {
    async fn let_pass(&self) {
        let until = *self.held_until.lock().unwrap();
        tokio::time::sleep_until(until).await;
    }
}

async fn carry(mut client: TcpStream, mut server: TcpStream, shared: Arc<Shared>) {
    let (mut request, mut reply) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    loop {
        tokio::select! {
            read = client.read(&mut request) => {
                let Ok(read @ 1..) = read else { return };
                let says = |text: &str| request[..read].windows(text.len()).any(|part| part == text.as_bytes());
                shared.statements.fetch_add(usize::from(says("-- ")), Ordering::Relaxed);
                let due = {
                    let mut plan = shared.plan.lock().unwrap();
                    plan.iter().position(|(text, _)| says(text)).map(|at| plan.remove(at).1)
                };
                shared.let_pass().await;
                if let Some(Cut::Late(time)) = due {
                    tokio::time::sleep(time).await;
                }
                if due == Some(Cut::BeforeRequest) || server.write_all(&request[..read]).await.is_err() {
                    return;
                }
                if matches!(due, Some(Cut::BeforeReply | Cut::Late(_))) {
                    // Ready for the next query: whatever there was to commit is committed.
                    let mut seen = Vec::new();
                    while !seen.ends_with(b"Z\0\0\0\x05I") {
                        let Ok(read @ 1..) = server.read(&mut reply).await else { return };
                        seen.extend_from_slice(&reply[..read]);
                    }
                    if due == Some(Cut::BeforeReply) {
                        return;
                    }
                    let nothing = b"INSERT 0 0\0";
                    let changed = !seen.windows(nothing.len()).any(|part| part == nothing);
                    shared.too_late.fetch_add(usize::from(!changed), Ordering::Relaxed);
                    if client.write_all(&seen).await.is_err() {
                        return;
                    }
                }
            }
            read = server.read(&mut reply) => {
                let Ok(read @ 1..) = read else { return };
                shared.let_pass().await;
                if client.write_all(&reply[..read]).await.is_err() {
                    return;
                }
            }
        }
    }
}
