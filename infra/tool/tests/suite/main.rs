//! The one test program of the tool; its list of modules is the table of contents.
#![cfg(test)]

/// Files beside the Bicep files, changed so that the two no longer agree.
mod agreement;
/// Bad files, each with what is said of it.
mod corpus;
/// The questions to the database, asked by a real `psql` of a real server.
mod database;
/// What an environment has already, what nobody names any more, and what a plan is asked with.
mod existing;
/// Plans, and which of them are refused.
mod gate;
/// The real files, broken in every place where something can be noticed.
mod mutations;
/// The zip that is deployed.
mod package;
/// Provisioning and what comes after it, against stand-ins for `az` and `backtests`.
mod provision;
/// The switches of a deployed app.
mod settings;
/// The stand-ins.
mod stand_in;

use std::path::{Path, PathBuf};

/// The project.
fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}
