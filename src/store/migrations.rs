//! Migrations of the Postgres database: the files of `migrations/postgres`, in order, each in a transaction of its own
//! with its line in the ledger. A file that was applied and then edited is an error, never a repair.

use postgres_protocol::escape::escape_identifier;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::pg::{Database, Param, PgError};
use crate::digest::sha256_hex;

/// One file.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// Position in the one order of migrations, from 1.
    pub version: i32,
    /// File name without the ending.
    pub name: &'static str,
    /// Its text.
    pub sql: &'static str,
}

impl Migration {
    /// SHA-256 of the text with LF line ends, lower-case hex.
    pub fn sha256(&self) -> String {
        sha256_hex(self.sql.replace("\r\n", "\n"))
    }
}

macro_rules! migrations {
    ($($version:literal $name:literal,)*) => {
        &[$(Migration {
            version: $version,
            name: $name,
            sql: include_str!(concat!("../../migrations/postgres/", $name, ".sql")),
        },)*]
    };
}

/// All of them, oldest first.
pub const MIGRATIONS: &[Migration] = migrations! {
    1 "0001_schema_migrations",
    2 "0002_init_schemas",
    3 "0003_ranking_signals",
    4 "0004_backtest_runs",
    5 "0005_run_execution",
    6 "0006_signal_sync",
    7 "0007_group_roles",
    8 "0008_studies",
};

/// The version that this program needs.
pub const NEEDED: i32 = MIGRATIONS[MIGRATIONS.len() - 1].version;

/// Lets one runner work at a time. From there on a statement gives up that does not get its lock on a table soon:
/// while it waits, everybody else who wants the table waits behind it.
pub(super) const LOCK: &str = "SELECT pg_advisory_xact_lock(7305814021); SET LOCAL lock_timeout = '5s'";

/// Why a database was not migrated.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The ledger remembers another text.
    #[error("{name} was edited after it was applied; restore the file and add a new one instead")]
    Edited {
        /// Which file.
        name: &'static str,
    },
    /// The ledger has a file that this version does not know.
    #[error("the database has migration {found}, of a later version of this program, which knows {NEEDED}")]
    Later {
        /// Position in the one order of migrations, from 1.
        found: i32,
    },
    /// A file failed; it left nothing behind.
    #[error("apply {name}")]
    Apply {
        /// Which file.
        name: &'static str,
        /// What the server said.
        #[source]
        source: PgError,
    },
    /// The ledger cannot be read.
    #[error("read the ledger of migrations")]
    Ledger(#[source] PgError),
}

/// A migration and where the database stands with it.
#[derive(Debug, Clone)]
pub struct Standing {
    /// The file.
    pub migration: Migration,
    /// When it was applied; `None` while it waits.
    pub applied_at: Option<crate::clock::Timestamp>,
    /// Whether the ledger has another hash of it.
    pub edited: bool,
}

/// Where the database stands with each file.
pub async fn status(client: &Client) -> Result<Vec<Standing>, MigrateError> {
    let ledger = |error: tokio_postgres::Error| MigrateError::Ledger(error.into());
    // Not to_regclass: it may answer from what this session knew before it waited for another runner.
    let exists = "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_tables
                                 WHERE schemaname = 'core' AND tablename = 'schema_migrations')";
    let exists: bool =
        client.query_typed_one(exists, &[]).await.and_then(|row| row.try_get(0)).map_err(ledger)?;
    let lines = "SELECT version, sha256, applied_at FROM core.schema_migrations ORDER BY version";
    let rows = if exists { client.query_typed(lines, &[]).await.map_err(ledger)? } else { Vec::new() };
    if let Some(last) = rows.last() {
        let found: i32 = last.try_get("version").map_err(ledger)?;
        if found > NEEDED {
            return Err(MigrateError::Later { found });
        }
    }
    let mut standings = Vec::new();
    for migration in MIGRATIONS {
        let mut standing = Standing { migration: *migration, applied_at: None, edited: false };
        for row in &rows {
            if row.try_get::<_, i32>("version").map_err(ledger)? == migration.version {
                standing.applied_at = row.try_get("applied_at").map_err(ledger)?;
                standing.edited = row.try_get::<_, String>("sha256").map_err(ledger)? != migration.sha256();
            }
        }
        standings.push(standing);
    }
    Ok(standings)
}

/// As [`status`], but an edited file is an error.
pub async fn verify(client: &Client) -> Result<Vec<Standing>, MigrateError> {
    let standings = status(client).await?;
    match standings.iter().find(|standing| standing.edited) {
        Some(edited) => Err(MigrateError::Edited { name: edited.migration.name }),
        None => Ok(standings),
    }
}

/// Makes the database of a connection string, unless it is there; answers whether it was missing. Its server keeps a
/// database `postgres`, where one asks for it. With `look_only` nothing is made.
pub async fn create_database(database: &Database, look_only: bool) -> Result<bool, PgError> {
    let name = database.name().unwrap_or_default();
    let client = database.with_database("postgres").connect().await?;
    let known = "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_database WHERE datname = $1)";
    if client.query_typed_one(known, &[(&name, Type::NAME)]).await?.try_get(0)? {
        return Ok(false);
    }
    if look_only {
        return Ok(true);
    }
    match client.batch_execute(&format!("CREATE DATABASE {}", escape_identifier(name))).await {
        // Another process was faster.
        Err(error) if error.code() == Some(&SqlState::DUPLICATE_DATABASE) => Ok(false),
        made => Ok(made.map(|()| true)?),
    }
}

/// Applies what is missing and answers what that was. Runners that start at once take turns.
pub async fn up(client: &mut Client) -> Result<Vec<Migration>, MigrateError> {
    let mut applied = Vec::new();
    for standing in verify(client).await? {
        if standing.applied_at.is_none() && apply(client, standing.migration).await? {
            applied.push(standing.migration);
        }
    }
    Ok(applied)
}

/// Applies one file unless another runner was faster.
async fn apply(client: &mut Client, migration: Migration) -> Result<bool, MigrateError> {
    let failed =
        |error: tokio_postgres::Error| MigrateError::Apply { name: migration.name, source: error.into() };
    let transaction = client.transaction().await.map_err(failed)?;
    transaction.batch_execute(LOCK).await.map_err(failed)?;
    let standings = status(transaction.client()).await?;
    let done = standings.iter().find(|standing| standing.migration.version == migration.version);
    if let Some(done) = done.filter(|standing| standing.applied_at.is_some()) {
        return if done.edited { Err(MigrateError::Edited { name: migration.name }) } else { Ok(false) };
    }
    transaction.batch_execute(migration.sql).await.map_err(failed)?;
    let line = "INSERT INTO core.schema_migrations (version, name, sha256) VALUES ($1, $2, $3)";
    let sha256 = migration.sha256();
    let params: [Param<'_>; 3] =
        [(&migration.version, Type::INT4), (&migration.name, Type::TEXT), (&sha256, Type::TEXT)];
    transaction.execute_typed(line, &params).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    Ok(true)
}
