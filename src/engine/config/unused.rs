//! Options that are valid and yet have no effect beside the others of the same config. They are not refused, since
//! configs are often varied one value at a time, but the reader of the results is told.

use super::{
    BacktestConfig, BreakoutMode, BrokerConfig, ClassConfig, CompositeConfig, ConstraintsConfig, ExitRule,
    HoldingPolicy, Normalize, PipelineConfig, Provider, RoundingMode, Selection, SizingConfig,
    StrategyConfig, WeightMode,
};

impl BacktestConfig {
    /// What has no effect, one sentence each with the path of the option.
    pub(crate) fn without_effect(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.constraints.without_effect(&mut found);
        self.broker.without_effect(&mut found);
        self.sizing.without_effect(&mut found);
        self.strategy.without_effect("strategy", &self.sizing, &mut found);
        found
    }
}

impl ConstraintsConfig {
    fn without_effect(&self, found: &mut Vec<String>) {
        let band = self.net_exposure_min.is_some() || self.net_exposure_max.is_some();
        if band && self.max_net_exposure.is_some() {
            found.push("constraints.max_net_exposure has no effect beside a net exposure band".to_owned());
        }
    }
}

impl BrokerConfig {
    fn without_effect(&self, found: &mut Vec<String>) {
        let lots = !self.allow_fractional_shares || self.lot_size != 1.0;
        if !lots && self.rounding_mode != RoundingMode::TowardZero {
            found.push("broker.rounding_mode has no effect while fractions of a share trade".to_owned());
        }
    }
}

impl SizingConfig {
    fn without_effect(&self, found: &mut Vec<String>) {
        if let Self::LongShortScoreSizer(config) = self
            && config.weight_mode == WeightMode::Equal
            && config.score_power != 1.0
        {
            found.push("sizing.parameters.score_power has no effect on equal weights".to_owned());
        }
    }
}

impl StrategyConfig {
    fn without_effect(&self, path: &str, sizing: &SizingConfig, found: &mut Vec<String>) {
        if let Self::Configured(config) = self {
            config.without_effect(path, found);
        }
        if let (Some(wanted), SizingConfig::EqualWeightSizer { max_positions }) = (self.positions(), sizing)
            && wanted > *max_positions as usize
        {
            found.push(format!(
                "{path}: of {wanted} names EqualWeightSizer holds {max_positions}, its max_positions"
            ));
        }
        if let Self::Class(ClassConfig::LongShortTopNStrategy(config)) = self
            && config.k_long == 0
            && config.k_short == 0
        {
            found.push(format!("{path}: k_long and k_short are 0, so that nothing is ever bought"));
        }
        if let Self::Composite(composite) = self {
            composite.without_effect(sizing, found);
        } else if self.scales_holdings() && !matches!(sizing, SizingConfig::LongShortScoreSizer(_)) {
            found.push(format!(
                "{path}: cuts and decays have no effect, since only LongShortScoreSizer heeds scales"
            ));
        }
    }

    /// Names that it wants at once, if the config says how many.
    fn positions(&self) -> Option<usize> {
        match self {
            Self::Class(ClassConfig::TopNSignalStrategy(config)) => Some(config.top_n as usize),
            Self::Class(ClassConfig::StaticUniverseStrategy { symbols, .. }) => {
                symbols.as_ref().map(Vec::len)
            }
            Self::Configured(config) => match &config.selection {
                Selection::TopN(selection) => Some(selection.n as usize),
                _ => None,
            },
            Self::Class(_) | Self::Composite(_) => None,
        }
    }

    /// Whether it ever asks for less than the whole size of a holding.
    fn scales_holdings(&self) -> bool {
        match self {
            Self::Class(ClassConfig::LongShortTopNStrategy(config)) => config.partial_exit_days.is_some(),
            Self::Class(ClassConfig::BreakoutStrategy(config)) => config.exits.partial_exit_days.is_some(),
            Self::Class(ClassConfig::EpisodicPivotStrategy(config)) => {
                config.exits.partial_exit_days.is_some()
            }
            Self::Class(_) | Self::Composite(_) => false,
            Self::Configured(config) => {
                let cuts = |rule: &ExitRule| matches!(rule, ExitRule::PartialExitAfterDays { .. });
                config.exits.rules.iter().any(cuts) || decays(&config.holding_policy)
            }
        }
    }
}

impl PipelineConfig {
    fn without_effect(&self, path: &str, found: &mut Vec<String>) {
        if self.signals.provider == Provider::Computed {
            let mut columns = Vec::new();
            self.scoring.columns(&mut columns);
            for column in columns.iter().filter(|column| BreakoutMode::of_column(column).is_none()) {
                found.push(format!(
                    "{path}.signals.provider: computed_from_prices does not know {column}, which is 0 for everyone"
                ));
            }
        }
        if let Selection::LongShortTopN(selection) = &self.selection
            && selection.long_n == 0
            && selection.short_n == 0
        {
            found.push(format!(
                "{path}.selection: long_n and short_n are 0, so that nothing is ever selected"
            ));
        }
    }
}

fn decays(policy: &HoldingPolicy) -> bool {
    match policy {
        HoldingPolicy::Decay(_) => true,
        HoldingPolicy::Hybrid { base, overlay } => decays(base) || decays(overlay),
        _ => false,
    }
}

impl CompositeConfig {
    fn without_effect(&self, sizing: &SizingConfig, found: &mut Vec<String>) {
        let blend = &self.blend;
        targets("strategy.blend", blend.normalize_final, blend.target_gross, blend.target_net, found);
        for (i, leg) in self.legs.iter().enumerate().filter(|(_, leg)| leg.enabled) {
            let path = format!("strategy.legs[{i}]");
            targets(&path, leg.normalize_leg, leg.target_gross, leg.target_net, found);
            let sizing = leg.sizing.as_ref().unwrap_or(sizing);
            leg.strategy.without_effect(&format!("{path}.strategy"), sizing, found);
        }
    }
}

/// A target other than the default counts only if weights are scaled to it.
fn targets(path: &str, normalize: Normalize, gross: f64, net: f64, found: &mut Vec<String>) {
    for (name, target, counts) in
        [("target_gross", gross, Normalize::Gross), ("target_net", net, Normalize::Net)]
    {
        if target != 1.0 && normalize != counts {
            found.push(format!("{path}.{name} has no effect without normalizing to it"));
        }
    }
}
