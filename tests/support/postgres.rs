//! A Postgres cluster of this test run: made at the first use, gone with the test program. Each test has a database.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use backtest_functions::store::migrations;
use backtest_functions::store::pg::Database;

/// The cluster's shell waits on our end of a pipe: when this program ends, however it ends, the server is stopped.
const SCRIPT: &str = r#"
"$BIN/initdb" -D "$DIR/data" -U tester -A trust -E UTF8 --locale=C --no-sync >"$DIR/initdb.log" 2>&1 || exit 1
cat >"$DIR/data/pg_hba.conf" <<HBA
host all tester 127.0.0.1/32 trust
host all all    127.0.0.1/32 scram-sha-256
HBA
"$BIN/postgres" -D "$DIR/data" -p "$PORT" -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
    -c fsync=off -c synchronous_commit=off -c max_connections=300 >"$DIR/server.log" 2>&1 </dev/null &
server=$!
cat >/dev/null
kill -INT $server
wait $server
rm -rf "$DIR"
"#;

struct Cluster {
    port: u16,
    bin: PathBuf,
    /// Holds the pipe.
    _shell: Child,
}

/// The connection string of a migrated database of its own; `None` where there is no Postgres.
pub(crate) fn database() -> Option<String> {
    create("TEMPLATE migrated")
}

/// The connection string of an empty database of its own; `None` where there is no Postgres.
pub(crate) fn empty_database() -> Option<String> {
    create("")
}

/// The program `psql` of the same installation.
pub(crate) fn psql() -> Option<PathBuf> {
    cluster().map(|cluster| cluster.bin.join("psql"))
}

fn create(how: &str) -> Option<String> {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let cluster = cluster()?;
    let name = format!("t{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    administer(cluster.port, format!("CREATE DATABASE {name} {how}"));
    Some(dsn(cluster.port, &name))
}

fn dsn(port: u16, database: &str) -> String {
    format!("postgres://tester@127.0.0.1:{port}/{database}")
}

fn cluster() -> Option<&'static Cluster> {
    static CLUSTER: OnceLock<Option<Cluster>> = OnceLock::new();
    CLUSTER.get_or_init(start).as_ref()
}

/// Runs `work` on a runtime of its own, wherever the caller stands.
fn apart<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    std::thread::spawn(|| tokio::runtime::Runtime::new().unwrap().block_on(work)).join().unwrap()
}

fn administer(port: u16, sql: String) {
    apart(async move {
        let client = Database::parse(&dsn(port, "postgres"), "test").unwrap().connect().await.unwrap();
        client.batch_execute(&sql).await.unwrap();
    });
}

fn binaries() -> Option<PathBuf> {
    let mut folders: Vec<PathBuf> =
        glob_versions("/usr/lib/postgresql").into_iter().map(|version| version.join("bin")).collect();
    folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    folders.into_iter().find(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file())
}

fn glob_versions(folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut versions: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    versions.sort();
    versions.reverse();
    versions
}

fn start() -> Option<Cluster> {
    let Some(bin) = binaries() else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "CI needs a Postgres installation (initdb)");
        // Not captured, so that it is seen.
        let _ = writeln!(
            std::io::stderr(),
            "no Postgres installation: the Postgres half of the tests is skipped"
        );
        return None;
    };
    let folder = tempfile::Builder::new().prefix("backtests-pg-").tempdir().unwrap().keep();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = as_somebody(&folder);
    let mut shell = command
        .args(["sh", "-c", SCRIPT])
        .env("BIN", &bin)
        .env("DIR", &folder)
        .env("PORT", port.to_string())
        .current_dir(&folder)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let started = Instant::now();
    let reachable = || {
        apart(async move {
            let database = Database::parse(&dsn(port, "postgres"), "test").unwrap();
            database.connect().await.is_ok()
        })
    };
    while !reachable() {
        let log = |name| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        let given_up = shell.try_wait().unwrap().is_some() || started.elapsed() > Duration::from_secs(60);
        assert!(!given_up, "no Postgres cluster:\n{}{}", log("initdb.log"), log("server.log"));
        std::thread::sleep(Duration::from_millis(50));
    }
    administer(port, "CREATE DATABASE migrated".to_owned());
    apart(async move {
        let mut client = Database::parse(&dsn(port, "migrated"), "test").unwrap().connect().await.unwrap();
        migrations::up(&mut client).await.unwrap();
    });
    // A template must have no guests, and the one above leaves a little after it is dropped.
    administer(
        port,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'migrated'".to_owned(),
    );
    Some(Cluster { port, bin, _shell: shell })
}

/// Postgres refuses to run as root, so root hands the folder to somebody else.
fn as_somebody(folder: &Path) -> Command {
    let id = |arguments: &[&str]| {
        let output = Command::new("id").args(arguments).stderr(Stdio::null()).output().unwrap();
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    if id(&["-u"]).as_deref() != Some("0") {
        return Command::new("env");
    }
    let user = ["postgres", "nobody"].into_iter().find(|user| id(&["-u", user]).is_some()).unwrap();
    let owned = Command::new("chown").arg(user).arg(folder).status().unwrap();
    assert!(owned.success());
    let mut command = Command::new("runuser");
    command.args(["-u", user, "--"]);
    command
}
