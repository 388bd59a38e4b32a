//! Which symbols and which days a market has: its rows and columns, before there is a number in them.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use chrono::NaiveDate;

use super::rows::{DataError, PriceDays};
use crate::engine::config::Symbols;
use crate::engine::symbols::SymbolId;

/// The symbols of a market.
pub(super) struct Names {
    /// In byte order; [`SymbolId`] is an index into them.
    pub(super) sorted: Vec<String>,
    pub(super) in_config_order: Vec<SymbolId>,
}

impl Names {
    /// The names of a universe, or all that were found.
    pub(super) fn of(universe: &Symbols, found: &[String]) -> Self {
        let mut sorted = match universe {
            Symbols::Listed(symbols) => symbols.clone(),
            Symbols::All => found.to_vec(),
        };
        sorted.sort_unstable();
        sorted.dedup();
        let in_config_order: Vec<usize> = match universe {
            Symbols::Listed(symbols) => symbols.iter().filter_map(|s| sorted.binary_search(s).ok()).collect(),
            Symbols::All => (0..sorted.len()).collect(),
        };
        Self { sorted, in_config_order: in_config_order.into_iter().map(SymbolId::of_index).collect() }
    }

    /// The id of each name; `None` outside the universe.
    pub(super) fn ids_of(&self, names: &[String]) -> Vec<Option<SymbolId>> {
        let known: HashMap<&str, usize> = self.sorted.iter().map(String::as_str).zip(0..).collect();
        names.iter().map(|name| known.get(name.as_str()).copied().map(SymbolId::of_index)).collect()
    }
}

/// The bars of a market and how to find them by day.
pub(super) struct Calendar {
    pub(super) dates: Vec<NaiveDate>,
    pub(super) first_trading_bar: usize,
    /// Days since 1970-01-01 of the first entry of `bar_of`.
    origin: i32,
    /// Bar by day; `u32::MAX` where there is none.
    bar_of: Vec<u32>,
}

const NO_BAR: u32 = u32::MAX;

impl Calendar {
    /// The days in a window of which a symbol has a complete row, and up to `warmup` such days before it.
    ///
    /// # Errors
    /// If there is none in the window.
    pub(super) fn of(
        (start, end): (NaiveDate, NaiveDate),
        warmup: usize,
        chunks: &[PriceDays],
        ids: &[Option<SymbolId>],
    ) -> Result<Self, DataError> {
        let nothing = || DataError::NoPrices { hint: String::new(), start, end };
        let (first_day, last_day) = (start.to_epoch_days(), end.to_epoch_days());
        let days =
            || chunks.iter().flat_map(|chunk| &chunk.runs).map(|run| run.day).filter(|&day| day <= last_day);
        let (Some(origin), Some(last)) = (days().min(), days().max()) else { return Err(nothing()) };
        let mut traded = vec![false; (last - origin) as usize + 1];
        for chunk in chunks {
            for (day, rows, symbols) in chunk.runs() {
                // One complete row makes a trading day.
                if let Some(traded) = traded.get_mut((day - origin) as usize)
                    && !*traded
                {
                    *traded = chunk.bars(ids, &rows, symbols).any(|symbol| symbol.is_some());
                }
            }
        }
        let days = (origin..=last).filter(|day| traded[(day - origin) as usize]);
        let (history, trading): (Vec<i32>, Vec<i32>) = days.partition(|&day| day < first_day);
        if trading.is_empty() {
            return Err(nothing());
        }
        let warmup = &history[history.len() - history.len().min(warmup)..];
        let mut bar_of = vec![NO_BAR; traded.len()];
        let mut dates = Vec::with_capacity(warmup.len() + trading.len());
        for &day in warmup.iter().chain(&trading) {
            bar_of[(day - origin) as usize] = dates.len() as u32;
            dates.push(NaiveDate::from_epoch_days(day).ok_or_else(nothing)?);
        }
        Ok(Self { dates, first_trading_bar: warmup.len(), origin, bar_of })
    }

    /// The bar of a day. `None` if the market has none.
    pub(super) fn bar(&self, day: i32) -> Option<usize> {
        let offset = usize::try_from(i64::from(day) - i64::from(self.origin)).ok()?;
        self.bar_of.get(offset).copied().filter(|&bar| bar != NO_BAR).map(|bar| bar as usize)
    }
    /// The bar of a day, or of the next one that has a bar. `None` after the last one.
    pub(super) fn bar_from(&self, day: i32) -> Option<usize> {
        let offset = usize::try_from(i64::from(day) - i64::from(self.origin)).unwrap_or(0);
        let later = self.bar_of.get(offset..)?;
        later.iter().find(|&&bar| bar != NO_BAR).map(|&bar| bar as usize)
    }

    /// Days since 1970-01-01 of the first and the last trading day.
    pub(super) fn trading_range(&self) -> RangeInclusive<i32> {
        let day = |date: Option<&NaiveDate>| date.map_or(0, NaiveDate::to_epoch_days);
        day(self.dates.get(self.first_trading_bar))..=day(self.dates.last())
    }
}
