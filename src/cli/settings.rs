//! Settings from the environment: declared here, each once, with what a person needs to know of it. `read` makes
//! [`Settings`] of them, strictly and with every fault in one message; `show` is `backtests settings`. README's table and
//! `docs/settings.json`, which `cargo infra check` holds the app settings of the template against, are held to this list
//! by tests.

mod read;
mod show;

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Value, json};

pub use read::{ClientSettings, InvalidSettings, Poison, RunStoreMode, Settings};
pub(super) use show::{Args, run};

/// A setting: its declaration and what is in force.
#[derive(Debug)]
pub struct Setting {
    /// Name of the variable.
    pub name: &'static str,
    /// What its value must be.
    pub kind: Kind,
    /// The value without one, or in words what then holds; empty when there is none.
    pub default: &'static str,
    /// What it says, as a clause.
    pub meaning: &'static str,
    /// Where its value comes from on Azure.
    pub azure: Azure,
}

/// What a value must be. An empty value counts as none, which is how app settings are cleared.
#[derive(Debug)]
pub enum Kind {
    /// Any text.
    Text,
    /// A text that is never shown.
    Secret,
    /// `true` or `false`, also `1` or `0`.
    Flag,
    /// Texts with commas or semicolons between them.
    List,
    /// A path of this machine.
    Path,
    /// A folder of this machine, `abfss://…` or, for results, `<container>/<prefix>`.
    Place,
    /// One of these words; each line is the word and other names of it.
    Choice(&'static [&'static [&'static str]]),
    /// A whole number in this range.
    Whole(u64, u64),
    /// Seconds, also parts of one, in this range.
    Seconds(f64, f64),
    /// A JSON object strategy → weight.
    Weights,
    /// A filter of log lines.
    LogFilter,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => f.write_str("text"),
            Self::Secret => f.write_str("secret"),
            Self::Flag => f.write_str("true or false"),
            Self::List => f.write_str("list"),
            Self::Path => f.write_str("path"),
            Self::Place => f.write_str("place"),
            Self::Choice(words) => {
                let words: Vec<&str> = words.iter().filter_map(|names| names.first().copied()).collect();
                f.write_str(&words.join(", "))
            }
            Self::Whole(least, most) => write!(f, "number from {least} to {most}"),
            Self::Seconds(least, most) => write!(f, "seconds from {least} to {most}"),
            Self::Weights => f.write_str("JSON object"),
            Self::LogFilter => f.write_str("filter"),
        }
    }
}

/// Where a value comes from on Azure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Azure {
    /// An app setting that the template gives.
    Template,
    /// The platform says it by itself.
    Platform,
    /// Nothing gives it; an operator may.
    Operator,
    /// It has no use there.
    Unused,
}

impl Azure {
    /// The name in `docs/settings.json`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Template => "template",
            Self::Platform => "platform",
            Self::Operator => "operator",
            Self::Unused => "unused",
        }
    }
}

macro_rules! settings {
    ($($ident:ident: $kind:expr, $name:literal, default $default:literal, $azure:ident: $meaning:literal;)*) => {
        $(
            #[doc = $meaning]
            pub(super) static $ident: Setting = Setting {
                name: $name,
                kind: $kind,
                default: $default,
                meaning: $meaning,
                azure: Azure::$azure,
            };
        )*

        /// All of them, in the order in which a person meets them.
        pub static ALL: &[&Setting] = &[$(&$ident,)*];
    };
}

