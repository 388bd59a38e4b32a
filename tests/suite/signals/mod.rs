//! Ranking signals: arithmetic, and the way from Delta to Postgres.

/// Ranking signals as arithmetic, against stored answers.
mod arithmetic;
/// What signals predict: what the sync keeps of it, what it serves, what a command shows.
mod factors;
/// Tables shared with Python, and the stored answers compared from outside.
mod python;
/// Signals in Delta and Postgres: what is behind, what it costs, what fails.
mod sync;
