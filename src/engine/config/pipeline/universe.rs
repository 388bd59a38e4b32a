//! Who may be selected by a configured strategy.

use crate::engine::config::needs::Needs;
use crate::engine::config::options::{
    Bounds, Kind, Scalar as _, choices, count_or_less, number, options, some_texts, text, texts, variants,
    word, words,
};
use crate::engine::config::price_column::{PriceColumn, price_column};
use crate::engine::config::reader::Fields;
use crate::engine::config::schema::ObjectSchema;

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
            symbols: Vec<String> = texts().required(),
        },
        /// A least price today.
        MinPrice = "min_price" {
            /// Which price.
            column: PriceColumn = price_column().or(PriceColumn::Close),
            /// The least.
            value: f64 = number(Bounds::ANY).required(),
        },
        /// A least mean of price times volume.
        MinDollarVolume = "min_dollar_volume" {
            /// Bars in the mean, all of which must exist; 0: off.
            lookback: u32 = count_or_less(0).or(20_u32),
            /// The least.
            value: f64 = Least,
            /// Price column that is compared with the bounds.
            price_col: PriceColumn = price_column().or(PriceColumn::Close),
            /// What it is multiplied with.
            volume_col: PriceColumn = price_column().or(PriceColumn::Volume),
        },
        /// A least mean volume.
        MinAdv = "min_adv" {
            /// Bars in the mean, all of which must exist; 0: off.
            lookback: u32 = count_or_less(0).or(20_u32),
            /// The least.
            value: f64 = Least,
            /// Column whose mean is compared with the bound.
            volume_col: PriceColumn = price_column().or(PriceColumn::Volume),
        },
        /// A number today in each of these signal columns.
        RequireSignalColumns = "require_signal_columns" {
            /// Column names.
            columns: Vec<String> = texts().required(),
        },
        /// A bar on each of the last days.
        NoMissingPrices = "no_missing_prices" {
            /// Days; 0: off.
            window: u32 = count_or_less(0).or(10_u32),
        },
        /// A largest standard deviation of daily returns, not annualised.
        MaxVolatility = "max_volatility" {
            /// Column of returns. Where it is left out and the price table has no `returns_1d`, returns from close to close.
            returns_col: PriceColumn = Returns,
            /// Number of returns. With 1 every symbol with a return passes, with 0 none does.
            lookback: u32 = count_or_less(0).or(20_u32),
            /// The largest; nothing passes one below 0.
            value: f64 = number(Bounds::ANY).required(),
        },
        /// Listed on one of these exchanges.
        ExchangeIn = "exchange_in" {
            /// Exchange names.
            values: Vec<String> = some_texts().required(),
        },
    }
}

/// The least value that passes, which a filter without a look-back does not need.
struct Least;

impl Kind for Least {
    type Value = f64;

    fn read(&self, f: &Fields<'_>, key: &'static str) -> f64 {
        match count_or_less(0).off().read(f, "lookback") {
            Some(0) => number(Bounds::ANY).or(0.0).read(f, key),
            _ => number(Bounds::ANY).required().read(f, key),
        }
    }

    fn describe(&self, key: &'static str, doc: &str, object: &mut ObjectSchema<'_>) {
        number(Bounds::ANY).off().describe(key, doc, object);
    }
}

/// The returns of the volatility filter, under their name or an older one.
struct Returns;

impl Kind for Returns {
    type Value = PriceColumn;

    fn read(&self, f: &Fields<'_>, key: &'static str) -> PriceColumn {
        let older = text().off().read(f, "column");
        let given = text().off().read(f, key);
        if given.is_some() && older.is_some() {
            f.fault("column", format!("is an older name of {key}: give one of them"));
        }
        // The older name knew the closes by their own name.
        let older = older.filter(|column| !column.eq_ignore_ascii_case("close"));
        PriceColumn::named(given.or(older).as_deref().unwrap_or(RETURNS))
    }

    fn describe(&self, key: &'static str, doc: &str, object: &mut ObjectSchema<'_>) {
        text().or(RETURNS).describe(key, doc, object);
        text().off().describe("column", "Older name of `returns_col`.", object);
    }
}

/// The column of returns that a price table may have, and need not.
pub(crate) const RETURNS: &str = "returns_1d";

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
                // Of the price table if that has it, of the signals otherwise.
                name => {
                    needs.price_table(name);
                    needs.signal(column);
                }
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
            Self::MinDollarVolume { lookback: 0, .. } | Self::MinAdv { lookback: 0, .. } => {}
            Self::MinDollarVolume { lookback, price_col, volume_col, .. } => {
                needs.bars_to_today(*lookback);
                price_col.needs(needs);
                volume_col.needs(needs);
            }
            Self::MinAdv { lookback, volume_col, .. } => {
                needs.bars_to_today(*lookback);
                volume_col.needs(needs);
            }
            Self::RequireSignalColumns { columns } => columns.iter().for_each(|column| needs.signal(column)),
            Self::NoMissingPrices { window } => needs.bars_to_today(*window),
            Self::MaxVolatility { lookback, returns_col, .. } => {
                needs.bars(*lookback as usize);
                returns_col.needs(needs);
            }
            Self::ExchangeIn { .. } => needs.prices.exchange = true,
        }
    }
}

impl UniverseStage {
    pub(super) fn without_effect(&self, path: &str, found: &mut Vec<String>) {
        for (i, filter) in self.filters.iter().enumerate() {
            if let Some(because) = filter.is_off() {
                found.push(format!("{path}.universe.filters[{i}] has no effect: {because}"));
            }
        }
    }
}

impl Filter {
    /// Why it lets everyone pass, if it does.
    pub(crate) fn is_off(&self) -> Option<&'static str> {
        match self {
            Self::Blacklist { symbols } if symbols.is_empty() => Some("it names no symbol"),
            Self::RequireSignalColumns { columns } if columns.is_empty() => Some("it names no column"),
            Self::MinDollarVolume { lookback: 0, .. } | Self::MinAdv { lookback: 0, .. } => {
                Some("its lookback is 0")
            }
            Self::NoMissingPrices { window: 0 } => Some("its window is 0"),
            Self::Whitelist { .. }
            | Self::Blacklist { .. }
            | Self::MinPrice { .. }
            | Self::MinDollarVolume { .. }
            | Self::MinAdv { .. }
            | Self::RequireSignalColumns { .. }
            | Self::NoMissingPrices { .. }
            | Self::MaxVolatility { .. }
            | Self::ExchangeIn { .. } => None,
        }
    }
}
