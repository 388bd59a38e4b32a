//! Inputs: what has become of the data that a completed run read. The logs of its tables tell whether days of the run were
//! written again; only a deep look reads the rows of both versions and compares them.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::NaiveDate;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::App;
use crate::engine::{BacktestConfig, Market};
use crate::run::{Publication, Run};
use crate::store::changes::{InputState, TableChange};
use crate::store::load_error::LoadError;
use crate::store::versions::Pins;

/// Symbols that are named.
const SYMBOLS: usize = 10;

/// How long the outcome of a deep look is kept.
const KEPT: Duration = Duration::from_secs(600);

/// Deep looks that are kept.
const KEPT_MAX: usize = 64;

/// What has become of what a run read.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Inputs {
    /// Of the prices.
    pub prices: Input,
    /// Of the signals; null if the run read no table of them.
    pub signals: Option<Input>,
}

/// What has become of one input.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Input {
    /// Version that the run read; null for plain files.
    pub used: Option<u64>,
    /// Newest version; null for plain files, or without the table.
    pub newest: Option<u64>,
    /// In a word.
    pub state: InputState,
    /// Files with days of the run that came or went with their rows since; null for plain files.
    pub files_changed_in_window: Option<usize>,
    /// Rows of the run's days and symbols that are not as they were; null unless the look is deep and both versions can be
    /// read.
    pub rows_restated: Option<usize>,
    /// Up to ten symbols, the largest change first.
    pub symbols: Vec<String>,
    /// Earliest day of a row that is not as it was.
    #[schema(format = Date)]
    pub first_date: Option<NaiveDate>,
    /// Largest change of a number, relative to what it was.
    pub largest_relative_change: Option<f64>,
}

/// Why it cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum InputsError {
    /// The stored config is not accepted any more.
    #[error("the config of the run is no longer accepted")]
    Config,
    /// The lake did not answer.
    #[error(transparent)]
    Data(#[from] LoadError),
}

/// Looks at the inputs of a completed run, and with `deep` at their rows.
pub async fn inputs(
    app: &App,
    run: &Run,
    published: &Publication,
    deep: bool,
) -> Result<Inputs, InputsError> {
    let submitted: Value =
        serde_json::from_str(&run.submission.config_json).map_err(|_| InputsError::Config)?;
    let config = BacktestConfig::from_value(&submitted).map_err(|_| InputsError::Config)?;
    let used = Pins::of(&published.data_versions);
    let changes = app.data.changes(&config, &published.data_versions).await?;
    let mut found = Inputs {
        prices: input(&published.data_versions["prices"], &changes.prices),
        signals: changes.signals.as_ref().map(|change| input(&published.data_versions["signals"], change)),
    };
    let restated = |input: &Input| input.state == InputState::Restated && input.used.is_some();
    if deep && (restated(&found.prices) || found.signals.as_ref().is_some_and(restated)) {
        let key = json!([
            run.submission.config_sha256,
            used,
            found.prices.newest,
            found.signals.as_ref().map(|signals| signals.newest)
        ])
        .to_string();
        let rows = match kept(&key) {
            Some(rows) => rows,
            None => {
                let rows = compare(app, config, &used).await?;
                keep(key, &rows);
                rows
            }
        };
        if let Some([prices, signals]) = rows {
            prices.write(&mut found.prices);
            if let Some(input) = &mut found.signals {
                signals.write(input);
            }
        }
    }
    Ok(found)
}

fn input(used: &Value, change: &TableChange) -> Input {
    let used = used["version"].as_u64();
    Input {
        used,
        newest: change.newest,
        state: change.state,
        files_changed_in_window: used.map(|_| change.files_changed_in_window),
        rows_restated: None,
        symbols: Vec::new(),
        first_date: None,
        largest_relative_change: None,
    }
}

/// Rows that are not as they were.
#[derive(Debug, Clone, Default)]
struct Restated {
    rows: usize,
    first: Option<NaiveDate>,
    /// Largest relative change by symbol.
    symbols: HashMap<String, f64>,
}

impl Restated {
    /// Notes two versions of the numbers of a row.
    fn row(&mut self, date: NaiveDate, symbol: &str, then: &[f64], now: &[f64]) {
        let pairs = then.iter().zip(now).filter(|(then, now)| then.to_bits() != now.to_bits());
        let change = pairs
            .filter(|(then, now)| !(then.is_nan() && now.is_nan()))
            .map(|(then, now)| ((now - then) / then).abs())
            .reduce(|a, b| if a.is_nan() || b > a { b } else { a });
        let Some(change) = change else { return };
        self.rows += 1;
        self.first = Some(self.first.map_or(date, |first| first.min(date)));
        // A row that came or went has no relative change.
        let change = if change.is_nan() { 0.0 } else { change };
        let most = self.symbols.entry(symbol.to_owned()).or_insert(change);
        *most = most.max(change);
    }

