//! Sync: bring the signals of every month that is behind up to date, in Delta first, then in Postgres. What a month
//! needs is read from what is there, never from what this tick did: whatever failed, or was never written, is found
//! again by the next tick, and filling years of months is the same as keeping up with the newest. What the signals predict is
//! kept up to date last, in `factors`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use serde::Serialize;

use super::chain;
use super::factors::{self, FactorReport};
use super::rank::{self, RankError};
use super::sha256_hex;
use crate::signal::{self, LeftOut, YearMonth};
use crate::store::pg::{self, PgError};
use crate::store::prices::MarketData;
use crate::store::signals::copy::encode;
use crate::store::signals::lake::{Held, LakeError, LakeView, Maker, SignalLake};
use crate::store::signals::postgres::{PostgresSignals, SyncState};
use crate::store::signals::writer::{Audit, MonthRows, WriteError, WriteTerms, Writer, Written};
use crate::telemetry;

/// Part of what signals are made from: another method makes every month behind.
const METHOD: &str = "percentiles 1";

/// Times that a month is looked at again after another writer was faster.
const CONFLICTS_MAX: usize = 8;

/// What signals are synced with.
#[derive(Debug)]
pub struct SignalSync {
    /// Where rankings and signals lie; without a lake there is nothing to sync.
    pub lake: Option<SignalLake>,
    /// Where signals are served from; without it only the lake is written.
    pub postgres: Option<PostgresSignals>,
    /// How months are computed, written and checked.
    pub terms: SyncTerms,
}

/// How signals are synced.
#[derive(Debug, Clone, PartialEq)]
pub struct SyncTerms {
    /// How they are computed.
    pub signals: signal::SignalTerms,
    /// Whether a month that Postgres did not take is a failure of the whole.
    pub write_required: bool,
    /// Whether rows are counted after a write.
    pub verify_counts: bool,
}

impl Default for SyncTerms {
    fn default() -> Self {
        Self { signals: signal::SignalTerms::default(), write_required: true, verify_counts: false }
    }
}

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SyncRequest {
    /// Only these months; all of them without any.
    pub months: BTreeSet<YearMonth>,
    /// Also months that are up to date, and every day of them.
    pub force: bool,
    /// First compare Postgres with what was written there.
    pub audit: bool,
}

impl SyncRequest {
    /// Whether a month is asked for.
    pub fn includes(&self, month: YearMonth) -> bool {
        self.months.is_empty() || self.months.contains(&month)
    }
}

/// Why a month is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Its signals were never made.
    NeverMade,
    /// Its rankings, or the terms, are others than its signals were made from.
    RankingsChanged,
    /// It has signals and no rankings any more.
    RankingsGone,
    /// Postgres never had it.
    NeverWritten,
    /// Postgres has other files of it.
    FilesChanged,
    /// The last write failed.
    Failed,
    /// Its rows were changed by hand.
    Drift,
    /// The caller wants it done in any case.
    #[serde(rename = "asked")]
    Requested,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NeverMade => "never made",
            Self::RankingsChanged => "rankings changed",
            Self::RankingsGone => "rankings gone",
            Self::NeverWritten => "never written",
            Self::FilesChanged => "files changed",
            Self::Failed => "failed before",
            Self::Drift => "changed by hand",
            Self::Requested => "asked for",
        })
    }
}

/// What is where, month by month.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    /// What signals would be made from now; `None` when the lake has no rankings, and its signals are kept by another program.
    pub rankings: Option<BTreeMap<YearMonth, String>>,
    /// What the lake holds.
    pub signals: BTreeMap<YearMonth, Held>,
    /// What Postgres holds; `None` when there is none, or none that answers.
    pub states: Option<BTreeMap<YearMonth, SyncState>>,
}

/// A month that is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Due {
    /// Month that was synced.
    #[serde(rename = "year_month")]
    pub month: YearMonth,
    /// Why the lake must be written.
    pub delta: Option<Why>,
    /// Why Postgres must be written; what follows from a write of the lake is not foreseen here.
    pub postgres: Option<Why>,
}

/// The months that are behind, newest first.
pub fn due(inventory: &Inventory, request: &SyncRequest) -> Vec<Due> {
    let known = inventory.rankings.iter().flat_map(BTreeMap::keys);
    let known = known.chain(inventory.signals.keys());
    let known = known.chain(inventory.states.iter().flat_map(BTreeMap::keys));
    let months: BTreeSet<YearMonth> = known.copied().filter(|month| request.includes(*month)).collect();
    let one = |month: YearMonth| Due {
        month,
        delta: delta_due(inventory, month, request.force),
        postgres: inventory.states.as_ref().and_then(|states| {
            postgres_due(inventory.signals.get(&month), states.get(&month), request.force)
        }),
    };
    months.into_iter().rev().map(one).filter(|due| due.delta.is_some() || due.postgres.is_some()).collect()
}

