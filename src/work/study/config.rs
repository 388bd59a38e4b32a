//! What a study asks for: the block `study` beside the config `base` that its trials vary. Reading it yields a study whose
//! trials are numbered, or every fault with its path. Whether each trial's config is valid is `trials`' business.

use serde_json::{Map, Number, Value, json};

use crate::engine::config::{Fault, Faults, Fields, check_experiment};
use crate::statistics::random::Draws;

/// Trials that a study may have.
pub const TRIALS_MAX: usize = 100_000;

/// Values that an axis may have.
const VALUES_MAX: usize = 100_000;

/// Replications that a bootstrap may have.
const BOOTSTRAP_MAX: usize = 100_000;

/// A valid study.
#[derive(Debug, Clone, PartialEq)]
pub struct Study {
    /// A name for people.
    pub name: Option<String>,
    /// Under which the ledger counts the trials.
    pub experiment: Option<String>,
    /// How the trials are found.
    pub search: Search,
    /// What varies.
    pub grid: Grid,
    /// Whether combinations that make no valid config are rows of their own instead of faults.
    pub skip_invalid: bool,
    /// What the best trial is best in.
    pub select_by: SelectBy,
    /// Daily returns are kept of so many of the best trials.
    pub keep_returns: usize,
    /// All artifacts are kept of so many of the best trials.
    pub keep_runs: usize,
    /// How the trials are judged together.
    pub statistics: Terms,
    /// How choosing by the past is tried. `None`: not.
    pub validation: Option<Validation>,
    /// Options that have no effect beside the others.
    without_effect: Vec<&'static str>,
    /// The config that the trials vary.
    pub base: Value,
}

/// How the trials are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Search {
    /// Every combination, the last parameter fastest.
    Grid,
    /// Draws without repeats, numbered as they are drawn.
    Random,
    /// As listed.
    List,
}

/// What the best trial is best in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the figures")]
pub enum SelectBy {
    SharpeRatio,
    SortinoRatio,
    CalmarRatio,
    TotalReturn,
    AnnualizedReturn,
    InformationRatio,
}

impl SelectBy {
    const ALL: [Self; 6] = [
        Self::SharpeRatio,
        Self::SortinoRatio,
        Self::CalmarRatio,
        Self::TotalReturn,
        Self::AnnualizedReturn,
        Self::InformationRatio,
    ];

    /// Name of the figure.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SharpeRatio => "sharpe_ratio",
            Self::SortinoRatio => "sortino_ratio",
            Self::CalmarRatio => "calmar_ratio",
            Self::TotalReturn => "total_return",
            Self::AnnualizedReturn => "annualized_return",
            Self::InformationRatio => "information_ratio",
        }
    }
}

/// How the trials are judged together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Terms {
    /// Blocks of days of the cross-validation.
    pub blocks: usize,
    /// Replications of the bootstrap; 0: none.
    pub bootstrap: usize,
    /// Mean length of its blocks; `None` chooses.
    pub mean_block: Option<f64>,
    /// Of its random numbers.
    pub seed: u64,
    /// Share between the ends of an interval.
    pub confidence: f64,
    /// Whether trials are compared with the benchmark instead of cash.
    pub against_benchmark: bool,
}

/// How choosing by the past is tried. Lengths are trading days.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Validation {
    /// A window that moves on.
    WalkForward {
        /// To choose on.
        train: Length,
        /// To try on.
        test: Length,
        /// Left out between them.
        purge: usize,
        /// Whether training starts at the first day always.
        expanding: bool,
    },
    /// Every choice of some folds.
    Cpcv {
        /// All folds.
        folds: usize,
        /// Folds of a test.
        test_folds: usize,
        /// Taken off training beside a test.
        purge: usize,
        /// Further days taken off after a test.
        embargo: usize,
    },
}

/// A length of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Length {
    /// Trading days.
    Days(usize),
    /// Months, as trading days of the mean month.
    Months(usize),
}

