//! Settings from the environment: read once, strictly, here and nowhere else. Every fault is named in one message;
//! secrets are invisible in `Debug`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::CliError;
use crate::signal::{Terms, Weights};
use crate::store::blob::{ConnectionString, Directory};
use crate::store::delta::Location;
use crate::store::identity::Identity;
use crate::store::pg::Database;
use crate::work::sync::SyncTerms;

/// A value that must not be seen.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a value.
    pub fn new(value: String) -> Self {
        Self(value)
    }

    /// The value, for the one who needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// The variables of this process.
pub type Environment = BTreeMap<String, String>;

/// Reads the environment of this process. A value that is not Unicode counts as its lossy text.
pub fn environment() -> Environment {
    std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .collect()
}

/// Settings that cannot be used; one line a fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} cannot be used:\n  {}", if .0.len() == 1 { "a setting" } else { "some settings" }, .0.join("\n  "))]
pub struct InvalidSettings(pub Vec<String>);

/// Where run records live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunStoreMode {
    /// One file of this machine.
    Sqlite,
    /// Documents in a storage account.
    Adls,
    /// The database of the connection string.
    Postgres,
}

/// What the service is told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where run records live.
    pub run_store: RunStoreMode,
    /// Connection string of the Postgres database; checked.
    pub postgres: Option<Secret>,
    /// Whether its password is an access token of `identity`.
    pub postgres_entra: bool,
    /// Connections of an instance, beside the one for beats.
    pub postgres_connections: usize,
    /// File of the sqlite store.
    pub db_path: PathBuf,
    /// Folder of local artifacts.
    pub output_dir: PathBuf,
    /// Root of the lake.
    pub lake: Option<Location>,
    /// Storage account by identity.
    pub storage_account: Option<String>,
    /// Storage account by connection string.
    pub storage_connection: Option<Secret>,
    /// Who asks for tokens where there is no key and no password.
    pub identity: Identity,
    /// Where artifacts go, and run records in `adls` mode.
    pub runs_dir: Option<Directory>,
    /// Containers that submitted configs may read or write.
    pub containers: Vec<String>,
    /// Whether submitted configs may read local paths.
    pub allow_local_data: bool,
    /// Below which folders; empty means anywhere.
    pub allowed_data_dirs: Vec<PathBuf>,
    /// Whether the header with a caller's name is believed. Only true where the platform signs callers in: it sets the header
    /// then, and nobody else can.
    pub trusts_principal: bool,
    /// Length of a lease.
    pub lease: Duration,
    /// Claims before a run fails.
    pub max_attempts: u32,
    /// Wall time of one attempt.
    pub run_timeout: Duration,
    /// How ranking signals are synced.
    pub signals: SyncTerms,
    /// Requests that are answered at once.
    pub max_requests: usize,
    /// Port of the custom handler.
    pub handler_port: Option<u16>,
    /// Name of this instance.
    pub instance: String,
}

impl Settings {
    /// The same with the lake that `--lake` named, if it named one.
    pub(super) fn at_lake(self, root: Option<&str>) -> Result<Self, CliError> {
        let Some(root) = root else { return Ok(self) };
        let lake = Location::parse(root).map_err(|error| CliError::usage(format!("--lake: {error}")))?;
        Ok(Self { lake: Some(lake), ..self })
    }

    /// Name of the storage account, however it is reached.
    pub fn account(&self) -> Option<String> {
        let connection = self.storage_connection.as_ref();
        let known = connection.and_then(|text| ConnectionString::parse(text.reveal()).ok());
        self.storage_account.clone().or(known.map(|known| known.account().to_owned()))
    }

