//! Tables and files: what is taken, what is refused, and how it gets into a lake.

/// Files as vendors write them, into the lake: the right values, or the option that would settle it.
mod import;
/// Bars into the lake, and what is refused.
mod lake;
/// Tables of other makers: what forbids a write, what is left out of a read.
mod layout;
/// Dates, numbers, names and layouts as files of the wild have them: taken for what they are, or refused.
mod reading;
/// Columns of prices by any name; benchmarks and risk-free rates as columns and files.
mod series;
