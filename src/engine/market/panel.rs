//! The opens and closes of a whole price table, for what is computed from prices without a backtest.

use chrono::NaiveDate;

use super::actions::{self, CorporateActions, Told};
use super::calendar::{Calendar, Names};
use super::fill::Shape;
use super::rows::{DataError, PriceRows};
use crate::engine::closes::Closes;
use crate::engine::config::{ImpossiblePrice, PriceColumns, Symbols};
use crate::engine::table::Table;

/// Every symbol and every day of some price rows. A day is a bar, and a row a price, as in a backtest. Where dividends and
/// splits lie beside the prices, each is adjusted for those up to its day ([`super::Market::adjusted_closes`]).
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
    /// If the rows do not fit together, a price is infinite, or dividends and splits do not go with the prices.
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
        let (mut opens, mut closes) = (tables.open, Closes::new(tables.close));
        let (symbols, dates) = (names.sorted, &calendar.dates);
        if prices.are_unadjusted() {
            let announced = actions::announced(&calendar, prices, &ids);
            let (actions, wrong) = CorporateActions::of(announced, &closes, &opens);
            let told = Told { symbols: &symbols, dates };
            told.left_out(&wrong, ImpossiblePrice::Refuse)?;
            told.unshown(actions.all(), |symbol| closes.of(symbol, 0..dates.len()), false)?;
            (opens, closes) = actions.into_prices();
        }
        Ok(Some(Self { symbols, dates: calendar.dates, opens, closes }))
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
