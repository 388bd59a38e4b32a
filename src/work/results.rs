//! Results: what callers may ask of a completed run beyond its files, read from the tables that it published. Rows come
//! as they lie there; a series that is too long to draw is thinned out evenly.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{Datelike as _, NaiveDate, Weekday};
use deltalake::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Float64Array, StringArray,
};
use deltalake::arrow::compute::cast;
use deltalake::arrow::datatypes::DataType;
use deltalake::arrow::error::ArrowError;
use deltalake::arrow::record_batch::RecordBatch;
use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use crate::engine::Daily;
use crate::engine::metrics::calendar::TRADING_DAYS;
use crate::engine::metrics::drawdown;
use crate::engine::metrics::rolling::rolling;
use crate::run::{Location, Publication};
use crate::store::artifacts::ArtifactStore;
use crate::store::dates::days;
use crate::store::numbers::doubles;
use crate::store::published::{PublishedTable, ReadError};

/// A result cannot be given.
#[expect(missing_docs, reason = "the text of an error says what its fields are")]
#[derive(Debug, thiserror::Error)]
pub enum ResultError {
    /// The config of the run switched the table off.
    #[error("the run kept no {name}; its config says output.{switch}: false")]
    NotKept {
        /// The file.
        name: &'static str,
        /// The switch of the config.
        switch: &'static str,
    },
    /// The study kept the returns of its best trials, of which this is none.
    #[error(
        "the study kept no daily returns of trial {trial}; study.keep.returns says of how many of the best"
    )]
    NoReturns {
        /// The trial.
        trial: u32,
    },
    /// The day that was asked for is none of the run.
    #[error("{date} is not a trading day of this run{}", nearest(.before, .after))]
    NoTradingDay {
        /// The day.
        date: NaiveDate,
        /// The trading day before it.
        before: Option<NaiveDate>,
        /// The trading day after it.
        after: Option<NaiveDate>,
    },
    /// The table cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The table is not what this version writes.
    #[error("the table {name} is not as it should be")]
    Unexpected {
        /// The file.
        name: &'static str,
        #[source]
        source: ArrowError,
    },
}

impl ResultError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Read(error) if error.is_retryable())
    }
}

fn nearest(before: &Option<NaiveDate>, after: &Option<NaiveDate>) -> String {
    match (before, after) {
        (Some(before), Some(after)) => format!("; the nearest are {before} and {after}"),
        (Some(day), None) => format!("; the last is {day}"),
        (None, Some(day)) => format!("; the first is {day}"),
        (None, None) => String::new(),
    }
}

/// A table of a run: its file, and the switch of the config that it hangs on.
struct Kept {
    name: &'static str,
    switch: &'static str,
}

const DAILY: Kept = Kept { name: "metrics_timeseries.parquet", switch: "save_metrics_parquet" };
const TRADES: Kept = Kept { name: "trades.parquet", switch: "save_trades_parquet" };
const ORDERS: Kept = Kept { name: "orders.parquet", switch: "save_orders" };
const TARGET_WEIGHTS: Kept = Kept { name: "target_weights.parquet", switch: "save_orders" };
const POSITIONS: Kept = Kept { name: "daily_positions.parquet", switch: "save_positions_snapshot" };

/// Daily returns that a study keeps.
const RETURNS: &str = "returns.parquet";

/// Points of a series, thinned out if there were too many.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Series<T> {
    /// Oldest first; the last one is always there.
    pub points: Vec<T>,
    /// Points before thinning.
    pub total_points: usize,
    /// Whether points were left out.
    pub truncated: bool,
}

/// A page of the fills of a run.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TradesPage {
    /// In the order of execution.
    pub trades: Vec<Trade>,
    /// Fills of the run.
    pub total: usize,
    /// Fills asked for.
    pub limit: usize,
    /// Fills before these.
    pub offset: usize,
}

/// What a run held at the close of one day.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Positions {
    /// The day; null when the run never held anything and none was asked for.
    pub date: Option<NaiveDate>,
    /// Empty when nothing was held.
    pub positions: Vec<Position>,
}

/// What the close of the last day decided: what would trade next, and what would then be held. Nothing of it was traded.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct NextOrders {
    /// The last day.
    pub as_of: Option<NaiveDate>,
    /// By symbol; empty when nothing was decided.
    pub orders: Vec<NextOrder>,
    /// By symbol: all that is held or shall be. What no order touches stays as it is now.
    pub target_weights: Vec<TargetWeight>,
}

