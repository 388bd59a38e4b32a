//! Everything that there is: the database and blob storage behind proxies, the handlers, the queue; and the hands that
//! keep them going: deliveries, reconcilers, the supervisor, the passing of time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use backtest_functions::clock::SystemClock;
use backtest_functions::store::artifacts::{Artifacts, AzureArtifacts, LocalArtifacts};
use backtest_functions::store::blob::Directory;
use backtest_functions::store::delta::{Location, StorageOptions};
use backtest_functions::store::pg::{self, Database, Pool};
use backtest_functions::store::prices::{MarketData, Reach};
use backtest_functions::store::runs::postgres::PostgresRuns;
use backtest_functions::work::sync::{SignalSync, SyncTerms};
use backtest_functions::work::{App, ExecutionTerms};
use rand::Rng as _;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_postgres::Row;

use super::Size;
use super::fleet::{self, Slot};
use super::journal::Journal;
use super::queue::{self, Queue};
use super::work::{Ledger, MARKET};
use crate::support::azurite::{self, Storage};
use crate::support::postgres::Crashable;
use crate::support::service::Home;
use crate::support::{http_proxy, pg_proxy};

/// Length of a lease; beats come every fourth part of it.
pub(super) const LEASE: Duration = Duration::from_secs(2);
/// Attempts of a run that does not abort its process.
const ATTEMPTS: &str = "10";
/// Attempts of a run that does.
const ATTEMPTS_ABORTING: u32 = 3;
/// Time between two ticks of a reconciler.
const TICK: Duration = Duration::from_millis(500);
/// Messages that a handler is given at once.
const DELIVERIES: usize = 3;
/// Looks in a row, 200 ms apart, in which a connection too many is one.
const LOOKS: u32 = 20;
/// Connections that a handler may have, by its default settings.
pub(super) const CONNECTIONS: usize = 3;

pub(super) struct World {
    pub(super) seed: u64,
    pub(super) size: Size,
    pub(super) journal: Journal,
    pub(super) home: Home,
    /// One restart at a time: two would crash each other's server for ever.
    pub(super) server: tokio::sync::Mutex<Crashable>,
    pub(super) proxy: pg_proxy::Proxy,
    pub(super) blobs: Option<Storage>,
    pub(super) fleet: Vec<Slot>,
    pub(super) queue: Queue,
    /// The verbs in this process, on the same stores.
    pub(super) app: App,
    pub(super) connections: Mutex<Connections>,
    /// Straight to the database.
    pool: Pool,
    ledger: Mutex<Ledger>,
    dice: Mutex<ChaCha8Rng>,
    stormy: Arc<AtomicBool>,
    /// Submits that are under way at once.
    pub(super) turns: Semaphore,
    over: AtomicBool,
    idle: AtomicBool,
}

impl World {
    /// `None` where there is no Postgres.
    pub(super) async fn start(seed: u64, size: Size) -> Option<Arc<Self>> {
        let server = Crashable::start().await?;
        let journal = Journal::open(seed);
        let database = Database::parse(&server.dsn(), "watch").unwrap();
        let pool = database.pool(4).unwrap();
        let administrator = database.connect().await.unwrap();
        for sql in [
            "ALTER SYSTEM SET max_wal_size = '128MB'",
            "ALTER SYSTEM SET checkpoint_timeout = '30s'",
            "SELECT pg_reload_conf()",
        ] {
            // Each alone: the server refuses them in a transaction.
            administrator.batch_execute(sql).await.unwrap();
        }
        let home = Home::with_sample(MARKET.0, MARKET.1);
        let proxy = pg_proxy::Proxy::before(&server.dsn()).await;
        let stormy = Arc::new(AtomicBool::new(true));
        let blobs = match azurite::storage() {
            Some(storage) => Some((behind_weather(&storage, seed, &stormy), storage)),
            None => {
                println!("no Azurite: files go to a folder, and no upload fails");
                None
            }
        };
        let lease = LEASE.as_secs().to_string();
        let mut settings = vec![
            ("BACKTEST_RUN_STORE_MODE", "postgres"),
            ("POSTGRES_DSN", proxy.dsn.as_str()),
            ("BACKTEST_LEASE_SECONDS", lease.as_str()),
            ("BACKTEST_MAX_ATTEMPTS", ATTEMPTS),
        ];
        let runs_dir = blobs.as_ref().map(|(_, storage)| format!("{}/runs", storage.container));
        if let (Some((through, _)), Some(runs_dir)) = (&blobs, &runs_dir) {
            settings.push(("AZURE_STORAGE_CONNECTION_STRING", &through.connection));
            settings.push(("BACKTEST_ADLS_RUNS_DIR", runs_dir));
        }
        let fleet = fleet::start(&home, &settings, &journal).await;
        let blobs = blobs.map(|(_, storage)| storage);
        let app = app(&home, &proxy.dsn, blobs.as_ref());
        Some(Arc::new(Self {
            seed,
            size,
            journal,
            home,
            server: tokio::sync::Mutex::new(server),
            proxy,
            blobs,
            fleet,
            queue: Queue::default(),
            app,
            connections: Mutex::default(),
            pool,
            ledger: Mutex::default(),
            dice: Mutex::new(ChaCha8Rng::seed_from_u64(seed ^ 2)),
            stormy,
            turns: Semaphore::new(16),
            over: AtomicBool::new(false),
            idle: AtomicBool::new(false),
        }))
    }

