//! The one test program of the tool; its list of modules is the table of contents.
#![cfg(test)]

/// Files beside the Bicep files, changed so that the two no longer agree.
mod agreement;
/// What the compiler notices, and what is done without one.
mod compiler;
/// The questions to the database, asked by a real `psql` of a real server.
mod database;
/// What an environment has already, what nobody names any more, and what a plan is asked with.
mod existing;
/// Plans, and which of them are refused.
mod gate;
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

/// Copies a file, or a folder with all that is in it.
fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(from, to).unwrap();
    }
}
