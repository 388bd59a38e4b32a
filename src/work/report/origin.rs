//! Where the numbers of a report come from.

use std::path::Path;

use maud::{Markup, html};
use serde_json::Value;

use super::numbers::{UNDEFINED, count};
use crate::engine::Outcome;
use crate::work::facts::{Facts, FilesError, resolved_config};
use crate::work::{ENGINE_VERSION, document};

/// Entries of a list before it is cut short.
const ENTRIES_MAX: usize = 40;

/// Where the numbers come from: versions, hash, the effective config.
pub(super) fn origin(facts: &Facts<'_>, outcome: &Outcome) -> Result<Markup, FilesError> {
    let mut rows = vec![
        ("Run".to_owned(), facts.run_id.to_string()),
        ("Engine".to_owned(), ENGINE_VERSION.to_owned()),
        ("SHA-256 of the effective config".to_owned(), facts.config_sha256.to_owned()),
        ("Symbols".to_owned(), count(outcome.symbols.len())),
    ];
    flatten("", &without_machine_paths(facts.data_versions), &mut rows);
    rows.truncate(ENTRIES_MAX);
    let config = document::to_yaml(&without_machine_paths(&abridged(&resolved_config(facts))))?;
    Ok(html! {
        section.origin {
            h2 { "Where this comes from" }
            div.scroll { table { tbody { @for (name, value) in &rows {
                tr { th scope="row" { (name) } td { (value) } }
            } } } }
            @if facts.fence.is_some() {
                p.note {
                    "This page stays as it is. Whether the data was written again since is told by the service: on the page of the "
                    "run, and at " code { "GET /api/backtests/" (facts.run_id) "/inputs" } "."
                }
            }
            h3 { "The effective config" }
            pre tabindex="0" { (config) }
        }
    })
}

/// The leaves of a value, each with its path in words.
fn flatten(path: &str, value: &Value, rows: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let name = name.replace('_', " ");
                flatten(&if path.is_empty() { name } else { format!("{path}, {name}") }, value, rows);
            }
        }
        Value::Array(values) => {
            for value in values.iter().take(ENTRIES_MAX) {
                flatten(path, value, rows);
            }
        }
        Value::Null => rows.push((path.to_owned(), UNDEFINED.to_owned())),
        Value::String(text) => rows.push((path.to_owned(), text.clone())),
        other => rows.push((path.to_owned(), other.to_string())),
    }
}

/// A config with its long lists cut short: the whole is in a file of its own.
fn abridged(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(name, value)| (name.clone(), abridged(value))).collect())
        }
        Value::Array(values) => {
            let mut short: Vec<Value> = values.iter().take(ENTRIES_MAX).map(abridged).collect();
            if values.len() > ENTRIES_MAX {
                short.push(format!("… and {} more", count(values.len() - ENTRIES_MAX)).into());
            }
            Value::Array(short)
        }
        other => other.clone(),
    }
}

/// A value whose texts are no paths of this machine: of those only the last part is kept.
fn without_machine_paths(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let shown = fields.iter().map(|(name, value)| (name.clone(), without_machine_paths(value)));
            Value::Object(shown.collect())
        }
        Value::Array(values) => Value::Array(values.iter().map(without_machine_paths).collect()),
        Value::String(text) if Path::new(text).is_absolute() || text.starts_with("file://") => {
            let last = text.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
            format!("…/{last}").into()
        }
        other => other.clone(),
    }
}