    /// Puts all hands to work; they end when all is over.
    pub(super) fn open(self: &Arc<Self>) -> Vec<JoinHandle<()>> {
        let mut hands = Vec::new();
        for number in 0..self.fleet.len() {
            for _ in 0..DELIVERIES {
                let world = self.clone();
                hands.push(tokio::spawn(
                    async move { queue::deliver(world.clone(), &world.fleet[number]).await },
                ));
            }
        }
        for _ in 0..2 {
            hands.push(tokio::spawn(reconcile(self.clone())));
        }
        hands.push(tokio::spawn(every(self.clone(), 250, Self::let_time_pass)));
        hands.push(tokio::spawn(every(self.clone(), 30, Self::abort)));
        hands.push(tokio::spawn(every(self.clone(), 200, Self::look_after_the_fleet)));
        hands.push(tokio::spawn(watch_connections(self.clone())));
        hands
    }

    /// Ends the faults.
    pub(super) fn calm(&self) {
        self.stormy.store(false, Ordering::Relaxed);
        for statement in self.proxy.calm() {
            self.journal.note("fault that found no statement", statement.trim());
        }
    }

    /// Waits until all runs have ended; answers those that have not in time.
    pub(super) async fn settles(&self, patience: Duration) -> Vec<String> {
        let since = Instant::now();
        loop {
            let rows =
                self.ask("SELECT run_id FROM backtest.runs WHERE status IN ('queued', 'running')").await;
            if rows.is_empty() || since.elapsed() > patience {
                return rows.iter().map(|row| row.get("run_id")).collect();
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Sends the hands home.
    pub(super) fn close(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    pub(super) fn is_stormy(&self) -> bool {
        self.stormy.load(Ordering::Relaxed)
    }

    pub(super) fn no_more_work(&self) {
        self.idle.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_more_work(&self) -> bool {
        !self.idle.load(Ordering::Relaxed)
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap()
    }

    pub(super) fn dice(&self) -> MutexGuard<'_, ChaCha8Rng> {
        self.dice.lock().unwrap()
    }

    /// A handler, whichever.
    pub(super) fn anybody(&self) -> &Slot {
        &self.fleet[self.dice().random_range(0..self.fleet.len())]
    }

    /// Asks the database, past the proxy and until it answers.
    pub(super) async fn ask(&self, sql: &str) -> Vec<Row> {
        let since = Instant::now();
        loop {
            match pg::query(&self.pool, sql, &[]).await {
                Ok(rows) => return rows,
                Err(error) => assert!(since.elapsed() < Duration::from_secs(60), "{sql}: {error:?}"),
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Runs that are held, and by whom.
    pub(super) async fn held(&self) -> Vec<(String, String)> {
        let rows = self.ask("SELECT run_id, lease_owner FROM backtest.runs WHERE status = 'running'").await;
        rows.iter().map(|row| (row.get("run_id"), row.get("lease_owner"))).collect()
    }

    /// A handler that executes something.
    pub(super) async fn busy(&self) -> Option<&Slot> {
        let mut held = self.held().await;
        held.retain(|(run, _)| !run.starts_with("abort"));
        let at = self.dice().random_range(0..held.len().max(1));
        let (_, owner) = held.get(at)?;
        self.fleet.iter().find(|slot| owner.starts_with(&format!("{}:", slot.name)))
    }

    /// The minutes that pass between two messages for one run, or two attempts at it, are seconds here: whatever waits has
    /// waited for hours.
    async fn let_time_pass(self: Arc<Self>) {
        if self.queue.is_long() {
            return;
        }
        self.ask(
            "UPDATE backtest.runs \
             SET announced_at = announced_at - interval '3 hours', available_at = least(available_at, now()) \
             WHERE (status = 'queued' OR (status = 'running' AND lease_expires_at <= now())) \
               AND (available_at > now() + interval '1 second' \
                    OR announced_at BETWEEN now() - interval '1 hour' AND now() - interval '5 seconds')",
        )
        .await;
    }

    /// Whoever executes a run that aborts its process is gone; so is who executes a study or a part of one for the first
    /// time.
    async fn abort(self: Arc<Self>) {
        let rows = self
            .ask(
                "SELECT run_id, lease_owner FROM backtest.runs WHERE status = 'running' \
                 AND (run_id LIKE 'abort%' OR (kind IN ('study', 'part') AND attempt = 1))",
            )
            .await;
        for row in rows {
            let (run, owner): (String, String) = (row.get("run_id"), row.get("lease_owner"));
            let slot = self.fleet.iter().find(|slot| owner.starts_with(&format!("{}:", slot.name)));
            let id = owner.split([':', '/']).nth(1).and_then(|id| id.parse().ok());
            if let (Some(slot), Some(id)) = (slot, id)
                && slot.kill(&self.home, Some(id)).await
            {
                self.journal.note("process aborted by its run", run);
            }
        }
    }

    async fn look_after_the_fleet(self: Arc<Self>) {
        for slot in &self.fleet {
            if slot.look_after(&self.home).await {
                self.ledger().complaints.push(format!("{} ended by itself", slot.name));
            }
        }
    }
}

/// Does something again and again, until all is over.
async fn every(world: Arc<World>, millis: u64, work: impl AsyncFn(Arc<World>)) {
    while !world.is_over() {
        work(world.clone()).await;
        sleep(Duration::from_millis(millis)).await;
    }
}

/// Ticks as the timer of a host does.
async fn reconcile(world: Arc<World>) {
    while !world.is_over() {
        let tick = serde_json::json!({ "timer": {} });
        let answer = world.anybody().envelope("reconcile", &tick, Duration::from_secs(2)).await;
        if let Some(answer) = answer.ok().filter(|answer| answer.status.is_success()) {
            queue::send(&world, &answer.json()["Outputs"]);
        }
        sleep(TICK).await;
    }
}

/// How many connections handlers have.
#[derive(Default)]
pub(super) struct Connections {
    /// Most of all handlers at once.
    pub(super) most: usize,
    /// Handlers that kept too many.
    pub(super) wrong: Vec<String>,
    /// How often in a row a handler was seen with too many.
    too_many: BTreeMap<String, u32>,
}

impl Connections {
    /// The server may see connections for a while that their handler has closed: until it finds out, or for as long as the
    /// proxy holds a statement back. So only what stays is wrong.
    fn look(&mut self, counts: BTreeMap<String, usize>) {
        self.most = self.most.max(counts.values().sum());
        self.too_many.retain(|name, _| counts.get(name).is_some_and(|count| *count > CONNECTIONS));
        for (name, count) in counts.into_iter().filter(|(_, count)| *count > CONNECTIONS) {
            let looks = self.too_many.entry(name.clone()).or_default();
            *looks += 1;
            if *looks == LOOKS {
                self.wrong.push(format!("{name} has {count} connections and is to have {CONNECTIONS}"));
            }
        }
    }
}

async fn watch_connections(world: Arc<World>) {
    while !world.is_over() {
        let rows = world
            .ask(
                "SELECT application_name, count(*) FROM pg_stat_activity \
                 WHERE application_name LIKE 'backtests chaos-%' GROUP BY 1",
            )
            .await;
        let counts = rows.iter().map(|row| (row.get(0), row.get::<_, i64>(1) as usize)).collect();
        world.connections.lock().unwrap().look(counts);
        sleep(Duration::from_millis(200)).await;
    }
}

/// Blob storage behind a proxy under which uploads fail, and take long for some runs.
fn behind_weather(storage: &Storage, seed: u64, stormy: &Arc<AtomicBool>) -> Storage {
    use http_proxy::Fault;
    let proxy = http_proxy::Proxy::before(storage.port);
    let (dice, stormy) = (Mutex::new(ChaCha8Rng::seed_from_u64(seed ^ 3)), stormy.clone());
    proxy.under(move |line| {
        if !line.starts_with("PUT ") {
            return None;
        }
        let mut dice = dice.lock().unwrap();
        let slow = ["/slow-", "/abort-", "/study-"].iter().any(|kind| line.contains(kind));
        let chance = if stormy.load(Ordering::Relaxed) { dice.random_range(0..100) } else { 99 };
        match chance {
            0..2 => Some(Fault::Cut),
            2..4 => Some(Fault::Unavailable),
            _ => slow.then(|| Fault::Slow(Duration::from_millis(dice.random_range(400..800)))),
        }
    });
    storage.through(proxy.port)
}

fn app(home: &Home, dsn: &str, blobs: Option<&Storage>) -> App {
    let database = Database::parse(dsn, "test").unwrap();
    let root = Location::parse(home.lake().to_str().unwrap()).unwrap();
    let azure = blobs.map(|storage| {
        let root = Directory::parse(&format!("{}/runs", storage.container)).unwrap();
        AzureArtifacts::new(storage.account(), Some(root), Vec::new())
    });
    App {
        runs: Arc::new(PostgresRuns::new(&database.pool(2).unwrap(), &database.pool(1).unwrap())),
        data: Arc::new(MarketData {
            lake: Some(root),
            options: StorageOptions::default(),
            account: None,
            reach: Reach::default(),
            signals: None,
        }),
        artifacts: Arc::new(Artifacts::new(LocalArtifacts::new(home.path().join("results")).unwrap(), azure)),
        clock: Arc::new(SystemClock),
        signals: Arc::new(SignalSync { lake: None, postgres: None, terms: SyncTerms::default() }),
        terms: ExecutionTerms {
            instance: "test".into(),
            lease: LEASE,
            max_attempts: ATTEMPTS_ABORTING,
            timeout: Duration::from_secs(60),
        },
        trusts_principal: false,
        attempts: Arc::default(),
        webhook: None,
        address: String::new(),
        poison: None,
        admission: Arc::new(tokio::sync::Semaphore::new(1)),
    }
}
