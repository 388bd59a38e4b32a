//! The same market, had one thing about it been otherwise: without its future, with another one, with signals that come
//! later. What a run decides on these, beside what it decided on the market itself, shows what it knew.

use super::signals::SignalTable;
use super::{CorporateActions, Market};
use crate::engine::closes::Closes;
use crate::engine::market::SymbolId;
use crate::engine::table::Table;

/// What a future is made of instead of the real one.
pub struct OtherFuture<'a> {
    /// By what the prices, the volume, dividends and splits of a bar are multiplied; above 0. Takes bar and symbol; the symbol
    /// behind the last one is the benchmark.
    pub factor: &'a dyn Fn(usize, usize) -> f64,
    /// Brings the signals of a bar into another order.
    pub shuffle: &'a dyn Fn(usize, &mut [f64]),
}

impl Market {
    /// As it was at the close of a bar: no later bar is there. `last` is a trading bar.
    pub fn until(&self, last: usize) -> Self {
        let bars = last + 1;
        let days = bars - self.first_trading_bar;
        let head = |table: &Option<Table>| table.as_ref().map(|table| head_of(table, bars));
        let (closes, open) = (Closes::new(head_of(self.closes.by_bar(), bars)), head_of(&self.open, bars));
        Self {
            dates: self.dates[..bars].to_vec(),
            actions: self.actions.as_ref().map(|actions| {
                let mut known = actions.all().to_vec();
                known.retain(|action| action.bar < bars);
                CorporateActions::of(known, &closes, &open).0
            }),
            closes,
            open,
            high: head(&self.high),
            low: head(&self.low),
            volume: head(&self.volume),
            others: self.others.iter().map(|(name, table)| (name.clone(), head_of(table, bars))).collect(),
            signals: self.signals.as_ref().map(|signals| SignalTable {
                rows: signals.rows[..days * self.symbols.len()].to_vec(),
                columns: signals
                    .columns
                    .iter()
                    .map(|(name, table)| (name.clone(), head_of(table, days)))
                    .collect(),
                days_without_trading: signals.days_without_trading,
                lacks: signals.lacks.clone(),
            }),
            benchmark: self.benchmark.as_ref().map(|closes| closes[..days].to_vec()),
            risk_free: self.risk_free.as_ref().map(|rates| rates[..days].to_vec()),
            ..self.without_tables()
        }
    }

    /// With another future behind a bar.
    pub fn with_other_future(&self, last: usize, future: &OtherFuture<'_>) -> Self {
        let (bars, width) = (self.dates.len(), self.symbols.len());
        let changed = |table: &Table| {
            let mut table = table.clone();
            for bar in last + 1..bars {
                for (symbol, cell) in table.cells[bar * width..][..width].iter_mut().enumerate() {
                    *cell *= (future.factor)(bar, symbol);
                }
            }
            table
        };
        let all = |table: &Option<Table>| table.as_ref().map(changed);
        let signals = self.signals.clone().map(|mut signals| {
            for (_, table) in &mut signals.columns {
                for bar in last + 1..bars {
                    let row = (bar - self.first_trading_bar) * width;
                    (future.shuffle)(bar, &mut table.cells[row..][..width]);
                }
            }
            signals
        });
        let benchmark = self.benchmark.clone().map(|mut closes| {
            for bar in (last + 1).max(self.first_trading_bar)..bars {
                closes[bar - self.first_trading_bar] *= (future.factor)(bar, width);
            }
            closes
        });
        let (closes, open) = (Closes::new(changed(self.closes.by_bar())), changed(&self.open));
        let actions = self.actions.as_ref().map(|actions| {
            let mut other = actions.all().to_vec();
            for action in other.iter_mut().filter(|action| action.bar > last) {
                let factor = (future.factor)(action.bar, action.symbol.index());
                action.dividend *= factor;
                action.split_factor *= factor;
            }
            // A dividend that a made-up price would leave nothing of is not paid.
            CorporateActions::of(other, &closes, &open).0
        });
        Self {
            dates: self.dates.clone(),
            actions,
            closes,
            open,
            high: all(&self.high),
            low: all(&self.low),
            volume: all(&self.volume),
            others: self.others.iter().map(|(name, table)| (name.clone(), changed(table))).collect(),
            signals,
            benchmark,
            risk_free: self.risk_free.clone(),
            ..self.without_tables()
        }
    }

    /// With each row of the signal table seen so many trading days later. `None` without such a table.
    pub fn with_later_signals(&self, days: usize) -> Option<Self> {
        let mut signals = self.signals.clone()?;
        let width = self.symbols.len();
        let gap = (days * width).min(signals.rows.len());
        let kept = signals.rows.len() - gap;
        signals.rows.copy_within(..kept, gap);
        signals.rows[..gap].fill(false);
        for (_, table) in &mut signals.columns {
            table.cells.copy_within(..kept, gap);
            table.cells[..gap].fill(f64::NAN);
        }
        Some(Self { signals: Some(signals), ..self.clone() })
    }

    /// Names of the columns of the signal table that the config names.
    pub fn signal_columns(&self) -> Vec<&str> {
        let columns = self.signals.iter().flat_map(|signals| &signals.columns);
        columns.map(|(name, _)| name.as_str()).collect()
    }

    /// First and last bar of a symbol; `None` if it has none.
    pub fn life(&self, symbol: SymbolId) -> Option<(usize, usize)> {
        let closes = self.closes_of(symbol, 0..self.dates.len());
        let first = closes.iter().position(|close| !close.is_nan())?;
        let last = closes.iter().rposition(|close| !close.is_nan())?;
        Some((first, last))
    }

    /// Everything but the tables.
    fn without_tables(&self) -> Self {
        let width = self.symbols.len();
        let none = || Table::zeros(0, width);
        Self {
            symbols: self.symbols.clone(),
            universe: self.universe.clone(),
            dates: Vec::new(),
            first_trading_bar: self.first_trading_bar,
            closes: Closes::new(none()),
            open: none(),
            high: None,
            low: None,
            volume: None,
            others: Vec::new(),
            lacks: self.lacks.clone(),
            exchange: self.exchange.clone(),
            signals: None,
            computes_signals: self.computes_signals,
            benchmark: None,
            risk_free: None,
            periods_per_year: self.periods_per_year,
            actions: None,
            warnings: self.warnings.clone(),
        }
    }
}

/// The first rows of a table.
fn head_of(table: &Table, rows: usize) -> Table {
    let mut head = Table::zeros(rows, table.width);
    head.cells.copy_from_slice(&table.cells[..rows * table.width]);
    head
}