    /// Reads the settings, or names every one that cannot be used.
    pub fn from(environment: &Environment) -> Result<Self, InvalidSettings> {
        let mut read = Reader { environment, faults: Vec::new() };
        let output_dir = PathBuf::from(read.text("BACKTEST_OUTPUT_DIR").unwrap_or("./backtest_results"));
        let db_path =
            read.text("BACKTEST_DB_PATH").map_or_else(|| output_dir.join("runs.sqlite3"), PathBuf::from);
        let port = "FUNCTIONS_CUSTOMHANDLER_PORT";
        let (lake, runs_dir) = (read.lake(), read.runs_dir());
        let settings = Self {
            run_store: read.run_store(),
            postgres: read.postgres(),
            postgres_entra: read.postgres_entra(),
            postgres_connections: read.number("BACKTEST_POSTGRES_CONNECTIONS", 2, 1, 100),
            db_path,
            output_dir,
            containers: read.containers(lake.as_ref(), runs_dir.as_ref()),
            lake,
            storage_account: read.storage_account(runs_dir.as_ref()),
            storage_connection: read.secret("AZURE_STORAGE_CONNECTION_STRING"),
            identity: read.identity(),
            runs_dir,
            allow_local_data: read.flag("BACKTEST_ALLOW_LOCAL_DATA"),
            trusts_principal: read.flag("BACKTEST_TRUST_PRINCIPAL_HEADER"),
            allowed_data_dirs: read
                .list("BACKTEST_ALLOWED_DATA_DIRS")
                .into_iter()
                .map(PathBuf::from)
                .collect(),
            lease: read.seconds("BACKTEST_LEASE_SECONDS", 60.0, 0.5, 3600.0),
            max_attempts: read.number("BACKTEST_MAX_ATTEMPTS", 3, 1, 100),
            run_timeout: read.seconds("BACKTEST_RUN_TIMEOUT_SECONDS", 1500.0, 1.0, 86_400.0),
            signals: read.signals(),
            max_requests: read.number("BACKTEST_MAX_REQUESTS", 64, 1, 10_000),
            handler_port: read.text(port).is_some().then(|| read.number(port, 0, 1, u16::MAX)),
            instance: read.instance(),
        };
        if settings.run_store == RunStoreMode::Postgres && read.text("BACKTEST_POSTGRES_DSN").is_none() {
            read.require("POSTGRES_DSN", "must be set, because BACKTEST_RUN_STORE_MODE is postgres");
        }
        if settings.postgres_entra && settings.postgres.is_none() {
            read.fault("POSTGRES_AUTH", "is entra, but POSTGRES_DSN is not set");
        }
        if !settings.allowed_data_dirs.is_empty() && !settings.allow_local_data {
            read.fault(
                "BACKTEST_ALLOWED_DATA_DIRS",
                "has no effect while BACKTEST_ALLOW_LOCAL_DATA is not true",
            );
        }
        if let Some(filter) = log_filter(environment)
            && let Err(error) = filter.parse::<EnvFilter>()
        {
            read.fault("RUST_LOG", error);
        }
        if settings.run_store == RunStoreMode::Adls {
            read.require("BACKTEST_ADLS_RUNS_DIR", "must be set, because BACKTEST_RUN_STORE_MODE is adls");
        }
        read.check_storage(&settings);
        if read.faults.is_empty() { Ok(settings) } else { Err(InvalidSettings(read.faults)) }
    }
}

/// How the client commands reach a service.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// Address of the service, without a path.
    pub url: Option<String>,
    /// Function key.
    pub key: Option<Secret>,
}

impl ClientSettings {
    /// Reads the settings of the client commands.
    pub fn from(environment: &Environment) -> Self {
        let read = Reader { environment, faults: Vec::new() };
        let url = read.text("BACKTEST_URL").map(str::to_owned);
        Self { url, key: read.secret("BACKTEST_FUNCTION_KEY") }
    }
}

/// Filter of log lines, for example `info` or `backtest_functions=debug`.
pub fn log_filter(environment: &Environment) -> Option<&str> {
    environment.get("RUST_LOG").map(String::as_str)
}

