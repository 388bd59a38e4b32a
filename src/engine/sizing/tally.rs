//! Names that were wanted and do not count, over all decisions of a run.

use std::collections::BTreeSet;

use crate::engine::metrics::account_of::some_of;

/// How often names did not count, and which.
#[derive(Debug, Default)]
pub(super) struct Tally {
    times: usize,
    names: BTreeSet<String>,
}

impl Tally {
    /// Counts a name of a decision.
    pub(super) fn count(&mut self, name: &str) {
        self.times += 1;
        if !self.names.contains(name) {
            self.names.insert(name.to_owned());
        }
    }

    /// `12 names wanted (A, B)`, a name once for each decision. `None` without any.
    pub(super) fn phrase(&self) -> Option<String> {
        let names: Vec<String> = self.names.iter().cloned().collect();
        let times = match self.times {
            0 => return None,
            1 => "1 name wanted".to_owned(),
            times => format!("{times} names wanted"),
        };
        Some(format!("{times} ({})", some_of(&names)))
    }
}
