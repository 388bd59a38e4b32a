//! The one test program; its list of modules is the table of contents.
#![cfg(test)]

#[path = "../support/mod.rs"]
mod support;

mod config_faults;
mod engine_allocations;
mod engine_fills;
mod engine_market;
mod engine_measures;
mod engine_properties;
mod engine_strategies;
mod golden;
