//! What a result came from: the engine that made it, and digests that two runs share when their results do.

use serde_json::Value;

use crate::support::service::{Home, project, run_well};

/// The manifest of a run of the example on this machine, under this id and with this text replaced.
fn manifest(home: &Home, id: &str, from: &str, to: &str) -> Value {
    let config = std::fs::read_to_string(project("examples/momentum.yaml")).unwrap().replace(from, to);
    std::fs::write(home.path().join("config.yaml"), config).unwrap();
    let lake = home.lake();
    let arguments = ["run", "config.yaml", "--run-id", id, "--out", "out", "--lake", lake.to_str().unwrap()];
    run_well(&arguments, home.path());
    let path = home.path().join("out").join(id).join("artifacts_manifest.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn equal_results_have_equal_digests_whatever_the_runs_are_called() {
    let home = Home::with_prices();
    let one = manifest(&home, "one", "", "");
    let other = manifest(&home, "other", "", "");
    assert_eq!(one["results_sha256"], other["results_sha256"]);
    assert_eq!(one["results_sha256"].as_str().unwrap().len(), 64);
    assert_ne!(one["artifacts"], other["artifacts"], "some files name the run");
    let third = manifest(&home, "third", "top_n: 2", "top_n: 1");
    assert_ne!(one["results_sha256"], third["results_sha256"]);
}

#[test]
fn the_engine_says_its_commit() {
    let home = Home::empty();
    let said = run_well(&["--version"], home.path());
    let engine = said.trim().strip_prefix("backtests ").unwrap();
    let (version, commit) = engine.split_once('+').expect("a version and a commit");
    assert_eq!(version, env!("CARGO_PKG_VERSION"));
    let commit = commit.strip_suffix("-dirty").unwrap_or(commit);
    let is_commit = commit.len() == 12 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    assert!(is_commit || commit == "unknown", "{said}");
}
