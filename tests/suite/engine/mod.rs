//! The engine: decisions, fills, measures, and that it agrees with stored answers.

/// What became of what was asked, counted again.
mod account;
/// A running engine does not allocate.
mod allocations;
/// What holding costs and earns, and what orders move prices by.
mod carry;
/// Dividends and splits of prices as they were quoted.
mod corporate_actions;
/// The reference of figures: every one of a summary, and no other.
mod figures;
/// Orders, fills and costs.
mod fills;
/// The engine against stored answers.
mod golden;
/// From rows to dense tables.
mod market;
/// The measures of a run, with the arithmetic written out.
mod measures;
/// The orders that the last day leaves.
mod next_orders;
/// Signals that are computed from prices, in runs and in rankings.
mod price_signals;
/// What must hold for every market and every strategy.
mod properties;
/// Rules of the reference implementation, a small case each.
mod rules;
/// Sizers that look at risk, and the target for volatility.
mod sizers;
/// What each strategy and stage decides.
mod strategies;
