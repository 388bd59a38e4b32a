//! Configs: their reference, their faults, their schema.

/// The reference of configs: its examples, options, defaults and words.
mod docs;
/// Configs: every fault, each with its path.
mod faults;
/// The JSON Schema of configs.
mod schema;