impl Length {
    /// In trading days, when a year has so many.
    pub fn days(self, per_year: f64) -> usize {
        match self {
            Self::Days(days) => days,
            Self::Months(months) => (months as f64 * per_year / 12.0).round() as usize,
        }
    }
}

/// What varies: paths into the config, and the values of each trial. Trials are numbered from 0.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    /// Paths, as written.
    pub paths: Vec<String>,
    trials: Trials,
}

#[derive(Debug, Clone, PartialEq)]
enum Trials {
    /// Every combination of the values of each path, the last path fastest.
    Product(Vec<Vec<Value>>),
    /// Row by row; `None` leaves the base's value.
    Rows(Vec<Vec<Option<Value>>>),
}

impl Grid {
    /// Every combination of the values of each path.
    pub fn product(axes: Vec<(String, Vec<Value>)>) -> Self {
        let (paths, values) = axes.into_iter().unzip();
        Self { paths, trials: Trials::Product(values) }
    }

    /// Number of trials; `usize::MAX` when there are more than can be counted.
    pub fn count(&self) -> usize {
        match &self.trials {
            Trials::Product(values) => values.iter().fold(1_usize, |n, axis| n.saturating_mul(axis.len())),
            Trials::Rows(rows) => rows.len(),
        }
    }

    /// The values of a trial, one for each path; `None` leaves the base's value.
    pub fn values(&self, trial: usize) -> Vec<Option<&Value>> {
        match &self.trials {
            Trials::Product(axes) => {
                let mut rest = trial;
                let mut values: Vec<Option<&Value>> = Vec::with_capacity(axes.len());
                for axis in axes.iter().rev() {
                    values.push(axis.get(rest % axis.len().max(1)));
                    rest /= axis.len().max(1);
                }
                values.reverse();
                values
            }
            Trials::Rows(rows) => rows[trial].iter().map(Option::as_ref).collect(),
        }
    }

    /// The parameters of a trial by path, for people and programs.
    pub fn parameters(&self, trial: usize) -> Map<String, Value> {
        let values = self.paths.iter().zip(self.values(trial));
        values.filter_map(|(path, value)| Some((path.clone(), value?.clone()))).collect()
    }
}

impl Study {
    /// Options of the study itself that have no effect beside the others.
    pub fn warnings(&self) -> impl Iterator<Item = String> {
        self.without_effect.iter().map(|key| format!("study.{key} has no effect: it is for search: random"))
    }

    /// Whether a document asks for a study.
    pub fn is_one(document: &Value) -> bool {
        document.get("study").is_some_and(|study| !study.is_null())
    }

    /// Reads a study: an object with `study` and `base`.
    ///
    /// # Errors
    /// Every fault of the block, each with its path; those of configs come later.
    pub fn from_value(document: &Value) -> Result<Self, Vec<Fault>> {
        let faults = Faults::default();
        let root = Fields::of(document, String::new(), &faults);
        if !document.is_object() {
            return Err(faults.take());
        }
        let study = read(&root);
        drop(root); // so that unknown keys are among the faults
        let faults = faults.take();
        if faults.is_empty() { Ok(study) } else { Err(faults) }
    }
}

