//! The commands.

/// The client commands against services that are elsewhere, closed, gone or hostile.
mod client;
/// The commands, as a person gives them.
mod commands;
/// The commands of README and docs, as they stand there.
mod docs;
/// Settings: one list, and every page that shows it.
mod settings;