struct Reader<'a> {
    environment: &'a Environment,
    faults: Vec<String>,
}

impl<'a> Reader<'a> {
    fn fault(&mut self, name: &str, message: impl fmt::Display) {
        self.faults.push(format!("{name}: {message}"));
    }

    /// A value; an empty one counts as none, which is how app settings are cleared.
    fn text(&self, name: &str) -> Option<&'a str> {
        self.environment.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    fn secret(&self, name: &str) -> Option<Secret> {
        self.text(name).map(|value| Secret(value.to_owned()))
    }

    fn list(&self, name: &str) -> Vec<String> {
        let items = self.text(name).unwrap_or_default().split([',', ';']);
        items.map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }

    fn flag(&mut self, name: &str) -> bool {
        self.flag_or(name, false)
    }

    fn flag_or(&mut self, name: &str, default: bool) -> bool {
        match self.text(name).map(str::to_ascii_lowercase).as_deref() {
            None => default,
            Some("false" | "0") => false,
            Some("true" | "1") => true,
            Some(other) => {
                self.fault(name, format_args!("must be true or false, not '{other}'"));
                default
            }
        }
    }

    /// How ranking signals are synced.
    fn signals(&mut self) -> SyncTerms {
        let weights = "RANKING_COMPOSITE_STRATEGY_WEIGHTS";
        let parsed = self.text(weights).map(Weights::parse).transpose();
        if let Err(error) = &parsed {
            self.fault(weights, error);
        }
        SyncTerms {
            signals: Terms {
                weights: parsed.ok().flatten().unwrap_or_default(),
                top_n: self.number("RANKING_TOP_N", 50, 0, u32::MAX),
            },
            write_required: self.flag_or("POSTGRES_SIGNALS_WRITE_REQUIRED", true),
            verify_counts: self.flag("POSTGRES_SIGNALS_VERIFY_COUNTS"),
        }
    }

    fn number<T: FromStr + PartialOrd + fmt::Display + Copy>(
        &mut self,
        name: &str,
        default: T,
        least: T,
        most: T,
    ) -> T {
        match self.text(name).map(|text| (text, text.parse::<T>())) {
            None => default,
            Some((_, Ok(number))) if least <= number && number <= most => number,
            Some((text, _)) => {
                self.fault(name, format_args!("must be a number from {least} to {most}, not '{text}'"));
                default
            }
        }
    }

    fn seconds(&mut self, name: &str, default: f64, least: f64, most: f64) -> Duration {
        Duration::from_secs_f64(self.number(name, default, least, most))
    }

    fn run_store(&mut self) -> RunStoreMode {
        let name = "BACKTEST_RUN_STORE_MODE";
        match self.text(name) {
            None | Some("sqlite" | "local") => {}
            Some("adls" | "blob") => return RunStoreMode::Adls,
            Some("postgres" | "pg") => return RunStoreMode::Postgres,
            Some(other) => self.fault(name, format_args!("must be sqlite, adls or postgres, not '{other}'")),
        }
        RunStoreMode::Sqlite
    }

    fn require(&mut self, name: &str, message: &str) {
        if self.text(name).is_none() {
            self.fault(name, message);
        }
    }

    /// The connection string, under its name or the older one. A fault never repeats it.
    fn postgres(&mut self) -> Option<Secret> {
        let (name, alias) = ("POSTGRES_DSN", "BACKTEST_POSTGRES_DSN");
        let (dsn, older) = (self.text(name), self.text(alias));
        if dsn.is_some() && older.is_some() && dsn != older {
            self.fault(alias, format_args!("differs from {name}; set one of them"));
            return None;
        }
        let (name, dsn) = if dsn.is_some() { (name, dsn?) } else { (alias, older?) };
        // Its authorities are read too, so that a missing file is one of the faults.
        match Database::parse(dsn, "").map(|database| database.authorities()) {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => self.fault(name, error),
            Err(error) => self.fault(name, error),
        }
        Some(Secret(dsn.to_owned()))
    }

