//! What a running service counts and measures: each by name, with its unit and what it means. `docs/metrics.md` shows the
//! same list to people, and a test holds the two together. Recording is an addition to a number that was looked up once;
//! where the numbers are not kept, as in the commands, it is nothing at all. Who keeps and tells them is `cli::exporter`.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use ::metrics::{Counter, Gauge, Histogram};

/// A name, for the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Described {
    /// As it is told.
    pub name: &'static str,
    /// How it is recorded.
    pub kind: Kind,
    /// What its numbers are numbers of.
    pub unit: &'static str,
    /// What tells its values apart, where there are several; few, and known beforehand.
    pub label: Option<&'static str>,
    /// What it says.
    pub meaning: &'static str,
}

/// How numbers are recorded; see the types of these names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "described at the types of these names")]
pub enum Kind {
    Count,
    CountBy,
    Time,
    Level,
    Sample,
    SampleBy,
}

impl Kind {
    /// What others call it: `counter`, `histogram` or `gauge`.
    pub fn family(self) -> &'static str {
        match self {
            Self::Count | Self::CountBy => "counter",
            Self::Time => "histogram",
            Self::Level | Self::Sample | Self::SampleBy => "gauge",
        }
    }
}

/// Something that is counted.
pub struct Count(LazyLock<Counter>);

impl Count {
    /// One more.
    pub fn one(&self) {
        self.add(1);
    }

    /// Some more.
    pub fn add(&self, more: usize) {
        self.0.increment(more as u64);
    }
}

