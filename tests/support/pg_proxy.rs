//! A TCP proxy between a handler and Postgres that cuts connections and holds traffic back where a test asks for it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Where a connection is cut, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The server never sees the statement.
    BeforeRequest,
    /// The server has done it and says so, but the answer gets lost.
    BeforeReply,
}

/// What befalls the next statement with some text.
enum Fate {
    Cut(Cut),
    /// It is shown to somebody, and the server sees it when they say so, or are gone.
    Held(oneshot::Sender<Vec<u8>>, oneshot::Receiver<()>),
}

/// A statement that will be held back.
pub(crate) struct Held {
    /// What was sent with it, once it comes.
    pub(crate) shown: oneshot::Receiver<Vec<u8>>,
    /// Lets it go on to the server.
    pub(crate) release: oneshot::Sender<()>,
}

/// What all connections of a proxy share.
struct Shared {
    statements: Arc<AtomicUsize>,
    /// What is still to happen: a text of the statement, and what becomes of it.
    plan: Mutex<Vec<(&'static str, Fate)>>,
    /// Nothing passes before this moment.
    held_until: Mutex<Instant>,
    /// Statements that were held back and changed nothing.
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
        self.shared.plan.lock().unwrap().push((text, Fate::Cut(cut)));
    }

    /// Holds the next statement with this text back.
    pub(crate) fn hold_back(&self, text: &'static str) -> Held {
        let ((show, shown), (release, released)) = (oneshot::channel(), oneshot::channel());
        self.shared.plan.lock().unwrap().push((text, Fate::Held(show, released)));
        Held { shown, release }
    }

    /// Whether every cut was made.
    pub(crate) fn is_done(&self) -> bool {
        self.shared.plan.lock().unwrap().is_empty()
    }

    /// Lets nothing pass for a while, and then everything.
    pub(crate) fn hold(&self, time: Duration) {
        *self.shared.held_until.lock().unwrap() = Instant::now() + time;
    }

    /// Statements that were held back and changed nothing, because of what had happened before they came.
    pub(crate) fn too_late(&self) -> usize {
        self.shared.too_late.load(Ordering::Relaxed)
    }

    /// Cuts and holds nothing more; answers the texts that did not come.
    pub(crate) fn calm(&self) -> Vec<&'static str> {
        let plan = std::mem::take(&mut *self.shared.plan.lock().unwrap());
        plan.into_iter().map(|(text, _)| text).collect()
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
                let is_held = matches!(due, Some(Fate::Held(..)));
                let cut = match due {
                    Some(Fate::Held(show, released)) => {
                        let _ = show.send(request[..read].to_vec());
                        let _ = released.await;
                        None
                    }
                    Some(Fate::Cut(cut)) => Some(cut),
                    None => None,
                };
                if cut == Some(Cut::BeforeRequest) || server.write_all(&request[..read]).await.is_err() {
                    return;
                }
                if is_held || cut.is_some() {
                    let Some(seen) = answer(&mut client, &mut server).await else { return };
                    if cut == Some(Cut::BeforeReply) {
                        return;
                    }
                    let nothing = b"INSERT 0 0\0";
                    let is_nothing = seen.windows(nothing.len()).any(|part| part == nothing);
                    shared.too_late.fetch_add(usize::from(is_nothing), Ordering::Relaxed);
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

/// What the server answers until it is ready for the next transaction: whatever there was to commit is committed. What the
/// client still has to say of this one goes on to it; a client that is gone has said it all.
async fn answer(client: &mut TcpStream, server: &mut TcpStream) -> Option<Vec<u8>> {
    let (mut request, mut reply) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    let (mut seen, mut is_there) = (Vec::new(), true);
    while !seen.ends_with(b"Z\0\0\0\x05I") {
        tokio::select! {
            read = client.read(&mut request), if is_there => match read {
                Ok(read @ 1..) => server.write_all(&request[..read]).await.ok()?,
                _ => is_there = false,
            },
            read = server.read(&mut reply) => match read {
                Ok(read @ 1..) => seen.extend_from_slice(&reply[..read]),
                _ => return None,
            },
        }
    }
    Some(seen)
}
