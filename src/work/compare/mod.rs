//! Compare: two to ten completed runs over the days that all of them have. What is read of each stands in `source`; here
//! it becomes one document: where their configs differ, every figure again over the common days, how far apart they moved,
//! what they held, and whether their Sharpe ratios differ by more than chance. No engine runs, nothing is stored.

mod figures;
mod pair;
mod source;

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use self::figures::figures;
pub use self::pair::{Difference, Hac, HoldingsApart, Memmel, Pair, Resampled, SharpeTest};
pub use self::source::{Source, SourceError};
use crate::engine::Daily;
use crate::engine::metrics::{calendar, returns};
use crate::statistics::discovery::holm;
use crate::statistics::series::correlation;
use crate::store::versions::INPUTS;

/// Runs that can be compared at once.
pub const RUNS_MAX: usize = 10;

/// Letters of the runs, the base first.
const LETTERS: [&str; RUNS_MAX] = ["A", "B", "C", "D", "E", "F", "G", "H", "I", "J"];

/// Runs side by side. Runs are named by letters in the order of `runs`; the first, A, is the one that the others are
/// compared with. Returns and ratios are fractions; what is not defined is null.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Comparison {
    /// Ids of the runs; A, B and so on.
    pub runs: Vec<String>,
    /// Their names, in the same order.
    pub names: Vec<Option<String>>,
    /// The days that were compared.
    pub window: Window,
    /// Where the effective configs differ: `path`, and the value of each run under its letter.
    #[schema(value_type = Vec<Object>)]
    pub config_diff: Vec<Value>,
    /// Whether they read the same data.
    pub data: Data,
    /// Whether the same version of the engine computed them.
    pub engine: Engine,
    /// Figures over the common days: `name`, the value of each run under its letter; of two runs also `difference`, A
    /// less B.
    #[schema(value_type = Vec<Object>)]
    pub figures: Vec<Value>,
    /// Correlations of daily returns, a row for each run.
    pub correlations: Vec<Vec<Option<f64>>>,
    /// How far apart two runs moved; null for more than two, for which `pairs` has it.
    pub difference: Option<Difference>,
    /// How far apart the holdings of two runs were; null for more than two, or where a run kept none.
    pub holdings: Option<HoldingsApart>,
    /// Whether the Sharpe ratios of two runs differ; null for more than two, for equal results and for fewer than 60 days.
    pub sharpe_test: Option<SharpeTest>,
    /// A with each of the others, where there are more than two runs; p-values are also adjusted for their number (Holm 1979).
    pub pairs: Vec<Pair>,
    /// What came out, in words.
    pub sentence: String,
    /// What the page draws.
    #[serde(skip)]
    #[schema(ignore)]
    pub curves: Curves,
}

/// The days that were compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Window {
    /// First day with a return. Null without common days.
    pub from: Option<NaiveDate>,
    /// Last common day.
    pub to: Option<NaiveDate>,
    /// Daily returns compared.
    pub days: usize,
    /// Why days of a run were left out, a sentence each.
    pub cut: Vec<String>,
}

/// Whether runs read the same data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ComparedData)]
pub enum Data {
    /// The same tables in the same versions.
    Same,
    /// The same tables, of which one was another version.
    VersionsDiffer,
    /// Other tables or files.
    Different,
}

/// Whether one version of the engine computed them all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ComparedEngine)]
pub enum Engine {
    /// It did.
    Same,
    /// It did not, or it is not known of one.
    Different,
}

/// Values over the common days.
#[derive(Debug, Clone, Default)]
pub struct Curves {
    /// The common days, the one before the first return included.
    pub days: Vec<NaiveDate>,
    /// Value of 1 of each run at the first of them.
    pub values: Vec<Vec<f64>>,
}