/// Rows of a table as callers see them: a struct whose fields are columns, and how to read it from a batch.
macro_rules! rows {
    ($($(#[$doc:meta])* $name:ident { $($(#[$about:meta])* $column:ident: $kind:ty,)* })*) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
        pub struct $name { $($(#[$about])* pub $column: $kind,)* }

        impl $name {
            fn read(batches: &[RecordBatch]) -> Result<Vec<Self>, ArrowError> {
                let mut rows = Vec::with_capacity(batches.iter().map(RecordBatch::num_rows).sum());
                for batch in batches {
                    $(let $column = <$kind as Cell>::column(batch, stringify!($column))?;)*
                    rows.extend((0..batch.num_rows()).map(|row| Self {
                        $($column: <$kind as Cell>::at(&$column, row),)*
                    }));
                }
                Ok(rows)
            }
        }
    )* };
}

rows! {
    /// One trading day. Money in the account's currency, ratios as fractions.
    DailyPoint {
        /// The day.
        date: NaiveDate,
        /// Cash plus the value of all positions at the close.
        portfolio_value: Option<f64>,
        /// Cash after the day's fills.
        cash: Option<f64>,
        /// Value against the day before.
        daily_return: Option<f64>,
        /// Value against the initial cash.
        cumulative_return: Option<f64>,
        /// Value against the highest value so far; never positive.
        drawdown: Option<f64>,
        /// Long plus absolute short value, over the portfolio value.
        gross_exposure: Option<f64>,
        /// Long plus (negative) short value, over the portfolio value.
        net_exposure: Option<f64>,
        /// Absolute notional of the day's fills over the day before's value.
        turnover: Option<f64>,
        /// Commission paid on the day.
        commission: Option<f64>,
        /// Cost of spread and slippage on the day.
        slippage_cost: Option<f64>,
        /// Number of fills on the day.
        n_trades: u32,
        /// Cost of the orders' own impact on their prices on the day; null in runs of before it was known.
        impact_cost: Option<f64>,
        /// Fee for borrowed shares since the close before; null likewise.
        borrow_cost: Option<f64>,
        /// Interest on cash since the close before, less that on debt; null likewise.
        interest: Option<f64>,
        /// Dividends received, less those paid on shorts; not there unless the prices were unadjusted.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        dividends: Option<f64>,
    }
    /// One fill.
    Trade {
        /// Day of the fill.
        execution_date: NaiveDate,
        /// What was traded.
        symbol: String,
        /// Shares bought (positive) or sold (negative).
        quantity: Option<f64>,
        /// Fill price, spread, slippage and impact included.
        price: Option<f64>,
        /// Signed quantity times price.
        notional: Option<f64>,
        /// Commission of the fill.
        commission: Option<f64>,
        /// Cost of spread and slippage.
        slippage_cost: Option<f64>,
        /// Cash after the fill.
        cash_after: Option<f64>,
        /// Cost of the order's own impact on its price; null in runs of before it was known.
        impact_cost: Option<f64>,
    }
    /// One holding at a close.
    Position {
        /// What was held.
        symbol: String,
        /// Shares; negative when short.
        shares: Option<f64>,
        /// The close, or the last known one.
        close: Option<f64>,
        /// Shares times close.
        position_value: Option<f64>,
        /// Value over the portfolio value.
        weight: Option<f64>,
        /// `long` or `short`.
        side: String,
        /// Whether the close is of an earlier day.
        stale: bool,
    }
    /// One order for the next fill, sized at the last close by the rules of a fill.
    NextOrder {
        /// What shall be traded.
        symbol: String,
        /// Shares held; negative when short.
        shares_held: Option<f64>,
        /// Value held over the portfolio value.
        weight_now: Option<f64>,
        /// Fraction of the portfolio value to hold, after the constraints.
        weight_target: Option<f64>,
        /// Shares held once the order is filled; null if the symbol never had a close.
        shares_target: Option<f64>,
        /// Shares to buy (positive) or sell (negative); 0 where a rule of the broker stops the order.
        shares_delta: Option<f64>,
        /// The close, or the last known one.
        close: Option<f64>,
        /// Signed shares times close.
        notional: Option<f64>,
        /// Why there is this order: `decision`, `dropped` (held, and not in the decision), `stop_loss`, `waiting` (found no
        /// bar before), `no_bar` (decided without a bar on the day); or which rule of the broker stops it:
        /// `rounded_to_zero`, `min_trade_shares`, `min_trade_notional`, `market_impact`.
        reason: String,
    }
    /// What shall be held of a symbol after the next fill.
    TargetWeight {
        /// What is or shall be held.
        symbol: String,
        /// Value held over the portfolio value.
        weight_now: Option<f64>,
        /// Fraction of the portfolio value to hold.
        weight_target: Option<f64>,
    }
}

/// Measures over the window that ends on a day; null until the window is full.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RollingPoint {
    /// Last day of the window.
    pub date: NaiveDate,
    /// Compounded daily returns.
    pub rolling_return: Option<f64>,
    /// Deviation of daily returns, for a year.
    pub rolling_volatility: Option<f64>,
    /// Mean daily return for a year over that deviation.
    pub rolling_sharpe: Option<f64>,
    /// Deepest fall within the window.
    pub rolling_max_drawdown: Option<f64>,
    /// Sum of daily turnover.
    pub turnover_sum: Option<f64>,
    /// Commissions paid in the window, in money.
    pub commission_sum: Option<f64>,
    /// Sum of slippage costs.
    pub slippage_cost_sum: Option<f64>,
    /// Number of fills.
    pub n_trades_sum: Option<f64>,
    /// Mean gross exposure.
    pub gross_exposure_avg: Option<f64>,
    /// Mean net exposure.
    pub net_exposure_avg: Option<f64>,
}

/// The daily measures, at most `max_points` of them.
pub async fn timeseries(
    app: &App,
    of: &Publication,
    max_points: usize,
) -> Result<Series<DailyPoint>, ResultError> {
    let table = open(&app.artifacts, &of.location, &DAILY).await?;
    let total_points = table.rows();
    let days = evenly(total_points, max_points).map(|day| day..day + 1);
    let points = read(&DAILY, &table.pick(days).await?, DailyPoint::read)?;
    Ok(Series { truncated: points.len() < total_points, points, total_points })
}

/// Measures over a moving window of `window_days`, at most `max_points` of them. Any window: they are computed from the
/// daily measures, as the run computed those it published.
pub async fn rolled(
    app: &App,
    of: &Publication,
    window_days: usize,
    max_points: usize,
) -> Result<Series<RollingPoint>, ResultError> {
    let table = open(&app.artifacts, &of.location, &DAILY).await?;
    let days = read(&DAILY, &table.page(0, table.rows()).await?, DailyPoint::read)?;
    // Long windows over many years take a while, and others want to be answered meanwhile.
    let periods_per_year = of.summary["periods_per_year"].as_f64().unwrap_or(TRADING_DAYS);
    let computed = tokio::task::spawn_blocking(move || {
        let table = rolling(&daily(&days), &[window_days], periods_per_year);
        let total_points = table.date.len();
        let points: Vec<RollingPoint> = evenly(total_points, max_points)
            .map(|day| RollingPoint {
                date: table.date[day],
                rolling_return: table.rolling_return[day],
                rolling_volatility: table.rolling_volatility[day],
                rolling_sharpe: table.rolling_sharpe[day],
                rolling_max_drawdown: table.rolling_max_drawdown[day],
                turnover_sum: table.turnover_sum[day],
                commission_sum: table.commission_sum[day],
                slippage_cost_sum: table.slippage_cost_sum[day],
                n_trades_sum: table.n_trades_sum[day],
                gross_exposure_avg: table.gross_exposure_avg[day],
                net_exposure_avg: table.net_exposure_avg[day],
            })
            .collect();
        Series { truncated: points.len() < total_points, points, total_points }
    });
    computed.await.map_err(|error| ResultError::Unexpected {
        name: DAILY.name,
        source: ArrowError::ExternalError(Box::new(error)),
    })
}

/// Fills `offset..offset + limit`, in the order of execution.
pub async fn trades(
    app: &App,
    of: &Publication,
    limit: usize,
    offset: usize,
) -> Result<TradesPage, ResultError> {
    let table = open(&app.artifacts, &of.location, &TRADES).await?;
    let trades = read(&TRADES, &table.page(offset, limit).await?, Trade::read)?;
    Ok(TradesPage { trades, total: table.rows(), limit, offset })
}

/// What was held at the close of `date`, or of the last day on which anything was held. A day on which there was no trading
/// is refused, as far as the run kept its days.
pub async fn positions(
    app: &App,
    of: &Publication,
    date: Option<NaiveDate>,
) -> Result<Positions, ResultError> {
    let table = open(&app.artifacts, &of.location, &POSITIONS).await?;
    let Some(day) = date.or_else(|| table.last("date")) else {
        return Ok(Positions { date: None, positions: Vec::new() });
    };
    let positions = read(&POSITIONS, &table.on("date", day).await?, Position::read)?;
    if positions.is_empty() && date.is_some() {
        must_be_traded(app, of, day).await?;
    }
    Ok(Positions { date: Some(day), positions })
}

/// What the close of the last day decided, where the run kept it.
pub async fn next_orders(app: &App, of: &Publication) -> Result<NextOrders, ResultError> {
    let table = open(&app.artifacts, &of.location, &ORDERS).await?;
    let orders = read(&ORDERS, &table.page(0, table.rows()).await?, NextOrder::read)?;
    let table = open(&app.artifacts, &of.location, &TARGET_WEIGHTS).await?;
    let target_weights = read(&TARGET_WEIGHTS, &table.page(0, table.rows()).await?, TargetWeight::read)?;
    // As the tables say in every row, of which there need not be any.
    let as_of = of.summary["last_day"].as_str().and_then(|day| day.parse().ok());
    Ok(NextOrders { as_of, orders, target_weights })
}

/// What a run held, as weights by day.
#[derive(Debug, Clone, Default)]
pub struct Weights {
    /// The symbols, each once.
    pub names: Vec<String>,
    /// Days on which anything was held, ascending.
    days: Vec<NaiveDate>,
    /// Where the rows of each day begin.
    starts: Vec<usize>,
    /// Places among the names.
    symbol: Vec<usize>,
    /// Values over the portfolio value.
    weight: Vec<f64>,
}

impl Weights {
    /// What was held at the close of a day: place among the names, and weight.
    pub fn on(&self, day: NaiveDate) -> impl Iterator<Item = (usize, f64)> + '_ {
        let rows = match self.days.binary_search(&day) {
            Ok(place) => self.starts[place]..self.starts.get(place + 1).copied().unwrap_or(self.symbol.len()),
            Err(_) => 0..0,
        };
        rows.map(move |row| (self.symbol[row], self.weight[row]))
    }

    /// Rows as they lie in the table, whose days ascend.
    fn read(batches: &[RecordBatch]) -> Result<Self, ArrowError> {
        let mut found = Self::default();
        let mut places: HashMap<String, usize> = HashMap::new();
        for batch in batches {
            let date = <NaiveDate as Cell>::column(batch, "date")?;
            let symbol = <String as Cell>::column(batch, "symbol")?;
            let weight = <Option<f64> as Cell>::column(batch, "weight")?;
            for row in 0..batch.num_rows() {
                let day = NaiveDate::at(&date, row);
                if found.days.last() != Some(&day) {
                    found.days.push(day);
                    found.starts.push(found.symbol.len());
                }
                let name = symbol.value(row);
                let place = match places.get(name) {
                    Some(&place) => place,
                    None => {
                        places.insert(name.to_owned(), found.names.len());
                        found.names.push(name.to_owned());
                        found.names.len() - 1
                    }
                };
                found.symbol.push(place);
                found.weight.push(Option::<f64>::at(&weight, row).unwrap_or(0.0));
            }
        }
        Ok(found)
    }
}

/// Every day of a run.
pub async fn every_day(artifacts: &Arc<dyn ArtifactStore>, at: &Location) -> Result<Daily, ResultError> {
    let table = open(artifacts, at, &DAILY).await?;
    Ok(daily(&read(&DAILY, &table.page(0, table.rows()).await?, DailyPoint::read)?))
}

/// The weights of all days of a run; of its positions only the columns that say so are fetched.
pub async fn weights(artifacts: &Arc<dyn ArtifactStore>, at: &Location) -> Result<Weights, ResultError> {
    let table = open(artifacts, at, &POSITIONS).await?;
    let batches = table.columns(&["date", "symbol", "weight"]).await?;
    Weights::read(&batches).map_err(|source| ResultError::Unexpected { name: POSITIONS.name, source })
}

/// The days of a trial whose returns a study kept, as those of a run that starts with 1 on the weekday before. All else that a
/// run would know of a day is undefined.
pub async fn kept_days(
    artifacts: &Arc<dyn ArtifactStore>,
    at: &Location,
    trial: u32,
) -> Result<Daily, ResultError> {
    let table =
        PublishedTable::open(artifacts, at, RETURNS).await?.ok_or(ResultError::NoReturns { trial })?;
    let column = format!("trial_{trial}");
    let batches = table.columns(&["date", &column]).await?;
    let (mut date, mut returns) = (Vec::new(), Vec::new());
    for batch in &batches {
        if batch.column_by_name(&column).is_none() {
            return Err(ResultError::NoReturns { trial });
        }
        let fault = |source| ResultError::Unexpected { name: RETURNS, source };
        let days = <NaiveDate as Cell>::column(batch, "date").map_err(fault)?;
        let cells = <Option<f64> as Cell>::column(batch, &column).map_err(fault)?;
        date.extend((0..batch.num_rows()).map(|row| <NaiveDate as Cell>::at(&days, row)));
        returns.extend(
            (0..batch.num_rows()).map(|row| <Option<f64> as Cell>::at(&cells, row).unwrap_or(f64::NAN)),
        );
    }
    let before = date.first().and_then(|first| {
        let mut days = first.iter_days().rev().skip(1);
        days.find(|day| !matches!(day.weekday(), Weekday::Sat | Weekday::Sun))
    });
    let mut value = 1.0;
    let grown = returns.iter().map(|one| {
        value *= 1.0 + one;
        value
    });
    let values: Vec<f64> = std::iter::once(1.0).chain(grown).take(date.len() + 1).collect();
    let date: Vec<NaiveDate> = before.into_iter().chain(date).collect();
    let unknown = vec![f64::NAN; date.len()];
    Ok(Daily {
        daily_return: std::iter::once(0.0).chain(returns).take(date.len()).collect(),
        cumulative_return: values.iter().map(|value| value - 1.0).collect(),
        drawdown: drawdown::from_peak(&values, 1.0),
        portfolio_value: values,
        cash: unknown.clone(),
        gross_exposure: unknown.clone(),
        net_exposure: unknown.clone(),
        turnover: unknown.clone(),
        commission: unknown.clone(),
        slippage_cost: unknown.clone(),
        impact_cost: unknown.clone(),
        borrow_cost: unknown.clone(),
        interest: unknown,
        dividends: Vec::new(),
        n_trades: vec![0; date.len()],
        date,
    })
}

/// Refuses a day that is not among the days of the run. A run that kept no daily measures does not say which these were.
async fn must_be_traded(app: &App, of: &Publication, date: NaiveDate) -> Result<(), ResultError> {
    let table = match open(&app.artifacts, &of.location, &DAILY).await {
        Ok(table) => table,
        Err(ResultError::NotKept { .. }) => return Ok(()),
        Err(error) => return Err(error),
    };
    let days = read(&DAILY, &table.page(0, table.rows()).await?, DailyPoint::read)?;
    match days.binary_search_by_key(&date, |day| day.date) {
        Ok(_) => Ok(()),
        Err(place) => {
            let before = place.checked_sub(1).map(|place| days[place].date);
            let after = days.get(place).map(|day| day.date);
            Err(ResultError::NoTradingDay { date, before, after })
        }
    }
}

async fn open(
    artifacts: &Arc<dyn ArtifactStore>,
    at: &Location,
    kept: &Kept,
) -> Result<PublishedTable, ResultError> {
    let table = PublishedTable::open(artifacts, at, kept.name).await?;
    table.ok_or(ResultError::NotKept { name: kept.name, switch: kept.switch })
}

fn read<T>(
    kept: &Kept,
    batches: &[RecordBatch],
    rows: impl Fn(&[RecordBatch]) -> Result<Vec<T>, ArrowError>,
) -> Result<Vec<T>, ResultError> {
    rows(batches).map_err(|source| ResultError::Unexpected { name: kept.name, source })
}

/// At most `most` of `total` places, evenly spread; the first and the last are among them. `most` is at least 2.
pub(super) fn evenly(total: usize, most: usize) -> impl Iterator<Item = usize> {
    let count = total.min(most.max(2));
    (0..count).map(move |place| if count < total { place * (total - 1) / (count - 1) } else { place })
}

/// The days as the engine knows them; what is undefined there is NaN.
fn daily(days: &[DailyPoint]) -> Daily {
    let column = |cell: fn(&DailyPoint) -> Option<f64>| -> Vec<f64> {
        days.iter().map(|day| cell(day).unwrap_or(f64::NAN)).collect()
    };
    // What a run of before lacks it did not have.
    let later = |cell: fn(&DailyPoint) -> Option<f64>| -> Vec<f64> {
        days.iter().map(|day| cell(day).unwrap_or(0.0)).collect()
    };
    Daily {
        date: days.iter().map(|day| day.date).collect(),
        portfolio_value: column(|day| day.portfolio_value),
        cash: column(|day| day.cash),
        daily_return: column(|day| day.daily_return),
        cumulative_return: column(|day| day.cumulative_return),
        drawdown: column(|day| day.drawdown),
        gross_exposure: column(|day| day.gross_exposure),
        net_exposure: column(|day| day.net_exposure),
        turnover: column(|day| day.turnover),
        commission: column(|day| day.commission),
        slippage_cost: column(|day| day.slippage_cost),
        impact_cost: later(|day| day.impact_cost),
        borrow_cost: later(|day| day.borrow_cost),
        interest: later(|day| day.interest),
        dividends: match days.iter().any(|day| day.dividends.is_some()) {
            true => later(|day| day.dividends),
            false => Vec::new(),
        },
        n_trades: days.iter().map(|day| day.n_trades).collect(),
    }
}

/// A value of a column.
trait Cell: Sized {
    type Column;

    fn column(batch: &RecordBatch, name: &str) -> Result<Self::Column, ArrowError>;

    fn at(column: &Self::Column, row: usize) -> Self;
}

fn named(batch: &RecordBatch, name: &str) -> Result<ArrayRef, ArrowError> {
    let column = batch.column_by_name(name);
    column.cloned().ok_or_else(|| ArrowError::SchemaError(format!("there is no column '{name}'")))
}

impl Cell for NaiveDate {
    type Column = Date32Array;

    fn column(batch: &RecordBatch, name: &str) -> Result<Self::Column, ArrowError> {
        days(named(batch, name)?)
    }

    fn at(column: &Self::Column, row: usize) -> Self {
        Self::from_epoch_days(column.value(row)).unwrap_or_default()
    }
}

/// Columns that the tables of earlier runs, or of some runs, do not have.
const LATER: [&str; 4] = ["impact_cost", "borrow_cost", "interest", "dividends"];

impl Cell for Option<f64> {
    type Column = Float64Array;

    fn column(batch: &RecordBatch, name: &str) -> Result<Self::Column, ArrowError> {
        if LATER.contains(&name) && batch.column_by_name(name).is_none() {
            return Ok(Float64Array::new_null(batch.num_rows()));
        }
        doubles(named(batch, name)?)
    }

    fn at(column: &Self::Column, row: usize) -> Self {
        column.is_valid(row).then(|| column.value(row))
    }
}

impl Cell for u32 {
    type Column = Float64Array;

    fn column(batch: &RecordBatch, name: &str) -> Result<Self::Column, ArrowError> {
        doubles(named(batch, name)?)
    }

    fn at(column: &Self::Column, row: usize) -> Self {
        column.value(row) as Self
    }
}

impl Cell for String {
    type Column = StringArray;

    fn column(batch: &RecordBatch, name: &str) -> Result<Self::Column, ArrowError> {
        Ok(cast(&named(batch, name)?, &DataType::Utf8)?.as_string::<i32>().clone())
    }

    fn at(column: &Self::Column, row: usize) -> Self {
        column.value(row).to_owned()
    }
}

impl Cell for bool {
    type Column = BooleanArray;

    fn column(batch: &RecordBatch, name: &str) -> Result<Self::Column, ArrowError> {
        Ok(cast(&named(batch, name)?, &DataType::Boolean)?.as_boolean().clone())
    }

    fn at(column: &Self::Column, row: usize) -> Self {
        column.value(row)
    }
}
