//! What a signal predicts: day by day its information coefficients, what its quantiles earned and how much it turned over,
//! and what many days of these come to. Conventions are those of alphalens, but a day counts for every horizon that it
//! has, and nothing is filled: a symbol without a price at one end is left out of that day and horizon.

use std::array;

use super::ranks::Ranking;
use super::series::{correlation, deviation, mean, quantile};
use super::{Undefined, long_run};

/// Symbols that a day needs for a correlation.
pub const FEWEST_SYMBOLS: usize = 3;

/// Parts that the symbols of a day are divided into, by their signal.
pub const QUANTILES: usize = 5;

/// Trading days over which a signal is followed.
pub const HORIZONS: [usize; 4] = [1, 5, 21, 63];

/// Trading days behind a signal's own whose prices its figures look at: the longest horizon, counted from the next open.
pub const REACH: usize = HORIZONS[HORIZONS.len() - 1] + 1;

/// The price from which a signal of a day is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entry {
    /// The close of the day itself, to a close. Studies of factors have it so; hardly anyone could trade it.
    CloseToClose,
    /// The open of the next trading day, to an open.
    NextOpen,
}

impl Entry {
    /// Both.
    pub const ALL: [Self; 2] = [Self::CloseToClose, Self::NextOpen];

    /// As it is written in tables and documents.
    pub fn name(self) -> &'static str {
        match self {
            Self::CloseToClose => "close_to_close",
            Self::NextOpen => "next_open",
        }
    }
}

/// What follows a signal: from which price, and for how many trading days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Outlook {
    /// Where it begins.
    pub entry: Entry,
    /// Trading days, one of [`HORIZONS`].
    pub horizon: usize,
}

/// How many there are.
const OUTLOOKS: usize = Entry::ALL.len() * HORIZONS.len();

impl Outlook {
    /// Every horizon from the close, then every one from the next open.
    pub const ALL: [Self; OUTLOOKS] = {
        let mut all = [Self { entry: Entry::CloseToClose, horizon: 0 }; OUTLOOKS];
        let mut at = 0;
        while at < OUTLOOKS {
            all[at] = Self { entry: Entry::ALL[at / HORIZONS.len()], horizon: HORIZONS[at % HORIZONS.len()] };
            at += 1;
        }
        all
    };

    /// Its place among [`Self::ALL`], by the name of its entry. `None` if it is not one of them.
    pub fn place(entry: &str, horizon: usize) -> Option<usize> {
        Self::ALL.iter().position(|outlook| outlook.entry.name() == entry && outlook.horizon == horizon)
    }
}

/// Adjusted prices, `[trading day * symbols + symbol]`; NaN where there is none.
#[derive(Debug, Clone, Copy)]
pub struct Prices<'a> {
    /// Length of a row.
    pub symbols: usize,
    /// Opens.
    pub open: &'a [f64],
    /// Closes.
    pub close: &'a [f64],
}

impl<'a> Prices<'a> {
    fn row(&self, table: &'a [f64], day: usize) -> Option<&'a [f64]> {
        table.get(day * self.symbols..(day + 1) * self.symbols)
    }

    /// The rows between which a signal of a day is followed. `None` if the days end before.
    fn ends(&self, day: usize, outlook: Outlook) -> Option<(&'a [f64], &'a [f64])> {
        let (table, from) = match outlook.entry {
            Entry::CloseToClose => (self.close, day),
            Entry::NextOpen => (self.open, day + 1),
        };
        Some((self.row(table, from)?, self.row(table, from + outlook.horizon)?))
    }
}

/// A signal on one day.
#[derive(Debug, Clone, Copy)]
pub struct Observed<'a> {
    /// Days since 1970-01-01.
    pub day: i32,
    /// Its row in the prices. `None` if it is not a trading day.
    pub row: Option<usize>,
    /// By symbol, those of the prices first; what is not finite is no signal.
    pub signal: &'a [f64],
    /// The same of the last day before that has the signal.
    pub before: Option<&'a [f64]>,
}

/// The correlation of a day's signal with the returns that follow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InformationCoefficient {
    /// Spearman's.
    pub rank: f64,
    /// Pearson's.
    pub pearson: f64,
}