    fn write(&self, input: &mut Input) {
        let mut symbols: Vec<(&String, f64)> =
            self.symbols.iter().map(|(name, &most)| (name, most)).collect();
        symbols.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        input.rows_restated = Some(self.rows);
        input.first_date = self.first;
        input.largest_relative_change =
            symbols.first().map(|(_, most)| *most).filter(|most| most.is_finite());
        input.symbols = symbols.into_iter().take(SYMBOLS).map(|(name, _)| name.clone()).collect();
    }
}

/// Loads both versions and compares prices and signals row by row. `None` if one of them makes no market.
async fn compare(app: &App, config: BacktestConfig, used: &Pins) -> Result<Option<[Restated; 2]>, LoadError> {
    let then = match app.data.load(&config, used).await {
        Err(error) if error.is_gone() => return Ok(None),
        then => then?,
    };
    let newest = config.of_newest_data();
    let now = app.data.load(&newest, &Pins::default()).await?;
    let compared = tokio::task::spawn_blocking(move || {
        let then = Market::assemble(&config, then.prices, then.signals).ok()?;
        let now = Market::assemble(&newest, now.prices, now.signals).ok()?;
        Some([prices(&then, &now), signals(&then, &now)])
    });
    Ok(compared.await.unwrap_or_default())
}

/// Bars of both markets, by date.
fn bars(then: &Market, now: &Market) -> Vec<(NaiveDate, Option<usize>, Option<usize>)> {
    let position = |market: &Market, date: &NaiveDate| market.dates().binary_search(date).ok();
    let mut dates: Vec<NaiveDate> = then.dates().iter().chain(now.dates()).copied().collect();
    dates.sort_unstable();
    dates.dedup();
    dates.into_iter().map(|date| (date, position(then, &date), position(now, &date))).collect()
}

fn names<'m>(then: &'m Market, now: &'m Market) -> Vec<&'m str> {
    let mut names: Vec<&str> = then.symbols().iter().chain(now.symbols()).map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn prices(then: &Market, now: &Market) -> Restated {
    let mut found = Restated::default();
    let names = names(then, now);
    for (date, before, after) in bars(then, now) {
        for name in &names {
            let row = |market: &Market, bar: Option<usize>| match (bar, market.symbol(name)) {
                (Some(bar), Some(symbol)) => market.bar_of(bar, symbol),
                _ => [f64::NAN; 5],
            };
            found.row(date, name, &row(then, before), &row(now, after));
        }
    }
    found
}

fn signals(then: &Market, now: &Market) -> Restated {
    let mut found = Restated::default();
    let names = names(then, now);
    for column in then.signal_columns() {
        let (Some(a), Some(b)) = (then.signal_column(column), now.signal_column(column)) else { continue };
        for (date, before, after) in bars(then, now) {
            for name in &names {
                let cell = |market: &Market, column: usize, bar: Option<usize>| {
                    let bar = bar.filter(|&bar| bar >= market.first_trading_bar())?;
                    Some(market.signals(column, bar)[market.symbol(name)?.index()])
                };
                let [a, b] =
                    [cell(then, a, before), cell(now, b, after)].map(|cell| cell.unwrap_or(f64::NAN));
                found.row(date, name, &[a], &[b]);
            }
        }
    }
    found
}

type Kept = HashMap<String, (Instant, Option<[Restated; 2]>)>;

static DEEP: LazyLock<Mutex<Kept>> = LazyLock::new(Mutex::default);

fn kept(key: &str) -> Option<Option<[Restated; 2]>> {
    let kept = DEEP.lock().unwrap_or_else(PoisonError::into_inner);
    kept.get(key).filter(|(since, _)| since.elapsed() < KEPT).map(|(_, rows)| rows.clone())
}

fn keep(key: String, rows: &Option<[Restated; 2]>) {
    let mut kept = DEEP.lock().unwrap_or_else(PoisonError::into_inner);
    kept.retain(|_, (since, _)| since.elapsed() < KEPT);
    if kept.len() < KEPT_MAX {
        kept.insert(key, (Instant::now(), rows.clone()));
    }
}
