//! A relay before a server, which a test can cut: while it is cut, connections break and new ones end at once.

use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// The near end of a relay.
pub(crate) struct Relay {
    port: u16,
    up: Arc<watch::Sender<bool>>,
}

impl Relay {
    /// A relay to a port of this machine.
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay =
            Self { port: listener.local_addr().unwrap().port(), up: Arc::new(watch::Sender::new(true)) };
        let up = relay.up.clone();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut up = up.subscribe();
                tokio::spawn(async move {
                    let carried = async {
                        if let Ok(mut far) = TcpStream::connect(("127.0.0.1", port)).await {
                            let _ = copy_bidirectional(&mut near, &mut far).await;
                        }
                    };
                    tokio::select! {
                        () = carried => {}
                        _ = up.wait_for(|up| !up) => {}
                    }
                });
            }
        });
        relay
    }

    /// Breaks what goes through, or lets it through again.
    pub(crate) fn set(&self, up: bool) {
        self.up.send_replace(up);
    }

    /// The connection string with this relay in the place of its server.
    pub(crate) fn before(&self, dsn: &str) -> String {
        let (head, tail) = dsn.rsplit_once(':').unwrap();
        let (_, database) = tail.split_once('/').unwrap();
        format!("{head}:{}/{database}", self.port)
    }
}

/// Port of a connection string.
pub(crate) fn port_of(dsn: &str) -> u16 {
    dsn.rsplit_once(':').unwrap().1.split_once('/').unwrap().0.parse().unwrap()
}
