//! `cargo infra gate`: reads what `cargo infra provision --what-if` says a deployment would do, and refuses what cannot
//! be undone: deletions, changes of what a database server keeps for life, and a plan that did not look at it.

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

/// The type of a server, as the start of a name, in small letters.
const SERVER: &str = "microsoft.dbforpostgresql/flexibleservers/";

/// Modules of main.bicep that hold what cannot be made again; their parameters are such that a plan can look inside.
const KEEPERS: [&str; 2] = ["postgres", "storage"];

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
    let mut plan = Plan {
        table: "| change | resource | what |\n| --- | --- | --- |\n".to_owned(),
        objections: Vec::new(),
    };
    for change in changes {
        plan.weigh(change, "would");
    }
    for change in list(&what_if["potentialChanges"]) {
        plan.weigh(change, "might");
    }
    plan.count_servers(changes);
    let nested = changes.iter().flat_map(|change| list(&change["diagnostics"]));
    for diagnostic in list(&what_if["diagnostics"]).chain(nested) {
        plan.note(diagnostic);
    }
    Ok(plan)
}

impl Plan {
    fn weigh(&mut self, change: &Value, verb: &str) {
        let kind = change["changeType"].as_str().unwrap_or("?");
        let name = name(change);
        if ["NoChange", "Ignore", "NoEffect"].contains(&kind) {
            return;
        }
        let mut leaves = Vec::new();
        for delta in list(&change["delta"]) {
            flatten("", delta, &mut leaves);
        }
        let paths: Vec<&str> = leaves.iter().map(|(path, ..)| path.as_str()).collect();
        let what = change["unsupportedReason"].as_str().map_or_else(|| paths.join(", "), cell);
        self.table += &format!("| {kind} | {name} | {what} |\n");
        if kind == "Delete" {
            self.objections.push(format!("{name} {verb} be deleted"));
        }
        if !is_server(name) {
            return;
        }
        if kind == "Unsupported" {
            self.objections.push(format!("{name}: Azure cannot say what {verb} change"));
        }
        for (path, before, after) in &leaves {
            // What the template leaves out stays: the administrator's login without its password, the origin of a
            // restored server.
            if after.is_null() {
                continue;
            }
            if FOR_LIFE.contains(&path.as_str()) {
                self.objections.push(format!("{name}: {path} cannot change ({before} to {after})"));
            }
            let number = |value: &Value| value.as_f64().or_else(|| value.as_str()?.parse().ok());
            if ONLY_GROWS.contains(&path.as_str()) && number(after) < number(before) {
                self.objections.push(format!("{name}: {path} can only grow ({before} to {after})"));
            }
        }
    }

    /// An environment has one server; a new one beside it starts empty.
    fn count_servers(&mut self, changes: &[Value]) {
        let servers = || changes.iter().filter(|change| is_server(name(change)));
        let is_new = |change: &&Value| change["changeType"].as_str() == Some("Create");
        let Some(there) = servers().find(|change| !is_new(change)) else { return };
        for new in servers().filter(is_new) {
            self.objections.push(format!("{} would be a second server beside {}", name(new), name(there)));
        }
    }

    /// Parts of the template that Azure did not look at. They are shown; those with data in them must be looked at.
    fn note(&mut self, diagnostic: &Value) {
        let code = diagnostic["code"].as_str().unwrap_or("?");
        let target = diagnostic["target"].as_str().unwrap_or_default();
        let message = diagnostic["message"].as_str().unwrap_or_default();
        self.table += &format!("| {code} | {} | {} |\n", name_of(target), cell(message));
        let module = target.rsplit('/').next().unwrap_or_default().to_lowercase();
        let holds_data = KEEPERS.iter().any(|keeper| module.split('-').next() == Some(keeper));
        if code.starts_with("NestedDeployment") && (holds_data || module.is_empty()) {
            self.objections.push(format!("Azure did not look into {} ({code})", name_of(target)));
        }
        if diagnostic["level"].as_str() == Some("Error") {
            self.objections.push(format!("{code}: {message}"));
        }
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn name(change: &Value) -> &str {
    name_of(change["resourceId"].as_str().unwrap_or("?"))
}

/// An id without the subscription and the group.
fn name_of(id: &str) -> &str {
    const MARK: &str = "/providers/";
    let mark = id.to_ascii_lowercase().find(MARK);
    mark.map_or(id, |mark| &id[mark + MARK.len()..])
}

fn is_server(name: &str) -> bool {
    name.to_ascii_lowercase().strip_prefix(SERVER).is_some_and(|rest| !rest.is_empty() && !rest.contains('/'))
}

/// A text that stays in its cell of a table.
fn cell(text: &str) -> String {
    text.replace(['\n', '\r'], " ").replace('|', "\\|")
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
