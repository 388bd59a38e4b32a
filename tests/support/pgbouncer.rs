//! A PgBouncer of its own before the server of this test run, in transaction mode and otherwise as it comes.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use backtest_functions::cli::throwaway::as_somebody;
use backtest_functions::store::pg::Database;
use tempfile::TempDir;

use super::service::{eventually, lasting_ports};

/// A pooler, stopped when it is dropped.
pub(crate) struct PgBouncer {
    process: Child,
    port: u16,
    _folder: TempDir,
}

impl PgBouncer {
    /// Starts one before the server of `dsn`, with at most `sessions` of it for each database; `None` where none is
    /// installed.
    pub(crate) async fn start(dsn: &str, sessions: usize) -> Option<Self> {
        let Some(program) =
            ["/usr/sbin/pgbouncer", "/usr/local/bin/pgbouncer", "/opt/homebrew/bin/pgbouncer"]
                .into_iter()
                .find(|program| Path::new(program).exists())
        else {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "CI needs PgBouncer (package pgbouncer)");
            let _ = writeln!(std::io::stderr(), "no PgBouncer: its part of the tests is skipped");
            return None;
        };
        let server = url::Url::parse(dsn).unwrap();
        let (port, folder) = (lasting_ports().next().unwrap(), tempfile::tempdir().unwrap());
        let at = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(at("users"), "\"postgres\" \"\"\n").unwrap();
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = trust\nauth_file = {}\nlogfile = {}\npool_mode = transaction\n\
             default_pool_size = {sessions}\n",
            server.port().unwrap(),
            at("users"),
            at("log"),
        );
        std::fs::write(at("pgbouncer.ini"), settings).unwrap();
        // It does not run as root either.
        let process = as_somebody(folder.path())
            .unwrap()
            .args([program, &at("pgbouncer.ini")])
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pooler = Self { process, port, _folder: folder };
        let database = Database::parse(&pooler.before(dsn), "test").unwrap();
        eventually("the pooler answers", async || database.connect().await.ok()).await;
        Some(pooler)
    }

    /// The connection string of the same database by way of the pooler.
    pub(crate) fn before(&self, dsn: &str) -> String {
        let mut url = url::Url::parse(dsn).unwrap();
        url.set_port(Some(self.port)).unwrap();
        url.to_string()
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        // Whoever runs it as somebody else passes this on.
        let _ = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status();
        let _ = self.process.wait();
    }
}
