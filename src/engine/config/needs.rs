//! What a config needs to be loaded: bars of history, price columns, signal columns, symbols.

use super::{
    BacktestConfig, Benchmark, ClassConfig, ExitConfig, ExitRule, FillPolicy, Filter, PipelineConfig,
    PriceColumn, Provider, Scoring, SizingConfig, StrategyConfig, Symbols, UniverseSource,
};

/// Price columns that a run reads beside open and close.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PriceColumns {
    /// Highest and lowest prices.
    pub high_low: bool,
    /// Volumes.
    pub volume: bool,
    /// Exchanges.
    pub exchange: bool,
}

/// Signal columns that a run reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignalColumns {
    /// The strategy never looks at signals.
    None,
    /// Every column of the table.
    All,
    /// These, sorted; as written in the config.
    Named(Vec<String>),
}

/// Names under which the opening gap is found in a signal table.
pub(crate) const GAP_COLUMNS: [&str; 4] = ["gap_pct", "gap", "gapPercent", "gap_percent"];
/// Names under which the ratio of volume to its mean is found in a signal table.
pub(crate) const VOLUME_RATIO_COLUMNS: [&str; 3] = ["vol_ratio", "volume_ratio", "volRatio"];
/// Further columns of a raw episodic-pivot score, with their weights.
pub(crate) const RAW_EP_TERMS: [(&str, f64); 3] =
    [("earnings_surprise", 0.1), ("rev_yoy", 0.05), ("eps_yoy", 0.05)];
/// Look-back of the breakout columns that a pipeline computes itself.
pub(crate) const COMPUTED_BREAKOUT_LOOKBACK: u32 = 20;
/// Bars that the longest of the signals computed from prices looks back (12-1 momentum).
pub(crate) const COMPUTED_SIGNAL_LOOKBACK: usize = 252;

impl BacktestConfig {
    /// Trading bars before `start_date` that look-backs may use: `data.warmup_days`, or as many as they need.
    pub fn warmup_bars(&self) -> usize {
        if let Some(bars) = self.data.warmup_days {
            return bars as usize;
        }
        let mut bars = self.strategy.lookback().max(self.sizing.lookback());
        if self.data.signal_path.is_none() && self.signal_columns() != SignalColumns::None {
            bars = bars.max(COMPUTED_SIGNAL_LOOKBACK);
        }
        bars
    }

    /// The price columns that the run reads beside open and close.
    pub fn price_columns(&self) -> PriceColumns {
        let mut columns = self.strategy.price_columns();
        columns.volume |= self.broker.max_participation_rate.is_some();
        columns
    }

    /// The signal columns that the run reads.
    pub fn signal_columns(&self) -> SignalColumns {
        self.strategy.signal_columns()
    }

    /// Whether the run asks which symbols have a signal row.
    pub(crate) fn reads_signal_rows(&self) -> bool {
        self.strategy.reads_signal_rows()
    }

    /// The symbols whose prices the run reads, the benchmark included. `None`: all.
    pub fn price_symbols(&self) -> Option<Vec<String>> {
        let Symbols::Listed(symbols) = &self.universe.symbols else { return None };
        let mut symbols = symbols.clone();
        if let Some(Benchmark::Symbol(benchmark)) = &self.benchmark
            && !symbols.contains(benchmark)
        {
            symbols.push(benchmark.clone());
        }
        Some(symbols)
    }

    /// Whether fills happen at the close.
    pub fn fills_at_close(&self) -> bool {
        self.broker.fill_policy == FillPolicy::NextClose
    }
}

impl StrategyConfig {
    /// Symbols that must be in the universe, with the path below `strategy` where they are named.
    pub(super) fn named_symbols(&self) -> Vec<(String, String)> {
        match self {
            Self::Class(ClassConfig::BuyAndHoldStrategy { symbol: Some(symbol), .. }) => {
                vec![("parameters.symbol".to_owned(), symbol.clone())]
            }
            Self::Class(ClassConfig::StaticUniverseStrategy { symbols: Some(symbols), .. }) => {
                let paths = (0..).map(|i| format!("parameters.symbols[{i}]"));
                paths.zip(symbols.iter().cloned()).collect()
            }
            Self::Class(_) | Self::Configured(_) => Vec::new(),
            Self::Composite(composite) => {
                let legs = composite.legs.iter().enumerate();
                let named = legs.flat_map(|(i, leg)| {
                    let inner = leg.strategy.named_symbols().into_iter();
                    inner.map(move |(path, symbol)| (format!("legs[{i}].strategy.{path}"), symbol))
                });
                named.collect()
            }
        }
    }