    fn postgres_entra(&mut self) -> bool {
        match self.text("POSTGRES_AUTH") {
            None | Some("password") => false,
            Some("entra") => true,
            Some(other) => {
                self.fault("POSTGRES_AUTH", format_args!("must be password or entra, not '{other}'"));
                false
            }
        }
    }

    fn lake(&mut self) -> Option<Location> {
        match Location::parse(self.text("BACKTEST_LAKE")?) {
            Ok(location) => Some(location),
            Err(error) => {
                self.fault("BACKTEST_LAKE", error);
                None
            }
        }
    }

    fn runs_dir(&mut self) -> Option<Directory> {
        let name = "BACKTEST_ADLS_RUNS_DIR";
        Directory::parse(self.text(name)?).map_err(|error| self.fault(name, error)).ok()
    }

    /// The containers that are named here, or else those that the service itself is configured with.
    fn containers(&self, lake: Option<&Location>, runs_dir: Option<&Directory>) -> Vec<String> {
        let allowed = self.list("BACKTEST_ADLS_CONTAINER_ALLOWLIST");
        if !allowed.is_empty() {
            return allowed;
        }
        let lake = lake.and_then(|lake| Directory::parse(&lake.to_string()).ok());
        lake.iter().chain(runs_dir).map(|directory| directory.container.clone()).collect()
    }

    /// The account that is named, or that of an address.
    fn storage_account(&self, runs_dir: Option<&Directory>) -> Option<String> {
        match (self.text("AZURE_STORAGE_ACCOUNT_NAME"), self.text("AZURE_STORAGE_CONNECTION_STRING")) {
            (Some(account), _) => Some(account.to_owned()),
            (None, Some(_)) => None,
            (None, None) => runs_dir?.account.clone(),
        }
    }

    /// The platform's identity where there is one, as the presence of its token service tells.
    fn identity(&self) -> Identity {
        if self.text("IDENTITY_ENDPOINT").is_none() {
            return Identity::Developer;
        }
        Identity::Managed { client_id: self.text("AZURE_CLIENT_ID").map(str::to_owned) }
    }

    /// Whether the parts that describe the storage account fit together.
    fn check_storage(&mut self, settings: &Settings) {
        let name = "AZURE_STORAGE_CONNECTION_STRING";
        let mut account = settings.storage_account.clone();
        let lawful = |name: &String| {
            (3..=24).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        };
        if account.as_ref().is_some_and(|account| !lawful(account)) {
            self.fault("AZURE_STORAGE_ACCOUNT_NAME", "must be 3 to 24 lower-case letters and digits");
        }
        if let Some(connection) = &settings.storage_connection {
            if account.is_some() {
                self.fault(name, "stands beside AZURE_STORAGE_ACCOUNT_NAME; set one of them");
            }
            match ConnectionString::parse(connection.reveal()) {
                Ok(connection) => account = Some(connection.account().to_owned()),
                Err(error) => self.fault(name, error),
            }
        }
        let Some(runs_dir) = &settings.runs_dir else { return };
        let dir = "BACKTEST_ADLS_RUNS_DIR";
        if account.is_none() && settings.storage_connection.is_none() {
            self.fault(dir, format_args!("needs a storage account: AZURE_STORAGE_ACCOUNT_NAME or {name}"));
        } else if let (Some(named), Some(account)) = (&runs_dir.account, &account)
            && named != account
        {
            self.fault(dir, format_args!("is in account '{named}', but the service uses '{account}'"));
        }
    }

    /// The platform's name of the instance, or this machine's and process's.
    fn instance(&self) -> String {
        let platform = self.text("WEBSITE_INSTANCE_ID").or(self.text("HOSTNAME")).unwrap_or("local");
        let short: String = platform.chars().take(16).collect();
        format!("{short}:{}", std::process::id())
    }
}
