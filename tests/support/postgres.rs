//! A Postgres server of this test run: made at the first use, gone with the test program. Each test has a database.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use backtest_functions::cli::throwaway::Server;
use backtest_functions::store::migrations;
use backtest_functions::store::pg::Database;
use backtest_functions::store::runs::postgres::PostgresRuns;

use super::service::lasting_ports;

/// The connection string of a migrated database of its own; `None` where there is no Postgres.
pub(crate) fn database() -> Option<String> {
    create("TEMPLATE migrated")
}

/// The connection string of an empty database of its own; `None` where there is no Postgres.
pub(crate) fn empty_database() -> Option<String> {
    create("")
}

/// The run store in a database, with the connections of a handler.
pub(crate) fn runs(dsn: &str) -> PostgresRuns {
    let database = Database::parse(dsn, "test").unwrap();
    PostgresRuns::new(&database.pool(2).unwrap(), &database.pool(1).unwrap())
}

/// The program `psql` of the same installation.
pub(crate) fn psql() -> Option<PathBuf> {
    server().map(|server| server.binaries().join("psql"))
}

fn create(how: &str) -> Option<String> {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let server = server()?;
    let name = format!("t{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let sql = format!("CREATE DATABASE {name} {how}");
    apart(async move { administer(server, &sql).await });
    Some(server.dsn(&name))
}

fn server() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    SERVER.get_or_init(|| apart(start())).as_ref()
}

/// Runs `work` on a runtime of its own, wherever the caller stands.
fn apart<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    std::thread::spawn(|| tokio::runtime::Runtime::new().unwrap().block_on(work)).join().unwrap()
}

async fn administer(server: &Server, sql: &str) {
    let client = Database::parse(&server.dsn("postgres"), "test").unwrap().connect().await.unwrap();
    client.batch_execute(sql).await.unwrap();
}

async fn start() -> Option<Server> {
    let Some(server) = Server::start(false).await.unwrap() else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "CI needs a Postgres installation (initdb)");
        // Not captured, so that it is seen.
        let line = "no Postgres installation: the Postgres half of the tests is skipped";
        let _ = writeln!(std::io::stderr(), "{line}");
        return None;
    };
    administer(&server, "CREATE DATABASE migrated").await;
    let migrated = Database::parse(&server.dsn("migrated"), "test").unwrap();
    migrations::up(&mut migrated.connect().await.unwrap()).await.unwrap();
    // A template must have no guests, and the one above leaves a little after it is dropped.
    administer(&server, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'migrated'")
        .await;
    Some(server)
}

/// A server of its own that can be crashed without harm to other tests; its commits are durable.
pub(crate) struct Crashable {
    server: Server,
    data: String,
    port: u16,
}

impl Crashable {
    /// Starts one with a migrated database; `None` where there is no Postgres.
    pub(crate) async fn start() -> Option<Self> {
        // The shared one says it once where there is no Postgres.
        psql()?;
        let server = Server::start(true).await.unwrap().unwrap();
        let database = Database::parse(&server.dsn("postgres"), "test").unwrap();
        let mut client = database.connect().await.unwrap();
        migrations::up(&mut client).await.unwrap();
        let data = client.query_one("SHOW data_directory", &[]).await.unwrap().get(0);
        let port = lasting_ports().next().unwrap();
        let crashable = Self { server, data, port };
        // Whoever tries to reach a server that is away may be given its port, and then it cannot come back.
        let options = format!(
            "-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=on \
             -c synchronous_commit=on -c max_connections=300"
        );
        crashable.control(&["restart", "-m", "fast", "-o", &options]);
        Some(crashable)
    }

    pub(crate) fn dsn(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Has `pg_ctl` do something.
    pub(crate) fn control(&self, arguments: &[&str]) {
        let mut command = self.server.as_owner().unwrap();
        let log = format!("{}/again.log", self.data);
        let status = command
            .arg(self.server.binaries().join("pg_ctl"))
            .args(["-D", &self.data, "-w", "-l", &log])
            .args(arguments)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .current_dir("/")
            .status();
        let said = || std::fs::read_to_string(&log).unwrap_or_default();
        assert!(status.unwrap().success(), "pg_ctl {arguments:?}:\n{}", said());
    }
}
