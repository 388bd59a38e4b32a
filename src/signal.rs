//! Ranking signals, as arithmetic: a month, rankings of it, and the signals and composites that follow from them.
//! Where rows lie and how they are written is not known here.
//!
//! Nothing depends on the order of the rows: they are put in order of day, symbol and strategy before anything is
//! added up, so that the same rankings give the same bits however their files are arranged.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use chrono::{Datelike, Months, NaiveDate};
use serde::{Serialize, Serializer};

/// A calendar month, the unit in which signals are written. Its text is `YYYY-MM`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct YearMonth(NaiveDate);

impl YearMonth {
    /// The month of a date.
    pub fn of(date: NaiveDate) -> Self {
        // Every month has a first day.
        Self(date.with_day(1).unwrap_or(date))
    }

    /// The month of a day, counted from 1970-01-01. `None` outside the years 1 to 9999, which no text of a month
    /// can name.
    pub fn of_day(day: i32) -> Option<Self> {
        NaiveDate::from_epoch_days(day).map(Self::of).filter(|month| month.has_text())
    }

    /// First calendar day of the month.
    pub fn first_day(self) -> NaiveDate {
        self.0
    }

    /// Last calendar day of the month.
    pub fn last_day(self) -> NaiveDate {
        self.next().0.pred_opt().unwrap_or(self.0)
    }

    /// The month after it.
    pub fn next(self) -> Self {
        Self(self.0.checked_add_months(Months::new(1)).unwrap_or(self.0))
    }

    /// The months from the one of `first` to the one of `last`, as far as they have a text.
    pub fn between(first: NaiveDate, last: NaiveDate) -> impl Iterator<Item = Self> {
        let last = Self::of(last);
        std::iter::successors(Some(Self::of(first)), |month| Some(month.next()).filter(|next| next > month))
            .take_while(move |month| *month <= last)
            .filter(|month| month.has_text())
    }

    /// The month before it.
    pub fn previous(self) -> Self {
        Self(self.0.checked_sub_months(Months::new(1)).unwrap_or(self.0))
    }

    fn has_text(self) -> bool {
        (1..=9999).contains(&self.0.year())
    }

    /// A number that no other month has, for locks.
    pub fn number(self) -> i32 {
        self.0.year() * 12 + self.0.month0() as i32
    }

    fn days(self) -> std::ops::RangeInclusive<i32> {
        self.first_day().to_epoch_days()..=self.last_day().to_epoch_days()
    }
}

impl fmt::Display for YearMonth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.0.year(), self.0.month())
    }
}

/// A text that is not a month.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a month; months are written YYYY-MM")]
pub struct InvalidMonth(String);

impl FromStr for YearMonth {
    type Err = InvalidMonth;

    fn from_str(text: &str) -> Result<Self, InvalidMonth> {
        let invalid = || InvalidMonth(text.chars().take(20).collect());
        let month = NaiveDate::parse_from_str(&format!("{text}-01"), "%Y-%m-%d").ok().map(Self);
        // chrono also takes 2020-1 and +2020-01; names made of months must sort.
        month.filter(|month| month.to_string() == text && month.0.year() > 0).ok_or_else(invalid)
    }
}

