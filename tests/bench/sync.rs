//! The signal sync of one large month from Delta to Postgres, beside `psql \copy` of the same rows into the same tables
//! in the same run; what a reader sees meanwhile; and ten years with nothing to do.

#![expect(clippy::expect_used, reason = "a benchmark that cannot be set up has nothing to measure")]
#![expect(clippy::print_stdout, reason = "the table is what this is for")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use backtest_functions::signal::YearMonth;
use backtest_functions::store::delta::{Layout, Location, StorageOptions, Table};
use backtest_functions::store::migrations;
use backtest_functions::store::parquet::{Selection, scan};
use backtest_functions::store::pg::Database;
use backtest_functions::store::prices::{MarketData, Reach};
use backtest_functions::store::signals::copy::{Encoded, HEADER, TRAILER, encode};
use backtest_functions::store::signals::lake::{
    COMPOSITES, RANKING_SIGNALS, RANKINGS, RankedDays, SignalLake,
};
use backtest_functions::store::signals::postgres::PostgresSignals;
use backtest_functions::work::sync::{Report, SignalSync, SyncRequest, SyncTerms, sync};
use chrono::{Datelike as _, NaiveDate, Weekday};
use deltalake::arrow::array::UInt32Array;
use deltalake::arrow::compute::{concat_batches, take_record_batch};
use deltalake::arrow::datatypes::{DataType, Field, Schema};
use tokio::runtime::Runtime;
use tokio_postgres::Client;

const SYMBOLS: usize = 5000;
const STRATEGIES: [&str; 3] = ["one", "two", "three"];
const MONTH: &str = "2024-03";
const ROUNDS: usize = 5;

/// Runs when nothing or `sync` is asked for; answers whether it was asked for by name.
pub(crate) fn bench() -> bool {
    let filters: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let named = filters.iter().any(|filter| filter == "sync");
    if named || filters.is_empty() {
        let runtime = Runtime::new().expect("a runtime");
        match Cluster::start() {
            Some(cluster) => runtime.block_on(measure(&cluster)),
            None => println!("sync: skipped, there is no Postgres installation"),
        }
    }
    named
}

/// Lines of the table.
#[derive(Default)]
struct Lines(Vec<(String, String)>);

impl Lines {
    fn add(&mut self, what: &str, value: String) {
        println!("{what:<64} {value}");
        self.0.push((what.to_owned(), value));
    }

    fn times(&mut self, what: &str, times: &mut [f64]) -> f64 {
        times.sort_by(f64::total_cmp);
        let median = times[times.len() / 2];
        let spread = 100.0 * (times[times.len() - 1] - times[0]) / median;
        self.add(what, format!("{median:>9.1} ms   spread {spread:.0} % of {}", times.len()));
        median
    }
}

