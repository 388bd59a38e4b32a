//! The figures of one month from its signals and the prices of its days and of those that follow, and a digest of all that
//! they look at. Plain arithmetic: nothing is read or written.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use chrono::NaiveDate;
use rayon::prelude::*;
use sha2::{Digest as _, Sha256};

use super::METHOD;
use crate::digest::hex;
use crate::engine::market::PricePanel;
use crate::signal::{MonthSignals, SignalCells, YearMonth};
use crate::statistics::factors::{FactorDay, Follower, Observed, Prices, REACH};
use crate::store::signals::factors::Figures;

/// Prices of some days, every symbol of them.
pub(super) struct Market {
    /// `None` if there is no price.
    panel: Option<PricePanel>,
    ids: HashMap<String, u32>,
    /// A digest of the prices of each day.
    days: Vec<[u8; 32]>,
}

impl Market {
    pub(super) fn of(panel: Option<PricePanel>) -> Self {
        let symbols = panel.as_ref().map_or(&[][..], PricePanel::symbols);
        let ids = symbols.iter().cloned().zip(0..).collect();
        let days = panel.as_ref().map(digests).unwrap_or_default();
        Self { panel, ids, days }
    }

    /// The trading days, ascending.
    pub(super) fn dates(&self) -> &[NaiveDate] {
        self.panel.as_ref().map_or(&[], PricePanel::dates)
    }

    fn symbols(&self) -> &[String] {
        self.panel.as_ref().map_or(&[], PricePanel::symbols)
    }

    fn prices(&self) -> Prices<'_> {
        let (open, close) = self.panel.as_ref().map_or((&[][..], &[][..]), PricePanel::cells);
        Prices { symbols: self.symbols().len(), open, close }
    }

    /// The trading days that the figures of a month look at, and the last day that they look for: `None` while the prices
    /// end before it.
    fn window(&self, month: YearMonth) -> (Range<usize>, Option<NaiveDate>) {
        let dates = self.dates();
        let from = dates.partition_point(|date| *date < month.first_day());
        let end = dates.partition_point(|date| *date <= month.last_day());
        if from == end {
            // Only prices of the month itself would make a difference.
            return (from..from, Some(month.last_day()));
        }
        let last = end - 1 + REACH;
        (from..dates.len().min(last + 1), dates.get(last).copied())
    }
}

/// A digest of each day: of the symbols that have a price, in the order of their names, and these.
fn digests(panel: &PricePanel) -> Vec<[u8; 32]> {
    let (open, close) = panel.cells();
    let symbols = panel.symbols();
    let of_day = |(bar, date): (usize, &NaiveDate)| {
        let cell = |table: &[f64], symbol: usize| table[bar * symbols.len() + symbol];
        let mut digest = Sha256::new();
        digest.update(date.to_epoch_days().to_le_bytes());
        for (symbol, name) in symbols.iter().enumerate() {
            let (open, close) = (cell(open, symbol), cell(close, symbol));
            if !(open.is_nan() && close.is_nan()) {
                add_text(&mut digest, name);
                digest.update(open.to_le_bytes());
                digest.update(close.to_le_bytes());
            }
        }
        digest.finalize().into()
    };
    panel.dates().par_iter().enumerate().map(of_day).collect()
}

/// Adds a text so that it cannot run into the next one.
fn add_text(digest: &mut Sha256, text: &str) {
    digest.update((text.len() as u64).to_le_bytes());
    digest.update(text);
}

/// A month as far as it was looked at.
pub(super) struct Made {
    /// Last day whose prices it looks at; `None` while it would look further than the prices go.
    pub(super) until: Option<NaiveDate>,
    /// Digest of the signals and prices.
    pub(super) content: String,
    /// `None` where they are those that are known.
    pub(super) figures: Option<Figures>,
}

/// Makes the figures of a month, unless its signals and prices have the digest that is `known`. `before` are the signals of
/// the month before.
pub(super) fn make(
    month: YearMonth,
    signals: &MonthSignals,
    before: &MonthSignals,
    market: &Market,
    known: Option<&str>,
) -> Made {
    let laid_out = LaidOut::of(signals, before, market);
    let (bars, until) = market.window(month);
    let mut digest = laid_out.digest();
    bars.for_each(|bar| digest.update(market.days[bar]));
    let content = hex(&digest.finalize());
    let figures = (known != Some(content.as_str())).then(|| laid_out.figures(market));
    Made { until, content, figures }
}

