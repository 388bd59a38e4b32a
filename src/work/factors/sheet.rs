//! The tear sheet of a signal: what the figures of its days come to, over all of them and by month and year.

use std::collections::BTreeMap;

use chrono::{Datelike as _, NaiveDate};
use serde::Serialize;
use utoipa::ToSchema;

use crate::signal::YearMonth;
use crate::statistics::Undefined;
use crate::statistics::factors::{
    FactorDay, Followed, Outlook, Predictiveness, Turnover, curve, quantile_returns,
};

/// What a signal predicts. Undefined is null.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TearSheet {
    /// The strategy whose percentiles are the signal, or the column of a table of signals. The highest value is the best.
    pub strategy: String,
    /// First day of the signal.
    pub from: Option<NaiveDate>,
    /// Last day of the signal.
    pub to: Option<NaiveDate>,
    /// The signal itself.
    pub signal: SignalSheet,
    /// What followed it: every horizon from the close of the day, then every one from the next open.
    pub outlooks: Vec<OutlookSheet>,
}

/// How steady a signal is, and of how many symbols.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct SignalSheet {
    /// Days that have the signal.
    pub days: usize,
    /// Days of these without trading, from which nothing is followed.
    pub days_without_trading: usize,
    /// Mean number of symbols that have the signal on a day.
    pub symbols: Option<f64>,
    /// Mean share of the symbols with a close that have the signal.
    pub coverage: Option<f64>,
    /// Signals of symbols without a close on that trading day.
    pub signals_without_price: usize,
    /// Mean correlation of the ranks of a day with those of the signal's day before.
    pub rank_autocorrelation: Option<f64>,
    /// By fifth of the symbols, lowest signals first: mean share that was not in it on the signal's day before.
    pub turnover: Vec<Option<f64>>,
}

/// What followed a signal over one horizon.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct OutlookSheet {
    /// `close_to_close`: from the close of the day; `next_open`: from the open of the next trading day, to an open.
    pub entry: &'static str,
    /// In trading days.
    pub horizon: usize,
    /// Over all days.
    pub ic: Coefficients,
    /// What is null there, and why.
    pub undefined: BTreeMap<&'static str, String>,
    /// Days whose horizon ends after the last price.
    pub days_ahead: usize,
    /// Days with fewer than three symbols that have the signal and both prices.
    pub days_with_too_few_symbols: usize,
    /// Days on which the signals, or the returns, are all equal.
    pub days_without_variation: usize,
    /// Signals of symbols that lack a price at one end of the horizon.
    pub signals_without_return: usize,
    /// By fifth of the symbols, lowest signals first: mean return over the horizon, less that of all symbols of the day.
    pub quantile_returns: Vec<Option<f64>>,
    /// Mean over the days of the highest fifth's return less the lowest's.
    pub top_minus_bottom: Option<f64>,
    /// By year.
    pub by_year: Vec<Period>,
    /// By month.
    pub by_month: Vec<Period>,
    /// Day by day, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub by_day: Option<ByDay>,
}

/// Information coefficients: correlations of the signal with the returns that follow, day by day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, ToSchema)]
pub struct Coefficients {
    /// Days on which they are defined.
    pub days: usize,
    /// Mean of Spearman's.
    pub mean_rank_ic: Option<f64>,
    /// Its deviation from day to day, divided by the number of days.
    pub std_rank_ic: Option<f64>,
    /// Mean over deviation.
    pub ic_ir: Option<f64>,
    /// Share of days above 0.
    pub hit_rate: Option<f64>,
    /// Mean over its standard error (Newey, West 1987). Null with fewer days than two horizons.
    pub t_newey_west: Option<f64>,
    /// Its lag: the horizon less one, since returns of following days overlap.
    pub lag: usize,
    /// Mean of Pearson's.
    pub mean_pearson_ic: Option<f64>,
}

/// The coefficients of a month or year.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Period {
    /// `YYYY-MM` or `YYYY`, of the day of the signal.
    pub period: String,
    /// Over its days.
    pub ic: Coefficients,
}

/// Figures day by day, in parallel lists: every day whose horizon has ended.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct ByDay {
    /// Day of the signal.
    pub date: Vec<NaiveDate>,
    /// Symbols that have the signal and both prices.
    pub symbols: Vec<usize>,
    /// Spearman's correlation.
    pub rank_ic: Vec<Option<f64>>,
    /// Pearson's correlation.
    pub pearson_ic: Vec<Option<f64>>,
    /// Return of the highest fifth less that of the lowest; null while one of them is empty.
    pub top_minus_bottom: Vec<Option<f64>>,
    /// Running sum of these over the horizon: what a book earned, without compounding, that each day puts one part of the
    /// horizon into the highest fifth less the lowest.
    pub curve: Vec<f64>,
}

impl Coefficients {
    fn of<'a>(days: impl Iterator<Item = &'a Followed>, horizon: usize) -> Self {
        let days: Vec<_> = days.filter_map(|followed| followed.coefficient.ok()).collect();
        let lag = horizon.saturating_sub(1);
        let Ok(found) = Predictiveness::of(&days, horizon) else { return Self { lag, ..Self::default() } };
        Self {
            days: found.days,
            mean_rank_ic: Some(found.mean_rank),
            std_rank_ic: Some(found.deviation),
            ic_ir: found.ratio.ok(),
            hit_rate: Some(found.hit_rate),
            t_newey_west: found.t.ok(),
            lag,
            mean_pearson_ic: Some(found.mean_pearson),
        }
    }
}

