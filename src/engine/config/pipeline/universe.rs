//! Who may be selected by a configured strategy.

use super::PriceColumn;
use crate::engine::config::needs::Needs;
use crate::engine::config::options::{
    Bounds, Scalar as _, choices, count, number, options, some_texts, texts, variants, word, words,
};

options! {
    /// Who may be selected.
    UniverseStage {
        /// What makes a symbol present.
        source: UniverseSource = word().or(UniverseSource::Signals),
        /// Columns, of prices or signals, that must exist.
        require_columns: Vec<String> = texts().or_none(),
        /// Conditions, applied one after the other.
        filters: Vec<Filter> = choices(),
    }
}

words! {
    /// What makes a symbol present on a day.
    UniverseSource {
        /// A signal row.
        Signals = "signals",
        /// A bar.
        Prices = "prices",
        /// Both.
        Intersection = "intersection",
    }
}

words! {
    /// What the volatility filter takes the deviation of.
    ReturnsColumn {
        /// Returns from close to close.
        Close = "close" | "returns_1d",
    }
}

variants! {
    /// A condition on eligible symbols.
    Filter {
        /// Only these.
        Whitelist = "whitelist" {
            /// Names.
            symbols: Vec<String> = some_texts().required(),
        },
        /// All but these.
        Blacklist = "blacklist" {
            /// Names.
            symbols: Vec<String> = some_texts().required(),
        },
        /// A least price today.
        MinPrice = "min_price" {
            /// Which price.
            column: PriceColumn = word().or(PriceColumn::Close),
            /// The least.
            value: f64 = number(Bounds::ANY).required(),
        },
        /// A least mean of close times volume.
        MinDollarVolume = "min_dollar_volume" {
            /// Bars in the mean, all of which must exist.
            lookback: u32 = count(1).or(20_u32),
            /// The least.
            value: f64 = number(Bounds::ANY).required(),
        },
        /// A least mean volume.
        MinAdv = "min_adv" {
            /// Bars in the mean, all of which must exist.
            lookback: u32 = count(1).or(20_u32),
            /// The least.
            value: f64 = number(Bounds::ANY).required(),
        },
        /// A number today in each of these signal columns.
        RequireSignalColumns = "require_signal_columns" {
            /// Column names.
            columns: Vec<String> = some_texts().required(),
        },
        /// A bar on each of the last days.
        NoMissingPrices = "no_missing_prices" {
            /// Days.
            window: u32 = count(1).or(10_u32),
        },
        /// A largest standard deviation of daily returns, not annualised.
        MaxVolatility = "max_volatility" {
            /// Returns of what.
            column: ReturnsColumn = word().or(ReturnsColumn::Close),
            /// Number of returns.
            lookback: u32 = count(2).or(20_u32),
            /// The largest.
            value: f64 = number(Bounds::at_least(0.0)).required(),
        },
        /// Listed on one of these exchanges.
        ExchangeIn = "exchange_in" {
            /// Exchange names.
            values: Vec<String> = some_texts().required(),
        },
    }
}

impl UniverseStage {
    pub(super) fn needs(&self, needs: &mut Needs) {
        needs.signal_rows |= match self.source {
            UniverseSource::Signals | UniverseSource::Intersection => true,
            UniverseSource::Prices => false,
        };
        for column in &self.require_columns {
            match column.to_ascii_lowercase().as_str() {
                "high" | "low" => needs.prices.high_low = true,
                "volume" => needs.prices.volume = true,
                "date" | "symbol" | "open" | "close" => {}
                _ => needs.signal(column),
            }
        }
        for filter in &self.filters {
            filter.needs(needs);
        }
    }
}

impl Filter {
    fn needs(&self, needs: &mut Needs) {
        match self {
            Self::Whitelist { .. } | Self::Blacklist { .. } => {}
            Self::MinPrice { column, .. } => column.needs(needs),
            Self::MinDollarVolume { lookback, .. } | Self::MinAdv { lookback, .. } => {
                needs.bars_to_today(*lookback);
                needs.prices.volume = true;
            }
            Self::RequireSignalColumns { columns } => columns.iter().for_each(|column| needs.signal(column)),
            Self::NoMissingPrices { window } => needs.bars_to_today(*window),
            Self::MaxVolatility { lookback, .. } => needs.bars(*lookback as usize),
            Self::ExchangeIn { .. } => needs.prices.exchange = true,
        }
    }
}
