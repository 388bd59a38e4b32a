//! Names the build: which commit, whether the tree was changed since, for which target. A result is a fact about a config,
//! data and an engine, and two builds of one version number are two engines.

use std::process::Command;

/// What of the tree decides what the program computes.
const SOURCES: [&str; 4] = ["src", "Cargo.toml", "Cargo.lock", "build.rs"];

fn main() {
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    println!("cargo::rerun-if-env-changed=BACKTESTS_COMMIT");
    // A commit moves one of these; where they lie is git's business (worktrees keep them elsewhere).
    for file in ["HEAD", "logs/HEAD"] {
        if let Some(path) = said_by("git", &["rev-parse", "--git-path", file]) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    let version = env!("CARGO_PKG_VERSION");
    let engine = match commit() {
        Some(commit) => format!("{version}+{commit}"),
        None => format!("{version}+unknown"),
    };
    println!("cargo::rustc-env=BACKTESTS_ENGINE={engine}");
    println!("cargo::rustc-env=BACKTESTS_TARGET={}", std::env::var("TARGET").unwrap_or_default());
}

/// Twelve hex digits of the commit, `-dirty` behind them if the sources were changed since. A source archive without git
/// says its commit in `BACKTESTS_COMMIT`.
fn commit() -> Option<String> {
    if let Some(named) = std::env::var("BACKTESTS_COMMIT").ok().filter(|named| !named.is_empty()) {
        return Some(named);
    }
    let commit = said_by("git", &["rev-parse", "--short=12", "HEAD"])?;
    let changed = said_by("git", &[&["status", "--porcelain", "--"], SOURCES.as_slice()].concat())?;
    Some(if changed.is_empty() { commit } else { format!("{commit}-dirty") })
}

/// What a program prints, if it ends well.
fn said_by(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
