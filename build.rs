//! Names the build: which commit, whether the tree was changed since, for which target. A result is a fact about a config,
//! data and an engine, and two builds of one version number are two engines. And lists the packages that the build is made
//! of, as evidence carries them along.

use std::fmt::Write as _;
use std::path::Path;
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
    let compiler = said_by(&std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned()), &["--version"]);
    println!("cargo::rustc-env=BACKTESTS_RUSTC={}", compiler.unwrap_or_else(|| "rustc unknown".to_owned()));
    let lock = std::fs::read_to_string("Cargo.lock").unwrap_or_default();
    let folder = std::env::var("OUT_DIR").unwrap_or_default();
    let written = std::fs::write(Path::new(&folder).join("sbom.cdx.json"), packages(&lock, version));
    if let Err(error) = written {
        println!("cargo::error=write the list of packages: {error}");
    }
}

/// The packages of a lock file as CycloneDX 1.5. Names, versions and digests need no quoting there.
fn packages(lock: &str, version: &str) -> String {
    let mut components = String::new();
    for package in lock.split("[[package]]").skip(1) {
        let field = |name: &str| {
            let value = |line: &str| {
                line.strip_prefix(name)?.strip_prefix(" = \"")?.strip_suffix('"').map(str::to_owned)
            };
            package.lines().find_map(value)
        };
        let (Some(name), Some(version), Some(_)) = (field("name"), field("version"), field("source")) else {
            continue;
        };
        let hashes = field("checksum").map_or_else(String::new, |sum| {
            format!(",\n      \"hashes\": [{{ \"alg\": \"SHA-256\", \"content\": \"{sum}\" }}]")
        });
        let separator = if components.is_empty() { "" } else { ",\n" };
        // Writing into a text does not fail.
        let _ = write!(
            components,
            "{separator}    {{\n      \"type\": \"library\",\n      \"name\": \"{name}\",\n      \"version\": \"{version}\",\n      \
             \"purl\": \"pkg:cargo/{name}@{version}\"{hashes}\n    }}"
        );
    }
    format!(
        "{{\n  \"bomFormat\": \"CycloneDX\",\n  \"specVersion\": \"1.5\",\n  \"version\": 1,\n  \"metadata\": {{ \"component\": {{ \
         \"type\": \"application\", \"name\": \"backtest-functions\", \"version\": \"{version}\" }} }},\n  \"components\": [\n{components}\n  ]\n}}\n"
    )
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