settings! {
    RUN_STORE_MODE: Kind::Choice(&[&["sqlite", "local"], &["adls", "blob"], &["postgres", "pg"]]), "BACKTEST_RUN_STORE_MODE", default "sqlite", Template:
        "where run records live: `sqlite` (also `local`), `adls` (also `blob`) or `postgres` (also `pg`)";
    POSTGRES_DSN: Kind::Secret, "POSTGRES_DSN", default "", Template:
        "the Postgres database; required in `postgres` mode";
    OLDER_POSTGRES_DSN: Kind::Secret, "BACKTEST_POSTGRES_DSN", default "", Unused:
        "an older name of `POSTGRES_DSN`";
    POSTGRES_AUTH: Kind::Choice(&[&["password"], &["entra"]]), "POSTGRES_AUTH", default "password", Template:
        "`entra`: the password is an access token of the app's managed identity (`AZURE_CLIENT_ID`), or of the login of the Azure CLI";
    POSTGRES_CONNECTIONS: Kind::Whole(1, 100), "BACKTEST_POSTGRES_CONNECTIONS", default "2", Operator:
        "connections of an instance, beside one for beats; one more request waits two seconds and gets 503";
    DB_PATH: Kind::Path, "BACKTEST_DB_PATH", default "<output dir>/runs.sqlite3", Unused:
        "file of the sqlite store";
    OUTPUT_DIR: Kind::Path, "BACKTEST_OUTPUT_DIR", default "./backtest_results", Unused:
        "results of a service without `BACKTEST_ADLS_RUNS_DIR`";
    ADLS_RUNS_DIR: Kind::Place, "BACKTEST_ADLS_RUNS_DIR", default "", Template:
        "`<container>/<prefix>` or `abfss://…`: where results go, and run records in `adls` mode, which needs it";
    LAKE: Kind::Place, "BACKTEST_LAKE", default "", Template:
        "root of the lake: a folder or `abfss://…`";
    ALLOW_LOCAL_DATA: Kind::Flag, "BACKTEST_ALLOW_LOCAL_DATA", default "false", Unused:
        "whether submitted configs may read local paths";
    ALLOWED_DATA_DIRS: Kind::List, "BACKTEST_ALLOWED_DATA_DIRS", default "", Unused:
        "the folders below which they may; anywhere without one";
    TRUST_PRINCIPAL_HEADER: Kind::Flag, "BACKTEST_TRUST_PRINCIPAL_HEADER", default "false", Template:
        "whether `submitted_by` is taken from the platform's sign-in; only where callers sign in, elsewhere they could write anything";
    CONTAINER_ALLOWLIST: Kind::List, "BACKTEST_ADLS_CONTAINER_ALLOWLIST", default "the containers configured here", Template:
        "containers that submitted configs may read or, with `output.adls_dir`, write";
    LEASE_SECONDS: Kind::Seconds(0.5, 3600.0), "BACKTEST_LEASE_SECONDS", default "60", Template:
        "lease of a run";
    MAX_ATTEMPTS: Kind::Whole(1, 100), "BACKTEST_MAX_ATTEMPTS", default "3", Template:
        "claims of a run before it fails";
    RUN_TIMEOUT_SECONDS: Kind::Seconds(1.0, 86_400.0), "BACKTEST_RUN_TIMEOUT_SECONDS", default "1500", Template:
        "wall time of an attempt";
    SIGNALS_WRITE_REQUIRED: Kind::Flag, "POSTGRES_SIGNALS_WRITE_REQUIRED", default "true", Template:
        "whether a sync fails when Postgres did not take a month; it is tried again either way";
    SIGNALS_VERIFY_COUNTS: Kind::Flag, "POSTGRES_SIGNALS_VERIFY_COUNTS", default "false", Template:
        "whether the rows of a month are counted before its commit";
    RANKING_TOP_N: Kind::Whole(0, 4_294_967_295), "RANKING_TOP_N", default "50", Template:
        "rank that counts as a hit";
    STRATEGY_WEIGHTS: Kind::Weights, "RANKING_COMPOSITE_STRATEGY_WEIGHTS", default "equal", Template:
        "JSON object strategy → weight";
    STORAGE_ACCOUNT_NAME: Kind::Text, "AZURE_STORAGE_ACCOUNT_NAME", default "", Template:
        "the storage account, by identity";
    STORAGE_CONNECTION_STRING: Kind::Secret, "AZURE_STORAGE_CONNECTION_STRING", default "", Operator:
        "the storage account, by key or shared access signature";
    CLIENT_ID: Kind::Text, "AZURE_CLIENT_ID", default "", Template:
        "which managed identity asks for tokens, where an app has several";
    HOST_STORAGE: Kind::Secret, "AzureWebJobsStorage", default "", Operator:
        "the storage account of the Functions host, by key or shared access signature";
    HOST_QUEUES: Kind::Text, "AzureWebJobsStorage__queueServiceUri", default "", Template:
        "address of its queues, by identity";
    QUEUE: Kind::Text, "BACKTEST_QUEUE", default "", Template:
        "name of the queue of wake-up messages; how many lie in its `-poison` queue is measured where the account is known";
    MAX_REQUESTS: Kind::Whole(1, 10_000), "BACKTEST_MAX_REQUESTS", default "64", Template:
        "requests that an instance answers at once; one more gets 429";
    NOTIFY_URL: Kind::Secret, "BACKTEST_NOTIFY_URL", default "", Template:
        "the one address that is told when a run has ended: `https`, or `http` to this machine";
    NOTIFY_SECRET: Kind::Secret, "BACKTEST_NOTIFY_SECRET", default "", Template:
        "signs what is told there: `X-Backtest-Signature: sha256=` and the HMAC-SHA256 of the body";
    LOG_FILTER: Kind::LogFilter, "RUST_LOG", default "info", Template:
        "log filter; commands say only warnings without one";
    URL: Kind::Text, "BACKTEST_URL", default "", Unused:
        "address of the service that the client commands speak to";
    FUNCTION_KEY: Kind::Secret, "BACKTEST_FUNCTION_KEY", default "", Unused:
        "its function key";
    API_SERVICE_PASSWORD: Kind::Secret, "API_SERVICE_PASSWORD", default "", Unused:
        "password that `migrate roles` gives the login `api_service`; made without one";
    API_SERVICE_B_PASSWORD: Kind::Secret, "API_SERVICE_B_PASSWORD", default "", Unused:
        "password that `migrate roles` gives the login `api_service_b`; made without one";
    BACKTEST_SERVICE_PASSWORD: Kind::Secret, "BACKTEST_SERVICE_PASSWORD", default "", Unused:
        "password that `migrate roles` gives the login `backtest_service`; made without one";
    BACKTEST_SERVICE_B_PASSWORD: Kind::Secret, "BACKTEST_SERVICE_B_PASSWORD", default "", Unused:
        "password that `migrate roles` gives the login `backtest_service_b`; made without one";
    RANKING_WRITER_PASSWORD: Kind::Secret, "RANKING_WRITER_PASSWORD", default "", Unused:
        "password that `migrate roles` gives the login `ranking_writer`; made without one";
    RANKING_WRITER_B_PASSWORD: Kind::Secret, "RANKING_WRITER_B_PASSWORD", default "", Unused:
        "password that `migrate roles` gives the login `ranking_writer_b`; made without one";
    HANDLER_PORT: Kind::Whole(1, 65_535), "FUNCTIONS_CUSTOMHANDLER_PORT", default "", Platform:
        "port of the custom handler";
    IDENTITY_ENDPOINT: Kind::Text, "IDENTITY_ENDPOINT", default "", Platform:
        "that there is a managed identity, by its presence";
    INSTANCE_ID: Kind::Text, "WEBSITE_INSTANCE_ID", default "`HOSTNAME`", Platform:
        "name of this instance in leases and logs";
    WEBSITE_HOSTNAME: Kind::Text, "WEBSITE_HOSTNAME", default "", Platform:
        "name under which callers reach the service";
    HOSTNAME: Kind::Text, "HOSTNAME", default "local", Platform:
        "name of this machine";
}

