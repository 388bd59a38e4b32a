//! A storage emulator of this test run: made at the first use, gone with the test program. Each test has a container.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use backtest_functions::store::blob::{BlobAccount, ConnectionString, Container};

use super::service::project;

/// The shell waits on our end of a pipe: when this program ends, however it ends, the emulator is stopped.
const SCRIPT: &str = r#"
node "$MAIN" "--${SERVICE}Host" 127.0.0.1 "--${SERVICE}Port" "$PORT" --inMemoryPersistence $MORE \
    --skipApiVersionCheck --disableTelemetry --silent >"$DIR/log" 2>&1 </dev/null &
server=$!
cat >/dev/null
kill $server 2>/dev/null
wait $server
rm -rf "$DIR"
"#;

/// The account that every emulator has, with its published key.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A container that nobody else uses, and how to reach it.
pub(crate) struct Storage {
    /// Port of the emulator.
    pub(crate) port: u16,
    /// For `AZURE_STORAGE_CONNECTION_STRING`.
    pub(crate) connection: String,
    /// Name of a container of its own, which does not exist yet.
    pub(crate) container: String,
}

impl Storage {
    pub(crate) fn account(&self) -> BlobAccount {
        BlobAccount::by_connection(ConnectionString::parse(&self.connection).unwrap()).unwrap()
    }

    pub(crate) fn container(&self) -> Container {
        self.account().container(&self.container).unwrap()
    }

    /// The same storage as seen through another port of this machine.
    pub(crate) fn through(&self, port: u16) -> Self {
        Self { port: self.port, connection: connection(port), container: self.container.clone() }
    }
}

/// A container of its own; `None` where there is no emulator.
pub(crate) fn storage() -> Option<Storage> {
    static EMULATOR: OnceLock<Option<(u16, Child)>> = OnceLock::new();
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let (port, _) = EMULATOR.get_or_init(|| start("blob", "")).as_ref()?;
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    Some(Storage { port: *port, connection: connection(*port), container: format!("test-{number}") })
}

fn connection(port: u16) -> String {
    format!("AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint=http://127.0.0.1:{port}/{ACCOUNT}")
}

/// An emulator of queues. It runs as long as what is returned lives.
pub(crate) struct Queues {
    port: u16,
    shell: Child,
}

impl Drop for Queues {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

/// `None` where there is no emulator.
pub(crate) fn queues() -> Option<Queues> {
    start("queue", "").map(|(port, shell)| Queues { port, shell })
}

impl Queues {
    /// For `AzureWebJobsStorage`.
    pub(crate) fn connection(&self) -> String {
        let port = self.port;
        format!("AccountName={ACCOUNT};AccountKey={KEY};QueueEndpoint=http://127.0.0.1:{port}/{ACCOUNT}")
    }

    /// Makes a queue with some messages.
    pub(crate) async fn fill(&self, queue: &str, messages: usize) {
        self.send(reqwest::Method::PUT, queue, "").await;
        for _ in 0..messages {
            let message = "<QueueMessage><MessageText>bm90IGJhc2U2NA==</MessageText></QueueMessage>";
            self.send(reqwest::Method::POST, &format!("{queue}/messages"), message).await;
        }
    }

    /// Sends a request that is signed with the key.
    async fn send(&self, method: reqwest::Method, path: &str, body: &'static str) {
        let date = chrono::Utc::now().format("%a, %d %b %Y %H:%M:%S GMT");
        let length = if body.is_empty() { String::new() } else { body.len().to_string() };
        let text = format!(
            "{method}\n\n\n{length}\n\n\n\n\n\n\n\n\nx-ms-date:{date}\nx-ms-version:2024-08-04\n/{ACCOUNT}/{ACCOUNT}/{path}"
        );
        let secret = azure_core::credentials::Secret::new(KEY);
        let signature = azure_core::hmac::hmac_sha256(&text, &secret).unwrap();
        let answer = reqwest::Client::new()
            .request(method, format!("http://127.0.0.1:{}/{ACCOUNT}/{path}", self.port))
            .header("x-ms-date", date.to_string())
            .header("x-ms-version", "2024-08-04")
            .header("authorization", format!("SharedKey {ACCOUNT}:{signature}"))
            .body(body)
            .send()
            .await
            .unwrap();
        let (status, said) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {said}");
    }
}

/// What `.ci/run` installs; another place can be named.
fn emulator(service: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("AZURITE_DIR").map_or_else(|| project("target/azurite"), PathBuf::from);
    let main = folder.join(format!("node_modules/azurite/dist/src/{service}/main.js"));
    let node = Command::new("node").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    (main.is_file() && node.is_ok_and(|status| status.success())).then_some(main)
}

/// An emulator that takes tokens, which it does over TLS alone: its address, and the certificate that it shows. It runs as
/// long as what is returned lives.
pub(crate) struct WithTokens {
    pub(crate) endpoint: String,
    pub(crate) certificate: PathBuf,
    _folder: tempfile::TempDir,
    shell: Child,
}

impl Drop for WithTokens {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

/// `None` where there is no emulator.
pub(crate) fn with_tokens() -> Option<WithTokens> {
    emulator("blob")?;
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("certificate.pem"), folder.path().join("key.pem"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=emulator", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .expect("openssl");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let (port, shell) =
        start("blob", &format!("--oauth basic --cert {} --key {}", certificate.display(), key.display()))?;
    let endpoint = format!("https://127.0.0.1:{port}/{ACCOUNT}");
    Some(WithTokens { endpoint, certificate, _folder: folder, shell })
}

fn start(service: &str, more: &str) -> Option<(u16, Child)> {
    let Some(main) = emulator(service) else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "CI needs Azurite (make azurite)");
        // Not captured, so that it is seen.
        let _ = writeln!(
            std::io::stderr(),
            "no Azurite (make azurite installs it): the Blob storage half of the tests is skipped"
        );
        return None;
    };
    let folder = tempfile::Builder::new().prefix("backtests-azurite-").tempdir().unwrap().keep();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut shell = Command::new("sh")
        .args(["-c", SCRIPT])
        .env("MAIN", main)
        .env("SERVICE", service)
        .env("DIR", &folder)
        .env("PORT", port.to_string())
        .env("MORE", more)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let started = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        let given_up = shell.try_wait().unwrap().is_some() || started.elapsed() > Duration::from_secs(60);
        let log = || std::fs::read_to_string(folder.join("log")).unwrap_or_default();
        assert!(!given_up, "no storage emulator:\n{}", log());
        std::thread::sleep(Duration::from_millis(50));
    }
    Some((port, shell))
}