impl Serialize for YearMonth {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What each strategy weighs in a composite.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Weights {
    /// Each the same.
    #[default]
    Equal,
    /// These; every strategy of a month must be named.
    Named(BTreeMap<String, f64>),
}

/// Weights that cannot be used.
#[expect(missing_docs, reason = "the text of an error says what its fields are")]
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InvalidWeights {
    /// No JSON object.
    #[error("must be a JSON object of weights by strategy, for example {{\"momentum_60d\": 1}}")]
    NoObject,
    /// A weight that is not a number.
    #[error("the weight of '{0}' is not a finite number")]
    NoNumber(String),
    /// Strategies without a weight.
    #[error("no weight for {}", .0.join(", "))]
    Missing(Vec<String>),
    /// The weights of the strategies that are there do not add up to more than 0.
    #[error("the weights of {} add up to {sum}; they must add up to more than 0", .strategies.join(", "))]
    NoSum {
        strategies: Vec<String>,
        /// Their sum.
        sum: f64,
    },
}

impl Weights {
    /// Reads a JSON object of strategy → weight; a weight may be a number or its text.
    pub fn parse(text: &str) -> Result<Self, InvalidWeights> {
        let object: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(text).map_err(|_| InvalidWeights::NoObject)?;
        let number = |(strategy, value): (String, serde_json::Value)| {
            let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok());
            match number.filter(|number| number.is_finite()) {
                Some(number) => Ok((strategy, number)),
                None => Err(InvalidWeights::NoNumber(strategy)),
            }
        };
        let named = object.into_iter().map(number).collect::<Result<BTreeMap<_, _>, _>>()?;
        let sum = named.values().sum();
        if sum > 0.0 {
            Ok(Self::Named(named))
        } else {
            Err(InvalidWeights::NoSum { strategies: named.into_keys().collect(), sum })
        }
    }

    /// The weights of these strategies, in their order.
    fn of(&self, strategies: &[String]) -> Result<Vec<f64>, InvalidWeights> {
        let Self::Named(named) = self else { return Ok(vec![1.0; strategies.len()]) };
        let missing: Vec<String> =
            strategies.iter().filter(|name| !named.contains_key(*name)).cloned().collect();
        if !missing.is_empty() {
            return Err(InvalidWeights::Missing(missing));
        }
        let weights: Vec<f64> =
            strategies.iter().map(|name| named.get(name).copied().unwrap_or_default()).collect();
        let sum: f64 = weights.iter().sum();
        if sum > 0.0 || weights.is_empty() {
            Ok(weights)
        } else {
            Err(InvalidWeights::NoSum { strategies: strategies.to_vec(), sum })
        }
    }
}

/// How signals are computed.
#[derive(Debug, Clone, PartialEq)]
pub struct SignalTerms {
    /// What each strategy weighs.
    pub weights: Weights,
    /// Ranks up to this one are hits.
    pub top_n: u32,
}

impl Default for SignalTerms {
    fn default() -> Self {
        Self { weights: Weights::Equal, top_n: 50 }
    }
}

/// Rankings as they are found, in the order of their files.
#[derive(Debug, Clone, Default)]
pub struct Rankings {
    /// Names, indexed by [`Ranked::symbol`].
    pub symbols: Vec<String>,
    /// Names, indexed by [`Ranked::strategy`].
    pub strategies: Vec<String>,
    /// One a date, symbol and strategy; of several the last counts.
    pub rows: Vec<Ranked>,
}

/// A row of rankings, as far as it can be read.
#[derive(Debug, Clone, Copy)]
pub struct Ranked {
    /// Days since 1970-01-01.
    pub day: Option<i32>,
    /// Index of the symbol.
    pub symbol: Option<u32>,
    /// Index of the strategy.
    pub strategy: Option<u32>,
    /// 1 is the best; NaN when it cannot be read. A fraction is cut off.
    pub rank: f64,
    /// What was ranked by; not finite when there is none.
    pub score: f64,
}

/// The signals of one month.
#[derive(Debug, Clone, PartialEq)]
pub struct Signals {
    /// Names in byte order.
    pub symbols: Vec<String>,
    /// Names in byte order.
    pub strategies: Vec<String>,
    /// In order of day, symbol and strategy.
    pub ranking: Vec<RankingSignal>,
    /// In order of day, composite rank and symbol.
    pub composite: Vec<CompositeSignal>,
}

