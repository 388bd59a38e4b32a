//! `smoke` against a real server: `psql` verifies the certificate, logs in with the token, and the questions fit the
//! schema that the migrations make.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::project;
use super::stand_in::StandIn;

/// A server with the schema and some rows; it ends with its standard input.
struct Server {
    folder: tempfile::TempDir,
    port: u16,
    shell: Child,
}

impl Server {
    /// `None` where no Postgres is installed.
    fn start(rows: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let setup = folder.path().join("setup.sql");
        std::fs::write(&setup, schema() + rows).unwrap();
        open_to_all(folder.path());
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut shell = Command::new("bash")
            .arg(project().join("infra/tool/tests/support/postgres.sh"))
            .env("PORT", port.to_string())
            .env("SETUP", setup)
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut line).unwrap();
        if line.trim() == "ready" {
            return Some(Self { folder, port, shell });
        }
        drop(shell.stdin.take());
        assert_eq!(shell.wait().unwrap().code(), Some(77), "the server does not start");
        assert!(std::env::var("CI").as_deref() != Ok("true"), "CI needs a Postgres installation (initdb)");
        // Not captured, so that it is seen.
        let _ = writeln!(std::io::stderr(), "no Postgres installation: the questions of smoke are not asked");
        None
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

fn open_to_all(folder: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// Every migration; the ledger knows of two.
fn schema() -> String {
    let mut files: Vec<_> = std::fs::read_dir(project().join("migrations/postgres"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let mut script = "CREATE ROLE deployer LOGIN SUPERUSER PASSWORD 'T0ken';\n".to_owned();
    script += "CREATE DATABASE backtests OWNER deployer;\n\\connect backtests\nSET ROLE deployer;\n";
    for file in &files {
        script += &std::fs::read_to_string(file).unwrap();
    }
    script += "INSERT INTO core.schema_migrations
               VALUES (1, '0001_schema_migrations', '', '2026-01-02 03:04:05Z', 'deployer'),
                      (2, '0002_init_schemas', '', '2026-01-02 03:04:06Z', 'deployer');";
    script
}

const ROWS: &str = "
    INSERT INTO backtest.runs (run_id, status, submitted_at, available_at, config_json, effective_config_json)
    VALUES ('r1', 'queued', '2026-01-02 10:00Z', '2026-01-02 10:00Z', '{}', '{}'),
           ('r2', 'queued', '2026-01-03 10:00Z', '2999-01-01 00:00Z', '{}', '{}');
    INSERT INTO backtest.runs (run_id, status, submitted_at, completed_at, error, status_reason, config_json, effective_config_json)
    VALUES ('r3', 'failed', '2026-01-01 10:00Z', '2026-01-01 11:00Z', 'no rows', 'bad_data', '{}', '{}');
    INSERT INTO ranking.signal_sync_state (year_month, synced_at, signals_rows, composite_rows, status, error)
    VALUES ('2026-01', '2026-01-31 10:00Z', 3, 1, 'ok', NULL), ('2025-12', '2026-01-31 10:00Z', 0, 0, 'failed', 'too many clients');
    INSERT INTO ranking.signal_sync_day (year_month, date, table_name, digest, rows)
    VALUES ('2026-01', '2026-01-30', 'ranking_signal', '', 3), ('2026-01', '2026-01-30', 'composite_signal_daily', '', 1);
";

#[test]
fn a_smoke_test_shows_what_the_database_says() {
    let Some(server) = Server::start(ROWS) else { return };
    let mut stand_in = StandIn::new();
    stand_in.answer("get-access-token", r#"{"accessToken": "T0ken"}"#);
    stand_in.answer("listkeys", r#"{"functionKeys": {"default": "k3y-of-the-app"}}"#);
    stand_in.answer("submit", r#"{"run_id": "RUN1", "status": "completed"}"#);
    let (port, root) = (server.port.to_string(), server.folder.path().join("ca.pem"));
    let environment = |root: &Path| {
        [
            ("AZURE_SUBSCRIPTION_ID", "sub-1"),
            ("AZURE_RESOURCE_GROUP", "rg-1"),
            ("BACKTEST_APP_NAME", "func-1"),
            ("BACKTEST_APP_URL", "https://func-1.example"),
            ("POSTGRES_HOST", "localhost"),
            ("POSTGRES_DATABASE", "backtests"),
            ("POSTGRES_ADMIN_NAME", "deployer"),
            ("INFRA_PSQL", "psql"),
            ("PGPORT", &port),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into_iter()
        .chain([("PGSSLROOTCERT".to_owned(), root.display().to_string())])
        .collect::<Vec<_>>()
    };
    let run = |stand_in: &StandIn, root: &Path| {
        let environment = environment(root);
        let environment: Vec<_> =
            environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        stand_in.run(&["smoke", "--pause", "0"], &environment)
    };
    let said = run(&stand_in, &root).well();
    let (_, database) = said.split_once("a backtest completed\n").unwrap();
    insta::assert_snapshot!(database, @r"

    Which migrations are applied, and when.
     version |          name          |   applied_at_utc    | applied_by
    ---------+------------------------+---------------------+------------
           1 | 0001_schema_migrations | 2026-01-02 03:04:05 | deployer
           2 | 0002_init_schemas      | 2026-01-02 03:04:06 | deployer

    How many runs are in which state, and what is late: queued or without a beat for more than ten minutes.
     status | runs |     oldest_utc      |     newest_utc      | late
    --------+------+---------------------+---------------------+------
     queued |    2 | 2026-01-02 10:00:00 | 2026-01-03 10:00:00 |    1
     failed |    1 | 2026-01-01 10:00:00 | 2026-01-01 10:00:00 |    0

    How far each of the last 25 months of signals is synced, and what stands in the way.
     year_month | status |    synced_at_utc    | signals_rows | composite_rows | complete |      error
    ------------+--------+---------------------+--------------+----------------+----------+------------------
     2026-01    | ok     | 2026-01-31 10:00:00 |            3 |              1 | t        |
     2025-12    | failed | 2026-01-31 10:00:00 |            0 |              0 | f        | too many clients
    ");

    // Another authority, another token.
    let other = server.folder.path().join("server.crt");
    let said = run(&stand_in, &other).badly();
    assert!(said.contains("certificate verify failed"), "{said}");
    stand_in.answer_first("get-access-token", r#"{"accessToken": "an-0ld-token"}"#);
    let said = run(&stand_in, &root).badly();
    assert!(said.contains("password authentication failed") && !said.contains("an-0ld-token"), "{said}");
}