/// What one quantile of a day earned.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct QuantileReturn {
    /// Its symbols.
    pub symbols: usize,
    /// Their mean return above that of all symbols of the day; 0 without symbols.
    pub excess: f64,
}

/// What a day's signal was followed by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Followed {
    /// Symbols that have the signal and a price at both ends.
    pub symbols: usize,
    /// An error with fewer than three symbols, or if all are equal on one side.
    pub coefficient: Result<InformationCoefficient, Undefined>,
    /// Lowest signals first.
    pub quantiles: [QuantileReturn; QUANTILES],
}

impl Followed {
    /// Mean return of the highest quantile less that of the lowest. `None` if one of them is empty.
    pub fn spread(&self) -> Option<f64> {
        let (bottom, top) = (self.quantiles.first()?, self.quantiles.last()?);
        (bottom.symbols > 0 && top.symbols > 0).then_some(top.excess - bottom.excess)
    }
}

/// How a day's signal stands to the prices of the day, and to the signal before it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Steadiness {
    /// Symbols that have the signal.
    pub signals: usize,
    /// Symbols that have a close.
    pub priced: usize,
    /// Symbols that have both.
    pub covered: usize,
    /// By quantile, lowest signals first: share of its symbols that were not in it before. `None` without a day before, or
    /// if the quantile is empty on either day.
    pub replaced: [Option<f64>; QUANTILES],
    /// Correlation of the ranks with those before, of the symbols that have both.
    pub rank_autocorrelation: Option<f64>,
}

/// All figures of a signal on one day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FactorDay {
    /// Days since 1970-01-01.
    pub day: i32,
    /// How steady it is.
    pub steadiness: Steadiness,
    /// By [`Outlook::ALL`]; `None` while the prices end before the horizon does, and on a day without trading.
    pub followed: [Option<Followed>; OUTLOOKS],
}

/// Makes the figures of days; one after another they use the same memory.
#[derive(Default)]
pub struct Follower {
    ranking: Ranking,
    now: Placed,
    before: Placed,
    /// Signals and returns of the symbols that have both, lowest signals first.
    signal: Vec<f64>,
    earned: Vec<f64>,
    ranks: [Vec<f64>; 2],
}

impl Follower {
    /// The figures of a day.
    pub fn day(&mut self, prices: &Prices<'_>, observed: &Observed<'_>) -> FactorDay {
        self.now.place(observed.signal, &mut self.ranking);
        if let Some(before) = observed.before {
            self.before.place(before, &mut self.ranking);
        }
        let close = observed.row.and_then(|row| prices.row(prices.close, row)).unwrap_or_default();
        FactorDay {
            day: observed.day,
            steadiness: self.steadiness(close, observed.before.is_some()),
            followed: Outlook::ALL.map(|outlook| {
                let (from, to) = prices.ends(observed.row?, outlook)?;
                Some(self.followed(from, to))
            }),
        }
    }

    fn steadiness(&self, close: &[f64], has_before: bool) -> Steadiness {
        let is_covered = |symbol: &&u32| close.get(**symbol as usize).is_some_and(|close| !close.is_nan());
        let mut steadiness = Steadiness {
            signals: self.now.ascending.len(),
            priced: close.iter().filter(|close| !close.is_nan()).count(),
            covered: self.now.ascending.iter().filter(is_covered).count(),
            replaced: [None; QUANTILES],
            rank_autocorrelation: None,
        };
        if !has_before {
            return steadiness;
        }
        let (now, before) = (&self.now, &self.before);
        let quantile_before = |symbol: usize| before.quantiles.get(symbol).copied().flatten();
        let (mut held, mut new) = ([0_usize; QUANTILES], [0_usize; QUANTILES]);
        for (symbol, quantile) in now.quantiles.iter().enumerate() {
            let Some(quantile) = *quantile else { continue };
            held[quantile] += 1;
            new[quantile] += usize::from(quantile_before(symbol) != Some(quantile));
        }
        for (quantile, share) in steadiness.replaced.iter_mut().enumerate() {
            let was_held = before.quantiles.contains(&Some(quantile));
            *share = (held[quantile] > 0 && was_held).then(|| new[quantile] as f64 / held[quantile] as f64);
        }
        let both = now.ranks.iter().zip(&before.ranks).filter(|(now, then)| !now.is_nan() && !then.is_nan());
        let (now, then): (Vec<f64>, Vec<f64>) = both.map(|(now, then)| (*now, *then)).unzip();
        steadiness.rank_autocorrelation = correlation(&now, &then).ok();
        steadiness
    }