/// Compares runs, the base first. `bootstrap` is the number of replications of the test by resampling; 0 leaves it out.
/// `sources` are 2 to [`RUNS_MAX`].
pub fn compare(sources: &[Source], bootstrap: usize) -> Comparison {
    let (places, mut cut) = common_days(sources);
    let days: Vec<NaiveDate> = places[0].iter().map(|&day| sources[0].daily.date[day]).collect();
    let runs: Vec<Compared<'_>> =
        sources.iter().zip(places).map(|(source, places)| Compared::of(source, places)).collect();
    let (days, runs) = until_ruin(days, runs, &mut cut);
    let agreed = runs.iter().all(|run| run.source.periods_per_year == runs[0].source.periods_per_year);
    let periods_per_year = match runs[0].source.periods_per_year {
        Some(periods) if agreed => periods,
        _ => calendar::periods_per_year(&days),
    };
    let frame = Frame { days: &days, periods_per_year, bootstrap };
    let mut pairs: Vec<Pair> = (1..runs.len()).map(|other| Pair::of(&runs, other, &frame)).collect();
    adjust(&mut pairs);
    let window = Window {
        from: days.get(1).copied(),
        to: days.get(1..).and_then(|days| days.last().copied()),
        days: days.len().saturating_sub(1),
        cut,
    };
    let sentence = sentence(&pairs);
    let two = if pairs.len() == 1 { pairs.pop() } else { None };
    let (difference, holdings, sharpe_test) = match two {
        Some(pair) => (pair.difference, pair.holdings, pair.sharpe_test),
        None => (None, None, None),
    };
    Comparison {
        runs: sources.iter().map(|source| source.id.clone()).collect(),
        names: sources.iter().map(|source| source.name.clone()).collect(),
        window,
        config_diff: config_diff(sources),
        data: data(sources),
        engine: match sources.iter().all(|s| s.engine_version == sources[0].engine_version) {
            true if sources[0].engine_version.is_some() => Engine::Same,
            _ => Engine::Different,
        },
        figures: figures(&runs, &frame),
        correlations: correlations(&runs),
        difference,
        holdings,
        sharpe_test,
        pairs,
        sentence,
        curves: Curves { values: runs.into_iter().map(|run| run.values).collect(), days },
    }
}

/// What all parts of a comparison share.
struct Frame<'a> {
    /// The common days, the one before the first return included.
    days: &'a [NaiveDate],
    periods_per_year: f64,
    bootstrap: usize,
}

/// A run over the common days.
struct Compared<'a> {
    source: &'a Source,
    /// Places of the common days among those of the run.
    places: Vec<usize>,
    /// Value of 1 at the first common day.
    values: Vec<f64>,
    /// Returns from one common day to the next.
    returns: Vec<f64>,
}

impl<'a> Compared<'a> {
    fn of(source: &'a Source, places: Vec<usize>) -> Self {
        let value = |&place: &usize| source.daily.portfolio_value[place];
        let first = places.first().map_or(1.0, value);
        let values: Vec<f64> = places.iter().map(|place| value(place) / first).collect();
        let returns = values.windows(2).map(|pair| pair[1] / pair[0] - 1.0).collect();
        Self { source, places, values, returns }
    }

    /// Daily returns over the risk-free rate of the run.
    fn excess(&self, periods_per_year: f64) -> Vec<f64> {
        let free = returns::daily_rate(self.source.risk_free_rate, periods_per_year);
        self.returns.iter().map(|value| value - free).collect()
    }

    /// A column of the days that have a return.
    fn column<'c>(&'c self, of: impl Fn(&'c Daily) -> &'c [f64]) -> Vec<f64> {
        let column = of(&self.source.daily);
        self.places.iter().skip(1).map(|&place| column[place]).collect()
    }
}

/// The letter of a run.
fn letter(run: usize) -> &'static str {
    LETTERS[run]
}

/// Of each run the places of the days that all have, and why others were left out.
fn common_days(sources: &[Source]) -> (Vec<Vec<usize>>, Vec<String>) {
    let mut counts: BTreeMap<NaiveDate, usize> = BTreeMap::new();
    for date in sources.iter().flat_map(|source| &source.daily.date) {
        *counts.entry(*date).or_default() += 1;
    }
    let common: BTreeSet<NaiveDate> =
        counts.into_iter().filter(|(_, count)| *count == sources.len()).map(|(date, _)| date).collect();
    let places = sources.iter().map(|source| {
        let days = source.daily.date.iter().enumerate();
        days.filter(|(_, date)| common.contains(date)).map(|(place, _)| place).collect()
    });
    let places = places.collect();
    let mut cut = Vec::new();
    let (Some(first), Some(last)) = (common.first(), common.last()) else {
        cut.push("there is no day that all runs have".to_owned());
        return (places, cut);
    };
    let firsts = sources.iter().filter_map(|source| source.daily.date.first());
    let lasts = sources.iter().filter_map(|source| source.daily.date.last());
    let (earliest, latest) = (firsts.min(), lasts.max());
    for (run, source) in sources.iter().enumerate() {
        let dates = &source.daily.date;
        if dates.first() > earliest {
            cut.push(format!("{} started later", letter(run)));
        }
        if dates.last() < latest {
            cut.push(format!("{} ended earlier", letter(run)));
        }
        let within =
            dates.iter().filter(|date| (first..=last).contains(date) && !common.contains(date)).count();
        if within > 0 {
            cut.push(format!("{} has {within} days in between that another has not", letter(run)));
        }
    }
    (places, cut)
}

/// Figures of returns end with the first account that is worth nothing.
fn until_ruin<'a>(
    mut days: Vec<NaiveDate>,
    mut runs: Vec<Compared<'a>>,
    cut: &mut Vec<String>,
) -> (Vec<NaiveDate>, Vec<Compared<'a>>) {
    let ruin = |run: &Compared<'_>| run.values.iter().position(|&value| value.is_nan() || value <= 0.0);
    let first = runs.iter().enumerate().filter_map(|(nth, run)| Some((ruin(run)?, nth))).min();
    if let Some((day, run)) = first {
        cut.push(format!("{} was worth nothing on {}", letter(run), days[day]));
        days.truncate(day);
        for run in &mut runs {
            run.places.truncate(day);
            run.values.truncate(day);
            run.returns.truncate(day.saturating_sub(1));
        }
    }
    (days, runs)
}

