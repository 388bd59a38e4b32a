//! The JSON Schema of configs in `docs/config.schema.json` is that of the code; what the code takes it takes too, and it
//! refuses what the code refuses wherever one value alone is at fault.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use backtest_functions::engine::config::schema;
use serde_json::{Value, json};

use super::docs::{configs, examples_of_the_page};
use super::faults::{with, wrong_values};
use crate::support::service::project;

const FILE: &str = "docs/config.schema.json";

#[test]
fn the_file_is_the_schema_of_the_code() {
    let ours = format!("{}\n", serde_json::to_string_pretty(&schema()).unwrap());
    if std::env::var_os("RENEW").is_some() {
        std::fs::write(project(FILE), &ours).unwrap();
    }
    let written = std::fs::read_to_string(project(FILE)).unwrap_or_default();
    assert!(
        written == ours,
        "{FILE} is not the schema of the code; look at the difference after\n  \
         RENEW=1 cargo test --locked --test suite -- configs::schema::the_file_is_the_schema_of_the_code"
    );
}

/// Which documents agree with the schema. `None`, said in one line, without a Python that has `jsonschema`.
fn judge(documents: &[Value]) -> Option<Vec<bool>> {
    const SCRIPT: &str = "import json, sys\n\
        from jsonschema import Draft202012Validator as Validator\n\
        given = json.load(sys.stdin)\n\
        Validator.check_schema(given['schema'])\n\
        judge = Validator(given['schema'])\n\
        json.dump([judge.is_valid(document) for document in given['documents']], sys.stdout)\n";
    let has_package = |python: &PathBuf| {
        let imported = Command::new(python).args(["-c", "import jsonschema"]).output();
        imported.is_ok_and(|output| output.status.success())
    };
    let candidates = [project("target/python/bin/python3"), PathBuf::from("python3")];
    let Some(python) = candidates.into_iter().find(has_package) else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "CI needs the Python package jsonschema");
        println!("skipped: no Python package jsonschema");
        return None;
    };
    let mut child = Command::new(python)
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let given = json!({ "schema": schema(), "documents": documents }).to_string();
    child.stdin.take().unwrap().write_all(given.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "the schema is not a schema");
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// Every config below some folders, by its path.
fn stored() -> Vec<(String, Value)> {
    let mut places = vec![project("examples"), project("tests/golden")];
    let mut found = Vec::new();
    while let Some(place) = places.pop() {
        for entry in std::fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                places.push(entry);
            } else if entry.extension().is_some_and(|end| end == "yaml") {
                let text = std::fs::read_to_string(&entry).unwrap();
                found.push((entry.display().to_string(), serde_saphyr::from_str(&text).unwrap()));
            }
        }
    }
    found
}

#[test]
fn the_schema_takes_what_the_code_takes() {
    let mut documents: Vec<(String, Value)> =
        stored().into_iter().filter(|(path, _)| !path.contains("/refuse_")).collect();
    assert!(documents.len() > 30, "only {} configs", documents.len());
    documents
        .extend(examples_of_the_page().into_iter().map(|example| ("docs/config.md".to_owned(), example)));
    // Resolved ones: every option, with its default.
    documents.extend(configs().into_iter().map(|config| ("resolved".to_owned(), config)));
    let values: Vec<Value> = documents.iter().map(|(_, value)| value.clone()).collect();
    let Some(valid) = judge(&values) else { return };
    let refused: Vec<_> =
        documents.iter().zip(valid).filter(|(_, valid)| !valid).map(|(document, _)| document).collect();
    assert!(refused.is_empty(), "{refused:#?}");
}

#[test]
fn the_schema_refuses_what_one_value_makes_wrong() {
    // What depends on other options, or on how a number is written, is for the code alone.
    let beyond = ["must not be before start_date", "is not in universe.symbols", "stands alone", "not 2.0"];
    let wrong = wrong_values();
    let wrong =
        wrong.iter().filter(|(_, _, expected)| !beyond.iter().any(|beyond| expected.contains(beyond)));
    let documents: Vec<(&str, Value)> =
        wrong.map(|(path, value, _)| (*path, with(path, value.clone()))).collect();
    assert!(documents.len() > 20);
    let values: Vec<Value> = documents.iter().map(|(_, value)| value.clone()).collect();
    let Some(valid) = judge(&values) else { return };
    let taken: Vec<_> =
        documents.iter().zip(valid).filter(|(_, valid)| *valid).map(|(document, _)| document).collect();
    assert!(taken.is_empty(), "{taken:#?}");
}
