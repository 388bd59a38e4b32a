//! Rank: make rankings from prices, for a lake that has nothing else. Only days after the newest ranked one are added,
//! a year at a time; what a day's ranking says does not depend on when it was made. What the signals mean is told in
//! `engine::price_signals`.

use chrono::{Datelike, Days, NaiveDate};

use crate::engine::market::{DataError, PricePanel};
use crate::engine::price_signals::{LOOKBACK_BARS, PriceSignal};
use crate::store::load_error::LoadError;
use crate::store::prices::MarketData;
use crate::store::signals::lake::{LakeError, Maker, RankedDays, SignalLake};

/// Calendar days that hold more than the bars of a look-back.
const LOOKBACK_DAYS: u64 = 600;

/// What a ranking of prices added to the lake.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RankedPrices {
    /// Days that were added.
    pub days: usize,
    /// Rows that were added.
    pub rows: usize,
    /// Whether all rankings were made anew because those that were there follow an earlier meaning of their names.
    pub remade: bool,
}

/// Prices were not ranked.
#[derive(Debug, thiserror::Error)]
pub enum RankError {
    /// The prices could not be read.
    #[error("read prices")]
    Prices(#[from] LoadError),
    /// The prices cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The rankings could not be read or written.
    #[error("write rankings")]
    Lake(#[from] LakeError),
    /// The table of rankings was not made here.
    #[error("the rankings of this lake were not made from prices here; with --replace they would be")]
    NotOurs,
}

/// Adds rankings of the days that have none yet; with `replace`, or if those that are there follow an earlier meaning,
/// all of them anew. `on_day` is told how many days of how many are done.
///
/// # Errors
/// If the rankings are not ours to add to, or prices or rankings cannot be read or written.
pub async fn rank(
    data: &MarketData,
    lake: &SignalLake,
    replace: bool,
    on_day: &mut (dyn FnMut(usize, usize) + Send),
) -> Result<RankedPrices, RankError> {
    let view = lake.look().await?;
    if view.has_rankings() && view.maker() == Maker::Unknown && !replace {
        return Err(RankError::NotOurs);
    }
    let remade = view.maker() == Maker::HereBefore;
    let replace = replace || remade;
    let after = view.last_ranked().filter(|_| !replace);
    drop(view);
    let mut ranked = RankedPrices { remade, ..RankedPrices::default() };
    let Some(prices) = prices_since(data, after).await? else { return Ok(ranked) };
    let dates = prices.dates();
    let first = dates.partition_point(|date| after.is_some_and(|after| *date <= after));
    let total = dates.len() - first;
    if total == 0 {
        return Ok(ranked);
    }
    let mut table = lake.rankings_table(replace).await?;
    let mut bar = first;
    while bar < dates.len() {
        let end = dates[bar..].partition_point(|date| date.year() == dates[bar].year()) + bar;
        let mut block = Vec::new();
        for signal in PriceSignal::ALL {
            let rows = ranked_days(&prices, signal, bar..end);
            if !rows.day.is_empty() {
                ranked.rows += rows.day.len();
                block.push((signal.name(), rows));
            }
        }
        if !block.is_empty() {
            table.add(prices.symbols(), &block).await?;
        }
        ranked.days += end - bar;
        on_day(ranked.days, total);
        bar = end;
    }
    Ok(ranked)
}

fn ranked_days(prices: &PricePanel, signal: PriceSignal, bars: std::ops::Range<usize>) -> RankedDays {
    let mut rows = RankedDays::default();
    for bar in bars {
        for (rank, (symbol, score)) in (1..).zip(signal.ranking(prices.closes(), bar)) {
            rows.day.push(prices.dates()[bar].to_epoch_days());
            rows.symbol.push(symbol.0);
            rows.rank.push(rank);
            rows.score.push(score);
        }
    }
    rows
}

/// The prices that rankings of days after `after` look at. `None` if there are none.
async fn prices_since(data: &MarketData, after: Option<NaiveDate>) -> Result<Option<PricePanel>, RankError> {
    let from = after.and_then(|after| after.checked_sub_days(Days::new(LOOKBACK_DAYS)));
    if let (Some(from), Some(after)) = (from, after) {
        let prices = PricePanel::of(&data.bars_since(Some(from)).await?)?;
        let enough =
            |prices: &PricePanel| prices.dates().partition_point(|date| *date <= after) >= LOOKBACK_BARS;
        if prices.as_ref().is_some_and(enough) {
            return Ok(prices);
        }
    }
    // A young table, or one with long gaps.
    Ok(PricePanel::of(&data.bars_since(None).await?)?)
}
