//! From the environment to [`Settings`]: read once, strictly. Every fault is named in one message, and connection strings
//! are parsed here and nowhere else.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use url::Url;

use super::{
    ADLS_RUNS_DIR, ALLOW_LOCAL_DATA, ALLOWED_DATA_DIRS, CLIENT_ID, CONTAINER_ALLOWLIST, DB_PATH,
    FUNCTION_KEY, HANDLER_PORT, HOST_QUEUES, HOST_STORAGE, HOSTNAME, IDENTITY_ENDPOINT, INSTANCE_ID, LAKE,
    LEASE_SECONDS, LOG_FILTER, MAX_ATTEMPTS, MAX_REQUESTS, NOTIFY_SECRET, NOTIFY_URL, OLDER_POSTGRES_DSN,
    OUTPUT_DIR, POSTGRES_AUTH, POSTGRES_CONNECTIONS, POSTGRES_DSN, QUEUE, RANKING_TOP_N, RUN_STORE_MODE,
    RUN_TIMEOUT_SECONDS, SIGNALS_VERIFY_COUNTS, SIGNALS_WRITE_REQUIRED, STORAGE_ACCOUNT_NAME,
    STORAGE_CONNECTION_STRING, STRATEGY_WEIGHTS, TRUST_PRINCIPAL_HEADER, URL, WEBSITE_HOSTNAME,
};
use super::{Environment, Kind, Secret, Setting, log_filter, value};
use crate::cli::CliError;
use crate::signal::{SignalTerms, Weights};
use crate::store::blob::{ConnectionString, Directory};
use crate::store::delta::Location;
use crate::store::identity::Identity;
use crate::store::pg::Database;
use crate::store::webhook::Webhook;
use crate::work::sync::SyncTerms;

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
    /// The Postgres database.
    pub postgres: Option<Database>,
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
    pub storage_connection: Option<ConnectionString>,
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
    /// Whether the header with a caller's name is believed. Only true where the platform signs callers in: it sets the
    /// header then, and no caller can.
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
    /// Where endings of runs are told, and the secret that signs it.
    pub notify: Option<(url::Url, Secret)>,
    /// Address under which callers reach the service, without a path; empty where it is not known.
    pub address: String,
    /// The queue of messages that the host gave up, where its storage account is known.
    pub poison: Option<Poison>,
    /// Port of the custom handler.
    pub handler_port: Option<u16>,
    /// Name of this instance.
    pub instance: String,
}

/// The queue of messages that the host gave up.
#[derive(Debug, Clone)]
pub struct Poison {
    /// Name of the environment variable.
    pub name: String,
    /// Its account, by key or signature, or the address of the account's queues, by identity.
    pub account: Result<ConnectionString, Url>,
}

impl Settings {
    /// The same with the lake that `--lake` named, if it named one.
    pub(in crate::cli) fn at_lake(self, root: Option<&str>) -> Result<Self, CliError> {
        let Some(root) = root else { return Ok(self) };
        let lake = Location::parse(root).map_err(|error| CliError::usage(format!("--lake: {error}")))?;
        Ok(Self { lake: Some(lake), ..self })
    }

    /// Name of the storage account, however it is reached.
    pub fn account(&self) -> Option<String> {
        let known = self.storage_connection.as_ref().map(|known| known.account().to_owned());
        self.storage_account.clone().or(known)
    }