fn read(root: &Fields<'_>) -> Study {
    let base = root.value("base").cloned().unwrap_or(Value::Null);
    if !base.is_object() {
        root.fault("base", "must be a whole config");
    }
    let f = root.section("study");
    let experiment = experiment(&f);
    let of_base = base.get("experiment").filter(|name| !name.is_null());
    if of_base.is_some_and(|name| name.as_str() != experiment.as_deref()) {
        root.fault("base.experiment", "is not that of the study: trials are counted under study.experiment");
    }
    let search = match choice(&f, "search", &["grid", "random", "list"]) {
        1 => Search::Random,
        2 => Search::List,
        _ => Search::Grid,
    };
    let grid = grid(&f, search);
    let keep = f.section("keep");
    let keep_returns = whole(&keep, "returns", 100, 0, TRIALS_MAX);
    let keep_runs = whole(&keep, "runs", 0, 0, 1000);
    let by: Vec<&str> = SelectBy::ALL.iter().map(|by| by.as_str()).collect();
    let select_by = SelectBy::ALL[choice(&f, "select_by", &by)];
    let benchmark = base.get("benchmark").is_some_and(|benchmark| !benchmark.is_null());
    if select_by == SelectBy::InformationRatio && !benchmark {
        f.fault("select_by", "information_ratio needs base.benchmark");
    }
    if base.get("risk_free_rate").is_some_and(Value::is_object) {
        root.fault(
            "base.risk_free_rate",
            "must be a number: the statistics of a study take one rate for all days",
        );
    }
    let statistics = terms(&f.section("statistics"), benchmark);
    Study {
        name: text(&f, "name"),
        experiment,
        search,
        grid,
        skip_invalid: flag(&f, "skip_invalid"),
        select_by,
        keep_returns,
        keep_runs,
        statistics,
        without_effect: ["samples", "seed"]
            .into_iter()
            .filter(|key| search != Search::Random && !f.lacks(key))
            .collect(),
        validation: f.value("validation").map(|_| validation(&f.section("validation"))),
        base,
    }
}

fn terms(f: &Fields<'_>, benchmark: bool) -> Terms {
    let blocks = whole(f, "blocks", 16, 2, 20);
    if blocks % 2 == 1 {
        f.fault("blocks", format!("must be even, got {blocks}"));
    }
    let mean_block = match f.value("mean_block") {
        None => None,
        Some(Value::String(auto)) if auto == "auto" => None,
        Some(value) => match value.as_f64().filter(|length| (1.0..=10_000.0).contains(length)) {
            Some(length) => Some(length),
            None => {
                f.fault("mean_block", format!("must be 'auto' or a number from 1 to 10000, got {value}"));
                None
            }
        },
    };
    let against_benchmark = choice(f, "against", &["cash", "benchmark"]) == 1;
    if against_benchmark && !benchmark {
        f.fault("against", "benchmark needs base.benchmark");
    }
    Terms {
        blocks,
        bootstrap: whole(f, "bootstrap", 1000, 0, BOOTSTRAP_MAX),
        mean_block,
        seed: whole(f, "seed", 1, 0, usize::MAX) as u64,
        confidence: number(f, "confidence", 0.95, 0.5, 0.999),
        against_benchmark,
    }
}

fn validation(f: &Fields<'_>) -> Validation {
    let purge = whole(f, "purge", 0, 0, 10_000);
    match choice(f, "type", &["walk_forward", "cpcv"]) {
        0 if !f.lacks("type") => Validation::WalkForward {
            train: length(f, "train"),
            test: length(f, "test"),
            purge,
            expanding: flag(f, "expanding"),
        },
        1 => Validation::Cpcv {
            folds: whole(f, "folds", 6, 3, 1000),
            test_folds: whole(f, "test_folds", 2, 2, 999),
            purge,
            embargo: whole(f, "embargo", 0, 0, 10_000),
        },
        _ => {
            f.fault("type", "must be walk_forward or cpcv");
            f.abandon();
            Validation::Cpcv { folds: 6, test_folds: 2, purge, embargo: 0 }
        }
    }
}

/// Trading days as a number, or months as `24m`.
fn length(f: &Fields<'_>, key: &'static str) -> Length {
    let wrong = || {
        f.fault(key, "must be a number of trading days, or of months like 24m, above 0");
        Length::Days(1)
    };
    match f.value(key) {
        Some(Value::Number(days)) => match days.as_u64().filter(|&days| (1..=1_000_000).contains(&days)) {
            Some(days) => Length::Days(days as usize),
            None => wrong(),
        },
        Some(Value::String(text)) => {
            match text.strip_suffix('m').and_then(|months| months.parse::<usize>().ok()) {
                Some(months) if (1..=1200).contains(&months) => Length::Months(months),
                _ => wrong(),
            }
        }
        _ => wrong(),
    }
}

fn experiment(f: &Fields<'_>) -> Option<String> {
    let experiment = text(f, "experiment")?;
    if let Err(message) = check_experiment(&experiment) {
        f.fault("experiment", message);
    }
    Some(experiment)
}

