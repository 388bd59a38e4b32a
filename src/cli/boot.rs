//! From settings to an [`App`]: which stores there are. Nothing is connected here, so that a start costs nothing.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::settings::{Poison, RunStoreMode, Settings};
use crate::clock::SystemClock;
use crate::store::artifacts::{Artifacts, AzureArtifacts, LocalArtifacts};
use crate::store::blob::BlobAccount;
use crate::store::delta::StorageOptions;
use crate::store::pg::{Database, Pool};
use crate::store::prices::{MarketData, Reach};
use crate::store::queue::Queue;
use crate::store::runs::RunStore;
use crate::store::runs::adls::AdlsRuns;
use crate::store::runs::postgres::PostgresRuns;
use crate::store::runs::sqlite::SqliteRuns;
use crate::store::signals::lake::SignalLake;
use crate::store::signals::postgres::PostgresSignals;
use crate::store::webhook::Webhook;
use crate::work::sync::SignalSync;
use crate::work::{App, ExecutionTerms};

/// Builds what the verbs work with.
pub fn app(settings: &Settings) -> std::io::Result<App> {
    // Runs and signals share connections: a database has few for many instances.
    let database = database(settings)?;
    let pool = database.as_ref().map(|database| pool(settings, database)).transpose()?;
    let signals = SignalSync { postgres: pool.clone().map(PostgresSignals::new), ..signal_lake(settings) };
    let account = blob_account(settings)?;
    Ok(App {
        runs: run_store(settings, account.as_ref(), database.as_ref().zip(pool))?,
        data: Arc::new(market_data(
            settings,
            Reach {
                local: settings.allow_local_data,
                local_dirs: settings.allowed_data_dirs.clone(),
                containers: Some(settings.containers.clone()),
            },
            signals.postgres.clone(),
        )),
        artifacts: Arc::new(artifacts(settings, account)?),
        clock: Arc::new(SystemClock),
        signals: Arc::new(signals),
        poison: settings.poison.as_ref().map(|poison| poison_queue(settings, poison)).transpose()?,
        attempts: Arc::default(),
        terms: ExecutionTerms {
            instance: settings.instance.clone(),
            lease: settings.lease,
            max_attempts: settings.max_attempts,
            timeout: settings.run_timeout,
        },
        trusts_principal: settings.trusts_principal,
        webhook: webhook(settings)?,
        address: settings.address.clone(),
        admission: Arc::new(Semaphore::new(settings.max_requests)),
    })
}

/// Where endings of runs are told.
fn webhook(settings: &Settings) -> std::io::Result<Option<Arc<Webhook>>> {
    let Some((address, secret)) = &settings.notify else { return Ok(None) };
    Webhook::new(address.clone(), secret.reveal().to_owned()).map(|webhook| Some(Arc::new(webhook)))
}

/// The queue of messages that the host gave up.
fn poison_queue(settings: &Settings, poison: &Poison) -> std::io::Result<Arc<Queue>> {
    let queue = match poison.account.clone() {
        Ok(connection) => Queue::by_connection(connection, &poison.name),
        Err(address) => Queue::by_identity(&address, &poison.name, &settings.identity),
    };
    queue.map(Arc::new).map_err(std::io::Error::other)
}

/// The run store of the mode.
fn run_store(
    settings: &Settings,
    account: Option<&BlobAccount>,
    postgres: Option<(&Database, Pool)>,
) -> std::io::Result<Arc<dyn RunStore>> {
    match settings.run_store {
        RunStoreMode::Sqlite => Ok(Arc::new(SqliteRuns::new(&settings.db_path))),
        RunStoreMode::Adls => {
            let (Some(account), Some(dir)) = (account, &settings.runs_dir) else {
                return Err(std::io::Error::other("the run store has no place"));
            };
            Ok(Arc::new(AdlsRuns::new(account.container(&dir.container)?, &dir.prefix)))
        }
        RunStoreMode::Postgres => {
            let (database, pool) =
                postgres.ok_or_else(|| std::io::Error::other("the run store has no database"))?;
            let beats = database.pool(1).map_err(std::io::Error::other)?;
            Ok(Arc::new(PostgresRuns::new(&pool, &beats)))
        }
    }
}

/// The database of the settings.
pub fn database(settings: &Settings) -> std::io::Result<Option<Database>> {
    Ok(match &settings.postgres {
        Some(database) if settings.postgres_entra => {
            Some(database.with_passwords(settings.identity.passwords()?))
        }
        database => database.clone(),
    })
}

/// Connections for everything but beats.
fn pool(settings: &Settings, database: &Database) -> std::io::Result<Pool> {
    database.pool(settings.postgres_connections).map_err(std::io::Error::other)
}

/// Where ranking signals are kept, in the lake and in Postgres, as far as there are settings for them.
pub fn signal_sync(settings: &Settings) -> std::io::Result<SignalSync> {
    Ok(SignalSync { postgres: postgres_signals(settings)?, ..signal_lake(settings) })
}

/// The half of the lake.
fn signal_lake(settings: &Settings) -> SignalSync {
    let options = storage_options(settings);
    SignalSync {
        lake: settings.lake.clone().map(|root| SignalLake::new(root, options)),
        postgres: None,
        terms: settings.signals.clone(),
    }
}

/// The signals that the database of the settings serves.
pub fn postgres_signals(settings: &Settings) -> std::io::Result<Option<PostgresSignals>> {
    let Some(database) = database(settings)? else { return Ok(None) };
    Ok(Some(PostgresSignals::new(pool(settings, &database)?)))
}

/// The storage account, where one is configured.
fn blob_account(settings: &Settings) -> std::io::Result<Option<BlobAccount>> {
    let account = match (&settings.storage_connection, &settings.storage_account) {
        (Some(connection), _) => BlobAccount::by_connection(connection.clone()),
        (None, Some(name)) => BlobAccount::by_identity(name, &settings.identity),
        (None, None) => return Ok(None),
    };
    account.map(Some).map_err(std::io::Error::other)
}

/// Where results go.
fn artifacts(settings: &Settings, account: Option<BlobAccount>) -> std::io::Result<Artifacts> {
    let (root, allowed) = (settings.runs_dir.clone(), settings.containers.clone());
    let azure = account.map(|account| AzureArtifacts::new(account, root, allowed));
    Ok(Artifacts::new(LocalArtifacts::new(&settings.output_dir)?, azure))
}

/// Where prices and signals come from.
pub fn market_data(settings: &Settings, reach: Reach, signals: Option<PostgresSignals>) -> MarketData {
    MarketData {
        lake: settings.lake.clone(),
        options: storage_options(settings),
        account: settings.account(),
        reach,
        signals,
    }
}

/// Keys for remote tables, in the words of the storage layer.
pub fn storage_options(settings: &Settings) -> StorageOptions {
    if let Some(connection) = &settings.storage_connection {
        return connection.storage_options();
    }
    let mut options = StorageOptions::default();
    if let Some(account) = &settings.storage_account {
        options.0.insert("azure_storage_account_name".into(), account.clone());
    }
    options
}
