//! The one test program; its list of modules is the table of contents.
#![cfg(test)]

#[path = "../support/mod.rs"]
mod support;

/// Statistics of one and of many results.
mod statistics;
/// Studies: trials, parts and what is said of the whole.
mod studies;

/// Everything fails at once, for minutes (`make chaos`).
mod chaos;

/// The local Functions host against handlers that misbehave.
mod devhost;

/// What a linter cannot see.
mod tidy;

/// Pages and reports as people see them.
mod browser;
/// Configs: their reference, their faults, their schema.
mod configs;
/// Tables and files: what is taken, what is refused, and how it gets into a lake.
mod data;
/// Postgres: schema, logins, connections, plans.
mod database;
/// The engine: decisions, fills, measures, and that it agrees with stored answers.
mod engine;
/// The run protocol, and what runs leave.
mod runs;
/// The service over HTTP, and those who call it.
mod service;
/// Ranking signals: arithmetic, and the way from Delta to Postgres.
mod signals;
/// The commands.
mod terminal;
/// What a result came from, and whether it could have been known.
mod trust;
