//! What holding costs and earns from close to close: the fee for borrowed shares, and interest on the cash of an account. What
//! trading costs is told in `broker`.

use super::RunError;
use super::config::{BacktestConfig, CashRate, PriceColumn};
use super::ledger::Ledger;
use super::market::{Market, SymbolId};
use super::metrics::risk_free::RiskFreeDays;
use super::table::Table;

/// The largest annual fee that a column may say, as a fraction.
const LARGEST_FEE: f64 = 10.0;

/// What accrued from one close to the next.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Accrued {
    /// Paid for borrowed shares.
    pub(crate) borrow_cost: f64,
    /// Earned on cash, less what was paid on debt.
    pub(crate) interest: f64,
}

/// The rates of a run, all annual, as fractions.
#[derive(Debug)]
pub(crate) struct Carry {
    /// Fee of each symbol on each bar, the last known one; NaN before the first. `None`: the same for all.
    fees: Option<Table>,
    fee: f64,
    /// Rates on cash and on debt that hold from the close of each trading day on.
    credit: Vec<f64>,
    debit: Vec<f64>,
    day_count: f64,
}

impl Carry {
    /// `None` if holding costs and earns nothing.
    ///
    /// # Errors
    /// If the price table lacks the column of fees, or says one that cannot be.
    pub(crate) fn new(config: &BacktestConfig, market: &Market) -> Result<Option<Self>, RunError> {
        let rules = &config.broker;
        let is_off = |rate: CashRate| rate == CashRate::NONE;
        if rules.borrow_rate == 0.0
            && rules.borrow_rate_column.is_none()
            && is_off(rules.credit_rate)
            && is_off(rules.debit_rate)
        {
            return Ok(None);
        }
        let fees = rules.borrow_rate_column.as_ref().map(|column| fees(market, column)).transpose()?;
        let dates = &market.dates()[market.first_trading_bar()..];
        let periods = market.periods_per_year(config);
        let risk_free = RiskFreeDays::of(&config.risk_free_rate, market.risk_free(), periods);
        let by_day = |rate: CashRate| {
            let base = |day| if rate.over_risk_free { risk_free.annual_at(day) } else { 0.0 };
            (0..dates.len()).map(|day| base(day) + rate.spread).collect()
        };
        Ok(Some(Self {
            fees,
            fee: rules.borrow_rate,
            credit: by_day(rules.credit_rate),
            debit: by_day(rules.debit_rate),
            day_count: rules.day_count.days(),
        }))
    }

    /// Books what accrued since the close before `bar`, on shorts at their last known closes and on cash, for each calendar
    /// day. `fee_of` hears what each short cost. Nothing before the first trading day.
    pub(crate) fn accrue(
        &self,
        market: &Market,
        bar: usize,
        ledger: &mut Ledger,
        mut fee_of: impl FnMut(SymbolId, f64),
    ) -> Accrued {
        let Some(day) = (bar - market.first_trading_bar()).checked_sub(1) else { return Accrued::default() };
        let days = (market.dates()[bar] - market.dates()[bar - 1]).num_days();
        let part = days as f64 / self.day_count;
        let mut borrow_cost = 0.0;
        for &symbol in ledger.held() {
            let position = ledger.position(symbol);
            if position.shares < 0.0 {
                let cost = -position.shares * position.last_price * self.fee(bar - 1, symbol) * part;
                fee_of(symbol, cost);
                borrow_cost += cost;
            }
        }
        let rates = if ledger.cash < 0.0 { &self.debit } else { &self.credit };
        let interest = ledger.cash * rates[day] * part;
        ledger.cash += interest - borrow_cost;
        Accrued { borrow_cost, interest }
    }

    fn fee(&self, bar: usize, symbol: SymbolId) -> f64 {
        let own = self.fees.as_ref().map_or(f64::NAN, |fees| fees.get(bar, symbol.index()));
        if own.is_nan() { self.fee } else { own }
    }
}

/// The fees of a column, each until the next one.
fn fees(market: &Market, column: &PriceColumn) -> Result<Table, RunError> {
    let broken = |what: String| RunError::Data(format!("broker.borrow_rate_column: {what}"));
    let mut fees = market.price_table(column).map_err(broken)?.clone();
    let width = fees.width;
    for cell in 0..fees.cells.len() {
        let fee = fees.cells[cell];
        if fee.is_nan() {
            if cell >= width {
                fees.cells[cell] = fees.cells[cell - width];
            }
        } else if !(0.0..=LARGEST_FEE).contains(&fee) {
            let (date, symbol) = (market.dates()[cell / width], &market.symbols()[cell % width]);
            return Err(broken(format!(
                "{} says {fee} for {symbol} on {date}; it must be an annual rate as a fraction, in [0, {LARGEST_FEE}]",
                column.as_str()
            )));
        }
    }
    Ok(fees)
}
