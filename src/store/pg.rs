//! Postgres as everybody here reaches it: verified TLS, pools, and which failures pass. Connection strings are read in
//! `store::dsn`.
//!
//! A transaction pooler may stand between: statements are sent unnamed with their types, and a session is told nothing at
//! its start but a name. What bounds a statement is said in its own transaction, where nothing of it is lost or stays.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use deadpool_postgres::{Connect, Manager, ManagerConfig, Object, PoolError, RecyclingMethod, Runtime};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;
use scopeguard::ScopeGuard;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, NoTls, Row, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

pub use super::dsn::InvalidDsn;
use super::dsn::{Dsn, Roots};
use super::groups;
use crate::telemetry;

/// Longest wait for a connection.
const ACQUIRE: Duration = Duration::from_secs(2);
/// Longest wait for an answer: a server that cannot be heard does not end its statement either, which it is told to do
/// after 5 s.
const ANSWER: Duration = Duration::from_secs(7);
/// Pauses before the repeats of what failed for a reason that passes.
pub const PAUSES: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_millis(500), Duration::from_millis(2000)];

/// A parameter with its type.
pub type Param<'a> = (&'a (dyn ToSql + Sync), Type);

/// Where a database is and how it is reached. Nothing is connected before it is needed.
#[derive(Clone)]
pub struct Database {
    dsn: Dsn,
    passwords: Option<Arc<dyn Passwords>>,
}

/// Passwords that change while the service runs: access tokens. A connection that is open outlives its password.
#[async_trait]
pub trait Passwords: Send + Sync {
    /// A password that is good for a new connection now. Cheap while the last one still is.
    async fn current(&self) -> Result<String, Box<dyn std::error::Error + Send + Sync>>;
}

/// Some connections of a database.
#[derive(Clone)]
pub struct Pool {
    connections: deadpool_postgres::Pool,
    newest: Option<Newest>,
    /// The group whose members may do what this pool is used for.
    group: &'static str,
    /// Turns of long work: all connections but one, so that short statements find one.
    turns: Arc<Semaphore>,
}

/// A connection of a pool for work that may take longer than a statement there.
pub struct Lent {
    connection: ScopeGuard<Object, fn(Object)>,
    _turn: OwnedSemaphorePermit,
    _used: telemetry::Held,
}

impl Lent {
    /// The connection, for transactions that say themselves how long a statement of theirs may take.
    pub fn client(&mut self) -> &mut Client {
        &mut self.connection
    }

    /// Ends the work well. Otherwise the connection is closed: answers may still be on their way.
    pub fn give_back(self) {
        drop(ScopeGuard::into_inner(self.connection));
    }
}

/// Lets the statements of a transaction take their time.
pub const AT_LEISURE: &str = "SET LOCAL statement_timeout = 0";

/// The password that new connections take.
#[derive(Clone)]
struct Newest {
    source: Arc<dyn Passwords>,
    password: Arc<Mutex<String>>,
}

impl Pool {
    /// The same connections for work that members of this group may do.
    pub fn for_group(&self, group: &'static str) -> Self {
        Self { group, ..self.clone() }
    }

    /// What a failure of a statement is that was sent over a connection of this pool.
    pub fn classed(&self, error: tokio_postgres::Error) -> PgError {
        classed(error, self.group)
    }

    /// Asks for the password that connections opened from here on take.
    async fn renew_password(&self) -> Result<(), PgError> {
        if let Some(newest) = &self.newest {
            let password = newest.source.current().await.map_err(PgError::NoPassword)?;
            *lock(&newest.password) = password;
        }
        Ok(())
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("status", &self.connections.status()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("hosts", &self.dsn.config.get_hosts()).finish_non_exhaustive()
    }
}

impl Database {
    /// Reads a connection string. `instance` becomes part of the application name that the server shows.
    ///
    /// `require`, `verify-ca` and `verify-full` all verify chain and host name. Without an `sslmode` a host of this
    /// machine is reached in plain text and every other one as with `require`.
    pub fn parse(dsn: &str, instance: &str) -> Result<Self, InvalidDsn> {
        let mut dsn = Dsn::read(dsn)?;
        let config = &mut dsn.config;
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(ACQUIRE);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(ANSWER);
        }
        // The driver's own is two hours.
        if !dsn.says("keepalives_idle") {
            dsn.config.keepalives_idle(Duration::from_secs(30));
        }
        if dsn.config.get_application_name().is_none() {
            dsn.config.application_name(format!("backtests {instance}"));
        }
        Ok(Self { dsn, passwords: None })
    }

