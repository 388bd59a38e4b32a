//! `cargo infra gate`: reads what `az deployment sub what-if` says a deployment would do, and refuses what cannot be
//! undone: deletions, and changes of what a database server keeps for life.

use serde_json::Value;

/// Keys of a server that Azure cannot change, or only by making it anew.
const FOR_LIFE: [&str; 6] = [
    "location",
    "properties.administratorLogin",
    "properties.network.delegatedSubnetResourceId",
    "properties.network.privateDnsZoneArmResourceId",
    "properties.backup.geoRedundantBackup",
    "properties.sourceServerResourceId",
];

/// Keys of a server that may only grow.
const ONLY_GROWS: [&str; 2] = ["properties.storage.storageSizeGB", "properties.version"];

/// What a deployment would do.
#[derive(Debug)]
pub struct Plan {
    /// A table of changes, in Markdown.
    pub table: String,
    /// Why it must not happen; empty if it may.
    pub objections: Vec<String>,
}

/// Reads the JSON of a what-if.
pub fn read(what_if: &Value) -> Result<Plan, String> {
    let changes =
        what_if["changes"].as_array().ok_or("this is not the answer of a what-if: `changes` is missing")?;
    let mut table = "| change | resource | what |\n| --- | --- | --- |\n".to_owned();
    let mut objections = Vec::new();
    for change in changes {
        let kind = change["changeType"].as_str().unwrap_or("?");
        let id = change["resourceId"].as_str().unwrap_or("?");
        let name = id.split_once("/providers/").map_or(id, |(_, name)| name);
        if ["NoChange", "Ignore", "NoEffect"].contains(&kind) {
            continue;
        }
        let mut leaves = Vec::new();
        for delta in change["delta"].as_array().into_iter().flatten() {
            flatten("", delta, &mut leaves);
        }
        let paths: Vec<&str> = leaves.iter().map(|(path, ..)| path.as_str()).collect();
        table += &format!("| {kind} | {name} | {} |\n", paths.join(", "));
        if kind == "Delete" {
            objections.push(format!("{name} would be deleted"));
        }
        if !name.starts_with("Microsoft.DBforPostgreSQL/flexibleServers/") || name.matches('/').count() > 2 {
            continue;
        }
        for (path, before, after) in &leaves {
            if FOR_LIFE.contains(&path.as_str()) {
                objections.push(format!("{name}: {path} cannot change ({before} to {after})"));
            }
            let number = |value: &Value| value.as_f64().or_else(|| value.as_str()?.parse().ok());
            if ONLY_GROWS.contains(&path.as_str()) && number(after) < number(before) {
                objections.push(format!("{name}: {path} can only grow ({before} to {after})"));
            }
        }
    }
    Ok(Plan { table, objections })
}

fn flatten(prefix: &str, delta: &Value, leaves: &mut Vec<(String, Value, Value)>) {
    let path = delta["path"].as_str().unwrap_or_default();
    let path = if prefix.is_empty() { path.to_owned() } else { format!("{prefix}.{path}") };
    match delta["children"].as_array() {
        Some(children) if !children.is_empty() => {
            for child in children {
                flatten(&path, child, leaves);
            }
        }
        _ => leaves.push((path, delta["before"].clone(), delta["after"].clone())),
    }
}