async fn measure(cluster: &Cluster) {
    let mut lines = Lines::default();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    lines.add("machine", format!("{cores} cores, load {}", load.split(' ').next().unwrap_or_default()));
    let mut client = cluster.connect().await;
    migrations::up(&mut client).await.expect("a schema");
    let version = client.query_one("SHOW server_version", &[]).await.expect("a version");
    lines.add("postgres", format!("{}, fsync on", version.get::<_, String>(0)));

    let lake = Lake::with_month().await;
    let started = Instant::now();
    lake.tick(None).await;
    lines.add("materialize the month: rankings to both Delta tables", format!("{:>9.1} ms", millis(started)));
    let postgres = cluster.signals();

    // First load beside psql, in turn, each into empty tables.
    let files = lake.copy_files().await;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        for ours_first in [round % 2 == 0, round % 2 != 0] {
            empty(&client).await;
            if ours_first {
                let started = Instant::now();
                let report = lake.tick(Some(&postgres)).await;
                ours.push(millis(started));
                assert_eq!(written(&report), (SYMBOLS as i32 * 21 * 4, 21));
            } else {
                theirs.push(cluster.psql(&files));
            }
        }
    }
    let own = lines.times("first load, Delta to Postgres (315,000 + 105,000 rows)", &mut ours);
    let psql = lines.times("psql \\copy of the same rows from prepared binary files", &mut theirs);
    lines.add("rate, as a share of psql's", format!("{:>9.2}", psql / own));
    empty(&client).await;
    let (elapsed, peak) = lake.by_program(&cluster.dsn());
    lines.add("the same by the program: peak memory", format!("{peak:>9.1} MiB in {elapsed:.0} ms"));

    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let started = Instant::now();
        assert!(lake.tick(Some(&postgres)).await.months.is_empty());
        times.push(millis(started));
    }
    lines.times("unchanged", &mut times);

    let (mut whole, mut load) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        lake.rank(&[(8, round + 1)]).await;
        let started = Instant::now();
        lake.tick(None).await;
        let materialized = Instant::now();
        let report = lake.tick(Some(&postgres)).await;
        assert_eq!(written(&report), (SYMBOLS as i32 * 4, 1));
        whole.push(millis(started));
        load.push(millis(materialized));
    }
    lines.times("one day changed, Delta to Postgres", &mut load);
    lines.times("one day changed, rankings to Delta to Postgres", &mut whole);

    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        lake.turn_over().await;
        let started = Instant::now();
        let report = lake.tick(Some(&postgres)).await;
        assert_eq!(written(&report), (0, 0));
        times.push(millis(started));
    }
    lines.times("same rows in other files and order: 0 rows written", &mut times);

    let mut times = Vec::new();
    let reader = Reader::start(cluster.connect().await);
    for round in 0..ROUNDS {
        let days: Vec<(usize, usize)> = (0..21).map(|day| (day, 100 + round + day)).collect();
        lake.rank(&days).await;
        lake.tick(None).await;
        let started = Instant::now();
        assert_eq!(written(&lake.tick(Some(&postgres)).await), (SYMBOLS as i32 * 21 * 4, 21));
        times.push(millis(started));
    }
    lines.times("everything changed, Delta to Postgres", &mut times);
    let (reads, worst, wrong) = reader.stop().await;
    lines.add(
        "a reader counting one day every 5 ms meanwhile",
        format!("{reads} reads, worst {worst:.1} ms, {wrong} wrong counts"),
    );
    assert_eq!(wrong, 0);

    empty(&client).await;
    let years = Lake::with_years().await;
    years.tick(Some(&postgres)).await;
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let started = Instant::now();
        assert!(years.tick(Some(&postgres)).await.months.is_empty());
        times.push(millis(started));
    }
    lines.times("120 months with nothing to do", &mut times);

    let document: serde_json::Map<String, serde_json::Value> =
        lines.0.into_iter().map(|(what, value)| (what, value.trim().into())).collect();
    println!("{}", serde_json::Value::Object(document));
}