fn delta_due(inventory: &Inventory, month: YearMonth, force: bool) -> Option<Why> {
    let rankings = inventory.rankings.as_ref()?;
    match (rankings.get(&month), inventory.signals.get(&month)) {
        (Some(_), None) => Some(Why::NeverMade),
        (Some(now), Some(held)) if held.stamp.as_ref() != Some(now) => Some(Why::RankingsChanged),
        (Some(_), Some(_)) => force.then_some(Why::Requested),
        (None, Some(_)) => Some(Why::RankingsGone),
        (None, None) => None,
    }
}

fn postgres_due(held: Option<&Held>, state: Option<&SyncState>, force: bool) -> Option<Why> {
    match (held, state) {
        (None, None) => None,
        (_, Some(state)) if state.status == "failed" => Some(Why::Failed),
        (_, Some(state)) if state.status == "drift" => Some(Why::Drift),
        // Nothing here and nothing there, or everything that is here.
        (None, Some(state)) if state.signals_rows == 0 && state.composite_rows == 0 => None,
        (Some(held), Some(state)) if state.holds(&held.files_digest) => force.then_some(Why::Requested),
        (Some(_), None) => Some(Why::NeverWritten),
        (_, Some(_)) => Some(Why::FilesChanged),
    }
}

/// What became of a sync.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// The months that were behind, newest first.
    pub months: Vec<MonthReport>,
    /// Months whose rows were changed by hand, and the days.
    pub drift: BTreeMap<YearMonth, Audit>,
    /// Why Postgres could not be asked at all.
    pub postgres: Option<String>,
    /// Why prices could not be ranked.
    pub rankings: Option<String>,
    /// What became of the factor figures, which come after everything else: what goes wrong with them is no failure of the
    /// signals.
    pub factors: FactorReport,
}

/// What became of a month.
#[derive(Debug, Serialize)]
pub struct MonthReport {
    /// Which one, and why.
    #[serde(flatten)]
    pub due: Due,
    /// Rows that its signals have now; `None` when they could not be made or read.
    pub rows: Option<MonthSize>,
    /// Whether the lake was written.
    pub delta_written: bool,
    /// What Postgres was given; `None` when it was not written.
    pub written: Option<WrittenRows>,
    /// Why it is still behind.
    pub error: Option<Failure>,
    /// Time that it took.
    pub elapsed_ms: u64,
}

/// Rows of a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MonthSize {
    /// Ranking signals.
    pub signals: usize,
    /// Rows of composite signals that were written.
    pub composites: usize,
}

/// What Postgres was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct WrittenRows {
    /// Rows of both tables.
    pub rows: i32,
    /// Days that were replaced or removed.
    pub days: i32,
}

/// Why a month is still behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// On which side.
    pub side: Side,
    /// The whole chain of causes.
    pub message: String,
}

/// The two sides of a sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Rankings and signals of the lake.
    Delta,
    /// The tables in Postgres.
    Postgres,
}

impl Report {
    /// What makes the whole a failure, if anything does. A month that only Postgres did not take is one when writes are
    /// required.
    pub fn failure(&self, write_required: bool) -> Option<String> {
        let mut failed: Vec<String> =
            self.rankings.iter().map(|error| format!("rankings: {error}")).collect();
        if write_required {
            failed.extend(self.postgres.iter().map(|error| format!("postgres: {error}")));
        }
        let counts = |error: &&Failure| write_required || error.side == Side::Delta;
        failed.extend(self.months.iter().filter_map(|month| {
            let error = month.error.as_ref().filter(counts)?;
            Some(format!("{}: {}", month.due.month, error.message))
        }));
        (!failed.is_empty()).then(|| failed.join("; "))
    }
}

/// How a sync stands: months done, months in all, and the one that is being worked on.
pub type OnMonth<'a> = dyn FnMut(usize, usize, YearMonth) + Send + 'a;

/// What a look found.
#[derive(Debug)]
pub struct Behind {
    /// The months that are behind, newest first.
    pub due: Vec<Due>,
    /// Versions of the Delta tables of ranking signals and of composites.
    pub versions: (i64, i64),
    /// Why Postgres does not say what it holds.
    pub postgres: Option<PgError>,
}

