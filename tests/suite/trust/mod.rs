//! What a result came from, and whether it could have been known.

/// What a result came from, and digests that equal results share.
mod identity;
/// The same on real processes: pins, reproductions, evidence, audits.
mod processes;
/// The thresholds of the timing check on real prices.
mod thresholds;
