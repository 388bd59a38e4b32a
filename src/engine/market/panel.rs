//! The opens and closes of a whole price table, for what is computed from prices without a backtest.

use chrono::NaiveDate;

use super::calendar::{Calendar, Names};
use super::fill::Shape;
use super::rows::{DataError, PriceRows};
use crate::engine::closes::Closes;
use crate::engine::config::{PriceColumns, Symbols};
use crate::engine::table::Table;

/// Every symbol and every day of some price rows. A day is a bar, and a row a price, as in a backtest.
#[derive(Debug)]
pub struct PricePanel {
    symbols: Vec<String>,
    dates: Vec<NaiveDate>,
    opens: Table,
    closes: Closes,
}

impl PricePanel {
    /// Lays the prices out. `None` if no row is complete.
    ///
    /// # Errors
    /// If the rows do not fit together or a price is infinite.
    pub fn of(prices: &PriceRows) -> Result<Option<Self>, DataError> {
        if !prices.fit_together() {
            return Err(DataError::Ragged("price"));
        }
        let names = Names::of(&Symbols::All, &prices.symbols);
        let ids = names.ids_of(&prices.symbols);
        let always = (NaiveDate::MIN, NaiveDate::MAX);
        let calendar = match Calendar::of(always, 0, &prices.chunks, &ids) {
            Ok(calendar) => calendar,
            Err(DataError::NoPrices { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let shape = Shape { names: &names, calendar: &calendar };
        let (tables, _) = shape.fill(&ids, prices, &PriceColumns::default())?;
        Ok(Some(Self {
            symbols: names.sorted,
            dates: calendar.dates,
            opens: tables.open,
            closes: Closes::new(tables.close),
        }))
    }

    /// Names in byte order.
    pub fn symbols(&self) -> &[String] {
        &self.symbols
    }

    /// The days, oldest first.
    pub fn dates(&self) -> &[NaiveDate] {
        &self.dates
    }

    /// The closes, a bar a day.
    pub fn closes(&self) -> &Closes {
        &self.closes
    }

    /// Opens and closes as they lie side by side: `[bar * symbols + symbol]`, NaN where a symbol has no bar.
    pub fn cells(&self) -> (&[f64], &[f64]) {
        (&self.opens.cells, self.closes.cells())
    }
}