/// One symbol in the ranking of one strategy on one day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RankingSignal {
    /// Days since 1970-01-01.
    pub day: i32,
    /// Index of the symbol.
    pub symbol: u32,
    /// Index of the strategy.
    pub strategy: u32,
    /// As it was given.
    pub rank: i32,
    /// 1 for the first rank, 0 for the last; below 0 when ranks exceed the number of symbols.
    pub rank_percentile: f64,
    /// Symbols that the strategy ranked that day.
    pub n_symbols: i32,
    /// What was ranked by.
    pub score: Option<f64>,
}

/// One symbol on one day, over all strategies that rank it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CompositeSignal {
    /// Days since 1970-01-01.
    pub day: i32,
    /// Index of the symbol.
    pub symbol: u32,
    /// Weighted mean of the percentiles.
    pub composite_percentile: f64,
    /// Dense rank within the day, the highest percentile first. Percentiles that agree in twelve decimals tie.
    pub composite_rank: i32,
    /// Strategies that rank the symbol.
    pub strategies_present: i32,
    /// Strategies that rank it among their first.
    pub strategies_hit: i32,
}

/// A signal in rows; parallel columns, in any order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SignalCells {
    /// Days since 1970-01-01.
    pub day: Vec<i32>,
    /// Index of the symbol.
    pub symbol: Vec<u32>,
    /// What the signal says. Of several rows of a day and symbol the last counts.
    pub value: Vec<f64>,
}

impl SignalCells {
    /// Adds a row.
    pub fn push(&mut self, day: i32, symbol: u32, value: f64) {
        self.day.push(day);
        self.symbol.push(symbol);
        self.value.push(value);
    }
}

/// What each strategy says in a month; the highest value is the best.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MonthSignals {
    /// Names in any order, each once.
    pub symbols: Arc<Vec<String>>,
    /// By strategy, or by column of a table of signals.
    pub by_strategy: BTreeMap<String, SignalCells>,
}

/// What was left out of a month.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Rows without a readable date, which belong to no month.
    pub no_date: usize,
    /// Rows without a readable rank.
    pub no_rank: usize,
    /// Rows without a symbol or a strategy.
    pub no_name: usize,
    /// Rows that a later one of the same date, symbol and strategy replaced.
    pub replaced: usize,
    /// Symbols of a day whose strategies weigh nothing together; they have no composite.
    pub weightless: usize,
}

impl LeftOut {
    /// Whether nothing was.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [
            (self.no_date, "without a date"),
            (self.no_rank, "without a rank"),
            (self.no_name, "without a symbol or strategy"),
            (self.replaced, "given again later"),
            (self.weightless, "whose strategies weigh nothing"),
        ];
        let said: Vec<String> =
            counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        f.write_str(&said.join(", "))
    }
}

/// Ranks that cannot be, or do not go with the number of symbols that are ranked beside them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{count} rankings cannot be ({examples}): ranks are whole numbers from 1 to the number of symbols that the strategy \
     ranks that day; correct them, and this month is synced with the next tick"
)]
pub struct InvalidRanks {
    /// How many rows are like that.
    pub count: usize,
    /// Some of them: day, strategy, symbol and rank.
    pub examples: String,
}

