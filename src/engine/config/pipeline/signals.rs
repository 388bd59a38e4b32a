//! Which columns the scoring of a configured strategy may use.

use super::{BreakoutMode, Scoring};
use crate::engine::config::needs::Needs;
use crate::engine::config::options::{Scalar as _, flag, options, section, texts, word, words};

options! {
    /// Which columns scoring may use.
    ProviderStage {
        /// Where they come from.
        provider: Provider = word().or(Provider::Table),
        /// Their names; empty for all of the signal table.
        columns: Vec<String> = texts().or_none(),
        /// What `hybrid` may compute.
        fallback: Fallback = section(),
    }

}

words! {
    /// Where the columns of a configured strategy come from.
    Provider {
        /// The signal table.
        Table = "platinum_signals_daily",
        /// Prices alone.
        Computed = "computed_from_prices",
        /// The signal table, and prices for what it lacks.
        Hybrid = "hybrid",
    }
}

options! {
    /// What the provider `hybrid` may compute when the signal table lacks it.
    Fallback {
        /// Whether anything may be computed.
        enabled: bool = flag().or(true),
        /// The columns that may be.
        allowed_missing_columns: Vec<String> = texts().or_none(),
    }
}

impl Fallback {
    /// Whether it says anything.
    fn is_given(&self) -> bool {
        !self.enabled || !self.allowed_missing_columns.is_empty()
    }

    /// Whether a column that the signal table lacks may be computed.
    pub(crate) fn allows(&self, column: &str) -> bool {
        self.enabled
            && self.allowed_missing_columns.iter().any(|allowed| allowed.eq_ignore_ascii_case(column))
    }
}

/// Look-back of the breakout columns that a pipeline computes itself.
pub(crate) const COMPUTED_BREAKOUT_LOOKBACK: u32 = 20;

impl ProviderStage {
    /// Without a list the provider offers the whole table, and scoring may use any of it; only what scoring names is
    /// ever looked at.
    pub(super) fn needs(&self, scoring: &Scoring, needs: &mut Needs) {
        match self.provider {
            Provider::Table => self.columns.iter().for_each(|column| needs.signal(column)),
            Provider::Computed => needs.bars(COMPUTED_BREAKOUT_LOOKBACK as usize),
            Provider::Hybrid => {
                self.columns.iter().for_each(|column| needs.signal(column));
                needs.bars(COMPUTED_BREAKOUT_LOOKBACK as usize);
            }
        }
        scoring.needs(self.provider != Provider::Computed, needs);
    }

    pub(super) fn without_effect(&self, path: &str, scoring: &Scoring, found: &mut Vec<String>) {
        if self.provider != Provider::Hybrid && self.fallback.is_given() {
            found.push(format!("{path}.signals.fallback has no effect: it goes with provider: hybrid"));
        }
        if self.provider != Provider::Computed {
            return;
        }
        for column in scoring.columns().iter().filter(|column| BreakoutMode::of_column(column).is_none()) {
            found.push(format!(
                "{path}.signals.provider: computed_from_prices does not know {column}, which is 0 for everyone"
            ));
        }
    }
}
