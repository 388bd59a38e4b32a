//! What became of what was asked: every name, order and day that did not come to count is counted here, so that nothing
//! is dropped without a word. Each count can be made again from the files of the run.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::engine::wants::Wants;

/// Counts of what a run was asked for and did not do, or did otherwise.
#[derive(Debug, Clone, Default, PartialEq, Serialize, utoipa::ToSchema)]
pub struct AccountOf {
    /// Decisions of the strategy: closes after which it asked for something, or for nothing to be held.
    pub decisions: usize,
    /// Of these, decisions that named nothing to be held.
    pub decisions_without_names: usize,
    /// Days at whose close nothing was held.
    pub days_in_cash: usize,
    /// Names with a score other than 0, summed over decisions.
    pub names_wanted: usize,
    /// Of these, names to which the sizer gave no weight.
    pub names_cut: usize,
    /// Names with a negative score, summed over decisions.
    pub shorts_wanted: usize,
    /// Of these, names to which the sizer gave no weight.
    pub shorts_dropped_by_sizer: usize,
    /// Short weights that `constraints.allow_short: false` took away.
    pub shorts_dropped_by_allow_short: usize,
    /// What the constraints changed, by kind: rows of `constraint_hits.json`.
    pub hits: BTreeMap<String, usize>,
    /// Orders, or parts of them, that did not trade, by reason: rows of `rejected_orders.csv`.
    pub rejected_orders: BTreeMap<String, usize>,
    /// Orders that found no bar of their symbol when they came to be filled, those included that waited and were filled
    /// later.
    pub orders_without_bar: usize,
    /// Symbols held at the end of the run without a bar on its last day, valued at their last close.
    pub holdings_without_bar: Vec<String>,
    /// Days between the first and the last one with rows in the signal table and without trading.
    pub signal_days_without_trading: usize,
    /// Mean over decisions of the sum of absolute weights that the sizer asked for.
    pub gross_asked: Option<f64>,
    /// Mean of the gross exposure at the close of the days on which these decisions were filled.
    pub gross_reached: Option<f64>,
    /// Names of those fields above that are beyond what one would pass over.
    pub notable: Vec<String>,
}

/// The counts that a simulation keeps on its way.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) decisions: usize,
    pub(crate) without_names: usize,
    /// Decisions that were filled, with the sums of what they asked for and reached.
    pub(crate) filled: usize,
    pub(crate) asked: f64,
    pub(crate) reached: f64,
}

/// What is measured against what: the size of the run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) days: usize,
    pub(crate) fills: usize,
}

/// Share of names, hits or exposure from which on it is worth a warning.
const NOTABLE_SHARE: f64 = 0.1;
/// The same of orders that did not trade.
const NOTABLE_ORDERS: f64 = 0.01;
/// The same of decisions and days without a holding: many strategies are meant to stay out at times.
const NOTABLE_CASH: f64 = 0.5;

impl AccountOf {
    /// Takes over the counts of a run.
    pub(crate) fn new(counts: Counts, wants: Wants) -> Self {
        let mean = |sum: f64| (counts.filled > 0).then(|| sum / counts.filled as f64);
        Self {
            decisions: counts.decisions,
            decisions_without_names: counts.without_names,
            names_wanted: wants.names,
            names_cut: wants.names_cut,
            shorts_wanted: wants.shorts,
            shorts_dropped_by_sizer: wants.shorts_cut,
            gross_asked: mean(counts.asked),
            gross_reached: mean(counts.reached),
            ..Self::default()
        }
    }

