//! Rank: make rankings from prices, for a lake that has nothing else. Only days after the newest ranked one are added,
//! a year at a time; what a day's ranking says does not depend on when it was made.

use chrono::{Datelike, Days, NaiveDate};
use serde_json::json;

use crate::engine::config::{BacktestConfig, Fault};
use crate::signal::{Closes, LOOKBACK_BARS, PriceRankings, STRATEGIES};
use crate::store::prices::{LoadError, MarketData};
use crate::store::signals::lake::{LakeError, RankedDays, SignalLake};

/// Calendar days that hold more than the bars of a look-back.
const LOOKBACK_DAYS: u64 = 600;

/// What was ranked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RankedPrices {
    /// Days that were added.
    pub days: usize,
    /// Rows that were added.
    pub rows: usize,
}

/// Prices were not ranked.
#[derive(Debug, thiserror::Error)]
pub enum RankError {
    /// The prices could not be read.
    #[error("read prices")]
    Prices(#[from] LoadError),
    /// The rankings could not be read or written.
    #[error("write rankings")]
    Lake(#[from] LakeError),
    /// The table of rankings is somebody else's.
    #[error("the rankings of this lake were not made from prices here; with --replace they would be")]
    NotOurs,
}

/// Adds rankings of the days that have none yet; with `replace` all of them anew. `on_day` is told how many days of
/// how many are done.
pub async fn rank(
    data: &MarketData,
    lake: &SignalLake,
    replace: bool,
    on_day: &mut (dyn FnMut(usize, usize) + Send),
) -> Result<RankedPrices, RankError> {
    let view = lake.look().await?;
    if view.has_rankings() && !view.ranks_prices() && !replace {
        return Err(RankError::NotOurs);
    }
    let after = view.last_ranked().filter(|_| !replace);
    drop(view);
    let prices = prices_since(data, after).await?;
    let after = after.map_or(i32::MIN, |date| date.to_epoch_days());
    let first = prices.days().partition_point(|day| *day <= after);
    let total = prices.days().len() - first;
    let mut ranked = RankedPrices::default();
    if total == 0 {
        return Ok(ranked);
    }
    let mut table = lake.rankings_table(replace).await?;
    let mut bar = first;
    while bar < prices.days().len() {
        let year = |bar: usize| NaiveDate::from_epoch_days(prices.days()[bar]).map(|date| date.year());
        let end = (bar..prices.days().len()).find(|&later| year(later) != year(bar));
        let end = end.unwrap_or(prices.days().len());
        let mut block = Vec::new();
        for (strategy, name) in STRATEGIES.iter().enumerate() {
            let mut rows = RankedDays::default();
            for bar in bar..end {
                for one in prices.rank(strategy, bar) {
                    rows.day.push(prices.days()[bar]);
                    rows.symbol.push(one.symbol);
                    rows.rank.push(one.rank);
                    rows.score.push(one.score);
                }
            }
            if !rows.day.is_empty() {
                ranked.rows += rows.day.len();
                block.push((*name, rows));
            }
        }
        if !block.is_empty() {
            table.add(&prices.symbols, &block).await?;
        }
        ranked.days += end - bar;
        on_day(ranked.days, total);
        bar = end;
    }
    Ok(ranked)
}

/// The prices that rankings of days after `after` look at.
async fn prices_since(data: &MarketData, after: Option<NaiveDate>) -> Result<PriceRankings, LoadError> {
    let from = after.and_then(|after| after.checked_sub_days(Days::new(LOOKBACK_DAYS)));
    if let (Some(from), Some(after)) = (from, after) {
        let prices = closes(data, from).await?;
        let before = prices.days().partition_point(|day| *day <= after.to_epoch_days());
        if before >= LOOKBACK_BARS {
            return Ok(prices);
        }
    }
    // A young table, or one with long gaps.
    closes(data, NaiveDate::from_ymd_opt(1900, 1, 1).unwrap_or_default()).await
}

async fn closes(data: &MarketData, from: NaiveDate) -> Result<PriceRankings, LoadError> {
    // The same reader as for backtests, so that both mean the same by a price.
    let config = BacktestConfig::from_value(&json!({
        "start_date": from.to_string(),
        "end_date": "2999-12-31",
        "universe": { "symbols": ["*"] },
        "strategy": { "class": "StaticUniverseStrategy" },
    }));
    let config = config.map_err(|faults| {
        let message = faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        LoadError::Refused(Fault { path: String::new(), message })
    })?;
    let rows = data.load(&config).await?.prices;
    let mut closes = Closes { symbols: rows.symbols, day: Vec::new(), symbol: Vec::new(), close: Vec::new() };
    for chunk in rows.chunks {
        for (day, symbol, close) in chunk.closes() {
            closes.day.push(day);
            closes.symbol.push(symbol);
            closes.close.push(close);
        }
    }
    Ok(PriceRankings::new(&closes))
}