    fn followed(&mut self, from: &[f64], to: &[f64]) -> Followed {
        self.signal.clear();
        self.earned.clear();
        for &symbol in &self.now.ascending {
            let symbol = symbol as usize;
            let (Some(from), Some(to)) = (from.get(symbol), to.get(symbol)) else { continue };
            let earned = to / from - 1.0;
            if earned.is_finite() {
                self.signal.push(self.now.signal[symbol]);
                self.earned.push(earned);
            }
        }
        let average = mean(&self.earned);
        let edges = edges(&self.signal);
        let mut quantiles = [QuantileReturn::default(); QUANTILES];
        for (&signal, earned) in self.signal.iter().zip(&self.earned) {
            let quantile = &mut quantiles[quantile_of(&edges, signal)];
            quantile.symbols += 1;
            quantile.excess += earned - average;
        }
        for quantile in quantiles.iter_mut().filter(|quantile| quantile.symbols > 0) {
            quantile.excess /= quantile.symbols as f64;
        }
        Followed { symbols: self.signal.len(), coefficient: self.coefficient(), quantiles }
    }

    fn coefficient(&mut self) -> Result<InformationCoefficient, Undefined> {
        let found = self.signal.len();
        if found < FEWEST_SYMBOLS {
            return Err(Undefined::TooFewObservations { found, needed: FEWEST_SYMBOLS });
        }
        for (values, ranks) in [&self.signal, &self.earned].into_iter().zip(&mut self.ranks) {
            ranks.resize(values.len(), 0.0);
            self.ranking.average(values, ranks);
        }
        let [signal, earned] = &self.ranks;
        Ok(InformationCoefficient {
            rank: correlation(signal, earned)?,
            pearson: correlation(&self.signal, &self.earned)?,
        })
    }
}

/// A day's signal in its order.
#[derive(Default)]
struct Placed {
    /// By symbol; NaN where there is none.
    signal: Vec<f64>,
    /// Symbols that have it, lowest first.
    ascending: Vec<u32>,
    /// By symbol: average rank.
    ranks: Vec<f64>,
    /// By symbol.
    quantiles: Vec<Option<usize>>,
}

impl Placed {
    fn place(&mut self, signal: &[f64], ranking: &mut Ranking) {
        self.signal.clear();
        self.signal.extend(signal.iter().map(|&value| if value.is_finite() { value } else { f64::NAN }));
        self.ranks.resize(signal.len(), 0.0);
        ranking.average(&self.signal, &mut self.ranks);
        self.ascending.clear();
        self.ascending.extend(ranking.sort(&self.signal).iter().map(|(_, symbol)| *symbol));
        let values: Vec<f64> = self.ascending.iter().map(|&symbol| self.signal[symbol as usize]).collect();
        let edges = edges(&values);
        self.quantiles.clear();
        let quantile = |value: &f64| (!value.is_nan()).then(|| quantile_of(&edges, *value));
        self.quantiles.extend(self.signal.iter().map(quantile));
    }
}

/// What divides ascending values into quantiles of about as many: their interpolated quantiles.
fn edges(ascending: &[f64]) -> [f64; QUANTILES - 1] {
    array::from_fn(|edge| quantile(ascending, (edge + 1) as f64 / QUANTILES as f64))
}

/// The upper edge belongs to the lower quantile (`pandas.qcut`). Equal edges leave the quantile between them empty.
fn quantile_of(edges: &[f64], value: f64) -> usize {
    edges.partition_point(|&edge| edge < value)
}