/// Sections that no trial may change: all of them are about the same days of the same data, and are measured alike.
const FIXED: [&str; 11] = [
    "start_date",
    "end_date",
    "universe",
    "benchmark",
    "data",
    "output",
    "run_name",
    "experiment",
    "risk_free_rate",
    "metrics",
    "debug",
];

fn check_path(f: &Fields<'_>, key: &str, path: &str) {
    let first = path.split('.').next().unwrap_or_default();
    if path.is_empty() || path.split('.').any(str::is_empty) {
        f.fault(key, "must be a path like strategy.parameters.top_n");
    } else if FIXED.contains(&first) {
        f.fault(key, format!("{first} is the same for all trials of a study"));
    }
}

fn grid(f: &Fields<'_>, search: Search) -> Grid {
    let none = || Grid { paths: Vec::new(), trials: Trials::Rows(Vec::new()) };
    // Of another search they have no effect, which is said.
    f.know(["samples", "seed"]);
    if search == Search::List {
        if f.value("parameters").is_some() {
            f.fault("parameters", "have no place in a search by list, which has trials");
        }
        return listed(f).unwrap_or_else(none);
    }
    if f.value("trials").is_some_and(|trials| trials.as_array().is_none_or(|trials| !trials.is_empty())) {
        f.fault("trials", "are those of search: list");
    }
    let Some(parameters) = f.value("parameters").and_then(Value::as_object).filter(|p| !p.is_empty()) else {
        f.fault("parameters", "must name at least one path with its values");
        return none();
    };
    let axes: Vec<(String, Axis)> = parameters
        .iter()
        .filter_map(|(path, values)| {
            let key = format!("parameters.{path}");
            check_path(f, &key, path);
            Some((path.clone(), axis(f, &key, values, search)?))
        })
        .collect();
    if axes.len() < parameters.len() {
        return none();
    }
    let grid = if search == Search::Random {
        let samples = whole(f, "samples", 0, 0, usize::MAX);
        if !(1..=TRIALS_MAX).contains(&samples) {
            f.fault("samples", format!("must be from 1 to {TRIALS_MAX}, got {samples}"));
            return none();
        }
        drawn(f, axes, samples, whole(f, "seed", 1, 0, usize::MAX) as u64).unwrap_or_else(none)
    } else {
        let values = axes.into_iter().map(|(path, axis)| match axis {
            Axis::Values(values) => (path, values),
            Axis::Between { .. } => (path, Vec::new()),
        });
        Grid::product(values.collect())
    };
    let count = grid.count();
    if count > TRIALS_MAX {
        f.fault("parameters", format!("make {count} trials; {TRIALS_MAX} is the limit"));
        return none();
    }
    grid
}

/// The values of one parameter.
enum Axis {
    Values(Vec<Value>),
    /// Any number between two, for random search.
    Between {
        low: f64,
        high: f64,
        logarithmic: bool,
        whole: bool,
    },
}

impl Axis {
    /// Distinct values.
    fn size(&self) -> f64 {
        match self {
            Self::Values(values) => values.len() as f64,
            Self::Between { low, high, whole: true, .. } => high.floor() - low.ceil() + 1.0,
            Self::Between { low, high, .. } if low == high => 1.0,
            Self::Between { .. } => f64::INFINITY,
        }
    }

    fn draw(&self, draws: Draws, position: u64) -> Value {
        match self {
            Self::Values(values) => values[draws.below(position, values.len())].clone(),
            Self::Between { low, high, logarithmic, whole } => {
                let unit = draws.unit(position);
                // A whole number is drawn from the stretch that rounds to it.
                let (low, high) = if *whole { (low.ceil() - 0.5, high.floor() + 0.5) } else { (*low, *high) };
                let drawn = if *logarithmic && low > 0.0 {
                    (low.ln() + unit * (high.ln() - low.ln())).exp()
                } else {
                    low + unit * (high - low)
                };
                if *whole { json!(drawn.round() as i64) } else { tidy(drawn) }
            }
        }
    }
}