impl TearSheet {
    /// Of the days of a signal, ascending; with figures `by_day` or without.
    pub fn of(strategy: &str, days: &[FactorDay], by_day: bool) -> Self {
        let outlooks = Outlook::ALL.into_iter().enumerate();
        Self {
            strategy: strategy.to_owned(),
            from: days.first().and_then(|day| date(day.day)),
            to: days.last().and_then(|day| date(day.day)),
            signal: SignalSheet::of(days),
            outlooks: outlooks
                .map(|(place, outlook)| OutlookSheet::of(days, place, outlook, by_day))
                .collect(),
        }
    }
}

fn date(day: i32) -> Option<NaiveDate> {
    NaiveDate::from_epoch_days(day)
}

impl SignalSheet {
    fn of(days: &[FactorDay]) -> Self {
        let trading = || days.iter().filter(|day| is_trading(day)).map(|day| &day.steadiness);
        let turnover = Turnover::of(days.iter().map(|day| &day.steadiness));
        let signals: usize = days.iter().map(|day| day.steadiness.signals).sum();
        Self {
            days: days.len(),
            days_without_trading: days.len() - trading().count(),
            symbols: (!days.is_empty()).then(|| signals as f64 / days.len() as f64),
            coverage: turnover.coverage,
            signals_without_price: trading().map(|day| day.signals - day.covered).sum(),
            rank_autocorrelation: turnover.rank_autocorrelation,
            turnover: turnover.quantiles.to_vec(),
        }
    }
}

/// On a trading day at least one symbol has a close.
fn is_trading(day: &FactorDay) -> bool {
    day.steadiness.priced > 0
}

impl OutlookSheet {
    fn of(days: &[FactorDay], place: usize, outlook: Outlook, by_day: bool) -> Self {
        let Outlook { entry, horizon } = outlook;
        let ended: Vec<(&FactorDay, &Followed)> =
            days.iter().filter_map(|day| Some((day, day.followed[place].as_ref()?))).collect();
        let all = || ended.iter().map(|(_, followed)| *followed);
        let ic = Coefficients::of(all(), horizon);
        let with = |wanted: fn(&Undefined) -> bool| {
            all().filter(|followed| followed.coefficient.as_ref().err().is_some_and(wanted)).count()
        };
        let spreads: Vec<f64> = all().filter_map(Followed::spread).collect();
        let periods = |name: &dyn Fn(NaiveDate) -> String| -> Vec<Period> {
            let of_day = |(day, _): &(&FactorDay, &Followed)| date(day.day).map(name);
            let periods = ended.chunk_by(|a, b| of_day(a) == of_day(b));
            periods
                .filter_map(|days| {
                    let ic = Coefficients::of(days.iter().map(|(_, followed)| *followed), horizon);
                    Some(Period { period: of_day(days.first()?)?, ic })
                })
                .collect()
        };
        Self {
            entry: entry.name(),
            horizon,
            ic,
            undefined: undefined(&ic),
            days_ahead: days.iter().filter(|day| is_trading(day) && day.followed[place].is_none()).count(),
            days_with_too_few_symbols: with(|why| matches!(why, Undefined::TooFewObservations { .. })),
            days_without_variation: with(|why| matches!(why, Undefined::NoDeviation)),
            signals_without_return: ended
                .iter()
                .map(|(day, followed)| day.steadiness.signals - followed.symbols)
                .sum(),
            quantile_returns: quantile_returns(all()).to_vec(),
            top_minus_bottom: (!spreads.is_empty())
                .then(|| spreads.iter().sum::<f64>() / spreads.len() as f64),
            by_year: periods(&|date| date.year().to_string()),
            by_month: periods(&|date| YearMonth::of(date).to_string()),
            by_day: by_day.then(|| ByDay::of(&ended, horizon)),
        }
    }
}

/// Why figures over all days are null.
fn undefined(ic: &Coefficients) -> BTreeMap<&'static str, String> {
    let mut undefined = BTreeMap::new();
    let few = |needed: usize| Undefined::TooFewObservations { found: ic.days, needed }.to_string();
    if ic.days == 0 {
        undefined.insert("mean_rank_ic", few(1));
    } else {
        if ic.ic_ir.is_none() {
            undefined.insert("ic_ir", Undefined::NoDeviation.to_string());
        }
        if ic.t_newey_west.is_none() {
            let needed = 2 * (ic.lag + 1);
            let why = if ic.days < needed { few(needed) } else { Undefined::NoDeviation.to_string() };
            undefined.insert("t_newey_west", why);
        }
    }
    undefined
}

impl ByDay {
    fn of(ended: &[(&FactorDay, &Followed)], horizon: usize) -> Self {
        let mut all = Self::default();
        for (day, followed) in ended {
            let Some(date) = date(day.day) else { continue };
            all.date.push(date);
            all.symbols.push(followed.symbols);
            all.rank_ic.push(followed.coefficient.ok().map(|coefficient| coefficient.rank));
            all.pearson_ic.push(followed.coefficient.ok().map(|coefficient| coefficient.pearson));
            all.top_minus_bottom.push(followed.spread());
        }
        all.curve = curve(all.top_minus_bottom.iter().map(|spread| spread.unwrap_or(0.0)), horizon);
        all
    }
}