    /// Fills in which counts are beyond what one would pass over.
    pub(crate) fn judge(&mut self, size: Size, signals_are_aligned: bool) {
        let share = |part: usize, whole: usize| part as f64 > NOTABLE_SHARE * whole as f64;
        let orders = |part: usize| {
            let of = size.fills + self.rejected_orders.values().sum::<usize>();
            part as f64 > NOTABLE_ORDERS * of as f64
        };
        let short = self.gross_asked.zip(self.gross_reached);
        let judged = [
            (
                "decisions_without_names",
                self.decisions_without_names as f64 > NOTABLE_CASH * self.decisions as f64,
            ),
            ("days_in_cash", self.days_in_cash as f64 > NOTABLE_CASH * size.days as f64),
            ("names_cut", share(self.names_cut, self.names_wanted)),
            ("shorts_dropped_by_sizer", self.shorts_dropped_by_sizer > 0),
            ("shorts_dropped_by_allow_short", self.shorts_dropped_by_allow_short > 0),
            ("hits", self.hits.values().any(|&hits| share(hits, self.decisions))),
            ("rejected_orders", orders(self.rejected_orders.values().sum())),
            ("orders_without_bar", orders(self.orders_without_bar)),
            ("holdings_without_bar", !self.holdings_without_bar.is_empty()),
            ("signal_days_without_trading", self.signal_days_without_trading > 0 && !signals_are_aligned),
            ("gross_reached", short.is_some_and(|(asked, got)| got < (1.0 - NOTABLE_SHARE) * asked)),
        ];
        self.notable =
            judged.iter().filter(|(_, notable)| *notable).map(|(name, _)| (*name).to_owned()).collect();
    }

    /// What is notable, in one sentence. `None` if nothing is.
    pub(crate) fn warning(&self) -> Option<String> {
        let said = self.notable.iter().filter_map(|name| self.phrase(name));
        let said: Vec<String> = said.collect();
        (!said.is_empty())
            .then(|| format!("what limits did: {} (account_of in summary.json)", said.join("; ")))
    }

    /// One of its fields in words. `None` if it has no such field or there is nothing to say.
    pub fn phrase(&self, field: &str) -> Option<String> {
        let by_kind = |counts: &BTreeMap<String, usize>| {
            let each = counts.iter().map(|(kind, count)| format!("{} {count}", kind.replace('_', " ")));
            each.collect::<Vec<_>>().join(", ")
        };
        let percent = |share: Option<f64>| share.map_or(0.0, |share| 100.0 * share);
        let phrase = match field {
            "decisions_without_names" => format!(
                "{} of {} decisions named nothing to hold",
                self.decisions_without_names, self.decisions
            ),
            "days_in_cash" => format!("{} days ended without a holding", self.days_in_cash),
            "names_cut" => {
                format!(
                    "{} of {} names wanted got no weight from the sizer",
                    self.names_cut, self.names_wanted
                )
            }
            "shorts_dropped_by_sizer" => format!(
                "{} of {} shorts wanted got no weight from the sizer",
                self.shorts_dropped_by_sizer, self.shorts_wanted
            ),
            "shorts_dropped_by_allow_short" => format!(
                "{} shorts were dropped because constraints.allow_short is false",
                self.shorts_dropped_by_allow_short
            ),
            "hits" => format!("constraints changed what was asked for: {}", by_kind(&self.hits)),
            "rejected_orders" => format!("orders did not trade: {}", by_kind(&self.rejected_orders)),
            "orders_without_bar" => format!("{} orders found no bar to fill on", self.orders_without_bar),
            "holdings_without_bar" => format!(
                "held to the end at their last close, without a bar: {} (broker.max_stale_days would close them)",
                some_of(&self.holdings_without_bar)
            ),
            "signal_days_without_trading" => format!(
                "the signal table has rows on {} days without trading (data.signal_alignment)",
                self.signal_days_without_trading
            ),
            "gross_reached" => format!(
                "gross exposure of {:.1} % was asked for and {:.1} % reached, on average",
                percent(self.gross_asked),
                percent(self.gross_reached)
            ),
            _ => return None,
        };
        Some(phrase)
    }
}

/// The first few of a list.
pub(crate) fn some_of(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN { format!("{shown} and {} more", names.len() - SHOWN) } else { shown }
}