    /// Reads the settings, or names every one that cannot be used.
    pub fn from(environment: &Environment) -> Result<Self, InvalidSettings> {
        let mut read = Reader { environment, faults: Vec::new() };
        let output_dir = PathBuf::from(read.text_or_default(&OUTPUT_DIR));
        let db_path = read.text(&DB_PATH).map_or_else(|| output_dir.join("runs.sqlite3"), PathBuf::from);
        let instance = read.instance();
        let (lake, runs_dir) = (read.lake(), read.runs_dir());
        let settings = Self {
            run_store: match read.choice(&RUN_STORE_MODE) {
                "adls" => RunStoreMode::Adls,
                "postgres" => RunStoreMode::Postgres,
                _ => RunStoreMode::Sqlite,
            },
            postgres: read.postgres(&instance),
            postgres_entra: read.choice(&POSTGRES_AUTH) == "entra",
            postgres_connections: read.whole(&POSTGRES_CONNECTIONS),
            db_path,
            output_dir,
            containers: read.containers(lake.as_ref(), runs_dir.as_ref()),
            lake,
            storage_account: read.storage_account(runs_dir.as_ref()),
            storage_connection: read.storage_connection(),
            identity: read.identity(),
            runs_dir,
            allow_local_data: read.flag(&ALLOW_LOCAL_DATA),
            allowed_data_dirs: read.list(&ALLOWED_DATA_DIRS).into_iter().map(PathBuf::from).collect(),
            trusts_principal: read.flag(&TRUST_PRINCIPAL_HEADER),
            lease: read.seconds(&LEASE_SECONDS),
            max_attempts: read.whole(&MAX_ATTEMPTS),
            run_timeout: read.seconds(&RUN_TIMEOUT_SECONDS),
            signals: read.signals(),
            max_requests: read.whole(&MAX_REQUESTS),
            notify: read.notify(),
            address: read.text(&WEBSITE_HOSTNAME).map_or_else(String::new, address_of),
            poison: read.poison(),
            handler_port: read.text(&HANDLER_PORT).is_some().then(|| read.whole(&HANDLER_PORT)),
            instance,
        };
        if settings.run_store == RunStoreMode::Postgres && read.text(&OLDER_POSTGRES_DSN).is_none() {
            read.require(&POSTGRES_DSN, "must be set, because BACKTEST_RUN_STORE_MODE is postgres");
        }
        if settings.postgres_entra && !read.has_dsn() {
            read.fault(&POSTGRES_AUTH, "is entra, but POSTGRES_DSN is not set");
        }
        if !settings.allowed_data_dirs.is_empty() && !settings.allow_local_data {
            read.fault(&ALLOWED_DATA_DIRS, "has no effect while BACKTEST_ALLOW_LOCAL_DATA is not true");
        }
        if let Some(filter) = log_filter(environment)
            && let Err(error) = filter.parse::<EnvFilter>()
        {
            read.fault(&LOG_FILTER, error);
        }
        if settings.run_store == RunStoreMode::Adls {
            read.require(&ADLS_RUNS_DIR, "must be set, because BACKTEST_RUN_STORE_MODE is adls");
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
        let url = read.text(&URL).map(str::to_owned);
        Self { url, key: read.secret(&FUNCTION_KEY) }
    }
}

struct Reader<'a> {
    environment: &'a Environment,
    faults: Vec<String>,
}

impl<'a> Reader<'a> {
    fn fault(&mut self, setting: &Setting, message: impl fmt::Display) {
        self.faults.push(format!("{}: {message}", setting.name));
    }

