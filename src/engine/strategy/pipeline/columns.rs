//! The columns that scoring may use: from the signal table, computed from prices, or from both.

use super::super::View;
use super::super::signal::SignalReader;
use crate::engine::RunError;
use crate::engine::config::{
    BreakoutMode, BreakoutScale, COMPUTED_BREAKOUT_LOOKBACK, Provider, ProviderStage,
};
use crate::engine::lookback::Range;
use crate::engine::market::{Market, PriceField, SymbolId};

/// A column, ready to be read bar by bar.
#[derive(Debug)]
pub(super) enum Column {
    /// Of the signal table, or one of the signals that are computed when there is no table.
    Signal(SignalReader),
    /// Breakouts from the closes before.
    Breakout { mode: BreakoutMode, row: Vec<f64> },
    /// A column that cannot be computed counts 0 for everyone.
    Zero(Vec<f64>),
}

impl Column {
    /// # Errors
    /// If the provider may not compute the column and the signals lack it.
    pub(super) fn new(name: &str, provider: &ProviderStage, market: &Market) -> Result<Self, RunError> {
        match provider.provider {
            Provider::Table => SignalReader::new(name, market).map(Self::Signal),
            Provider::Computed => Ok(Self::computed(name, market)),
            Provider::Hybrid => match SignalReader::new(name, market) {
                Ok(signal) => Ok(Self::Signal(signal)),
                Err(_) if provider.fallback.allows(name) => Ok(Self::computed(name, market)),
                Err(missing) => Err(missing),
            },
        }
    }

    fn computed(name: &str, market: &Market) -> Self {
        let n_symbols = market.symbols().len();
        match BreakoutMode::of_column(name) {
            Some(mode) => Self::Breakout { mode, row: vec![f64::NAN; n_symbols] },
            None => Self::Zero(vec![0.0; n_symbols]),
        }
    }

    /// Today's numbers, one cell per symbol, NaN where there is none. Only the cells of `eligible` mean anything.
    pub(super) fn today<'a>(&'a mut self, view: &View<'a>, eligible: &[SymbolId]) -> &'a [f64] {
        match self {
            Self::Signal(signal) => signal.today(view),
            Self::Zero(row) => row,
            Self::Breakout { mode, row } => {
                for &symbol in eligible {
                    row[symbol.index()] = breakout(view, symbol, &RANGE, *mode, BreakoutScale::Pct);
                }
                row
            }
        }
    }
}

/// A price of the last bars.
#[derive(Debug)]
pub(super) struct PastPrices {
    pub(super) price: PriceField,
    pub(super) bars: u32,
}

/// The closes of the breakout columns that a pipeline computes itself.
const RANGE: PastPrices = PastPrices { price: PriceField::Close, bars: COMPUTED_BREAKOUT_LOOKBACK };

/// How far today's price is beyond those before it: positive above their highest, negative below their lowest. NaN if it
/// is not beyond, or there are not enough.
pub(super) fn breakout(
    view: &View<'_>,
    symbol: SymbolId,
    past: &PastPrices,
    mode: BreakoutMode,
    scale: BreakoutScale,
) -> f64 {
    let seen = view.market.seen(view.bar);
    let price = |bar, symbol| seen.price(past.price, bar, symbol);
    let Some(range) = Range::before(view.market, view.bar, symbol, past.bars as usize, price) else {
        return f64::NAN;
    };
    let (level, beyond) = match mode {
        BreakoutMode::Breakout => (range.highest, range.today > range.highest),
        BreakoutMode::Breakdown => (range.lowest, range.today < range.lowest),
    };
    match scale {
        _ if !beyond => f64::NAN,
        BreakoutScale::Pct => range.today / level - 1.0,
        BreakoutScale::None => range.today - level,
    }
}
