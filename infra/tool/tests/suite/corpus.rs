//! Files that are wrong on purpose, and what is said of them: file, line, column, rule, message.

use std::collections::BTreeSet;

use infra_tool::bicep::{Program, check};

use super::project;

#[test]
fn bad_files_are_told_what_is_wrong() {
    let program = Program::load(&project().join("infra/tool/tests"), "bad").unwrap();
    let found = check::check(&program);
    for file in &program.files {
        // The part that others use wrongly is right itself.
        let innocent = file.path.ends_with("part.bicep");
        let blamed = found.iter().any(|one| one.path == file.path);
        assert!(blamed != innocent, "{}", file.path.display());
    }
    let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!("bad_files", lines.join("\n"));
}

#[test]
fn every_rule_has_a_bad_file() {
    let source = include_str!("../../src/bicep/check.rs");
    let program = Program::load(&project().join("infra/tool/tests"), "bad").unwrap();
    let shown: BTreeSet<&str> = check::check(&program).iter().map(|one| one.code).collect();
    // The third argument of every `report`.
    let rules: BTreeSet<&str> = source
        .split("self.report(")
        .skip(1)
        .filter_map(|call| call.split('"').nth(1))
        .filter(|word| word.chars().all(|letter| letter.is_ascii_lowercase() || letter == '-'))
        .collect();
    let unseen: Vec<_> = rules.difference(&shown).collect();
    assert!(rules.len() > 20, "{rules:?}");
    assert!(unseen.is_empty(), "no bad file shows {unseen:?}");
}