    /// The same database with passwords from elsewhere.
    pub fn with_passwords(&self, passwords: Arc<dyn Passwords>) -> Self {
        Self { passwords: Some(passwords), ..self.clone() }
    }

    /// A pool of at most `size` connections whose statements are short.
    pub fn pool(&self, size: usize) -> Result<Pool, PgError> {
        let mut config = self.dsn.config.clone();
        // A host that is silent must leave time for the next one.
        let servers = config.get_hosts().len().max(config.get_hostaddrs().len()).max(1);
        let share = ACQUIRE / u32::try_from(servers).unwrap_or(u32::MAX);
        config.connect_timeout(config.get_connect_timeout().map_or(share, |asked| share.min(*asked)));
        let how = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let newest = self.passwords.clone().map(|source| Newest { source, password: Arc::default() });
        let password = newest.as_ref().map(|newest| Arc::clone(&newest.password));
        let manager = if config.get_ssl_mode() == SslMode::Disable {
            Manager::from_connect(config, Opener { tls: NoTls, password }, how)
        } else {
            Manager::from_connect(config, Opener { tls: self.tls()?, password }, how)
        };
        let connections = deadpool_postgres::Pool::builder(manager)
            .max_size(size)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(ACQUIRE))
            .create_timeout(Some(ACQUIRE))
            .recycle_timeout(Some(ACQUIRE))
            .build()
            .map_err(|error| PgError::Tls(error.to_string()))?;
        Ok(Pool {
            connections,
            newest,
            group: groups::API,
            turns: Arc::new(Semaphore::new(size.saturating_sub(1).max(1))),
        })
    }

    /// Another database of the same server.
    pub fn with_database(&self, name: &str) -> Self {
        let mut other = self.clone();
        other.dsn.config.dbname(name);
        other
    }

    /// Whether this is the password of the connection string.
    pub fn has_password(&self, password: &str) -> bool {
        self.dsn.config.get_password() == Some(password.as_bytes())
    }

    /// The connection string of another login of the same database. It is a secret.
    pub fn dsn_of(&self, user: &str, password: &str) -> String {
        self.dsn.of_login(user, password)
    }

    /// The same for programs of Postgres itself: variables that they read, the password among them. `roots` is what they
    /// call the roots of the platform.
    pub fn libpq_environment(&self, roots: &str) -> Vec<(&'static str, String)> {
        self.dsn.libpq_environment(roots)
    }

    /// Name of the database.
    pub fn name(&self) -> Option<&str> {
        self.dsn.config.get_dbname().or(self.dsn.config.get_user())
    }

    /// One connection for work that may take long, such as a migration.
    pub async fn connect(&self) -> Result<Client, PgError> {
        let mut config = self.dsn.config.clone();
        if let Some(passwords) = &self.passwords {
            config.password(passwords.current().await.map_err(PgError::NoPassword)?);
        }
        let opened = if config.get_ssl_mode() == SslMode::Disable {
            Opener { tls: NoTls, password: None }.connect(&config).await
        } else {
            Opener { tls: self.tls()?, password: None }.connect(&config).await
        };
        Ok(opened?.0)
    }

    fn tls(&self) -> Result<MakeRustlsConnect, PgError> {
        let broken = |error: rustls::Error| PgError::Tls(error.to_string());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(broken)?;
        let config = match self.authorities()? {
            None => builder.with_platform_verifier().map_err(broken)?.with_no_client_auth(),
            Some(authorities) => builder.with_root_certificates(authorities).with_no_client_auth(),
        };
        Ok(MakeRustlsConnect::new(config))
    }

    /// The authorities of the file that `sslrootcert` names; `None` means those of the platform.
    ///
    /// # Errors
    /// When the file cannot be read, or holds something else.
    pub fn authorities(&self) -> Result<Option<RootCertStore>, PgError> {
        let Roots::File(path) = &self.dsn.roots else { return Ok(None) };
        let mut store = RootCertStore::empty();
        let unreadable = |error| PgError::Tls(format!("read sslrootcert {}: {error}", path.display()));
        for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
            let added = store.add(certificate.map_err(unreadable)?);
            added.map_err(|error| PgError::Tls(error.to_string()))?;
        }
        Ok(Some(store))
    }
}