/// Refuses the rankings of a month of which a rank is below 1, no whole number, or above the number of symbols, so that
/// its percentile in the `signals` made of them would lie outside of 0 and 1.
///
/// # Errors
/// How many there are, and some of them.
pub fn check_ranks(month: YearMonth, rankings: &Rankings, signals: &Signals) -> Result<(), InvalidRanks> {
    const EXAMPLES: usize = 3;
    let days = month.days();
    let date = |day: i32| NaiveDate::from_epoch_days(day).unwrap_or_default();
    let name = |names: &[String], id: u32| names.get(id as usize).cloned().unwrap_or_default();
    let odd = |row: &&Ranked| {
        let of_month = row.day.is_some_and(|day| days.contains(&day));
        of_month && row.rank.is_finite() && (row.rank < 1.0 || row.rank.fract() != 0.0)
    };
    let said = |row: &Ranked| {
        let [strategy, symbol] = [(&rankings.strategies, row.strategy), (&rankings.symbols, row.symbol)]
            .map(|(names, id)| id.map(|id| name(names, id)).unwrap_or_default());
        format!("{} {strategy} {symbol}: rank {}", date(row.day.unwrap_or_default()), row.rank)
    };
    let mut found: Vec<String> = rankings.rows.iter().filter(odd).map(said).collect();
    if found.is_empty() {
        let outside = signals.ranking.iter().filter(|row| !(0.0..=1.0).contains(&row.rank_percentile));
        let said = |row: &RankingSignal| {
            let (strategy, symbol) =
                (name(&signals.strategies, row.strategy), name(&signals.symbols, row.symbol));
            format!("{} {strategy} {symbol}: rank {} of {}", date(row.day), row.rank, row.n_symbols)
        };
        found = outside.map(said).collect();
    }
    if found.is_empty() {
        return Ok(());
    }
    let more = if found.len() > EXAMPLES { "; …" } else { "" };
    let examples = found.iter().take(EXAMPLES).cloned().collect::<Vec<_>>().join("; ");
    Err(InvalidRanks { count: found.len(), examples: format!("{examples}{more}") })
}

/// Computes the signals of `month` from the rankings dated in it.
///
/// # Errors
/// When the weights do not fit the strategies of the month.
pub fn materialize(
    month: YearMonth,
    rankings: &Rankings,
    terms: &SignalTerms,
) -> Result<(Signals, LeftOut), InvalidWeights> {
    let mut left_out = LeftOut::default();
    let (symbols, symbol_ids) = in_order(&rankings.symbols);
    let (strategies, strategy_ids) = in_order(&rankings.strategies);
    let mut rows = usable(month, rankings, &symbol_ids, &strategy_ids, &mut left_out);
    rows.sort_by_key(RankingSignal::key);
    keep_last(&mut rows, &mut left_out);

    let (strategies, used) = only_used(strategies, rows.iter().map(|row| row.strategy));
    let (symbols, named) = only_used(symbols, rows.iter().map(|row| row.symbol));
    for row in &mut rows {
        row.strategy = used[row.strategy as usize];
        row.symbol = named[row.symbol as usize];
    }
    let weights = terms.weights.of(&strategies)?;

    let mut composite = Vec::new();
    for day in rows.chunk_by_mut(|a, b| a.day == b.day) {
        give_percentiles(day, strategies.len());
        let start = composite.len();
        for symbol in day.chunk_by(|a, b| a.symbol == b.symbol) {
            match compose(symbol, &weights, terms.top_n) {
                Some(signal) => composite.push(signal),
                None => left_out.weightless += 1,
            }
        }
        give_ranks(&mut composite[start..]);
    }
    Ok((Signals { symbols, strategies, ranking: rows, composite }, left_out))
}

impl RankingSignal {
    /// What rows are ordered by.
    pub fn key(&self) -> (i32, u32, u32) {
        (self.day, self.symbol, self.strategy)
    }
}

/// Names in byte order, each once, and the new index of each old one.
pub fn in_order(names: &[String]) -> (Vec<String>, Vec<u32>) {
    let mut sorted = names.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let place = |name: &String| sorted.binary_search(name).unwrap_or_default() as u32;
    let places = names.iter().map(place).collect();
    (sorted, places)
}

/// The names that are used, and the new index of each old one.
fn only_used(names: Vec<String>, used: impl Iterator<Item = u32>) -> (Vec<String>, Vec<u32>) {
    let mut is_used = vec![false; names.len()];
    used.for_each(|index| is_used[index as usize] = true);
    let mut before = 0;
    let places = is_used.iter().map(|used| {
        let place = before;
        before += u32::from(*used);
        place
    });
    let places = places.collect();
    let names = names.into_iter().zip(&is_used).filter(|(_, used)| **used).map(|(name, _)| name).collect();
    (names, places)
}