/// Something that is counted, apart by a label. Looked up each time, so it is for what happens rarely.
pub struct CountBy(fn(&'static str) -> Counter);

impl CountBy {
    /// One more of this label.
    pub fn one(&self, label: &'static str) {
        (self.0)(label).increment(1);
    }
}

/// Times that something takes, in milliseconds.
pub struct Time(LazyLock<Histogram>);

impl Time {
    /// It took this long.
    pub fn took(&self, elapsed: Duration) {
        self.0.record(elapsed.as_secs_f64() * 1000.0);
    }

    /// Waits for `work`, which takes as long as it takes.
    pub async fn of<T>(&self, work: impl Future<Output = T>) -> T {
        let started = Instant::now();
        let done = work.await;
        self.took(started.elapsed());
        done
    }
}

/// How much of something this process holds.
pub struct Level(LazyLock<Gauge>);

impl Level {
    /// One more, until what is returned is dropped.
    pub fn hold(&'static self) -> Held {
        self.0.increment(1.0);
        Held(self)
    }
}

/// One of a level.
pub struct Held(&'static Level);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.0.decrement(1.0);
    }
}

/// How much there was of something that all processes share, when it was looked at. It is told once, because another
/// process may look next.
pub struct Sample(LazyLock<Gauge>);

impl Sample {
    /// This much.
    pub fn set(&self, now: f64) {
        self.0.set(now);
    }
}

/// The same, apart by a label.
pub struct SampleBy(fn(&'static str) -> Gauge);

impl SampleBy {
    /// This much of this label.
    pub fn set(&self, label: &'static str, now: f64) {
        (self.0)(label).set(now);
    }
}

macro_rules! measure {
    (Count, $name:literal) => { Count(LazyLock::new(|| ::metrics::counter!($name))) };
    (CountBy, $name:literal, $label:literal) => { CountBy(|label| ::metrics::counter!($name, $label => label)) };
    (Time, $name:literal) => { Time(LazyLock::new(|| ::metrics::histogram!($name))) };
    (Level, $name:literal) => { Level(LazyLock::new(|| ::metrics::gauge!($name))) };
    (Sample, $name:literal) => { Sample(LazyLock::new(|| ::metrics::gauge!($name))) };
    (SampleBy, $name:literal, $label:literal) => { SampleBy(|label| ::metrics::gauge!($name, $label => label)) };
}

macro_rules! label {
    () => {
        None
    };
    ($label:literal) => {
        Some($label)
    };
}

macro_rules! measures {
    ($($ident:ident: $kind:ident = $name:literal $(by $label:literal)?, in $unit:literal: $meaning:literal;)*) => {
        $(
            #[doc = $meaning]
            pub static $ident: $kind = measure!($kind, $name $(, $label)?);
        )*

        /// Every measure, in the order in which they are exported.
        pub const ALL: &[Described] = &[$(Described {
            name: $name,
            kind: Kind::$kind,
            unit: $unit,
            label: label!($($label)?),
            meaning: $meaning,
        },)*];
    };
}

measures! {
    SUBMITS: Count = "submits", in "runs": "Runs that were stored";
    REPLAYS: Count = "idempotent_replays", in "requests": "Submits that were answered with the run of the same key and body";
    ANNOUNCED: Count = "announcements_sent", in "messages": "Wake-up messages that were handed to the host";
    RECOVERED: Count = "announcements_recovered", in "runs": "Runs that reconcile announced, because they had not been, or nothing came of it";
    DROPPED: CountBy = "announcements_dropped" by "reason", in "messages": "Wake-up messages of which nothing came: the state that the run was in, `unknown`, or `malformed`";
    CLAIMS: Count = "claims", in "attempts": "Attempts that began";
    TAKEOVERS: Count = "takeovers", in "attempts": "Claims of a run whose executor was gone";
    BEATS: Count = "beats", in "renewals": "Renewals of a lease that the store confirmed";
    FENCED_OUT: CountBy = "fenced_out" by "operation", in "attempts": "Attempts that stopped because another executor holds the run: at a `beat`, an `upload` or the `finish`";
    RETRIES: CountBy = "retries" by "reason", in "attempts": "Attempts after which the run waits for another one";
    RUNS_ENDED: CountBy = "runs_ended" by "reason", in "runs": "Runs that reached a final state: `completed`, `canceled`, or why they failed";
    SWEPT: Count = "orphans_swept", in "attempts": "Attempts whose files were removed because no row names them";
    MONTHS: CountBy = "sync_months" by "result", in "months": "Months that a sync worked on: `synced`, or the side that failed, `delta` or `postgres`";
    ROWS: Count = "sync_rows_written", in "rows": "Rows of signals that were copied to Postgres";
    FACTORS: CountBy = "sync_factor_months" by "result", in "months": "Months of factor figures that a sync worked on: `written`, `unchanged`, `removed` or `failed`";
    SUBMIT: Time = "submit_ms", in "ms": "Storing a submitted run";
    CLAIM: Time = "claim_ms", in "ms": "Asking for the lease of a run";
    BEAT: Time = "beat_ms", in "ms": "Renewing a lease";
    FINISH: Time = "finish_ms", in "ms": "Ending an attempt in the store";
    QUEUE_WAIT: Time = "queue_wait_ms", in "ms": "From the submit of a run to its first claim, by the store's clock";
    RUN: Time = "run_ms", in "ms": "An attempt, from the claim to its end";
    LOAD: Time = "load_ms", in "ms": "Loading the prices and signals of a run";
    COMPUTE: Time = "compute_ms", in "ms": "The engine and the files of a run";
    POOL_WAIT: Time = "pool_wait_ms", in "ms": "Waiting for a connection of the database";
    SYNC_MONTH: Time = "sync_month_ms", in "ms": "Bringing one month of signals up to date";
    RUNS: SampleBy = "runs" by "status", in "runs": "Runs that are `queued` and `running`, as the last tick of reconcile found them";
    OLDEST_DUE: Sample = "oldest_due_seconds", in "s": "How long the run has waited that could have been claimed first, at that tick; 0 without one";
    POISONED: Sample = "poison_messages", in "messages": "Messages in the poison queue, about, at that tick; only where the storage account of the host is known";
    CONNECTIONS: Level = "connections_in_use", in "connections": "Connections of the database in use";
    BEHIND: Sample = "months_behind", in "months": "Months that the last sync left behind";
}
