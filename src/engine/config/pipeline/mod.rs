//! A strategy put together from stages, in the order in which they work: one file per stage, twins of those in
//! `engine/strategy/pipeline`. A stage is a section; its kinds are declared with their options, and each of the questions
//! that all kinds are asked (needs, effect) is one match that names them all.

mod exits;
mod holding;
mod postprocess;
mod rebalance;
mod scoring;
mod selection;
mod signals;
mod universe;

pub use self::exits::*;
pub use self::holding::*;
pub use self::postprocess::*;
pub use self::rebalance::*;
pub use self::scoring::*;
pub use self::selection::*;
pub use self::signals::*;
pub use self::universe::*;

use super::needs::Needs;
use super::options::{Scalar as _, flag, options, section};

options! {
    /// A strategy put together from stages.
    #[serde(tag = "type", rename = "configured")]
    PipelineConfig {
        /// When it selects anew.
        rebalance: RebalanceConfig = section(),
        /// Who may be selected.
        universe: UniverseStage = section(),
        /// Which columns there are.
        signals: ProviderStage = section(),
        /// What a symbol is worth.
        scoring: Scoring = ScoringStage,
        /// Which symbols are selected, by their scores.
        selection: Selection = SelectionStage,
        /// Who stays.
        holding_policy: HoldingPolicy = HoldingStage,
        /// Who leaves, or is cut.
        exits: ExitStage = section(),
        /// What happens to scores at last.
        postprocess: Postprocess = section(),
        /// What is recorded beside the results.
        debug: DebugConfig = section(),
    }
}

options! {
    /// What is recorded beside the results.
    DebugConfig {
        /// Eligible symbols, scores and scales of each decision.
        record_intermediates: bool = flag().or(false),
        /// Which exit rule fired.
        record_reasons: bool = flag().or(false),
    }
}

impl PipelineConfig {
    pub(super) fn needs(&self, needs: &mut Needs) {
        self.universe.needs(needs);
        self.signals.needs(&self.scoring, needs);
        self.exits.needs(needs);
    }

    pub(super) fn without_effect(&self, path: &str, found: &mut Vec<String>) {
        self.rebalance.without_effect(path, found);
        self.universe.without_effect(path, found);
        self.signals.without_effect(path, &self.scoring, found);
        self.scoring.without_effect(&format!("{path}.scoring"), found);
        self.selection.without_effect(path, found);
        self.holding_policy.without_effect(path, found);
        self.exits.without_effect(path, found);
        self.postprocess.without_effect(path, found);
    }

    /// Whether it ever asks for less than the whole size of a holding.
    pub(super) fn scales_holdings(&self) -> bool {
        self.exits.cuts() || self.holding_policy.decays()
    }
}
