//! A copy of the files that the Bicep files are held against, each time with one change that must be noticed.

use std::path::Path;

use infra_tool::bicep::Program;
use infra_tool::crosscheck::{self, Surroundings};

use super::project;

/// Files and folders that `Surroundings` reads.
const READ: [&str; 7] = [
    ".github/workflows",
    "functions",
    "migrations/postgres",
    "host.json",
    "src/cli/settings.rs",
    "src/store/roles.rs",
    "infra/README.md",
];

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

#[test]
fn a_change_beside_the_bicep_files_is_noticed() {
    let program = Program::load(&project(), "infra").unwrap();
    let cases = [
        (
            "src/store/roles.rs",
            "\"ranking_writer_b\"",
            "\"ranking_writer_2\"",
            "does not know the login `ranking_writer_2`",
        ),
        (
            "src/store/roles.rs",
            "\"ranking_writer_b\"",
            "\"ranking_writer_2\"",
            "migrate roles does not know the login `ranking_writer_b`",
        ),
        (
            "infra/README.md",
            "`api_service_b`",
            "`api_service_2`",
            "the login `api_service_b` is not explained",
        ),
        ("infra/README.md", "opens at most 3,", "opens at most 4,", "a handler opens at most 3 connections"),
        ("infra/README.md", "`runTimeoutSeconds`", "`timeout`", "does not explain `runTimeoutSeconds`"),
        (
            "migrations/postgres/0003_ranking_signals.sql",
            "TO ranking_writer;",
            "TO somebody;",
            "the migrations grant to `somebody`",
        ),
        (
            "src/cli/settings.rs",
            "\"RANKING_TOP_N\"",
            "\"RANKING_TOP\"",
            "nothing reads the app setting `RANKING_TOP_N`",
        ),
        (
            "functions/execute/function.json",
            "%BACKTEST_QUEUE%",
            "%BACKTEST_QEUE%",
            "no app setting gives `%BACKTEST_QEUE%`",
        ),
        (
            ".github/workflows/plan.yml",
            "vars.POSTGRES_SKU ",
            "vars.SKU ",
            "the variable `POSTGRES_SKU` is not handed on",
        ),
        ("host.json", "00:30:00", "00:20:00", "leave 120 s"),
    ];
    for (file, old, new, expected) in cases {
        let folder = tempfile::tempdir().unwrap();
        for path in READ {
            copy(&project().join(path), &folder.path().join(path));
        }
        let path = folder.path().join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(old), "{file} no longer has {old}");
        std::fs::write(&path, text.replace(old, new)).unwrap();
        let found = crosscheck::check(&program, &Surroundings::load(folder.path()).unwrap());
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert!(found.iter().any(|one| one.contains(expected)), "{file}: {old} to {new}: {found:?}");
    }
}

#[test]
fn changes_of_a_server_that_could_meet_are_noticed() {
    let program = Program::load(&project(), "infra").unwrap();
    let around = Surroundings::load(&project()).unwrap();
    let path = Path::new("infra/modules/postgres.bicep");
    let text = std::fs::read_to_string(project().join(path)).unwrap();
    let waits = "  dependsOn: [\n    database\n    firewall\n  ]\n";
    assert!(text.contains(waits));
    for (instead, expected) in [
        ("  dependsOn: [\n    firewall\n  ]\n", "`configuration` does not wait for `database`"),
        ("", "`configuration` does not wait for `firewall`"),
    ] {
        let broken = program.with(path, &text.replacen(waits, instead, 1)).unwrap();
        let found: Vec<String> =
            crosscheck::check(&broken, &around).iter().map(ToString::to_string).collect();
        assert!(found.iter().any(|one| one.contains(expected)), "{found:?}");
    }
}

/// What GitHub vouches for is good for five minutes, and a token of another kind takes a vouch that is.
#[test]
fn a_stage_that_takes_a_new_token_signs_in_first() {
    for (workflow, stages) in [("deploy", 4), ("rotate", 3), ("plan", 1)] {
        let path = format!(".github/workflows/{workflow}.yml");
        let text = std::fs::read_to_string(project().join(&path)).unwrap();
        let (mut fresh, mut found) = (false, 0);
        for step in text.split("\n      - ") {
            let takes = [
                "firewall open",
                "firewall close",
                "--only-database",
                "infra smoke",
                "infra rotate",
                "--what-if",
            ];
            if takes.iter().any(|word| {
                step.contains(&format!("cargo infra {word}")) || step.contains(&format!(" {word}"))
            }) {
                assert!(fresh, "{path}: signs in too early for: {step}");
                (fresh, found) = (false, found + 1);
            }
            fresh |= step.contains("azure/login@");
        }
        assert_eq!(found, stages, "{path}");
    }
}