/// The rows of the month that can be used, with indices of ordered names.
fn usable(
    month: YearMonth,
    rankings: &Rankings,
    symbols: &[u32],
    strategies: &[u32],
    left_out: &mut LeftOut,
) -> Vec<RankingSignal> {
    let days = month.days();
    let mut rows = Vec::with_capacity(rankings.rows.len());
    for row in &rankings.rows {
        let Some(day) = row.day else {
            left_out.no_date += 1;
            continue;
        };
        if !days.contains(&day) {
            continue;
        }
        let rank = row.rank.trunc();
        if rank.is_nan() || rank < f64::from(i32::MIN) || rank > f64::from(i32::MAX) {
            left_out.no_rank += 1;
            continue;
        }
        let name = |id: Option<u32>, ids: &[u32]| ids.get(id? as usize).copied();
        let (Some(symbol), Some(strategy)) = (name(row.symbol, symbols), name(row.strategy, strategies))
        else {
            left_out.no_name += 1;
            continue;
        };
        rows.push(RankingSignal {
            day,
            symbol,
            strategy,
            rank: rank as i32,
            rank_percentile: f64::NAN,
            n_symbols: 0,
            score: Some(row.score).filter(|score| score.is_finite()),
        });
    }
    rows
}

/// Of rows with the same key, the last.
fn keep_last(rows: &mut Vec<RankingSignal>, left_out: &mut LeftOut) {
    let before = rows.len();
    // The kept row is the earlier one, so it takes over what the later one says.
    rows.dedup_by(|later, kept| {
        let same = later.key() == kept.key();
        if same {
            *kept = *later;
        }
        same
    });
    left_out.replaced += before - rows.len();
}

/// Fills in `n_symbols` and `rank_percentile` of the rows of one day.
fn give_percentiles(day: &mut [RankingSignal], strategies: usize) {
    let mut count = vec![0_i32; strategies];
    for row in day.iter() {
        count[row.strategy as usize] += 1;
    }
    for row in day {
        row.n_symbols = count[row.strategy as usize];
        row.rank_percentile = match row.n_symbols {
            1 => 1.0,
            n => 1.0 - (f64::from(row.rank) - 1.0) / f64::from(n - 1),
        };
    }
}

/// The composite of one symbol on one day, still without its rank; `None` when its strategies weigh nothing.
fn compose(rows: &[RankingSignal], weights: &[f64], top_n: u32) -> Option<CompositeSignal> {
    let first = rows.first()?;
    let (mut sum, mut weight) = (Kahan::default(), Kahan::default());
    for row in rows {
        let w = weights[row.strategy as usize];
        sum.add(row.rank_percentile * w);
        weight.add(w);
    }
    let composite_percentile = sum.total / weight.total;
    composite_percentile.is_finite().then(|| CompositeSignal {
        day: first.day,
        symbol: first.symbol,
        composite_percentile,
        composite_rank: 0,
        strategies_present: rows.len() as i32,
        strategies_hit: rows.iter().filter(|row| i64::from(row.rank) <= i64::from(top_n)).count() as i32,
    })
}

/// Ranks the composites of one day and puts them in order.
fn give_ranks(day: &mut [CompositeSignal]) {
    // What is equal on paper may differ in the last bit.
    let rounded = |signal: &CompositeSignal| (signal.composite_percentile * 1e12).round_ties_even();
    day.sort_by(|a, b| rounded(b).total_cmp(&rounded(a)).then(a.symbol.cmp(&b.symbol)));
    let (mut rank, mut before) = (0, f64::NAN);
    for signal in day {
        let value = rounded(signal);
        if value != before {
            rank += 1;
            before = value;
        }
        signal.composite_rank = rank;
    }
}

/// A sum that carries what rounding cuts off.
#[derive(Default)]
struct Kahan {
    total: f64,
    lost: f64,
}

impl Kahan {
    fn add(&mut self, value: f64) {
        let value = value - self.lost;
        let total = self.total + value;
        self.lost = (total - self.total) - value;
        self.total = total;
    }
}
