//! Who may be selected: symbols that are present today and pass every filter.

use super::super::View;
use super::super::signal::SignalReader;
use crate::engine::RunError;
use crate::engine::config::{Filter, PriceColumn, RETURNS, UniverseSource, UniverseStage};
use crate::engine::lookback;
use crate::engine::market::{Market, PriceField, SymbolId};

#[derive(Debug)]
pub(super) struct Universe {
    source: UniverseSource,
    filters: Vec<Test>,
    warnings: Vec<String>,
}

/// A filter, ready to be asked.
#[derive(Debug)]
enum Test {
    /// Whether a symbol may be selected at all, by symbol.
    Allowed(Vec<bool>),
    MinPrice {
        column: PriceField,
        value: f64,
    },
    MinDollarVolume {
        lookback: usize,
        value: f64,
        price: PriceField,
        volume: PriceField,
    },
    MinVolume {
        lookback: usize,
        value: f64,
        volume: PriceField,
    },
    SignalColumns(Vec<SignalReader>),
    NoMissingPrices {
        window: usize,
        /// How often a symbol had bars enough, but not on each of the last days.
        gaps: usize,
    },
    MaxVolatility {
        lookback: usize,
        value: f64,
        /// The column of returns; `None`: those from close to close.
        returns: Option<PriceField>,
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
        if config.source != UniverseSource::Prices && !market.has_signals() {
            warnings.push(format!(
                "universe.source: {}: there is no signal table, so that a bar counts; the reference implementation \
                 selects no symbol",
                config.source.as_str()
            ));
        }
        let filters = config.filters.iter().filter(|filter| filter.is_off().is_none());
        let tests = filters.map(|filter| Test::new(filter, market, &mut warnings));
        let filters = tests.filter_map(Result::transpose).collect::<Result<_, _>>()?;
        Ok(Self { source: config.source, filters, warnings })
    }

    /// What the reader of the results should know.
    pub(super) fn warnings(&self) -> Vec<String> {
        let gaps = self.filters.iter().filter_map(|test| match test {
            Test::NoMissingPrices { gaps, .. } if *gaps > 0 => Some(format!(
                "no_missing_prices left out a symbol {gaps} times for a gap; the reference implementation only counts bars"
            )),
            _ => None,
        });
        self.warnings.iter().cloned().chain(gaps).collect()
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
        let needs = |filter: &str, column: &PriceColumn| {
            market.price_field(column).map_err(|lack| RunError::Data(format!("filter {filter}: {lack}")))
        };
        let test = match filter {
            Filter::Whitelist { symbols } => Self::Allowed(named(symbols)),
            Filter::Blacklist { symbols } => {
                Self::Allowed(named(symbols).iter().map(|named| !named).collect())
            }
            Filter::MinPrice { column, value } => {
                Self::MinPrice { column: needs("min_price", column)?, value: *value }
            }
            Filter::MinDollarVolume { lookback, value, price_col, volume_col } => Self::MinDollarVolume {
                lookback: *lookback as usize,
                value: *value,
                price: needs("min_dollar_volume", price_col)?,
                volume: needs("min_dollar_volume", volume_col)?,
            },
            Filter::MinAdv { lookback, value, volume_col } => Self::MinVolume {
                lookback: *lookback as usize,
                value: *value,
                volume: needs("min_adv", volume_col)?,
            },
            Filter::RequireSignalColumns { columns } => {
                let readers = columns.iter().map(|column| SignalReader::new(column, market));
                Self::SignalColumns(readers.collect::<Result<_, _>>()?)
            }
            Filter::NoMissingPrices { window } => Self::NoMissingPrices { window: *window as usize, gaps: 0 },
            Filter::MaxVolatility { lookback, value, returns_col } => Self::MaxVolatility {
                lookback: *lookback as usize,
                value: *value,
                returns: match needs("max_volatility", returns_col) {
                    Err(_) if returns_col.as_str() == RETURNS => None,
                    found => Some(found?),
                },
            },
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
            Self::MinDollarVolume { lookback, value, price, volume } => {
                let traded = |b, symbol| market.price(*price, b, symbol) * market.price(*volume, b, symbol);
                eligible
                    .retain(|&symbol| mean(symbol, *lookback, &traded).is_some_and(|mean| mean >= *value));
            }
            Self::MinVolume { lookback, value, volume } => {
                let seen = market.seen(bar);
                let volume = |b, symbol| seen.price(*volume, b, symbol);
                eligible
                    .retain(|&symbol| mean(symbol, *lookback, &volume).is_some_and(|mean| mean >= *value));
            }
            Self::SignalColumns(readers) => {
                for reader in readers {
                    let row = reader.today(view);
                    eligible.retain(|symbol| row.get(symbol.index()).is_some_and(|value| !value.is_nan()));
                }
            }
            Self::NoMissingPrices { window, gaps } => {
                let Some(from) = (bar + 1).checked_sub(*window) else { return eligible.clear() };
                eligible.retain(|&symbol| {
                    let complete = (from..bar + 1).all(|b| !market.close(b, symbol).is_nan());
                    let enough = |n: usize| lookback::bars_back(market, bar, symbol).take(n).count() == n;
                    *gaps += usize::from(!complete && enough(*window));
                    complete
                });
            }
            Self::MaxVolatility { lookback, value, returns } => eligible.retain(|&symbol| {
                let deviation = match returns {
                    None => lookback::volatility(market, bar, symbol, *lookback),
                    Some(column) => lookback::deviation(market, bar, symbol, *lookback, |b, s| {
                        market.price(*column, b, s)
                    }),
                };
                deviation.is_some_and(|deviation| deviation <= *value)
            }),
        }
    }
}