fn millis(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

fn written(report: &Report) -> (i32, i32) {
    assert_eq!(report.failure(true), None);
    report.months[0].written.map_or((0, 0), |written| (written.rows, written.days))
}

async fn empty(client: &Client) {
    let tables = "TRUNCATE ranking.ranking_signal, ranking.composite_signal_daily, ranking.signal_sync_state, \
                  ranking.signal_sync_day";
    client.batch_execute(tables).await.expect("empty tables");
    client.batch_execute("CHECKPOINT").await.expect("a quiet start");
}

struct Lake {
    folder: tempfile::TempDir,
}

impl Lake {
    /// With a table of rankings that is somebody else's: nobody looks for prices to rank.
    async fn empty() -> Self {
        let lake = Self { folder: tempfile::tempdir().expect("a folder") };
        let columns = [
            ("date", DataType::Date32),
            ("strategy", DataType::Utf8),
            ("symbol", DataType::Utf8),
            ("rank", DataType::Int64),
            ("score", DataType::Float64),
            ("meta", DataType::Utf8),
        ];
        let schema = &Arc::new(Schema::new(columns.map(|(name, of)| Field::new(name, of, true)).to_vec()));
        let place = lake.root().join(RANKINGS);
        let layout = Layout { schema, partition_columns: &["strategy"], comment: "" };
        Table::create(&place, &StorageOptions::default(), layout).await.expect("a table");
        lake
    }

    async fn with_month() -> Self {
        let lake = Self::empty().await;
        let days: Vec<(usize, usize)> = (0..21).map(|day| (day, day)).collect();
        lake.rank(&days).await;
        lake
    }

    async fn with_years() -> Self {
        let lake = Self::empty().await;
        let mut table = lake.signals().rankings_table(false).await.expect("a table");
        let month: YearMonth = "2014-01".parse().expect("a month");
        for month in std::iter::successors(Some(month), |month| Some(month.next())).take(120) {
            let day = month.first_day().to_epoch_days();
            table.add(&names(20), &block(&[(day, 0)], 20)).await.expect("rankings");
        }
        lake
    }

    fn root(&self) -> Location {
        Location::Local(self.folder.path().to_owned())
    }

    fn signals(&self) -> SignalLake {
        SignalLake::new(self.root(), StorageOptions::default())
    }

    /// Puts rankings of some days of the month in a file of their own, after those that are there.
    async fn rank(&self, days: &[(usize, usize)]) {
        let month: YearMonth = MONTH.parse().expect("a month");
        let weekdays: Vec<i32> = month
            .first_day()
            .iter_days()
            .filter(|date| !matches!(date.weekday(), Weekday::Sat | Weekday::Sun))
            .take(21)
            .map(|date: NaiveDate| date.to_epoch_days())
            .collect();
        let days: Vec<(i32, usize)> = days.iter().map(|&(day, turn)| (weekdays[day], turn)).collect();
        let mut table = self.signals().rankings_table(false).await.expect("a table");
        table.add(&names(SYMBOLS), &block(&days, SYMBOLS)).await.expect("rankings");
    }

    async fn tick(&self, postgres: Option<&PostgresSignals>) -> Report {
        let parts = SignalSync {
            lake: Some(self.signals()),
            postgres: postgres.cloned(),
            terms: SyncTerms { verify_counts: true, ..SyncTerms::default() },
        };
        let data = MarketData {
            lake: Some(self.root()),
            options: StorageOptions::default(),
            account: None,
            reach: Reach::default(),
            signals: None,
        };
        let report = sync(&parts, &data, &SyncRequest::default(), &mut |_, _, _| ()).await.expect("a sync");
        assert_eq!(report.months.iter().find_map(|month| month.error.clone()), None);
        report
    }

    /// Writes the month's partitions again with the same rows, last first.
    async fn turn_over(&self) {
        for name in [RANKING_SIGNALS, COMPOSITES] {
            let place = self.root().join(name);
            let mut table =
                Table::open(&place, &StorageOptions::default()).await.expect("a table").expect("a table");
            let old = table.data_files("date").await.expect("files");
            let mut batches = scan(old.iter().map(|file| file.file.clone()).collect(), Selection::default());
            let mut found = Vec::new();
            while let Some(batch) = batches.recv().await {
                found.push(batch.expect("rows"));
            }
            let all = concat_batches(&found[0].schema(), &found).expect("rows");
            let backwards = UInt32Array::from_iter_values((0..all.num_rows() as u32).rev());
            let all = take_record_batch(&all, &backwards).expect("rows");
            let stamp = old[0].stamp.clone().unwrap_or_default();
            table.overwrite(("year_month", MONTH), &old, Some(all), &stamp).await.expect("a commit");
        }
    }

    /// The month's rows as files that `\copy` takes.
    async fn copy_files(&self) -> [PathBuf; 2] {
        let month: YearMonth = MONTH.parse().expect("a month");
        let signals = self.signals().look().await.expect("a lake").read_signals(month).await.expect("rows");
        let (ranking, composite) = encode(month, &signals);
        let write = |name: &str, rows: &Encoded| {
            let path = self.folder.path().join(name);
            std::fs::write(&path, [HEADER, &rows.bytes, TRAILER].concat()).expect("a file");
            path
        };
        [write("ranking.copy", &ranking), write("composite.copy", &composite)]
    }

    /// One sync by the program: milliseconds, and MiB of its largest resident set.
    fn by_program(&self, dsn: &str) -> (f64, f64) {
        let started = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_backtests"))
            .args(["sync", "--lake"])
            .arg(self.folder.path())
            .env("POSTGRES_DSN", dsn)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program");
        let mut peak = 0.0_f64;
        while child.try_wait().expect("the program").is_none() {
            let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kib: Option<f64> =
                line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok());
            peak = peak.max(kib.unwrap_or_default() / 1024.0);
            std::thread::sleep(Duration::from_millis(5));
        }
        (millis(started), peak)
    }
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("SYM{number:05}")).collect()
}