/// A number without the tail that arithmetic leaves; whole ones as such.
fn tidy(value: f64) -> Value {
    let rounded = (value * 1e12).round() / 1e12;
    let value = if rounded.is_finite() { rounded } else { value };
    if value.fract() == 0.0 && value.abs() < 1e15 {
        json!(value as i64)
    } else {
        Number::from_f64(value).map_or(Value::Null, Value::Number)
    }
}

fn axis(f: &Fields<'_>, key: &str, values: &Value, search: Search) -> Option<Axis> {
    let wrong = |message: String| {
        f.fault(key, message);
        None
    };
    if let Some(list) = values.as_array() {
        if list.is_empty() || list.len() > VALUES_MAX {
            return wrong(format!("must have 1 to {VALUES_MAX} values, got {}", list.len()));
        }
        if let Some(twice) = (1..list.len().min(1000)).find(|&at| list[..at].contains(&list[at])) {
            return wrong(format!("{} is there twice", list[twice]));
        }
        return Some(Axis::Values(list.clone()));
    }
    let Some(fields) = values.as_object() else {
        return wrong(format!("must be a list of values, {{from, to, step}} or {{low, high}}, not {values}"));
    };
    let unknown = |known: &[&str]| fields.keys().find(|name| !known.contains(&name.as_str())).cloned();
    let number = |name: &str| fields.get(name).and_then(Value::as_f64);
    if fields.contains_key("from") {
        if let Some(name) = unknown(&["from", "to", "step"]) {
            return wrong(format!("{name} is unknown; a range has from, to and step"));
        }
        let (Some(from), Some(to), Some(step)) = (number("from"), number("to"), number("step")) else {
            return wrong("a range has the numbers from, to and step".to_owned());
        };
        if step <= 0.0 || to < from {
            return wrong(format!("must go up from {from} to {to} by a step above 0, got {step}"));
        }
        // What rounding takes off the last step is given back.
        let steps = ((to - from) / step + 1e-9).floor();
        if steps >= VALUES_MAX as f64 {
            return wrong(format!("makes more than {VALUES_MAX} values"));
        }
        return Some(Axis::Values((0..=steps as usize).map(|n| tidy(from + n as f64 * step)).collect()));
    }
    if let Some(name) = unknown(&["low", "high", "scale", "whole"]) {
        return wrong(format!("{name} is unknown; a range has from, to, step or low, high, scale, whole"));
    }
    let (Some(low), Some(high)) = (number("low"), number("high")) else {
        return wrong("must have the numbers low and high".to_owned());
    };
    let logarithmic = match fields.get("scale").and_then(Value::as_str) {
        None if !fields.contains_key("scale") => false,
        Some("linear") => false,
        Some("log") => true,
        _ => return wrong("scale must be linear or log".to_owned()),
    };
    let whole = match fields.get("whole") {
        None => false,
        Some(Value::Bool(whole)) => *whole,
        Some(other) => return wrong(format!("whole must be true or false, not {other}")),
    };
    if search != Search::Random {
        return wrong("low and high are for search: random; a grid takes {from, to, step}".to_owned());
    }
    if high < low || (logarithmic && low <= 0.0) || (whole && high.floor() < low.ceil()) {
        return wrong(format!("low {low} and high {high} hold nothing to draw"));
    }
    Some(Axis::Between { low, high, logarithmic, whole })
}