/// The declared list as a JSON document, the content of `docs/settings.json`.
pub fn declared() -> Value {
    let settings: Vec<Value> = ALL
        .iter()
        .map(|setting| {
            json!({
                "name": setting.name, "type": setting.kind.to_string(), "default": some(setting.default),
                "meaning": setting.meaning, "azure": setting.azure.as_str(),
            })
        })
        .collect();
    json!({ "settings": settings })
}

/// A text unless it is empty.
fn some(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

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

/// Filter of log lines, for example `info` or `backtest_functions=debug`.
pub fn log_filter(environment: &Environment) -> Option<&str> {
    value(environment, &LOG_FILTER)
}

/// The setting with the password that a login shall have, and that password: as it stands, white space and all.
pub(super) fn password_of_login<'a>(
    environment: &'a Environment,
    login: &str,
) -> Option<(&'static str, Option<&'a str>)> {
    let name = format!("{}_PASSWORD", login.to_ascii_uppercase());
    let setting = ALL.iter().find(|setting| setting.name == name)?;
    let given = environment.get(setting.name).map(String::as_str).filter(|given| !given.is_empty());
    Some((setting.name, given))
}

/// The value of a setting; an empty one counts as none.
fn value<'a>(environment: &'a Environment, setting: &Setting) -> Option<&'a str> {
    environment.get(setting.name).map(|value| value.trim()).filter(|value| !value.is_empty())
}