/// Rankings of some days, each turned by another number of places.
fn block(days: &[(i32, usize)], symbols: usize) -> Vec<(&'static str, RankedDays)> {
    let of = |strategy: usize| {
        let mut rows = RankedDays::default();
        for &(day, turn) in days {
            for place in 0..symbols {
                rows.day.push(day);
                rows.symbol.push(((place * [7, 11, 13][strategy] + turn * 17) % symbols) as u32);
                rows.rank.push(place as i32 + 1);
                rows.score.push(1.0 - place as f64 / symbols as f64);
            }
        }
        rows
    };
    STRATEGIES.iter().enumerate().map(|(at, name)| (*name, of(at))).collect()
}

/// Somebody who counts a day again and again.
struct Reader {
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<(usize, f64, usize)>,
}

impl Reader {
    fn start(client: Client) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            let (mut reads, mut worst, mut wrong) = (0, 0.0_f64, 0);
            let question = "SELECT count(*) FROM ranking.ranking_signal WHERE date = '2024-03-15'";
            while !asked.load(Ordering::Relaxed) {
                let started = Instant::now();
                let count: i64 = client.query_one(question, &[]).await.expect("a count").get(0);
                worst = worst.max(millis(started));
                reads += 1;
                wrong += usize::from(count != (SYMBOLS * STRATEGIES.len()) as i64);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            (reads, worst, wrong)
        });
        Self { stop, task }
    }

    async fn stop(self) -> (usize, f64, usize) {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("a reader")
    }
}

/// A Postgres of this run, as durable as a real one.
struct Cluster {
    folder: tempfile::TempDir,
    bin: PathBuf,
    port: u16,
}

impl Cluster {
    fn start() -> Option<Self> {
        let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
        let mut bins: Vec<PathBuf> =
            versions.filter_map(|entry| Some(entry.ok()?.path().join("bin"))).collect();
        bins.sort();
        let bin = bins.into_iter().rev().find(|bin| bin.join("initdb").is_file())?;
        let folder = tempfile::tempdir().expect("a folder");
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let cluster = Self { folder, bin, port: port.expect("a port").port() };
        assert!(Command::new("chown").arg("postgres").arg(cluster.folder.path()).status().ok()?.success());
        cluster.run("initdb", &["-U", "tester", "-A", "trust", "-E", "UTF8", "--locale=C"]);
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_wal_size=4GB",
            cluster.port
        );
        cluster.run("pg_ctl", &["-w", "-o", &options, "start"]);
        Some(cluster)
    }

    /// Runs a program of the installation on the data folder; Postgres refuses to be run by root.
    fn run(&self, program: &str, arguments: &[&str]) {
        let status = Command::new("runuser")
            .args(["-u", "postgres", "--"])
            .arg(self.bin.join(program))
            .arg("-D")
            .arg(self.folder.path().join("data"))
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert!(status.is_ok_and(|status| status.success()), "{program}");
    }

    fn dsn(&self) -> String {
        format!("postgres://tester@127.0.0.1:{}/postgres", self.port)
    }

    async fn connect(&self) -> Client {
        Database::parse(&self.dsn(), "bench").expect("a database").connect().await.expect("a connection")
    }

    fn signals(&self) -> PostgresSignals {
        PostgresSignals::new(
            Database::parse(&self.dsn(), "bench").expect("a database").pool(2).expect("a pool"),
        )
    }

    /// Milliseconds that psql takes for both files, in one transaction.
    fn psql(&self, files: &[PathBuf; 2]) -> f64 {
        let copy = |table: &str, columns: &str, file: &Path| {
            format!("\\copy ranking.{table} ({columns}) from '{}' (format binary)", file.display())
        };
        let ranking = "date, year_month, symbol, strategy, rank, rank_percentile, n_symbols, score";
        let composite = "date, year_month, symbol, composite_percentile, composite_rank, strategies_present, \
                         strategies_hit";
        let started = Instant::now();
        let status = Command::new(self.bin.join("psql"))
            .args(["-X", "-q", "-1", "-v", "ON_ERROR_STOP=1", "-d", &self.dsn()])
            .args(["-c", &copy("ranking_signal", ranking, &files[0])])
            .args(["-c", &copy("composite_signal_daily", composite, &files[1])])
            .status();
        assert!(status.is_ok_and(|status| status.success()), "psql");
        millis(started)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.run("pg_ctl", &["-m", "immediate", "stop"]);
    }
}