    fn text(&self, setting: &Setting) -> Option<&'a str> {
        value(self.environment, setting)
    }

    fn text_or_default(&self, setting: &'static Setting) -> &'a str {
        self.text(setting).unwrap_or(setting.default)
    }

    fn secret(&self, setting: &Setting) -> Option<Secret> {
        self.text(setting).map(|value| Secret(value.to_owned()))
    }

    fn list(&self, setting: &Setting) -> Vec<String> {
        let items = self.text(setting).unwrap_or_default().split([',', ';']);
        items.map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }

    fn flag(&mut self, setting: &'static Setting) -> bool {
        match self.text_or_default(setting).to_ascii_lowercase().as_str() {
            "false" | "0" => false,
            "true" | "1" => true,
            other => {
                self.fault(setting, format_args!("must be true or false, not '{other}'"));
                false
            }
        }
    }

    /// A word of a choice, or the default; other names of a word count as that word.
    fn choice(&mut self, setting: &'static Setting) -> &'static str {
        let Kind::Choice(words) = setting.kind else { return setting.default };
        let Some(text) = self.text(setting) else { return setting.default };
        if let Some(names) = words.iter().find(|names| names.contains(&text)) {
            return names[0];
        }
        let first: Vec<&str> = words.iter().map(|names| names[0]).collect();
        let (last, others) = first.split_last().unwrap_or((&"", &[]));
        self.fault(setting, format_args!("must be {} or {last}, not '{text}'", others.join(", ")));
        setting.default
    }

    /// A whole number in the range of its setting; where there is none and no default, the least.
    fn whole<T: TryFrom<u64> + Default>(&mut self, setting: &'static Setting) -> T {
        let Kind::Whole(least, most) = setting.kind else { return T::default() };
        let text = self.text_or_default(setting);
        match text.parse().ok().filter(|number| (least..=most).contains(number)).map(T::try_from) {
            Some(Ok(number)) => number,
            _ => {
                self.fault(setting, format_args!("must be a number from {least} to {most}, not '{text}'"));
                T::default()
            }
        }
    }

    fn seconds(&mut self, setting: &'static Setting) -> Duration {
        let Kind::Seconds(least, most) = setting.kind else { return Duration::ZERO };
        let text = self.text_or_default(setting);
        match text.parse().ok().filter(|seconds| (least..=most).contains(seconds)) {
            Some(seconds) => Duration::from_secs_f64(seconds),
            None => {
                self.fault(setting, format_args!("must be a number from {least} to {most}, not '{text}'"));
                Duration::ZERO
            }
        }
    }

    /// How ranking signals are synced.
    fn signals(&mut self) -> SyncTerms {
        let weights = self.text(&STRATEGY_WEIGHTS).map(Weights::parse).transpose();
        let weights = weights.unwrap_or_else(|error| {
            self.fault(&STRATEGY_WEIGHTS, error);
            None
        });
        SyncTerms {
            signals: SignalTerms { weights: weights.unwrap_or_default(), top_n: self.whole(&RANKING_TOP_N) },
            write_required: self.flag(&SIGNALS_WRITE_REQUIRED),
            verify_counts: self.flag(&SIGNALS_VERIFY_COUNTS),
        }
    }

    fn require(&mut self, setting: &Setting, message: &str) {
        if self.text(setting).is_none() {
            self.fault(setting, message);
        }
    }

    fn has_dsn(&self) -> bool {
        self.text(&POSTGRES_DSN).or(self.text(&OLDER_POSTGRES_DSN)).is_some()
    }

    /// The database of the connection string, under its name or the older one. A fault never repeats it.
    fn postgres(&mut self, instance: &str) -> Option<Database> {
        let (dsn, older) = (self.text(&POSTGRES_DSN), self.text(&OLDER_POSTGRES_DSN));
        if dsn.is_some() && older.is_some() && dsn != older {
            self.fault(
                &OLDER_POSTGRES_DSN,
                format_args!("differs from {}; set one of them", POSTGRES_DSN.name),
            );
            return None;
        }
        let (setting, dsn) =
            if dsn.is_some() { (&POSTGRES_DSN, dsn?) } else { (&OLDER_POSTGRES_DSN, older?) };
        let database = Database::parse(dsn, instance).map_err(|error| self.fault(setting, error)).ok()?;
        // Its authorities are read too, so that a missing file is one of the faults.
        if let Err(error) = database.authorities() {
            self.fault(setting, error);
        }
        Some(database)
    }

    /// A fault never repeats the connection string.
    fn storage_connection(&mut self) -> Option<ConnectionString> {
        let parsed = ConnectionString::parse(self.text(&STORAGE_CONNECTION_STRING)?);
        parsed.map_err(|error| self.fault(&STORAGE_CONNECTION_STRING, error)).ok()
    }

    /// The host itself reads these too, so what it cannot use is for it to say; only an address must be one. The emulator of a
    /// person's machine is left alone: the local host keeps its queues itself.
    fn poison(&mut self) -> Option<Poison> {
        let name = format!("{}-poison", self.text(&QUEUE)?);
        let account = match (self.text(&HOST_STORAGE), self.text(&HOST_QUEUES)) {
            (Some(text), _) if text.starts_with("UseDevelopmentStorage") => return None,
            (Some(text), _) => Ok(ConnectionString::parse(text).ok()?),
            (None, Some(address)) => match Url::parse(address).ok().filter(|url| url.scheme() == "https") {
                Some(url) => Err(url),
                None => {
                    self.fault(&HOST_QUEUES, "must be an https address");
                    return None;
                }
            },
            (None, None) => return None,
        };
        Some(Poison { name, account })
    }

    fn lake(&mut self) -> Option<Location> {
        Location::parse(self.text(&LAKE)?).map_err(|error| self.fault(&LAKE, error)).ok()
    }

    fn runs_dir(&mut self) -> Option<Directory> {
        Directory::parse(self.text(&ADLS_RUNS_DIR)?).map_err(|error| self.fault(&ADLS_RUNS_DIR, error)).ok()
    }

    /// The containers that are named here, or else those that the service itself is configured with.
    fn containers(&self, lake: Option<&Location>, runs_dir: Option<&Directory>) -> Vec<String> {
        let allowed = self.list(&CONTAINER_ALLOWLIST);
        if !allowed.is_empty() {
            return allowed;
        }
        let lake = lake.and_then(|lake| Directory::parse(&lake.to_string()).ok());
        lake.iter().chain(runs_dir).map(|directory| directory.container.clone()).collect()
    }

    /// The account that is named, or that of an address.
    fn storage_account(&self, runs_dir: Option<&Directory>) -> Option<String> {
        match (self.text(&STORAGE_ACCOUNT_NAME), self.text(&STORAGE_CONNECTION_STRING)) {
            (Some(account), _) => Some(account.to_owned()),
            (None, Some(_)) => None,
            (None, None) => runs_dir?.account.clone(),
        }
    }

    /// The platform's identity where there is one, as the presence of its token service tells.
    fn identity(&self) -> Identity {
        if self.text(&IDENTITY_ENDPOINT).is_none() {
            return Identity::Developer;
        }
        Identity::Managed { client_id: self.text(&CLIENT_ID).map(str::to_owned) }
    }

    /// Whether the parts that describe the storage account fit together.
    fn check_storage(&mut self, settings: &Settings) {
        let connection = &STORAGE_CONNECTION_STRING;
        let mut account = settings.storage_account.clone();
        let lawful = |name: &String| {
            (3..=24).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        };
        if account.as_ref().is_some_and(|account| !lawful(account)) {
            self.fault(&STORAGE_ACCOUNT_NAME, "must be 3 to 24 lower-case letters and digits");
        }
        if self.text(connection).is_some() && account.is_some() {
            self.fault(connection, "stands beside AZURE_STORAGE_ACCOUNT_NAME; set one of them");
        }
        if let Some(known) = &settings.storage_connection {
            account = Some(known.account().to_owned());
        }
        let Some(runs_dir) = &settings.runs_dir else { return };
        let dir = &ADLS_RUNS_DIR;
        if account.is_none() && self.text(connection).is_none() {
            self.fault(
                dir,
                format_args!("needs a storage account: {} or {}", STORAGE_ACCOUNT_NAME.name, connection.name),
            );
        } else if let (Some(named), Some(account)) = (&runs_dir.account, &account)
            && named != account
        {
            self.fault(dir, format_args!("is in account '{named}', but the service uses '{account}'"));
        }
    }

    /// Where endings of runs are told. Neither without the other: an unsigned word could come from anywhere. A fault repeats nothing.
    fn notify(&mut self) -> Option<(url::Url, Secret)> {
        let (address, secret) = (self.text(&NOTIFY_URL), self.secret(&NOTIFY_SECRET));
        match (address, secret) {
            (None, None) => None,
            (None, Some(_)) => {
                self.fault(&NOTIFY_SECRET, format_args!("has no effect without {}", NOTIFY_URL.name));
                None
            }
            (Some(_), None) => {
                self.fault(
                    &NOTIFY_URL,
                    format_args!("needs {}, which signs what is told", NOTIFY_SECRET.name),
                );
                None
            }
            (Some(address), Some(secret)) => {
                let url = Webhook::check(address).map_err(|why| self.fault(&NOTIFY_URL, why)).ok()?;
                Some((url, secret))
            }
        }
    }

    /// The platform's name of the instance, or this machine's and process's.
    fn instance(&self) -> String {
        let platform = self.text(&INSTANCE_ID).or(self.text(&HOSTNAME)).unwrap_or(HOSTNAME.default);
        let short: String = platform.chars().take(16).collect();
        format!("{short}:{}", std::process::id())
    }
}

/// The address of a host name as the platform states it: a name of this machine is reached without TLS.
fn address_of(host: &str) -> String {
    let local = host.split(':').next().is_some_and(|name| matches!(name, "localhost" | "127.0.0.1"));
    format!("{}://{host}", if local { "http" } else { "https" })
}
