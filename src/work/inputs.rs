//! Inputs: what has become of the data that a completed run read. The logs of its tables tell whether days of the run were
//! written again; only a deep look reads the rows of both versions and compares them.

use chrono::NaiveDate;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::App;
use super::report::numbers::count;
use crate::engine::BacktestConfig;
use crate::run::{Publication, Run};
use crate::store::changes::{InputState, TableChange};
use crate::store::difference::Difference;
use crate::store::kept_for_minutes::Kept;
use crate::store::load_error::LoadError;
use crate::store::versions::Pins;

/// Symbols that are named.
const SYMBOLS: usize = 10;

/// Outcomes of deep looks.
static DEEP: Kept<Option<Both>> = Kept::new(64);

/// What has become of what a run read.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Inputs {
    /// State of the table of prices.
    pub prices: Input,
    /// Of the signals; null if the run read no table of them.
    pub signals: Option<Input>,
    /// Of the table of the benchmark; null if it has none of its own.
    pub benchmark: Option<Input>,
    /// Of the table of the risk-free rate; null if it has none of its own.
    pub risk_free: Option<Input>,
    /// That something which the run read was written again or is gone, in a line; null otherwise.
    pub line: Option<String>,
}

impl Inputs {
    fn line(&self) -> Option<String> {
        let told = |name: &str, input: &Input| match input.state {
            InputState::Restated => Some(match (input.rows_restated, input.first_date) {
                (Some(rows), Some(first)) => {
                    format!("{name} restated since: {} rows, first {first}", count(rows))
                }
                (Some(rows), None) => format!("{name} restated since: {} rows", count(rows)),
                (None, _) => match input.files_changed_in_window {
                    Some(1) => format!("{name} restated since: 1 file"),
                    Some(files) => format!("{name} restated since: {} files", count(files)),
                    None => format!("{name} restated since"),
                },
            }),
            InputState::Gone => Some(format!("{name} gone: another table, or none, is in its place")),
            InputState::Current | InputState::Appended | InputState::Unknown => None,
        };
        let of = |name: &str, input: &Option<Input>| input.as_ref().and_then(|input| told(name, input));
        let others = [
            of("signals", &self.signals),
            of("benchmark", &self.benchmark),
            of("risk-free rate", &self.risk_free),
        ];
        let all: Vec<String> =
            told("prices", &self.prices).into_iter().chain(others.into_iter().flatten()).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }
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

/// How closely inputs are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// By the logs of tables alone: cheap enough for many runs.
    Logs,
    /// And at every byte of what has no log.
    Contents,
    /// And at the rows of both versions of a table.
    Rows,
}

/// Looks at the inputs of a completed run.
pub async fn inputs(
    app: &App,
    run: &Run,
    published: &Publication,
    look: Look,
) -> Result<Inputs, InputsError> {
    let submitted: Value =
        serde_json::from_str(&run.submission.config_json).map_err(|_| InputsError::Config)?;
    let config = BacktestConfig::from_value(&submitted).map_err(|_| InputsError::Config)?;
    let used = Pins::of(&published.data_versions);
    let changes = app.data.changes(&config, &published.data_versions, look != Look::Logs).await?;
    let of = |name: &str, change: &TableChange| input(&published.data_versions[name], change);
    let mut found = Inputs {
        prices: of("prices", &changes.prices),
        signals: changes.signals.as_ref().map(|change| of("signals", change)),
        benchmark: changes.benchmark.as_ref().map(|change| of("benchmark", change)),
        risk_free: changes.risk_free.as_ref().map(|change| of("risk_free", change)),
        line: None,
    };
    let restated = |input: &Input| input.state == InputState::Restated && input.used.is_some();
    if look == Look::Rows && (restated(&found.prices) || found.signals.as_ref().is_some_and(restated)) {
        let key = json!([
            run.submission.config_sha256,
            used,
            found.prices.newest,
            found.signals.as_ref().map(|signals| signals.newest)
        ])
        .to_string();
        let rows = match DEEP.get(&key) {
            Some(rows) => rows,
            None => {
                let rows = compare(app, &config, &used).await?;
                DEEP.put(key, rows.clone());
                rows
            }
        };
        if let Some([prices, signals]) = rows {
            if let Some(prices) = prices {
                prices.write(&mut found.prices);
            }
            if let (Some(signals), Some(input)) = (signals, &mut found.signals) {
                signals.write(input);
            }
        }
    }
    found.line = found.line();
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
#[derive(Debug, Clone)]
struct Restated {
    rows: usize,
    first: Option<NaiveDate>,
    /// Those that changed most, the most first.
    symbols: Vec<String>,
    largest: Option<f64>,
}

impl Restated {
    fn of(found: &Difference) -> Self {
        // A row that came or went has no relative change.
        let size = |symbol: &String| found.sizes.get(symbol).copied().unwrap_or(0.0);
        let mut symbols: Vec<&String> = found.symbols.iter().collect();
        symbols.sort_by(|a, b| size(b).total_cmp(&size(a)).then_with(|| a.cmp(b)));
        Self {
            rows: found.rows(),
            first: found.first_date,
            largest: found.sizes.values().copied().reduce(f64::max),
            symbols: symbols.into_iter().take(SYMBOLS).cloned().collect(),
        }
    }

    fn write(self, input: &mut Input) {
        input.rows_restated = Some(self.rows);
        input.first_date = self.first;
        input.largest_relative_change = self.largest;
        input.symbols = self.symbols;
    }
}

/// Compares the rows of prices and signals. `None` if what the run read is not there any more.
async fn compare(app: &App, config: &BacktestConfig, used: &Pins) -> Result<Option<Both>, LoadError> {
    match app.data.restated_since(config, used).await {
        Ok(found) => Ok(Some([found.prices, found.signals].map(|found| found.as_ref().map(Restated::of)))),
        Err(error) if error.is_gone() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Of prices and signals; `None` of what is not a table.
type Both = [Option<Restated>; 2];
