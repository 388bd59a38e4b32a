//! Plans of deployments, and which of them are refused.

use serde_json::{Value, json};

use super::stand_in::StandIn;

const SERVER: &str =
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.DBforPostgreSQL/flexibleServers/psql-1";

fn change(kind: &str, id: &str) -> Value {
    json!({"changeType": kind, "resourceId": id, "delta": []})
}

/// A change of one key, written as Azure writes it: nested once.
fn modify(id: &str, path: &str, before: impl Into<Value>, after: impl Into<Value>) -> Value {
    let (outer, inner) = path.split_once('.').unwrap_or((path, ""));
    let mut delta = json!({"path": outer, "before": before.into(), "after": after.into()});
    if !inner.is_empty() {
        delta["path"] = inner.into();
        delta = json!({"path": outer, "children": [delta]});
    }
    json!({"changeType": "Modify", "resourceId": id, "delta": [delta]})
}

/// What the gate says of a plan; `None` if it lets it pass.
fn objection(plan: &Value) -> Option<String> {
    let stand_in = StandIn::new();
    let file = stand_in.file("what-if.json");
    std::fs::write(&file, plan.to_string()).unwrap();
    let ran = stand_in.run(&["gate", file.to_str().unwrap()], &[]);
    if ran.is_well() {
        assert!(ran.well().contains("| change | resource | what |"));
        return None;
    }
    let said = ran.badly();
    assert!(said.contains("- **refused:** ") || said.contains("not the answer"), "{said}");
    Some(said)
}

fn check(plan: &Value, words: Option<&str>) {
    match (objection(plan), words) {
        (None, None) => {}
        (Some(said), Some(words)) => assert!(said.contains(words), "{plan}: {said}"),
        (said, words) => panic!("{plan}: said {said:?}, not {words:?}"),
    }
}

#[test]
fn what_cannot_be_undone_is_refused() {
    let small = SERVER.to_lowercase().replace("providers", "Providers");
    let cases = [
        (change("Delete", &format!("{SERVER}/databases/backtests")), Some("would be deleted")),
        (modify(SERVER, "location", "westeurope", "eastus"), Some("location cannot change")),
        (modify(SERVER, "properties.storage.storageSizeGB", 128, 64), Some("can only grow")),
        (modify(SERVER, "properties.storage.storageSizeGB", 64, 128), None),
        (modify(SERVER, "properties.version", "17", "16"), Some("can only grow")),
        (modify(SERVER, "properties.version", "16", "17"), None),
        (modify(SERVER, "properties.administratorLogin", "a", "b"), Some("cannot change")),
        // Left out of the template, so it stays.
        (modify(SERVER, "properties.administratorLogin", "a", Value::Null), None),
        (modify(SERVER, "properties.sourceServerResourceId", "/old", Value::Null), None),
        (modify(SERVER, "sku.name", "Standard_B1ms", "Standard_D2ds_v5"), None),
        // Azure writes ids as it likes.
        (modify(&small, "location", "a", "b"), Some("location cannot change")),
        (modify(&small, "properties.storage.storageSizeGB", 128, 32), Some("can only grow")),
        (change("Create", "/subscriptions/s/resourceGroups/g/providers/Microsoft.Web/sites/new"), None),
        (change("Create", SERVER), None),
        (change("NoChange", SERVER), None),
        (change("Unsupported", SERVER), Some("Azure cannot say what would change")),
    ];
    for (change, words) in cases {
        check(&json!({"changes": [change]}), words);
    }
    check(&json!({}), Some("not the answer of a what-if"));
}

#[test]
fn a_second_server_is_refused() {
    let second = change("Create", &SERVER.replace("psql-1", "psql-2"));
    for there in ["Ignore", "NoChange", "Modify"] {
        let plan = json!({"changes": [change(there, &SERVER.to_lowercase()), second]});
        check(
            &plan,
            Some("psql-2 would be a second server beside microsoft.dbforpostgresql/flexibleservers/psql-1"),
        );
    }
}

#[test]
fn a_plan_that_did_not_look_is_refused() {
    let skipped = |deployment: &str| {
        let target = format!(
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.Resources/deployments/{deployment}"
        );
        json!({"code": "NestedDeploymentShortCircuited", "level": "Warning", "message": "skipped | all", "target": target})
    };
    let plan = |diagnostic: Value| json!({"changes": [], "diagnostics": [diagnostic]});
    check(
        &plan(skipped("postgres-abc123")),
        Some("did not look into Microsoft.Resources/deployments/postgres-abc123"),
    );
    check(&plan(skipped("storage-abc123")), Some("NestedDeploymentShortCircuited"));
    check(&plan(json!({"code": "NestedDeploymentSkippedFromInternalExpansion"})), Some("did not look into"));
    // Its parameters come out of other modules, so nobody can look inside; nothing is kept there.
    check(&plan(skipped("functionApp-abc123")), None);
    check(&plan(json!({"code": "Other", "level": "Error", "message": "no"})), Some("Other: no"));

    let possible = change("Delete", SERVER);
    check(&json!({"changes": [], "potentialChanges": [possible]}), Some("psql-1 might be deleted"));
}