/// Signals by day and symbol; the symbols of the prices come first.
struct LaidOut<'a> {
    width: usize,
    /// Names in byte order, each with its place in a row.
    by_name: Vec<(&'a str, u32)>,
    strategies: BTreeMap<&'a str, Days>,
}

/// The rows of one strategy, days ascending.
#[derive(Default)]
struct Days {
    day: Vec<i32>,
    /// `[day * width + symbol]`; NaN where there is none.
    rows: Vec<f64>,
    /// Whether the first day is of the month before, and only there to be compared with.
    has_before: bool,
}

impl<'a> LaidOut<'a> {
    fn of(signals: &'a MonthSignals, before: &'a MonthSignals, market: &'a Market) -> Self {
        let mut unpriced: HashMap<&'a str, u32> = HashMap::new();
        let priced = market.symbols().len() as u32;
        let mut ids_of = |names: &'a [String]| -> Vec<u32> {
            let id = |name: &'a String| {
                let next = priced + unpriced.len() as u32;
                market
                    .ids
                    .get(name)
                    .copied()
                    .unwrap_or_else(|| *unpriced.entry(name.as_str()).or_insert(next))
            };
            names.iter().map(id).collect()
        };
        let (ids, ids_before) = (ids_of(&signals.symbols), ids_of(&before.symbols));
        let mut by_name: Vec<(&str, u32)> = market.symbols().iter().map(String::as_str).zip(0..).collect();
        by_name.extend(unpriced);
        by_name.sort_unstable();
        let width = by_name.len().max(1);
        let lay_out = |(name, cells): (&'a String, &SignalCells)| {
            let mut days = Days::default();
            if let Some(before) = before.by_strategy.get(name)
                && let Some(&last) = before.day.iter().max()
            {
                days.has_before = true;
                days.add(before, &ids_before, width, |day| day == last);
            }
            days.add(cells, &ids, width, |_| true);
            (name.as_str(), days)
        };
        Self { width, by_name, strategies: signals.by_strategy.par_iter().map(lay_out).collect() }
    }

    /// Of everything and the method, in an order that depends on names and days alone.
    fn digest(&self) -> Sha256 {
        let mut digest = Sha256::new();
        add_text(&mut digest, METHOD);
        for (strategy, days) in &self.strategies {
            add_text(&mut digest, strategy);
            digest.update([u8::from(days.has_before)]);
            for (day, row) in days.day.iter().zip(days.rows.chunks_exact(self.width)) {
                digest.update(day.to_le_bytes());
                let there = self.by_name.iter().filter(|(_, symbol)| !row[*symbol as usize].is_nan());
                digest.update((there.clone().count() as u64).to_le_bytes());
                for (name, symbol) in there {
                    add_text(&mut digest, name);
                    digest.update(row[*symbol as usize].to_le_bytes());
                }
            }
        }
        digest
    }

    fn figures(&self, market: &Market) -> Figures {
        let prices = market.prices();
        let of = |(strategy, days): (&&str, &Days)| {
            let mut follower = Follower::default();
            let rows = || days.rows.chunks_exact(self.width);
            let befores = std::iter::once(None).chain(rows().map(Some));
            let observed = days.day.iter().zip(rows()).zip(befores).skip(usize::from(days.has_before));
            let figures: Vec<FactorDay> = observed
                .map(|((&day, signal), before)| {
                    let date = NaiveDate::from_epoch_days(day);
                    let row = date.and_then(|date| market.dates().binary_search(&date).ok());
                    follower.day(&prices, &Observed { day, row, signal, before })
                })
                .collect();
            ((*strategy).to_owned(), figures)
        };
        self.strategies.par_iter().map(of).collect()
    }
}

impl Days {
    /// Adds rows of later days than those that are there.
    fn add(&mut self, cells: &SignalCells, ids: &[u32], width: usize, wanted: impl Fn(i32) -> bool) {
        let first = self.day.len();
        let mut days: Vec<i32> = cells.day.iter().copied().filter(|day| wanted(*day)).collect();
        days.sort_unstable();
        days.dedup();
        self.day.extend(days);
        self.rows.resize(self.day.len() * width, f64::NAN);
        for ((&day, &symbol), &value) in cells.day.iter().zip(&cells.symbol).zip(&cells.value) {
            if let Ok(at) = self.day[first..].binary_search(&day) {
                self.rows[(first + at) * width + ids[symbol as usize] as usize] = value;
            }
        }
    }
}
