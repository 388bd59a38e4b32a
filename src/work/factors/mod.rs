//! Factor figures: what the signals of each strategy were followed by, kept beside the signals, a month at a time. What a
//! month needs is read from what is there, as in `sync`, with one difference: its figures look at prices of days that come
//! after it, as far as the longest horizon reaches. So the source that is noted with a month says how far it looked, and a
//! month is behind when its signals, those of the month before, or any file with prices up to there are others than they
//! were; a month whose horizon goes beyond the newest price looks at all that comes. A file that was written again says
//! little of what is in it: then signals and prices are read, and figures are computed only where these are others.
//!
//! How the figures of a month are made is told in `month`, what many of them come to in `sheet`.

mod month;
mod sheet;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{Datelike as _, Days, NaiveDate};
use futures_util::FutureExt as _;
use rayon::prelude::*;
use serde::Serialize;

use self::month::{Made, Market, make};
pub use self::sheet::{ByDay, Coefficients, OutlookSheet, Period, SignalSheet, TearSheet};
use super::chain;
use super::sha256_hex;
use crate::engine::market::{DataError, PricePanel, PriceRows, SignalRows};
use crate::signal::{MonthSignals, SignalCells, YearMonth};
use crate::statistics::factors::REACH;
use crate::store::delta::DataFile;
use crate::store::load_error::LoadError;
use crate::store::prices::{MarketData, PRICE_TABLE};
use crate::store::signals::factors::{FactorTable, Figures};
use crate::store::signals::lake::{LakeError, LakeView, SignalLake};
use crate::telemetry;

/// Part of what figures are made from: another method makes every month behind.
const METHOD: &str = "factors 1";

/// Calendar days that nearly always hold the trading days of [`REACH`]; where they do not, all later prices are read.
const REACH_DAYS: u64 = 130;

/// Times that a month is written again after another writer was faster.
const CONFLICTS_MAX: u32 = 8;

/// Why the figures of a month are behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FactorWhy {
    /// They were never made.
    NeverMade,
    /// Files of signals or prices are others than they were made from.
    FilesChanged,
    /// The month has figures and no signals any more.
    SignalsGone,
    /// The caller wants it done in any case.
    #[serde(rename = "asked")]
    Requested,
}

impl fmt::Display for FactorWhy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NeverMade => "never made",
            Self::FilesChanged => "signals or prices changed",
            Self::SignalsGone => "signals gone",
            Self::Requested => "asked for",
        })
    }
}

/// What the figures of a month were made from, as it is noted with their files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Digest of the files of signals and prices.
    pub files: String,
    /// Last day whose prices they look at; `None` while they look at all that come.
    pub until: Option<NaiveDate>,
    /// Digest of the signals and prices in these files.
    pub content: String,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let until = self.until.map_or_else(|| OPEN.to_owned(), |day| day.to_string());
        write!(f, "{} {until} {}", self.files, self.content)
    }
}

/// What stands for the last day while there is none.
const OPEN: &str = "open";

impl FromStr for Source {
    type Err = ();

    /// What was noted by anything else counts as nothing: the month is made again.
    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split(' ').map(str::to_owned);
        let mut next = || parts.next().ok_or(());
        let (files, until, content) = (next()?, next()?, next()?);
        let until = if until == OPEN { None } else { Some(until.parse().map_err(|_| ())?) };
        Ok(Self { files, until, content })
    }
}

/// A file of prices, as the log has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriceFile {
    /// Path and size.
    pub name: String,
    /// First and last day in it; `None` when the log does not say.
    pub days: Option<(NaiveDate, NaiveDate)>,
}

impl PriceFile {
    fn of(file: &DataFile) -> Self {
        Self { name: format!("{}\t{}", file.file.path, file.file.size), days: file.dates }
    }
}

/// What is where.
#[derive(Debug, Clone, Default)]
pub struct FactorInventory {
    /// Digest of the files of ranking signals by month.
    pub signals: BTreeMap<YearMonth, String>,
    /// Files of the table of prices.
    pub prices: Vec<PriceFile>,
    /// Months that have figures, and what these were made from.
    pub figures: BTreeMap<YearMonth, Option<Source>>,
}

