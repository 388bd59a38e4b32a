//! The same market, had one thing about it been otherwise: without its future, with another one, with signals that come
//! later. What a run decides on these, beside what it decided on the market itself, shows what it knew.

use super::Market;
use super::signals::SignalTable;
use crate::engine::closes::Closes;
use crate::engine::market::SymbolId;
use crate::engine::table::Table;

/// What a future is made of instead of the real one.
pub struct OtherFuture<'a> {
    /// By what the prices and the volume of a bar are multiplied; above 0. Takes bar and symbol; the symbol behind the
    /// last one is the benchmark.
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
        Self {
            dates: self.dates[..bars].to_vec(),
            closes: Closes::new(self.rows(bars, |bar| self.closes.on(bar))),
            open: head_of(&self.open, bars),
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
        Self {
            dates: self.dates.clone(),
            closes: Closes::new(changed(&self.rows(bars, |bar| self.closes.on(bar)))),
            open: changed(&self.open),
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

    fn rows<'a>(&self, rows: usize, row: impl Fn(usize) -> &'a [f64]) -> Table {
        let width = self.symbols.len();
        let mut table = Table::zeros(rows, width);
        for at in 0..rows {
            table.cells[at * width..][..width].copy_from_slice(row(at));
        }
        table
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
