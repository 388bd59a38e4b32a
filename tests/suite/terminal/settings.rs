//! Settings: one list, and every page that shows it.

use std::collections::BTreeSet;

use backtest_functions::cli::settings::{ALL, Azure, declared};
use serde_json::{Value, json};

use crate::support::service::{Home, program, project, run_well};

#[test]
fn the_readme_has_a_row_for_each_with_its_default_and_meaning() {
    let readme = std::fs::read_to_string(project("README.md")).unwrap();
    let section = readme.split("\n## Settings\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let listed: Vec<&str> = section.lines().filter(|line| line.starts_with("| `")).collect();
    let expected: Vec<String> = ALL
        .iter()
        .filter(|setting| setting.azure != Azure::Platform)
        .map(|setting| {
            let default = match setting.default {
                "" => "–".to_owned(),
                words if words.contains(' ') && !words.contains('<') => words.to_owned(),
                value => format!("`{value}`"),
            };
            format!("| `{}` | {default} | {} |", setting.name, setting.meaning)
        })
        .collect();
    assert_eq!(listed, expected, "README.md has a row for each, as src/cli/settings.rs has them");
    let names: BTreeSet<&str> = ALL.iter().map(|setting| setting.name).collect();
    assert_eq!(names.len(), ALL.len(), "each name once");
}

#[test]
fn the_list_for_other_programs_is_that_of_this_one() {
    let folder = Home::empty();
    let printed = run_well(&["settings", "--declared", "--output", "json"], folder.path());
    assert_eq!(serde_json::from_str::<Value>(&printed).unwrap(), declared());
    let kept = std::fs::read_to_string(project("docs/settings.json")).unwrap();
    assert_eq!(
        kept, printed,
        "docs/settings.json is what `backtests settings --declared --output json` prints"
    );
}

#[test]
fn what_is_in_force_is_shown_and_secrets_are_not() {
    let folder = Home::empty();
    let show = |variables: &[(&str, &str)], arguments: &[&str]| {
        let mut command = program();
        command.arg("settings").args(arguments).current_dir(folder.path());
        let output = command.envs(variables.iter().copied()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let secret = "postgres://ada:hush-hush@localhost/runs";
    let good = [("POSTGRES_DSN", secret), ("BACKTEST_LEASE_SECONDS", "90"), ("RUST_LOG", "")];
    let (code, shown, said) = show(&good, &["--output", "json"]);
    assert_eq!((code, said.as_str()), (Some(0), ""));
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let of = |name: &str| {
        let all = shown["settings"].as_array().unwrap();
        let one = all.iter().find(|one| one["name"] == name).unwrap();
        (one["value"].clone(), one["from"].clone())
    };
    assert_eq!(of("POSTGRES_DSN"), (json!("set"), json!("environment")));
    assert_eq!(of("BACKTEST_LEASE_SECONDS"), (json!("90"), json!("environment")));
    assert_eq!(of("BACKTEST_MAX_ATTEMPTS"), (json!("3"), json!("default")));
    assert_eq!(of("RUST_LOG"), (json!("info"), json!("default")), "an empty value is none");
    assert_eq!(of("BACKTEST_LAKE"), (json!(null), json!("default")));
    assert_eq!(shown["settings"].as_array().unwrap().len(), ALL.len());
    assert_eq!(shown["faults"], json!([]));

    let bad = [("POSTGRES_DSN", "hush-hush"), ("BACKTEST_MAX_ATTEMPTS", "0")];
    for arguments in [["--output", "json"], ["--output", "table"]] {
        let (code, shown, said) = show(&bad, &arguments);
        assert_eq!(code, Some(2));
        assert!(
            shown.contains("POSTGRES_DSN") && !format!("{shown}{said}").contains("hush"),
            "{shown}{said}"
        );
        assert!(said.contains("BACKTEST_MAX_ATTEMPTS: must be a number from 1 to 100, not '0'"), "{said}");
    }
}