/// Says what is behind, and changes nothing.
pub async fn look(sync: &SignalSync, request: &SyncRequest) -> Result<Behind, LakeError> {
    let Some(lake) = &sync.lake else {
        return Ok(Behind { due: Vec::new(), versions: (0, 0), postgres: None });
    };
    let (view, states) = tokio::join!(lake.look(), states(sync.postgres.as_ref()));
    let (view, (states, postgres)) = (view?, split(states));
    check(lake, &view, states.as_ref())?;
    let versions = view.versions();
    Ok(Behind { due: due(&inventory(&view, &sync.terms, states), request), versions, postgres })
}

/// Brings every month that is behind up to date, newest first. A month that fails does not keep others from it.
///
/// # Errors
/// When the lake cannot be looked at: that says nothing about any month.
pub async fn sync(
    sync: &SignalSync,
    data: &MarketData,
    request: &SyncRequest,
    on_month: &mut OnMonth<'_>,
) -> Result<Report, LakeError> {
    let mut report = Report::default();
    let Some(lake) = &sync.lake else { return Ok(report) };
    let mut view = lake.look().await?;
    if view.maker() != Maker::Unknown {
        // Boxed, here and below: through so many borrows the compiler no longer sees that a future may change threads.
        match rank::rank(data, lake, false, &mut |_, _| ()).boxed().await {
            Ok(ranked) if ranked.days == 0 => {}
            Ok(ranked) => {
                tracing::info!("ranked {} new days of prices", ranked.days);
                view = lake.look().await?;
            }
            // Another invocation is at it.
            Err(RankError::Lake(error)) if error.is_conflict() => {}
            Err(error) => report.rankings = Some(chain(&error)),
        }
    }

    let mut writer = sync.postgres.as_ref().map(PostgresSignals::writer);
    let (mut known, mut down) = split(states(sync.postgres.as_ref()).await);
    if let (true, Some(writer), Some(written)) = (request.audit, &mut writer, &known) {
        report.drift = audit(writer, written, request, true, &mut report.postgres).await;
        (known, down) = split(states(sync.postgres.as_ref()).await);
    }
    if let Some(error) = down {
        tracing::warn!(error = chain(&error), "postgres does not answer; the months there are synced later");
        report.postgres = Some(chain(&error));
        writer = None;
    }

    check(lake, &view, known.as_ref())?;
    let inventory = inventory(&view, &sync.terms, known);
    let all = due(&inventory, request);
    for (done, due) in all.iter().enumerate() {
        on_month(done, all.len(), due.month);
        let started = Instant::now();
        let mut work = Month {
            due: *due,
            state: inventory.states.as_ref().and_then(|states| states.get(&due.month)),
            lake,
            terms: &sync.terms,
            force: request.force,
            view: &mut view,
            rows: None,
            delta_written: false,
        };
        let worked = work.bring_up_to_date(writer.as_mut()).await;
        let (rows, delta_written) = (work.rows, work.delta_written);
        let elapsed_ms = started.elapsed().as_millis() as u64;
        let (written, error) = match worked {
            Ok(written) => (written, None),
            Err(error) => (None, Some(error)),
        };
        count(started.elapsed(), written, error.as_ref());
        if let Some(error) = &error {
            tracing::warn!(year_month = %due.month, error = error.message, "could not sync month {}", due.month);
            note_failure(writer.as_mut(), due.month, error).await;
        } else {
            tracing::info!(year_month = %due.month, elapsed_ms, "synced month {}", due.month);
        }
        report.months.push(MonthReport { due: *due, rows, delta_written, written, error, elapsed_ms });
    }
    telemetry::BEHIND.set(report.months.iter().filter(|month| month.error.is_some()).count() as f64);
    let wanted = |month| request.includes(month);
    report.factors = factors::bring_up_to_date(lake, data, &wanted, request.force).boxed().await;
    Ok(report)
}

/// Counts a month that was worked on.
fn count(elapsed: Duration, written: Option<WrittenRows>, error: Option<&Failure>) {
    telemetry::SYNC_MONTH.took(elapsed);
    telemetry::MONTHS.one(match error.map(|error| error.side) {
        None => "synced",
        Some(Side::Delta) => "delta",
        Some(Side::Postgres) => "postgres",
    });
    telemetry::ROWS.add(written.and_then(|written| usize::try_from(written.rows).ok()).unwrap_or_default());
}