    fn reads_signal_rows(&self) -> bool {
        match self {
            Self::Class(_) => false,
            Self::Configured(pipeline) => pipeline.universe.source != UniverseSource::Prices,
            Self::Composite(composite) => composite.legs.iter().any(|leg| leg.strategy.reads_signal_rows()),
        }
    }

    fn lookback(&self) -> usize {
        match self {
            Self::Class(class) => class.lookback(),
            Self::Configured(pipeline) => pipeline.lookback(),
            Self::Composite(composite) => {
                let legs = composite.legs.iter();
                let each = legs.map(|leg| {
                    leg.strategy.lookback().max(leg.sizing.as_ref().map_or(0, SizingConfig::lookback))
                });
                each.max().unwrap_or(0)
            }
        }
    }

    fn price_columns(&self) -> PriceColumns {
        match self {
            Self::Class(class) => {
                PriceColumns { high_low: class.reads_high_low(), ..PriceColumns::default() }
            }
            Self::Configured(pipeline) => pipeline.price_columns(),
            Self::Composite(composite) => {
                let mut all = PriceColumns::default();
                for leg in &composite.legs {
                    let one = leg.strategy.price_columns();
                    all.high_low |= one.high_low;
                    all.volume |= one.volume;
                    all.exchange |= one.exchange;
                }
                all
            }
        }
    }

    fn signal_columns(&self) -> SignalColumns {
        match self {
            Self::Class(class) => SignalColumns::named(class.signal_columns()),
            Self::Configured(pipeline) => pipeline.signal_columns(),
            Self::Composite(composite) => {
                let mut names = Vec::new();
                for leg in &composite.legs {
                    match leg.strategy.signal_columns() {
                        SignalColumns::None => (),
                        SignalColumns::All => return SignalColumns::All,
                        SignalColumns::Named(more) => names.extend(more),
                    }
                }
                SignalColumns::named(names)
            }
        }
    }
}

impl SignalColumns {
    fn named(mut names: Vec<String>) -> Self {
        names.sort();
        names.dedup();
        if names.is_empty() { Self::None } else { Self::Named(names) }
    }
}

impl SizingConfig {
    fn lookback(&self) -> usize {
        match self {
            Self::EqualWeightSizer { .. } | Self::LongShortScoreSizer(_) => 0,
            Self::KellySizer { lookback_days, .. } | Self::OptimizationSizer { lookback_days, .. } => {
                *lookback_days as usize
            }
        }
    }
}

/// Bars before today in a mean that includes today.
fn before_today(bars: u32) -> usize {
    bars as usize - 1
}

impl ClassConfig {
    fn exits(&self) -> Option<&ExitConfig> {
        match self {
            Self::BreakoutStrategy(c) => Some(&c.exits),
            Self::EpisodicPivotStrategy(c) => Some(&c.exits),
            _ => None,
        }
    }

    fn lookback(&self) -> usize {
        let days = match self {
            Self::LongShortTopNStrategy(c) => c.trailing_ma_days,
            _ => self.exits().and_then(|exits| exits.trailing_ma_days),
        };
        days.map_or(0, before_today)
    }

    fn reads_high_low(&self) -> bool {
        match self {
            Self::LongShortTopNStrategy(c) => c.stop_loss_pct.is_some(),
            _ => self.exits().is_some_and(|exits| {
                exits.stop_loss_pct.is_some()
                    || exits.take_profit_pct.is_some()
                    || exits.trailing_stop_pct.is_some()
            }),
        }
    }

    fn signal_columns(&self) -> Vec<String> {
        match self {
            Self::BuyAndHoldStrategy { .. } | Self::StaticUniverseStrategy { .. } => Vec::new(),
            Self::TopNSignalStrategy(c) => vec![c.signal_column.clone()],
            Self::LongShortTopNStrategy(c) => vec![c.signal_column.clone()],
            Self::BreakoutStrategy(c) => {
                let mut names = vec![c.breakout_score_column.clone()];
                names.extend(c.breakdown_score_column.clone().filter(|_| c.enable_shorts));
                names
            }
            Self::EpisodicPivotStrategy(c) => {
                let mut names = vec![c.ep_score_column.clone()];
                if c.allow_raw_fields {
                    names.extend(raw_ep_columns());
                }
                names
            }
        }
    }
}