impl FactorInventory {
    async fn of(lake: &SignalLake, data: &MarketData) -> Result<Option<Looked>, FactorError> {
        // The table first: what is written to it from now on is a conflict, so that it cannot be of newer signals or prices than
        // those that are looked at.
        let table = FactorTable::open(lake).await?;
        let view = lake.look().await?;
        let Some(prices) = data.price_files().await? else { return Ok(None) };
        let figures = table.stamps().into_iter();
        let inventory = Self {
            signals: view.ranking_signals(),
            prices: prices.iter().map(PriceFile::of).collect(),
            figures: figures
                .map(|(month, stamp)| (month, stamp.and_then(|text| text.parse().ok())))
                .collect(),
        };
        Ok(Some(Looked { table, view, inventory }))
    }

    /// Digest of the files that the figures of a month look at, up to a day or to all that come.
    pub fn files(&self, month: YearMonth, until: Option<NaiveDate>) -> String {
        let may_matter = |file: &&PriceFile| {
            file.days.is_none_or(|(first, last)| {
                until.is_none_or(|until| first <= until) && last >= month.first_day()
            })
        };
        let mut prices: Vec<&str> =
            self.prices.iter().filter(may_matter).map(|file| file.name.as_str()).collect();
        prices.sort_unstable();
        let signals = |month: YearMonth| self.signals.get(&month).map_or("", String::as_str);
        let (now, before) = (signals(month), signals(month.previous()));
        sha256_hex(format!("{METHOD}\n{now}\n{before}\n{}", prices.join("\n")))
    }

    fn why(&self, month: YearMonth, force: bool) -> Option<FactorWhy> {
        match (self.signals.contains_key(&month), self.figures.get(&month)) {
            (false, None) => None,
            (false, Some(_)) => Some(FactorWhy::SignalsGone),
            (true, None) => Some(FactorWhy::NeverMade),
            (true, Some(source)) => match source {
                Some(source) if source.files == self.files(month, source.until) => {
                    force.then_some(FactorWhy::Requested)
                }
                _ => Some(FactorWhy::FilesChanged),
            },
        }
    }

    /// The months whose figures are behind, newest first.
    pub fn due(&self, force: bool) -> Vec<(YearMonth, FactorWhy)> {
        let months: BTreeSet<YearMonth> = self.signals.keys().chain(self.figures.keys()).copied().collect();
        months.into_iter().rev().filter_map(|month| Some((month, self.why(month, force)?))).collect()
    }

    /// Newest day of prices; `None` when the log does not say.
    fn newest(&self) -> Option<NaiveDate> {
        let last: Option<Vec<NaiveDate>> = self.prices.iter().map(|file| Some(file.days?.1)).collect();
        last?.into_iter().max()
    }
}

struct Looked {
    table: FactorTable,
    view: LakeView,
    inventory: FactorInventory,
}

/// Why figures could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum FactorError {
    /// Signals or figures could not be read or written.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// The prices could not be read.
    #[error("read prices")]
    Prices(#[from] LoadError),
    /// The prices cannot be used.
    #[error("prices")]
    Data(#[from] DataError),
    /// There is nothing to follow signals by.
    #[error("signals cannot be followed: the lake has no Delta table {}", PRICE_TABLE)]
    NoPrices,
    /// A column is asked for that is not there.
    #[error("{table} has no column '{column}'{hint}")]
    NoColumn {
        /// Table of signals.
        table: String,
        /// What is asked for.
        column: String,
        /// What may have been meant.
        hint: String,
    },
    /// Turnover needs the signals before.
    #[error("the signals of {0}, the month before, cannot be read")]
    Before(YearMonth),
    /// A fault of this program.
    #[error("the computation panicked")]
    Panicked,
}

impl FactorError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Lake(LakeError::Table(error)) => error.is_retryable(),
            Self::Lake(LakeError::Read { source, .. }) => source.is_retryable(),
            Self::Prices(error) => error.is_retryable(),
            _ => false,
        }
    }
}

