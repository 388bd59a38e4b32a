//! What counts as rounding, once for the whole engine.

/// Numbers that differ by less than this, relative to the larger or where they lie near 1, are equal on paper: what is
/// left are the last bits of sums and divisions.
pub(crate) const EQUAL: f64 = 1e-12;

/// Fewer shares are neither a position nor an order. Larger than [`EQUAL`], since a position is the sum of many fills.
pub(crate) const DUST: f64 = 1e-9;