fn raw_ep_columns() -> impl Iterator<Item = String> {
    let terms = RAW_EP_TERMS.iter().map(|(name, _)| name);
    GAP_COLUMNS.iter().chain(&VOLUME_RATIO_COLUMNS).chain(terms).map(|name| (*name).to_owned())
}

impl PipelineConfig {
    fn lookback(&self) -> usize {
        let filters = self.universe.filters.iter().map(|filter| match filter {
            Filter::MinDollarVolume { lookback, .. } | Filter::MinAdv { lookback, .. } => {
                before_today(*lookback)
            }
            Filter::NoMissingPrices { window } => before_today(*window),
            Filter::MaxVolatility { lookback, .. } => *lookback as usize,
            _ => 0,
        });
        let exits = self.exits.rules.iter().map(|rule| match rule {
            ExitRule::TrailingMa { days, .. } => before_today(*days),
            _ => 0,
        });
        let computed = match self.signals.provider {
            Provider::Table => 0,
            Provider::Computed | Provider::Hybrid => COMPUTED_BREAKOUT_LOOKBACK as usize,
        };
        filters.chain(exits).chain([computed, self.scoring.lookback()]).max().unwrap_or(0)
    }

    fn price_columns(&self) -> PriceColumns {
        let high_or_low = |column: &PriceColumn| matches!(column, PriceColumn::High | PriceColumn::Low);
        let filters = &self.universe.filters;
        PriceColumns {
            high_low: filters
                .iter()
                .any(|filter| matches!(filter, Filter::MinPrice { column, .. } if high_or_low(column)))
                || self.exits.rules.iter().any(|rule| match rule {
                    ExitRule::TrailingMa { price_col, .. } => high_or_low(price_col),
                    ExitRule::StopLoss { use_intraday_extremes, .. } => *use_intraday_extremes,
                    ExitRule::TakeProfit { .. } | ExitRule::TrailingStop { .. } => true,
                    ExitRule::TimeStop { .. } | ExitRule::PartialExitAfterDays { .. } => false,
                })
                || self
                    .universe
                    .require_columns
                    .iter()
                    .any(|c| c.eq_ignore_ascii_case("high") || c.eq_ignore_ascii_case("low")),
            volume: filters
                .iter()
                .any(|filter| matches!(filter, Filter::MinDollarVolume { .. } | Filter::MinAdv { .. }))
                || self.universe.require_columns.iter().any(|c| c.eq_ignore_ascii_case("volume")),
            exchange: filters.iter().any(|filter| matches!(filter, Filter::ExchangeIn { .. })),
        }
    }

    fn signal_columns(&self) -> SignalColumns {
        // Without a list the provider offers the whole table, and scoring may use any of it; only what scoring,
        // filters and `require_columns` name is ever looked at.
        let mut names = self.signals.columns.clone();
        if self.signals.provider == Provider::Computed {
            names.clear();
        } else {
            self.scoring.columns(&mut names);
        }
        for filter in &self.universe.filters {
            if let Filter::RequireSignalColumns { columns } = filter {
                names.extend(columns.iter().cloned());
            }
        }
        let price_columns = ["date", "symbol", "open", "high", "low", "close", "volume"];
        let required = self.universe.require_columns.iter();
        names.extend(required.filter(|c| !price_columns.iter().any(|p| p.eq_ignore_ascii_case(c))).cloned());
        SignalColumns::named(names)
    }
}

impl Scoring {
    fn lookback(&self) -> usize {
        match self {
            Self::PriceBreakout { lookback, .. } => *lookback as usize,
            Self::RankTransform { base, .. } => base.lookback(),
            _ => 0,
        }
    }

    /// The columns that it looks at.
    pub(super) fn columns(&self, names: &mut Vec<String>) {
        match self {
            Self::Column { column, .. } => names.push(column.clone()),
            Self::WeightedSum { terms, .. } => names.extend(terms.iter().map(|t| t.column.clone())),
            Self::MaxOf { scores, .. } => names.extend(scores.iter().map(|s| s.column.clone())),
            Self::RankTransform { base, .. } => base.columns(names),
            Self::PriceBreakout { .. } => (),
            Self::EpisodicPivotHeuristic { .. } => {
                let both = GAP_COLUMNS.iter().chain(&VOLUME_RATIO_COLUMNS);
                names.extend(both.map(|name| (*name).to_owned()));
            }
        }
    }
}
