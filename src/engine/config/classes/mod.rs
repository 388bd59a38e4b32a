//! The strategy classes: one file each, twins of those in `engine/strategy`. [`class_table!`] lists them, once; what
//! follows from the table, here and where strategies are built, the compiler asks for.

mod breakout;
mod buy_and_hold;
mod episodic_pivot;
mod exits;
mod long_short_top_n;
mod rebalance;
mod static_universe;
mod top_n;

use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::{Map, Value};

pub use self::breakout::BreakoutConfig;
pub use self::buy_and_hold::BuyAndHoldConfig;
pub use self::episodic_pivot::EpisodicPivotConfig;
pub(crate) use self::episodic_pivot::{GAP_COLUMNS, RAW_EP_TERMS, VOLUME_RATIO_COLUMNS};
pub use self::exits::ExitConfig;
pub use self::long_short_top_n::LongShortTopNConfig;
pub use self::rebalance::{Period, Rebalance};
pub use self::static_universe::StaticUniverseConfig;
pub use self::top_n::TopNConfig;

use super::needs::Needs;
use super::options::{kinds, unknown, untold};
use super::reader::Fields;
use super::schema::{Definitions, by_class};

/// Every strategy class with its parameters. Hands the table to the macro `$then`.
macro_rules! class_table {
    ($then:ident) => {
        $then! {
            /// A strategy chosen by class, with its parameters.
            ClassConfig {
                /// One symbol, always.
                BuyAndHoldStrategy(BuyAndHoldConfig) = "BuyAndHoldStrategy",
                /// The same symbols, always.
                StaticUniverseStrategy(StaticUniverseConfig) = "StaticUniverseStrategy",
                /// The best of the day's signals.
                TopNSignalStrategy(TopNConfig) = "TopNSignalStrategy",
                /// The best and the worst of the day's signals, held until an exit.
                LongShortTopNStrategy(LongShortTopNConfig) = "LongShortTopNStrategy",
                /// Names that break out of their range.
                BreakoutStrategy(BreakoutConfig) = "BreakoutStrategy",
                /// Names that gap on volume.
                EpisodicPivotStrategy(EpisodicPivotConfig) = "EpisodicPivotStrategy",
            }
        }
    };
}
pub(crate) use class_table;

/// What a strategy class says of itself beside its parameters. Nothing is assumed of one that says nothing.
pub(super) trait Class {
    /// What it needs of the market.
    fn needs(&self, needs: &mut Needs);

    /// Symbols that must be in the universe, with the path below `parameters` where they are named.
    fn named_symbols(&self) -> Vec<(String, &str)>;

    /// Names that it wants at once, if its parameters say how many.
    fn positions(&self) -> Option<usize>;

    /// Whether it ever asks for less than the whole size of a holding.
    fn scales_holdings(&self) -> bool;

    /// Adds a sentence for each parameter that is valid and yet has no effect. `path` is that of the strategy.
    fn without_effect(&self, path: &str, found: &mut Vec<String>);
}

class_table!(kinds);

macro_rules! declare {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident($ty:ty) = $word:literal),+ $(,)? }) => {
        impl $name {
            /// What the class says of itself.
            pub(super) fn declared(&self) -> &dyn Class {
                match self { $(Self::$variant(class) => class),+ }
            }
        }
    };
}
class_table!(declare);

/// The signal column of a class that is given none.
const DEFAULT_SIGNAL: &str = "composite_percentile";

impl ClassConfig {
    /// Reads the parameters of a class.
    pub(super) fn read(f: &Fields<'_>, class: Option<String>) -> Self {
        let parameters = f.section_or_list("parameters");
        let Some(class) = class else {
            f.fault("class", "is required, unless type is configured or composite");
            parameters.abandon();
            return Self::default();
        };
        Self::read_kind(&class, &parameters).unwrap_or_else(|| {
            f.fault("class", unknown("strategy", &class, Self::WORDS));
            parameters.abandon();
            Self::default()
        })
    }

    pub(super) fn schema(definitions: &mut Definitions) -> Value {
        definitions.named("ClassConfig", "A strategy chosen by class, with its parameters.", |definitions| {
            let classes = Self::describe_kinds(definitions);
            by_class(definitions, classes, None, &Map::new())
        })
    }
}

impl Default for ClassConfig {
    fn default() -> Self {
        Self::BuyAndHoldStrategy(untold())
    }
}

impl Serialize for ClassConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("class", self.as_str())?;
        self.write_options(&mut map, "parameters")?;
        map.end()
    }
}