/// What became of the figures in a sync.
#[derive(Debug, Default, Serialize)]
pub struct FactorReport {
    /// Months whose figures were computed and written, newest first.
    pub written: Vec<YearMonth>,
    /// Months of which only files were others, not what is in them.
    pub unchanged: Vec<YearMonth>,
    /// Months whose figures went with their signals.
    pub removed: Vec<YearMonth>,
    /// Months that are still behind, and why.
    pub failed: BTreeMap<YearMonth, String>,
    /// Why nothing could be done.
    pub error: Option<String>,
    /// Why there was nothing to do.
    pub skipped: Option<String>,
    /// Time that it took.
    pub elapsed_ms: u64,
}

impl FactorReport {
    /// Puts a month where it belongs; one that another invocation wrote belongs nowhere.
    fn note(
        &mut self,
        month: YearMonth,
        done: Result<bool, FactorError>,
        list: fn(&mut Self) -> &mut Vec<YearMonth>,
    ) {
        match done {
            Ok(true) => list(self).push(month),
            Ok(false) => {}
            Err(error) => {
                self.failed.insert(month, chain(&error));
            }
        }
    }

    /// Counts the months; what kept all of them back counts as one.
    fn count(&self) {
        let failed = self.failed.len() + usize::from(self.error.is_some());
        let (written, unchanged, removed) = (self.written.len(), self.unchanged.len(), self.removed.len());
        let counts =
            [("written", written), ("unchanged", unchanged), ("removed", removed), ("failed", failed)];
        for (result, count) in counts {
            (0..count).for_each(|_| telemetry::FACTORS.one(result));
        }
    }

    /// What went wrong, if anything did. It is no failure of the signals, which are in place by then.
    pub fn failure(&self) -> Option<String> {
        let months = self.failed.iter().map(|(month, error)| format!("{month}: {error}"));
        let all: Vec<String> = self.error.iter().cloned().chain(months).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }
}

/// Months of figures that are behind, newest first; none where there are no prices.
///
/// # Errors
/// When the lake cannot be looked at.
pub async fn behind(
    lake: &SignalLake,
    data: &MarketData,
    force: bool,
) -> Result<Vec<(YearMonth, FactorWhy)>, FactorError> {
    let looked = FactorInventory::of(lake, data).await?;
    Ok(looked.map(|looked| looked.inventory.due(force)).unwrap_or_default())
}

/// Brings the figures of every wanted month that is behind up to date, a year at a time, newest first. It never fails: what went
/// wrong stands in the answer, and the next call finds it behind again.
pub async fn bring_up_to_date(
    lake: &SignalLake,
    data: &MarketData,
    wanted: &(dyn Fn(YearMonth) -> bool + Send + Sync),
    force: bool,
) -> FactorReport {
    let started = Instant::now();
    let mut report = FactorReport::default();
    // Boxed, because the compiler loses sight of lifetimes when this is awaited in the midst of other borrows.
    match renew(lake, data, wanted, force, &mut report).boxed().await {
        Ok(()) => {}
        Err(error @ FactorError::NoPrices) => report.skipped = Some(error.to_string()),
        Err(error) => report.error = Some(chain(&error)),
    }
    report.elapsed_ms = started.elapsed().as_millis() as u64;
    report.count();
    if let Some(failure) = report.failure() {
        tracing::warn!(
            error = failure,
            "factor figures are still behind; the signals are not touched by that"
        );
    }
    report
}

