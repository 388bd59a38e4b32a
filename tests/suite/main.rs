//! The one test program; its list of modules is the table of contents.
#![cfg(test)]

#[path = "../support/mod.rs"]
mod support;

/// The reference of configs: its examples, options, defaults and words.
mod config_docs;
/// Configs: every fault, each with its path.
mod config_faults;
/// The JSON Schema of configs.
mod config_schema;
/// What became of what was asked, counted again.
mod engine_account;
/// A running engine does not allocate.
mod engine_allocations;
/// What holding costs and earns, and what orders move prices by.
mod engine_carry;
/// Orders, fills and costs.
mod engine_fills;
/// From rows to dense tables.
mod engine_market;
/// The measures of a run, with the arithmetic written out.
mod engine_measures;
/// What must hold for every market and every strategy.
mod engine_properties;
/// What each strategy and stage decides.
mod engine_strategies;
/// The reference of figures: every one of a summary, and no other.
mod figures_docs;
/// The engine against stored answers.
mod golden;
/// Rules of the reference implementation, a small case each.
mod golden_rules;
/// Signals that are computed from prices, in runs and in rankings.
mod price_signals;

/// Statistics of one and of many results.
mod statistics;
/// Studies: trials, parts and what is said of the whole.
mod studies;

/// Files as vendors write them, into the lake: the right values, or the option that would settle it.
mod import;
/// Bars into the lake, and what is refused.
mod lake;
/// Tables of other makers: what forbids a write, what is left out of a read.
mod layout;
/// Dates, numbers, names and layouts as files of the wild have them: taken for what they are, or refused.
mod reading;

/// Random commands on a store and on a model of it.
mod run_model;
/// Ranking signals as arithmetic, against stored answers.
mod signals;
/// Tables shared with Python, and the stored answers compared from outside.
mod signals_python;
/// Signals in Delta and Postgres: what is behind, what it costs, what fails.
mod signals_sync;

/// The rules of the run protocol, on every store.
mod run_store;

/// Blob storage: the client, artifacts, runs as documents, and the service on top of them when storage misbehaves.
mod blob;
/// What lost executors leave behind is swept, and nothing else.
mod sweep;

/// How many connections a handler has, and what happens when there are few.
mod connections;
/// The Postgres schema, and how a database is reached.
mod migrations;
/// What Postgres has to do for the run store.
mod postgres_plans;
/// Logins and the matrix of grants.
mod roles;

/// What strangers send us, as fuzzing kept it.
mod fuzz;

/// The HTTP API as its document tells it.
mod api;
/// Everything fails at once, for minutes (`make chaos`).
mod chaos;
/// Clients that generators make of the document.
mod clients;
/// Runs side by side.
mod compare;
/// What is observable after processes, connections and the database failed.
mod failures;
/// The custom handler over real HTTP, in both calling modes.
mod handler;
/// Leases between real processes, and what a kill leaves behind.
mod leases;
/// Order among runs: names, tags, archive, delete, and the address that is told.
mod order;
/// Pieces of published tables, and what they cost.
mod published;
/// What a service counts and measures.
mod telemetry;

/// The local Functions host against handlers that misbehave.
mod devhost;

/// The pages of the service in a real browser, as people use them.
mod pages;

/// The page that a run leaves behind, also in a browser where there is one.
mod report_page;

/// The client commands against services that are elsewhere, closed, gone or hostile.
mod client;
/// The commands, as a person gives them.
mod commands;
/// The commands of README and docs, as they stand there.
mod docs_commands;
/// Settings: one list, and every page that shows it.
mod settings;

/// What a result came from, and digests that equal results share.
mod trust;
/// The same on real processes: pins, reproductions, evidence, audits.
mod trust_runs;
/// The thresholds of the timing check on real prices.
mod trust_signals;

/// Columns of prices by any name; benchmarks and risk-free rates as columns and files.
mod series;

/// What a linter cannot see.
mod tidy;