/// Opens connections, those of a pool with the password of the moment.
struct Opener<T> {
    tls: T,
    password: Option<Arc<Mutex<String>>>,
}

type Opened = Result<(Client, JoinHandle<()>), tokio_postgres::Error>;

impl<T> Connect for Opener<T>
where
    T: MakeTlsConnect<Socket> + Clone + Send + Sync + 'static,
    T::Stream: Send + Sync,
    T::TlsConnect: Send + Sync,
    <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
{
    fn connect(&self, config: &Config) -> BoxFuture<'_, Opened> {
        let (mut config, tls) = (config.clone(), self.tls.clone());
        if let Some(password) = &self.password {
            config.password(&*lock(password));
        }
        async move {
            let (client, connection) = config.connect(tls).await?;
            let carried = tokio::spawn(async move {
                // What breaks a connection is told to the statement that waits for it.
                let _ = connection.await;
            });
            Ok((client, carried))
        }
        .boxed()
    }
}

/// A text stays whole also when a thread that held it panicked.
fn lock(text: &Mutex<String>) -> MutexGuard<'_, String> {
    text.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why Postgres did not do what it was asked.
#[expect(missing_docs, reason = "the text of an error says what its fields are")]
#[derive(Debug, thiserror::Error)]
pub enum PgError {
    /// The server refused, or the connection broke.
    #[error("postgres")]
    Sql(#[from] tokio_postgres::Error),
    /// Tables, columns or schemas are not there.
    #[error("the database lacks what this version needs; run `backtests migrate up`")]
    NotMigrated(#[source] Option<tokio_postgres::Error>),
    /// The login may not do what it was about to.
    #[error(
        "the login lacks privileges ({}); `backtests migrate roles` makes logins that have them: members of the group {group}",
        said(.source)
    )]
    NotAllowed {
        /// The group whose members may.
        group: &'static str,
        /// What the server said.
        #[source]
        source: tokio_postgres::Error,
    },
    /// All connections were busy, or none could be made in time.
    #[error("no connection within {} s", ACQUIRE.as_secs())]
    Busy,
    /// The server does not answer.
    #[error("no answer within {} s", ANSWER.as_secs())]
    Silent,
    /// There is no password for a new connection.
    #[error("get an access token for the database")]
    NoPassword(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// TLS cannot be set up.
    #[error("TLS: {0}")]
    Tls(String),
    /// A row that no version of this program wrote.
    #[error("column {column} holds '{value}'")]
    Unreadable {
        column: &'static str,
        /// What is there.
        value: String,
    },
}

impl PgError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Busy | Self::Silent | Self::NoPassword(_) => true,
            Self::Sql(error) => match error.code() {
                Some(state) => is_transient(state),
                None => self.is_broken(),
            },
            _ => false,
        }
    }

    /// Whether the database or the login lacks something that an operator gives it.
    pub fn is_of_set_up(&self) -> bool {
        match self {
            Self::NotMigrated(_) | Self::NotAllowed { .. } => true,
            // No privilege; no such login, password, database, schema, table or column.
            Self::Sql(error) => error.code().is_some_and(|state| {
                let code = state.code();
                code.starts_with("28") || matches!(code, "42501" | "3D000" | "3F000" | "42P01" | "42703")
            }),
            _ => false,
        }
    }

    /// What is wrong, in the server's words where it has some. There is never a secret in it.
    pub fn words(&self) -> String {
        match self {
            Self::Sql(error) => said(error),
            other => other.to_string(),
        }
    }

    /// Whether there is no such database.
    pub fn is_without_database(&self) -> bool {
        matches!(self, Self::Sql(error) if error.code() == Some(&SqlState::INVALID_CATALOG_NAME))
    }

    /// Whether it is unknown if the statement took effect.
    pub fn is_broken(&self) -> bool {
        match self {
            Self::Silent => true,
            Self::Sql(error) => match error.code() {
                Some(state) => state.code().starts_with("57P") || state.code().starts_with("08"),
                None => {
                    error.is_closed()
                        || error.source().and_then(|cause| cause.downcast_ref::<io::Error>()).is_some()
                }
            },
            _ => false,
        }
    }
}

