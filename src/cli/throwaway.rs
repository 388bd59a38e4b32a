//! A Postgres server of this machine for as long as this process lives: for `backtests dev --postgres` and for the tests.
//! It is made from the binaries that are installed, listens on loopback only, and leaves nothing behind.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::store::pg::Database;

/// The server's shell waits on our end of a pipe: when this process ends, however it ends, the server is stopped.
const SCRIPT: &str = r#"
"$BIN/initdb" -D "$DIR/data" -U postgres -A trust -E UTF8 --locale=C --no-sync >"$DIR/initdb.log" 2>&1 || exit 1
cat >"$DIR/data/pg_hba.conf" <<HBA
host all postgres 127.0.0.1/32 trust
host all all      127.0.0.1/32 scram-sha-256
HBA
"$BIN/postgres" -D "$DIR/data" -p "$PORT" -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
    -c fsync=$SAFE -c synchronous_commit=$SAFE -c max_connections=300 >"$DIR/server.log" 2>&1 </dev/null &
cat >/dev/null
"$BIN/pg_ctl" -D "$DIR/data" -m immediate -w stop >/dev/null 2>&1
rm -rf "$DIR"
"#;

/// Tries before a server that does not answer is given up: 60 s.
const TRIES: u32 = 1200;

/// A running server. The user `postgres` needs no password, every other one does.
#[derive(Debug)]
pub struct Server {
    port: u16,
    folder: PathBuf,
    binaries: PathBuf,
    /// Holds the pipe.
    _shell: Child,
}

impl Server {
    /// Starts one; `None` where no Postgres is installed. Commits survive a crash only if it is `durable`.
    ///
    /// # Errors
    /// If the server does not come up; the message holds what it said.
    pub async fn start(durable: bool) -> std::io::Result<Option<Self>> {
        let Some(binaries) = binaries() else { return Ok(None) };
        let folder = tempfile::Builder::new().prefix("backtests-pg-").tempdir()?.keep();
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let shell = as_somebody(&folder)?
            .args(["sh", "-c", SCRIPT])
            .env("BIN", &binaries)
            .env("DIR", &folder)
            .env("PORT", port.to_string())
            .env("SAFE", if durable { "on" } else { "off" })
            .current_dir(&folder)
            .stdin(Stdio::piped())
            .spawn()?;
        let mut server = Self { port, folder, binaries, _shell: shell };
        let database = Database::parse(&server.dsn("postgres"), "start").map_err(std::io::Error::other)?;
        for _ in 0..TRIES {
            if database.connect().await.is_ok() {
                return Ok(Some(server));
            }
            if server._shell.try_wait()?.is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let log = |name| std::fs::read_to_string(server.folder.join(name)).unwrap_or_default();
        Err(std::io::Error::other(format!("{}{}", log("initdb.log"), log("server.log"))))
    }

    /// Connection string of a database of this server.
    pub fn dsn(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// A command of the user that the server runs as; its arguments are a program and what that takes.
    pub fn as_owner(&self) -> std::io::Result<Command> {
        as_somebody(&self.folder)
    }

    /// The folder with `psql`.
    pub fn binaries(&self) -> &Path {
        &self.binaries
    }
}

/// The folder with `initdb` and `postgres`: the first on the path, else the newest that Debian has installed beside it.
fn binaries() -> Option<PathBuf> {
    let environment = super::settings::environment();
    let path = environment.get("PATH").map_or("", String::as_str);
    // What is on the path may be a link to the one program alone.
    let on_path = std::env::split_paths(path)
        .filter_map(|folder| Some(folder.join("initdb").canonicalize().ok()?.parent()?.to_owned()));
    let entries = Path::new("/usr/lib/postgresql").read_dir().into_iter().flatten();
    let mut debian: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path().join("bin"))).collect();
    debian.sort_by(|a, b| b.cmp(a));
    on_path.chain(debian).find(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file())
}

/// A command of the account that runs servers, which is given the folder: Postgres refuses to run as root, so root hands it to another
/// else. Its arguments are a program and what that takes.
///
/// # Errors
/// If the folder cannot be handed over.
pub fn as_somebody(folder: &Path) -> std::io::Result<Command> {
    let id = |arguments: &[&str]| {
        let output = Command::new("id").args(arguments).stderr(Stdio::null()).output()?;
        let id = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        Ok::<_, std::io::Error>(output.status.success().then_some(id))
    };
    if id(&["-u"])?.as_deref() != Some("0") {
        return Ok(Command::new("env"));
    }
    let user = match id(&["-u", "postgres"])? {
        Some(_) => "postgres",
        None => "nobody",
    };
    let owned = Command::new("chown").arg(user).arg(folder).status()?;
    if !owned.success() {
        return Err(std::io::Error::other(format!("the folder cannot be handed to the user {user}")));
    }
    let mut command = Command::new("runuser");
    command.args(["-u", user, "--"]);
    Ok(command)
}