/// Compares what Postgres holds with what was written there, and changes nothing.
pub async fn audited(
    sync: &SignalSync,
    request: &SyncRequest,
) -> (BTreeMap<YearMonth, Audit>, Option<String>) {
    let mut error = None;
    let (states, down) = split(states(sync.postgres.as_ref()).await);
    let drift = match (&sync.postgres, &states) {
        (Some(postgres), Some(states)) => {
            audit(&mut postgres.writer(), states, request, false, &mut error).await
        }
        _ => BTreeMap::new(),
    };
    (drift, error.or(down.map(|error| chain(&error))))
}

type States = BTreeMap<YearMonth, SyncState>;

/// The states by month; `None` without a Postgres. A failure that passes is tried again.
async fn states(postgres: Option<&PostgresSignals>) -> Result<Option<States>, PgError> {
    let Some(postgres) = postgres else { return Ok(None) };
    let mut pauses = pg::PAUSES.iter();
    let states = loop {
        match (postgres.states_to_sync().await, pauses.next()) {
            (Err(error), Some(pause)) if error.is_retryable() => {
                tracing::info!(error = chain(&error), "postgres does not answer; trying again");
                tokio::time::sleep(*pause).await;
            }
            (answer, _) => break answer?,
        }
    };
    // Whatever else is kept there under names that are no months is none of ours.
    Ok(Some(states.into_iter().filter_map(|state| Some((state.year_month.parse().ok()?, state))).collect()))
}

fn split(states: Result<Option<States>, PgError>) -> (Option<States>, Option<PgError>) {
    match states {
        Ok(states) => (states, None),
        Err(error) => (None, Some(error)),
    }
}

/// Refuses a lake in which nothing is found of what is served: that is another lake, not one whose months are gone.
fn check(lake: &SignalLake, view: &LakeView, states: Option<&States>) -> Result<(), LakeError> {
    let served = states.into_iter().flat_map(BTreeMap::values);
    let months = served.filter(|state| state.signals_rows > 0 || state.composite_rows > 0).count();
    if view.is_empty() && months > 0 {
        return Err(LakeError::NoTables { place: lake.place(), months });
    }
    Ok(())
}

fn inventory(view: &LakeView, terms: &SyncTerms, states: Option<States>) -> Inventory {
    let rankings = view.has_rankings().then(|| {
        let months = view.rankings().into_iter();
        months.map(|(month, files)| (month, stamp(&files, &terms.signals))).collect()
    });
    Inventory { rankings, signals: view.signals(), states }
}

/// What signals are made from: files of rankings, terms and method.
fn stamp(files_digest: &str, terms: &signal::SignalTerms) -> String {
    sha256_hex(format!("{METHOD}\n{:?}\n{}\n{files_digest}", terms.weights, terms.top_n))
}

async fn audit(
    writer: &mut Writer,
    states: &States,
    request: &SyncRequest,
    mark: bool,
    failed: &mut Option<String>,
) -> BTreeMap<YearMonth, Audit> {
    let mut drift = BTreeMap::new();
    for (&month, _) in states.iter().rev().filter(|(month, _)| request.includes(**month)) {
        match writer.audit(month, mark).await {
            Ok(audit) if audit.days.is_empty() => {}
            Ok(audit) => {
                tracing::warn!(year_month = %month, "{} days of month {month} were changed by hand", audit.days.len());
                drift.insert(month, audit);
            }
            Err(error) => {
                *failed = Some(format!("audit {month}: {}", chain(&error)));
                break;
            }
        }
    }
    drift
}

/// Notes a failure where operators look for it. That this fails too is only worth a line.
async fn note_failure(writer: Option<&mut Writer>, month: YearMonth, failure: &Failure) {
    let Some(writer) = writer else { return };
    if let Err(error) = writer.fail(month, &failure.message).await {
        tracing::warn!(year_month = %month, error = chain(&error), "could not note that month {month} failed");
    }
}

/// One month while it is brought up to date.
struct Month<'a> {
    due: Due,
    /// What Postgres held.
    state: Option<&'a SyncState>,
    lake: &'a SignalLake,
    terms: &'a SyncTerms,
    force: bool,
    /// Looked at anew when another writer was faster.
    view: &'a mut LakeView,
    rows: Option<MonthSize>,
    delta_written: bool,
}