/// States that pass: connection trouble, shutdown and start-up, too many connections, lost races, a statement that took
/// too long, a server that is read-only during a fail-over.
fn is_transient(state: &SqlState) -> bool {
    let code = state.code();
    code.starts_with("08")
        || code.starts_with("57P0")
        || ["53300", "40001", "40P01", "55P03", "57014", "25006"].contains(&code)
}

/// What a failure of a statement is, for a login that shall be a member of `group`.
fn classed(error: tokio_postgres::Error, group: &'static str) -> PgError {
    let missing =
        [SqlState::UNDEFINED_TABLE, SqlState::UNDEFINED_COLUMN, SqlState::INVALID_SCHEMA_NAME].iter();
    match error.code() {
        Some(state) if missing.into_iter().any(|one| one == state) => PgError::NotMigrated(Some(error)),
        Some(state) if *state == SqlState::INSUFFICIENT_PRIVILEGE => {
            PgError::NotAllowed { group, source: error }
        }
        _ => PgError::Sql(error),
    }
}

/// A connection of `pool`, within the acquire time.
pub async fn acquire(pool: &Pool) -> Result<Object, PgError> {
    // Connections that are open need no password, so that a service outlives an identity endpoint for a while.
    if pool.connections.status().available == 0 {
        pool.renew_password().await?;
    }
    let mut taken = telemetry::POOL_WAIT.of(pool.connections.get()).await;
    if let Err(PoolError::Backend(error)) = &taken
        && pool.newest.is_some()
        && error.code().is_some_and(|state| state.code().starts_with("28"))
    {
        // The idle connection had broken, and the one that was opened instead took the password of last time.
        pool.renew_password().await?;
        taken = pool.connections.get().await;
    }
    taken.map_err(|error| match error {
        PoolError::Backend(error) => classed(error, pool.group),
        _ => PgError::Busy,
    })
}

/// A connection of `pool` for work that may take long, when it is its turn.
pub async fn lend(pool: &Pool) -> Result<Lent, PgError> {
    // The semaphore is never closed.
    let turn = Arc::clone(&pool.turns).acquire_owned().await.map_err(|_| PgError::Busy)?;
    let connection = acquire(pool).await?;
    let connection: ScopeGuard<Object, fn(Object)> =
        scopeguard::guard(connection, |cut| drop(Object::take(cut)));
    Ok(Lent { connection, _turn: turn, _used: telemetry::CONNECTIONS.hold() })
}

/// Begins the transaction of one short statement.
const SHORTLY: &str = "BEGIN; SET LOCAL statement_timeout = '5s'";

/// Runs one statement, in a transaction of its own. A connection that broke or does not answer is given up: that it is
/// closed may become known later, and the next one would get it.
pub async fn query(pool: &Pool, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, PgError> {
    let client = acquire(pool).await?;
    let _used = telemetry::CONNECTIONS.hold();
    let answer = tokio::time::timeout(ANSWER, alone(&client, sql, params)).await;
    let rows = answer.map_or(Err(PgError::Silent), |rows| rows.map_err(|error| classed(error, pool.group)));
    if rows.as_ref().is_err_and(PgError::is_broken) {
        drop(Object::take(client));
    }
    rows
}

/// The driver sends each of these when it is first asked, in this order, so that all of them travel at once: the limit
/// costs no time on the way, and a caller who stops waiting leaves no transaction open. After a failure the `COMMIT` is a
/// rollback.
async fn alone(client: &Client, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, tokio_postgres::Error> {
    let (begun, rows, ended) = futures_util::join!(
        client.batch_execute(SHORTLY),
        client.query_typed(sql, params),
        client.batch_execute("COMMIT"),
    );
    begun?;
    let rows = rows?;
    ended?;
    Ok(rows)
}

/// What the server said of a failure, or what kept it from saying anything. Its message alone: details and hints may hold
/// values.
fn said(error: &tokio_postgres::Error) -> String {
    if let Some(said) = error.as_db_error() {
        return said.message().to_owned();
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