async fn renew(
    lake: &SignalLake,
    data: &MarketData,
    wanted: &(dyn Fn(YearMonth) -> bool + Send + Sync),
    force: bool,
    report: &mut FactorReport,
) -> Result<(), FactorError> {
    let looked = FactorInventory::of(lake, data).await?;
    let Looked { mut table, view, inventory } = looked.ok_or(FactorError::NoPrices)?;
    let mut due = inventory.due(force);
    due.retain(|(month, _)| wanted(*month));
    let (gone, due): (Vec<_>, Vec<_>) = due.into_iter().partition(|(_, why)| *why == FactorWhy::SignalsGone);
    let mut writing = Writing { lake, data, table: &mut table, inventory: &inventory };
    for (month, _) in gone {
        let removed = writing.write(month, &Figures::new(), "").await;
        report.note(month, removed, |report| &mut report.removed);
    }
    for year in due.chunk_by(|a, b| a.0.first_day().year() == b.0.first_day().year()) {
        let months: Vec<YearMonth> = year.iter().map(|(month, _)| *month).collect();
        let mut unchanged = Vec::new();
        for (month, made) in made(data, &view, &inventory, &months, force).await? {
            let written = match made {
                Err(error) => Err(error),
                Ok(Made { until, content, figures }) => {
                    let files = inventory.files(month, until);
                    let stamp = Source { files, until, content }.to_string();
                    match figures {
                        Some(figures) => writing.write(month, &figures, &stamp).await,
                        None => {
                            unchanged.push((month, stamp));
                            continue;
                        }
                    }
                }
            };
            report.note(month, written, |report| &mut report.written);
        }
        // Who is slower than another writer notes it the next time.
        let noted = writing.table.restamp(&unchanged).await;
        match noted {
            Ok(()) => report.unchanged.extend(unchanged.into_iter().map(|(month, _)| month)),
            Err(error) if error.is_conflict() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// What figures are written with.
struct Writing<'a> {
    lake: &'a SignalLake,
    data: &'a MarketData,
    table: &'a mut FactorTable,
    inventory: &'a FactorInventory,
}

impl Writing<'_> {
    /// Writes a month, unless another invocation did, or its signals or prices became others meanwhile: then the next sync
    /// makes it of these. Answers whether it was written.
    async fn write(&mut self, month: YearMonth, figures: &Figures, stamp: &str) -> Result<bool, FactorError> {
        for look in 0.. {
            match self.table.write(month, figures, stamp).await {
                Ok(()) => return Ok(true),
                Err(error) if error.is_conflict() && look < CONFLICTS_MAX => {
                    tokio::time::sleep(Duration::from_millis(20 << look.min(5))).await;
                    let looked = FactorInventory::of(self.lake, self.data).await?;
                    let Looked { table, inventory: now, .. } = looked.ok_or(FactorError::NoPrices)?;
                    let same_files = now.files(month, None) == self.inventory.files(month, None);
                    let same_figures = now.figures.get(&month) == self.inventory.figures.get(&month);
                    *self.table = table;
                    if !(same_files && same_figures) {
                        return Ok(false);
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(false)
    }
}

/// Months with their figures, or why these could not be made.
type MadeMonths = Vec<(YearMonth, Result<Made, FactorError>)>;

/// Makes the figures of some months of the ranking signals, newest first. With `force` also of those whose signals and prices are
/// as they were.
///
/// # Errors
/// When the prices cannot be read; a month whose signals cannot is an error of its own.
async fn made(
    data: &MarketData,
    view: &LakeView,
    inventory: &FactorInventory,
    months: &[YearMonth],
    force: bool,
) -> Result<MadeMonths, FactorError> {
    let (mut signals, mut unreadable) = (BTreeMap::new(), BTreeMap::new());
    for month in with_before(months) {
        match view.read_percentiles(month).await {
            Ok(read) => drop(signals.insert(month, read)),
            Err(error) => drop(unreadable.insert(month, error)),
        }
    }
    let is_unreadable: BTreeSet<YearMonth> = unreadable.keys().copied().collect();
    let (mut makeable, mut failed) = (Vec::new(), MadeMonths::new());
    for &month in months {
        match unreadable.remove(&month) {
            Some(error) => failed.push((month, Err(error.into()))),
            None if is_unreadable.contains(&month.previous()) => {
                failed.push((month, Err(FactorError::Before(month.previous()))));
            }
            None => makeable.push(month),
        }
    }
    let known = |month: &YearMonth| {
        let source = inventory.figures.get(month)?.as_ref().filter(|_| !force)?;
        Some((*month, source.content.clone()))
    };
    let known: BTreeMap<YearMonth, String> = makeable.iter().filter_map(known).collect();
    let mut made = figures_of(data, inventory.newest(), signals, makeable, known).await?;
    made.extend(failed);
    Ok(made)
}

/// Some months, and the one before each.
fn with_before(months: &[YearMonth]) -> BTreeSet<YearMonth> {
    months.iter().flat_map(|month| [*month, month.previous()]).collect()
}

/// Makes the figures of some months of signals, in their order, but for those whose content is known.
async fn figures_of(
    data: &MarketData,
    newest: Option<NaiveDate>,
    signals: BTreeMap<YearMonth, MonthSignals>,
    months: Vec<YearMonth>,
    known: BTreeMap<YearMonth, String>,
) -> Result<MadeMonths, FactorError> {
    let (Some(&first), Some(&last)) = (months.iter().min(), months.iter().max()) else {
        return Ok(Vec::new());
    };
    let market = market(data, first.first_day(), last.last_day(), newest).await?;
    let nothing = MonthSignals::default();
    let all = move || -> MadeMonths {
        let of = |month: &YearMonth| signals.get(month).unwrap_or(&nothing);
        let one = |month: &YearMonth| {
            let known = known.get(month).map(String::as_str);
            (*month, Ok(make(*month, of(month), of(&month.previous()), &market, known)))
        };
        months.par_iter().map(one).collect()
    };
    // It takes a while, and other invocations do not wait.
    tokio::task::spawn_blocking(all).await.map_err(|_| FactorError::Panicked)
}

/// The prices that figures of signals from `first` to `last` look at, with `newest` the newest there are.
async fn market(
    data: &MarketData,
    first: NaiveDate,
    last: NaiveDate,
    newest: Option<NaiveDate>,
) -> Result<Market, FactorError> {
    let end = last.checked_add_days(Days::new(REACH_DAYS)).unwrap_or(NaiveDate::MAX);
    if newest.is_some_and(|newest| newest > end) {
        let market = laid_out(data.bars_between(first, end).await?).await?;
        let behind = market.dates().iter().filter(|date| **date > last).count();
        if behind >= REACH {
            return Ok(market);
        }
    }
    laid_out(data.bars_since(Some(first)).await?).await
}

async fn laid_out(rows: PriceRows) -> Result<Market, FactorError> {
    let lay_out = move || Ok(Market::of(PricePanel::of(&rows)?));
    tokio::task::spawn_blocking(lay_out).await.map_err(|_| FactorError::Panicked)?
}

/// Figures of signals, and how far they are those of now.
pub struct FactorFigures {
    /// Of each strategy that was asked for.
    pub figures: Figures,
    /// All strategies there are.
    pub strategies: BTreeSet<String>,
    /// Names the figures: equal digests mean equal figures.
    pub digest: String,
    /// Months whose kept figures are behind; `None` if that cannot be told now.
    pub behind: Option<Vec<YearMonth>>,
    /// What the reader should know.
    pub notes: Vec<String>,
}

/// The figures that the lake keeps, of one strategy or of all.
///
/// # Errors
/// When they cannot be read.
pub async fn kept(
    lake: &SignalLake,
    data: &MarketData,
    strategy: Option<&str>,
) -> Result<FactorFigures, FactorError> {
    let table = FactorTable::open(lake).await?;
    let (figures, strategies) = table.read(strategy, |_| true).await?;
    let behind = match behind(lake, data, false).await {
        Ok(due) => Some(due.into_iter().map(|(month, _)| month).collect()),
        Err(error) => {
            tracing::warn!(error = chain(&error), "could not tell which factor figures are behind");
            None
        }
    };
    Ok(FactorFigures { figures, strategies, digest: table.digest(), behind, notes: Vec::new() })
}

/// The figures of the ranking signals as of now: those that the lake keeps, and of months that are behind newly made ones, which
/// are not kept.
///
/// # Errors
/// When signals or prices cannot be read.
pub async fn of_now(
    lake: &SignalLake,
    data: &MarketData,
    strategy: Option<&str>,
) -> Result<FactorFigures, FactorError> {
    let looked = FactorInventory::of(lake, data).await?;
    let Looked { table, view, inventory } = looked.ok_or(FactorError::NoPrices)?;
    let behind: Vec<YearMonth> = inventory.due(false).into_iter().map(|(month, _)| month).collect();
    let (mut figures, mut strategies) = table.read(strategy, |month| !behind.contains(&month)).await?;
    let due: Vec<YearMonth> =
        behind.iter().copied().filter(|month| inventory.signals.contains_key(month)).collect();
    for year in due.chunk_by(|a, b| a.first_day().year() == b.first_day().year()) {
        for (_, made) in made(data, &view, &inventory, year, true).await? {
            let made = made?.figures.unwrap_or_default();
            strategies.extend(made.keys().cloned());
            add(&mut figures, made, strategy);
        }
    }
    let notes = match due.len() {
        0 => Vec::new(),
        1 => vec!["1 month was computed now; `backtests sync` keeps it beside the signals".to_owned()],
        count => {
            vec![format!("{count} months were computed now; `backtests sync` keeps them beside the signals")]
        }
    };
    sort(&mut figures);
    Ok(FactorFigures { figures, strategies, digest: table.digest(), behind: Some(behind), notes })
}

/// The figures of the columns of any table of signals, of one or of all. Nothing is kept.
///
/// # Errors
/// When signals or prices cannot be read.
pub async fn of_table(
    data: &MarketData,
    table: &str,
    column: Option<&str>,
) -> Result<FactorFigures, FactorError> {
    let columns = column.map(|column| vec![column.to_ascii_lowercase()]);
    let (mut rows, mut notes) = data.signals_of(table, columns.as_deref()).await?;
    if let Some((column, hint)) = rows.lacks.pop() {
        return Err(FactorError::NoColumn { table: table.to_owned(), column, hint });
    }
    let strategies: BTreeSet<String> = rows.columns.iter().map(|(name, _)| name.clone()).collect();
    let (signals, infinite) = by_month(rows);
    if infinite > 0 {
        notes.push(format!("{infinite} signals are infinite; they are left out"));
    }
    let files = data.price_files().await?;
    let prices = files.iter().flatten().map(PriceFile::of).collect();
    let inventory = FactorInventory { prices, ..FactorInventory::default() };
    let newest = inventory.newest().filter(|_| files.is_some());
    let mut figures = Figures::new();
    let months: Vec<YearMonth> = signals.keys().rev().copied().collect();
    for year in months.chunk_by(|a, b| a.first_day().year() == b.first_day().year()) {
        let some = with_before(year).into_iter();
        let some = some.filter_map(|month| Some((month, signals.get(&month)?.clone()))).collect();
        let made = figures_of(data, newest, some, year.to_vec(), BTreeMap::new()).await?;
        for (_, made) in made {
            add(&mut figures, made?.figures.unwrap_or_default(), None);
        }
    }
    sort(&mut figures);
    Ok(FactorFigures { figures, strategies, digest: String::new(), behind: None, notes })
}

fn add(figures: &mut Figures, more: Figures, strategy: Option<&str>) {
    for (name, days) in more {
        if strategy.is_none_or(|wanted| wanted == name) {
            figures.entry(name).or_default().extend(days);
        }
    }
}

fn sort(figures: &mut Figures) {
    figures.values_mut().for_each(|days| days.sort_by_key(|day| day.day));
}

/// Rows of signals by month, and how many values are infinite. What is not a number is no signal.
fn by_month(rows: SignalRows) -> (BTreeMap<YearMonth, MonthSignals>, usize) {
    let symbols = Arc::new(rows.symbols);
    let (mut months, mut infinite, mut next) = (BTreeMap::new(), 0, 0);
    // Rows mostly come day by day.
    for run in rows.date.chunk_by(|a, b| a == b) {
        let at = next..next + run.len();
        next = at.end;
        let Some((&day, month)) = run.first().and_then(|day| Some((day, YearMonth::of_day(*day)?))) else {
            continue;
        };
        for (name, values) in &rows.columns {
            infinite += values[at.clone()].iter().filter(|value| value.is_infinite()).count();
            let finite = || at.clone().filter(|&row| values[row].is_finite());
            if finite().next().is_none() {
                continue;
            }
            let of_month = months.entry(month).or_insert_with(|| MonthSignals {
                symbols: Arc::clone(&symbols),
                by_strategy: BTreeMap::new(),
            });
            let cells: &mut SignalCells = of_month.by_strategy.entry(name.clone()).or_default();
            finite().for_each(|row| cells.push(day, rows.symbol[row], values[row]));
        }
    }
    (months, infinite)
}