/// Draws without repeats.
fn drawn(f: &Fields<'_>, axes: Vec<(String, Axis)>, samples: usize, seed: u64) -> Option<Grid> {
    let size: f64 = axes.iter().map(|(_, axis)| axis.size()).product();
    if samples as f64 > size {
        f.fault("samples", format!("asks for {samples} without repeats, and there are {size} combinations"));
        return None;
    }
    let (mut rows, mut seen) = (Vec::with_capacity(samples), std::collections::HashSet::new());
    let (mut replication, most) = (0_u64, 1000 * samples as u64 + 1_000_000);
    while rows.len() < samples && replication < most {
        let draws = Draws::of(seed, replication);
        let row: Vec<Value> =
            axes.iter().zip(0..).map(|((_, axis), position)| axis.draw(draws, position)).collect();
        if seen.insert(Value::Array(row.clone()).to_string()) {
            rows.push(row.into_iter().map(Some).collect());
        }
        replication += 1;
    }
    if rows.len() < samples {
        f.fault("samples", format!("only {} of {samples} distinct ones were drawn; use a grid", rows.len()));
        return None;
    }
    Some(Grid { paths: axes.into_iter().map(|(path, _)| path).collect(), trials: Trials::Rows(rows) })
}

/// Trials that were thought of elsewhere.
fn listed(f: &Fields<'_>) -> Option<Grid> {
    let list = f.list("trials").filter(|list| !list.is_empty());
    let Some(list) = list else {
        f.fault("trials", "must list at least one object of paths and values");
        return None;
    };
    if list.len() > TRIALS_MAX {
        f.fault("trials", format!("are {}; {TRIALS_MAX} is the limit", list.len()));
        return None;
    }
    let mut paths: Vec<String> = Vec::new();
    let mut places = std::collections::HashMap::new();
    let mut rows: Vec<Vec<Option<Value>>> = Vec::with_capacity(list.len());
    for (number, trial) in list.iter().enumerate() {
        let Some(fields) = trial.as_object() else {
            f.fault(&format!("trials[{number}]"), "must be an object of paths and values");
            continue;
        };
        let mut row = vec![None; paths.len()];
        for (path, value) in fields {
            let place = *places.entry(path.clone()).or_insert_with(|| {
                check_path(f, &format!("trials[{number}].{path}"), path);
                paths.push(path.clone());
                paths.len() - 1
            });
            row.resize(paths.len().max(row.len()), None);
            row[place] = Some(value.clone());
        }
        rows.push(row);
    }
    for row in &mut rows {
        row.resize(paths.len(), None);
    }
    Some(Grid { paths, trials: Trials::Rows(rows) })
}

fn text(f: &Fields<'_>, key: &'static str) -> Option<String> {
    match f.value(key)? {
        Value::String(text) if text.chars().count() <= 200 => Some(text.clone()),
        Value::String(_) => {
            f.fault(key, "must have at most 200 characters");
            None
        }
        other => {
            f.wrong_type(key, "a text", other);
            None
        }
    }
}

fn flag(f: &Fields<'_>, key: &'static str) -> bool {
    match f.value(key) {
        None => false,
        Some(Value::Bool(flag)) => *flag,
        Some(other) => {
            f.wrong_type(key, "true or false", other);
            false
        }
    }
}

/// Place of the word under `key`; the first one by default.
fn choice(f: &Fields<'_>, key: &'static str, words: &[&str]) -> usize {
    let Some(value) = f.value(key) else { return 0 };
    let place = value.as_str().and_then(|word| words.iter().position(|known| *known == word));
    if place.is_none() {
        f.fault(key, format!("must be one of {}, got {value}", words.join(", ")));
    }
    place.unwrap_or(0)
}

fn whole(f: &Fields<'_>, key: &'static str, default: usize, low: usize, high: usize) -> usize {
    let Some(value) = f.value(key) else { return default };
    match value.as_u64().map(|number| number as usize).filter(|number| (low..=high).contains(number)) {
        Some(number) => number,
        None if high == usize::MAX => {
            f.fault(key, format!("must be a whole number from {low}, got {value}"));
            default
        }
        None => {
            f.fault(key, format!("must be a whole number from {low} to {high}, got {value}"));
            default
        }
    }
}

fn number(f: &Fields<'_>, key: &'static str, default: f64, low: f64, high: f64) -> f64 {
    let Some(value) = f.value(key) else { return default };
    match value.as_f64().filter(|number| (low..=high).contains(number)) {
        Some(number) => number,
        None => {
            f.fault(key, format!("must be a number from {low} to {high}, got {value}"));
            default
        }
    }
}