/// Leaves of the effective configs that are not the same in all; lists count as leaves.
fn config_diff(sources: &[Source]) -> Vec<Value> {
    let leaves: Vec<BTreeMap<String, &Value>> = sources
        .iter()
        .map(|source| {
            let mut found = BTreeMap::new();
            leaves_of(&source.config, String::new(), &mut found);
            found
        })
        .collect();
    let paths: BTreeSet<&String> = leaves.iter().flat_map(BTreeMap::keys).collect();
    let differs = |path: &&&String| leaves.iter().any(|found| found.get(**path) != leaves[0].get(**path));
    let row = |path: &String| {
        let mut row = Map::from_iter([("path".to_owned(), json!(path))]);
        for (run, found) in leaves.iter().enumerate() {
            row.insert(letter(run).to_owned(), found.get(path).map_or(Value::Null, |value| (*value).clone()));
        }
        Value::Object(row)
    };
    paths.iter().filter(differs).map(|path| row(path)).collect()
}

fn leaves_of<'v>(value: &'v Value, path: String, found: &mut BTreeMap<String, &'v Value>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                // What a run is called, and where it is counted, says nothing of what it did.
                if path.is_empty() && ["run_name", "experiment"].contains(&name.as_str()) {
                    continue;
                }
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                leaves_of(value, path, found);
            }
        }
        leaf => _ = found.insert(path, leaf),
    }
}

fn data(sources: &[Source]) -> Data {
    let first = &sources[0].data_versions;
    let all = |of: &dyn Fn(&Value) -> Value| {
        let named = |source: &Source| INPUTS.map(|input| of(&source.data_versions[input]));
        sources.iter().all(|source| named(source) == named(&sources[0]))
    };
    if first.is_null() || !all(&place) {
        Data::Different
    } else if all(&state) {
        Data::Same
    } else {
        Data::VersionsDiffer
    }
}

/// Fields of what was read that say which table or file it was; the others say in which state.
const PLACE: [&str; 6] = ["table", "path", "table_id", "source", "adjusted", "unadjusted"];

/// Where an input lies.
fn place(input: &Value) -> Value {
    PLACE.iter().map(|name| input[*name].clone()).collect()
}

/// In which state it was read. A version of a table says all: which of its files were read hangs on the days of the run.
fn state(input: &Value) -> Value {
    if !input["version"].is_null() {
        return input["version"].clone();
    }
    let fields = input.as_object().into_iter().flatten();
    let kept = fields.filter(|(name, _)| !PLACE.contains(&name.as_str()));
    Value::Object(kept.map(|(name, value)| (name.clone(), value.clone())).collect())
}

fn correlations(runs: &[Compared<'_>]) -> Vec<Vec<Option<f64>>> {
    let of = |a: &Compared<'_>, b: &Compared<'_>| correlation(&a.returns, &b.returns).ok();
    runs.iter().map(|a| runs.iter().map(|b| of(a, b)).collect()).collect()
}

/// Adjusts the p-values of several tests for their number.
fn adjust(pairs: &mut [Pair]) {
    if pairs.len() < 2 {
        return;
    }
    let mut tests: Vec<&mut SharpeTest> =
        pairs.iter_mut().filter_map(|pair| pair.sharpe_test.as_mut()).collect();
    let p_values: Vec<f64> = tests.iter().map(|test| test.hac.p).collect();
    for (test, adjusted) in tests.iter_mut().zip(holm(&p_values)) {
        test.p_holm = Some(adjusted);
    }
    for pair in pairs {
        pair.say();
    }
}

fn sentence(pairs: &[Pair]) -> String {
    let [first, rest @ ..] = pairs else { return String::new() };
    if rest.is_empty() {
        return first.sentence.clone();
    }
    let beyond: Vec<&str> =
        pairs.iter().filter(|pair| pair.is_beyond_chance()).map(|pair| pair.of.as_str()).collect();
    let tested = pairs.iter().filter(|pair| pair.sharpe_test.is_some()).count();
    match (tested, &beyond[..]) {
        (0, _) => "No difference in Sharpe ratio could be tested.".to_owned(),
        (tested, []) => format!(
            "None of {tested} differences in Sharpe ratio to A is beyond chance, adjusted for their number (Holm)."
        ),
        (tested, some) => format!(
            "Of {tested} differences in Sharpe ratio to A those of {} are beyond chance, adjusted for their number (Holm).",
            some.join(", ")
        ),
    }
}