/// Information coefficients over many days.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Predictiveness {
    /// Days on which the coefficient is defined.
    pub days: usize,
    /// Mean rank correlation.
    pub mean_rank: f64,
    /// Its deviation from day to day (`ddof = 0`).
    pub deviation: f64,
    /// Mean over deviation.
    pub ratio: Result<f64, Undefined>,
    /// Share of days with a rank correlation above 0.
    pub hit_rate: f64,
    /// Mean over its standard error, Newey-West with a lag of the horizon minus one: returns of days that follow each
    /// other overlap. An error unless there are two horizons that do not.
    pub t: Result<f64, Undefined>,
    /// Mean of Pearson's correlation.
    pub mean_pearson: f64,
}

impl Predictiveness {
    /// Of the days of a horizon, or of those of a month or year of it, in their order.
    ///
    /// # Errors
    /// If there are no days.
    pub fn of(days: &[InformationCoefficient], horizon: usize) -> Result<Self, Undefined> {
        if days.is_empty() {
            return Err(Undefined::TooFewObservations { found: 0, needed: 1 });
        }
        let ranks: Vec<f64> = days.iter().map(|day| day.rank).collect();
        let (mean_rank, deviation) = (mean(&ranks), deviation(&ranks));
        let (found, needed) = (ranks.len(), 2 * horizon);
        Ok(Self {
            days: found,
            mean_rank,
            deviation,
            ratio: if deviation > 1e-12 { Ok(mean_rank / deviation) } else { Err(Undefined::NoDeviation) },
            hit_rate: ranks.iter().filter(|&&rank| rank > 0.0).count() as f64 / found as f64,
            t: if found < needed {
                Err(Undefined::TooFewObservations { found, needed })
            } else {
                long_run::t_statistic(&ranks, horizon.saturating_sub(1))
            },
            mean_pearson: days.iter().map(|day| day.pearson).sum::<f64>() / found as f64,
        })
    }
}

/// Mean return by quantile over many days, above the mean of each day: over symbols and days, lowest signals first.
/// `None` for a quantile that never had a symbol.
pub fn quantile_returns<'a>(days: impl IntoIterator<Item = &'a Followed>) -> [Option<f64>; QUANTILES] {
    let mut totals = [(0.0, 0_usize); QUANTILES];
    for day in days {
        for (total, quantile) in totals.iter_mut().zip(&day.quantiles) {
            total.0 += quantile.excess * quantile.symbols as f64;
            total.1 += quantile.symbols;
        }
    }
    totals.map(|(sum, symbols)| (symbols > 0).then(|| sum / symbols as f64))
}

/// What a book earned that each day puts one part of its horizon into the highest quantile less the lowest, without
/// compounding: the running sum of the spreads over the horizon.
pub fn curve(spreads: impl IntoIterator<Item = f64>, horizon: usize) -> Vec<f64> {
    let add = |sum: &mut f64, spread: f64| {
        *sum += spread / horizon as f64;
        Some(*sum)
    };
    spreads.into_iter().scan(0.0, add).collect()
}

/// How much a signal changes from day to day, over many days.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Turnover {
    /// By quantile, lowest signals first: mean share of its symbols that were not in it the day before. `None` for a
    /// quantile without such days.
    pub quantiles: [Option<f64>; QUANTILES],
    /// Mean correlation of the ranks with those of the day before. `None` without such days.
    pub rank_autocorrelation: Option<f64>,
    /// Mean share of the symbols with a close that have the signal. `None` without a trading day.
    pub coverage: Option<f64>,
}

impl Turnover {
    /// Of days.
    pub fn of<'a>(days: impl IntoIterator<Item = &'a Steadiness>) -> Self {
        let days: Vec<&Steadiness> = days.into_iter().collect();
        let average = |of: &dyn Fn(&Steadiness) -> Option<f64>| {
            let values: Vec<f64> = days.iter().filter_map(|day| of(day)).collect();
            (!values.is_empty()).then(|| mean(&values))
        };
        Self {
            quantiles: array::from_fn(|quantile| average(&|day| day.replaced[quantile])),
            rank_autocorrelation: average(&|day| day.rank_autocorrelation),
            coverage: average(&|day| (day.priced > 0).then(|| day.covered as f64 / day.priced as f64)),
        }
    }
}
