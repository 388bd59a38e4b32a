//! Who may be selected: symbols that are present today and pass every filter.

use super::super::View;
use super::super::signal::SignalReader;
use crate::engine::RunError;
use crate::engine::config::{Filter, PriceColumn, UniverseSource, UniverseStage};
use crate::engine::lookback;
use crate::engine::market::{Market, SymbolId};

#[derive(Debug)]
pub(super) struct Universe {
    source: UniverseSource,
    filters: Vec<Test>,
    pub(super) warnings: Vec<String>,
}

/// A filter, ready to be asked.
#[derive(Debug)]
enum Test {
    /// Whether a symbol may be selected at all, by symbol.
    Allowed(Vec<bool>),
    MinPrice {
        column: PriceColumn,
        value: f64,
    },
    MinDollarVolume {
        lookback: usize,
        value: f64,
    },
    MinVolume {
        lookback: usize,
        value: f64,
    },
    SignalColumns(Vec<SignalReader>),
    NoMissingPrices {
        window: usize,
    },
    MaxVolatility {
        lookback: usize,
        value: f64,
    },
}

impl Universe {
    /// # Errors
    /// If the market lacks a column that the stage needs.
    pub(super) fn new(config: &UniverseStage, market: &Market) -> Result<Self, RunError> {
        for column in &config.require_columns {
            if !market.has_price_column(column) {
                SignalReader::new(column, market)?;
            }
        }
        let mut warnings = Vec::new();
        let tests = config.filters.iter().map(|filter| Test::new(filter, market, &mut warnings));
        let filters = tests.filter_map(Result::transpose).collect::<Result<_, _>>()?;
        Ok(Self { source: config.source, filters, warnings })
    }

    /// Fills `eligible` with today's eligible symbols in alphabetical order.
    pub(super) fn today(&mut self, view: &View<'_>, eligible: &mut Vec<SymbolId>) {
        let source = self.source;
        // Signals computed from prices are there whenever the price is.
        let has_signal = |symbol| !view.market.has_signals() || view.market.has_signal_row(view.bar, symbol);
        let present = |&symbol: &SymbolId| match source {
            UniverseSource::Signals if view.market.has_signals() => has_signal(symbol),
            UniverseSource::Signals | UniverseSource::Prices => view.has_bar(symbol),
            UniverseSource::Intersection => view.has_bar(symbol) && has_signal(symbol),
        };
        eligible.clear();
        eligible.extend((0..view.market.symbols().len() as u32).map(SymbolId).filter(present));
        for filter in &mut self.filters {
            filter.apply(view, eligible);
        }
    }
}

impl Test {
    /// `None` for a filter that this market has nothing to apply to; the reader of the results is told.
    fn new(filter: &Filter, market: &Market, warnings: &mut Vec<String>) -> Result<Option<Self>, RunError> {
        let named = |names: &[String]| -> Vec<bool> {
            market.symbols().iter().map(|symbol| names.contains(symbol)).collect()
        };
        let needs_volume = |filter: &str| match market.has_price_column("volume") {
            true => Ok(()),
            false => Err(RunError::Data(format!("filter {filter}: the price table has no column volume"))),
        };
        let test = match filter {
            Filter::Whitelist { symbols } => Self::Allowed(named(symbols)),
            Filter::Blacklist { symbols } => {
                Self::Allowed(named(symbols).iter().map(|named| !named).collect())
            }
            Filter::MinPrice { column, value } => Self::MinPrice { column: *column, value: *value },
            Filter::MinDollarVolume { lookback, value } => {
                needs_volume("min_dollar_volume")?;
                Self::MinDollarVolume { lookback: *lookback as usize, value: *value }
            }
            Filter::MinAdv { lookback, value } => {
                needs_volume("min_adv")?;
                Self::MinVolume { lookback: *lookback as usize, value: *value }
            }
            Filter::RequireSignalColumns { columns } => {
                let readers = columns.iter().map(|column| SignalReader::new(column, market));
                Self::SignalColumns(readers.collect::<Result<_, _>>()?)
            }
            Filter::NoMissingPrices { window } => Self::NoMissingPrices { window: *window as usize },
            Filter::MaxVolatility { lookback, value, .. } => {
                Self::MaxVolatility { lookback: *lookback as usize, value: *value }
            }
            Filter::ExchangeIn { values } => match market.exchanges() {
                Some(exchanges) => Self::Allowed(
                    exchanges.iter().map(|e| e.as_ref().is_some_and(|e| values.contains(e))).collect(),
                ),
                None => {
                    warnings.push("exchange_in had no effect: the price table has no exchange".to_owned());
                    return Ok(None);
                }
            },
        };
        Ok(Some(test))
    }

    fn apply(&mut self, view: &View<'_>, eligible: &mut Vec<SymbolId>) {
        let (market, bar) = (view.market, view.bar);
        let mean =
            |symbol, n, price: &dyn Fn(usize, SymbolId) -> f64| lookback::mean(market, bar, symbol, n, price);
        match self {
            Self::Allowed(allowed) => eligible.retain(|symbol| allowed[symbol.index()]),
            Self::MinPrice { column, value } => {
                eligible.retain(|&symbol| market.price(*column, bar, symbol) >= *value);
            }
            Self::MinDollarVolume { lookback, value } => {
                let traded = |b, symbol| market.close(b, symbol) * market.volume(b, symbol);
                eligible
                    .retain(|&symbol| mean(symbol, *lookback, &traded).is_some_and(|mean| mean >= *value));
            }
            Self::MinVolume { lookback, value } => {
                let volume = |b, symbol| market.volume(b, symbol);
                eligible
                    .retain(|&symbol| mean(symbol, *lookback, &volume).is_some_and(|mean| mean >= *value));
            }
            Self::SignalColumns(readers) => {
                for reader in readers {
                    let row = reader.today(view);
                    eligible.retain(|symbol| row.get(symbol.index()).is_some_and(|value| !value.is_nan()));
                }
            }
            Self::NoMissingPrices { window } => {
                let Some(from) = (bar + 1).checked_sub(*window) else { return eligible.clear() };
                eligible.retain(|&symbol| (from..bar + 1).all(|b| !market.close(b, symbol).is_nan()));
            }
            Self::MaxVolatility { lookback, value } => eligible.retain(|&symbol| {
                lookback::volatility(market, bar, symbol, *lookback)
                    .is_some_and(|deviation| deviation <= *value)
            }),
        }
    }
}