impl Month<'_> {
    async fn bring_up_to_date(
        &mut self,
        writer: Option<&mut Writer>,
    ) -> Result<Option<WrittenRows>, Failure> {
        if self.due.delta.is_some() {
            self.materialize().boxed().await.map_err(on(Side::Delta))?;
        }
        // The lake may have been written meanwhile, here or elsewhere.
        let held = self.view.signals_of(self.due.month);
        match writer {
            Some(writer) if postgres_due(held.as_ref(), self.state, self.force).is_some() => {
                self.load(writer).boxed().await
            }
            _ => Ok(None),
        }
    }

    /// Makes the signals of the month from its rankings.
    async fn materialize(&mut self) -> Result<(), MonthError> {
        let month = self.due.month;
        for look in 0.. {
            let stamp = stamp(&self.view.rankings().remove(&month).unwrap_or_default(), &self.terms.signals);
            let held = self.view.signals_of(month);
            if !self.force && held.is_some_and(|held| held.stamp.as_ref() == Some(&stamp)) {
                // Another invocation has made them meanwhile.
                return Ok(());
            }
            let rankings = self.view.read_rankings(month).await?;
            let terms = self.terms.signals.clone();
            // Sorting a month takes a while, and other invocations do not wait.
            let make = move || {
                let made = signal::materialize(month, &rankings, &terms)?;
                signal::check_ranks(month, &rankings, &made.0)?;
                Ok::<_, MonthError>(made)
            };
            let made = tokio::task::spawn_blocking(make).await;
            let (signals, left_out) = made.map_err(|_| MonthError::Panicked)??;
            self.rows =
                Some(MonthSize { signals: signals.ranking.len(), composites: signals.composite.len() });
            warn_of(month, signals.ranking.is_empty(), &left_out);
            match self.view.write(month, &signals, &stamp).await {
                Ok(written) => {
                    self.delta_written |= written;
                    return Ok(());
                }
                Err(error) if error.is_conflict() && look < CONFLICTS_MAX => {
                    tracing::info!(year_month = %month, "another invocation writes signals; looking again");
                    tokio::time::sleep(back_off(look)).await;
                    *self.view = self.lake.look().await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Brings Postgres to what the lake holds.
    async fn load(&mut self, writer: &mut Writer) -> Result<Option<WrittenRows>, Failure> {
        let mut terms =
            WriteTerms { verify_counts: self.terms.verify_counts, force: self.force, any_version: false };
        for _ in 0..CONFLICTS_MAX {
            let rows = self.read().await.map_err(on(Side::Delta))?;
            match writer.write(&rows, terms).await.map_err(on::<WriteError>(Side::Postgres))? {
                Written::Done { rows, days } => return Ok(Some(WrittenRows { rows, days })),
                Written::Superseded => {
                    let before = self.view.versions();
                    *self.view = self.lake.look().await.map_err(on::<LakeError>(Side::Delta))?;
                    // The writer of a later version had committed it before. If there is none, the table was made anew.
                    terms.any_version = self.view.versions() == before;
                }
            }
        }
        Err(Failure {
            side: Side::Postgres,
            message: "other invocations were faster again and again".to_owned(),
        })
    }

    async fn read(&mut self) -> Result<MonthRows, MonthError> {
        let month = self.due.month;
        let signals = self.view.read_signals(month).await?;
        self.rows = Some(MonthSize { signals: signals.ranking.len(), composites: signals.composite.len() });
        let encoded = tokio::task::spawn_blocking(move || encode(month, &signals)).await;
        let (ranking, composite) = encoded.map_err(|_| MonthError::Panicked)?;
        let (versions, files_digest) = (self.view.versions(), self.view.held(month).files_digest);
        Ok(MonthRows { month, ranking, composite, versions, files_digest })
    }
}

/// Why the signals of a month could not be made or read.
#[derive(Debug, thiserror::Error)]
enum MonthError {
    #[error(transparent)]
    Lake(#[from] LakeError),
    #[error("RANKING_COMPOSITE_STRATEGY_WEIGHTS")]
    Weights(#[from] signal::InvalidWeights),
    #[error("rankings of the month")]
    Ranks(#[from] signal::InvalidRanks),
    #[error("the computation panicked")]
    Panicked,
}

fn on<E: std::error::Error>(side: Side) -> impl FnOnce(E) -> Failure {
    move |error| Failure { side, message: chain(&error) }
}

fn warn_of(month: YearMonth, is_gone: bool, left_out: &LeftOut) {
    if is_gone {
        tracing::warn!(year_month = %month, "the rankings of month {month} are gone; its signals go too");
    }
    if !left_out.is_nothing() {
        tracing::warn!(year_month = %month, "month {month}: left out rows {left_out}");
    }
}

/// Longer each time, and never the same for two writers.
fn back_off(look: usize) -> Duration {
    let random = (uuid::Uuid::new_v4().as_u128() % 100) as u64;
    Duration::from_millis(20 * (1 << look.min(5)) + random)
}
