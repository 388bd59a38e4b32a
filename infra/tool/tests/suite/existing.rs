//! What an environment has already is kept, and what nobody names any more is taken away.

use super::stand_in::StandIn;

const LIST: &str = "rg-backtests-dev/providers/Microsoft.DBforPostgreSQL/flexibleServers?";
const BUDGET: &str = "budgets/budget-backtests-dev?";

/// Servers by name, each with its storage and version.
fn servers(servers: &[(&str, u64, &str)]) -> String {
    let servers: Vec<_> = servers
        .iter()
        .map(|(name, size, version)| {
            serde_json::json!({"name": name, "location": "North Europe", "properties": {
                "version": version, "storage": {"storageSizeGB": size}, "authConfig": {"passwordAuth": "Disabled"}
            }})
        })
        .collect();
    serde_json::json!({"value": servers}).to_string()
}

const PROVISION: [&str; 2] = ["provision", "--skip-database"];

#[test]
fn a_server_that_grew_by_itself_does_not_shrink() {
    let mut stand_in = StandIn::for_provision("");
    stand_in.answer(LIST, &servers(&[("psql-1", 64, "16")]));
    let said = stand_in.run(&PROVISION, &[("POSTGRES_STORAGE_GB", "32")]).well();
    assert!(said.contains("psql-1 keeps its 64 GiB"), "{said}");
    let given = |stand_in: &StandIn, name| stand_in.variable("az", name);
    assert_eq!(given(&stand_in, "POSTGRES_STORAGE_FOUND_GB").as_deref(), Some("64"));
    assert_eq!(
        given(&stand_in, "POSTGRES_STORAGE_GB").as_deref(),
        Some("32"),
        "the template takes the larger"
    );
    assert_eq!(given(&stand_in, "POSTGRES_VERSION").as_deref(), Some("16"), "nobody asked for a younger one");

    for (asked, expected) in [("15", "16"), ("17", "17")] {
        stand_in.forget();
        let said = stand_in.run(&PROVISION, &[("POSTGRES_VERSION", asked)]).well();
        assert_eq!(said.contains("psql-1 keeps version 16: it cannot go back"), asked == "15", "{said}");
        assert_eq!(given(&stand_in, "POSTGRES_VERSION").as_deref(), Some(expected));
    }
}

#[test]
fn of_several_servers_the_one_that_is_named() {
    let both = servers(&[("old", 32, "17"), ("restored", 32, "17")]);
    let mut stand_in = StandIn::for_provision("");
    stand_in.answer(LIST, &both);
    stand_in.run(&PROVISION, &[("POSTGRES_SERVER", "restored")]).well();
    assert_eq!(stand_in.variable("az", "POSTGRES_SERVER").as_deref(), Some("restored"));

    // The stand-in's deployment says that it was psql-1, which is not among them.
    let said = stand_in.run(&PROVISION, &[]).badly();
    assert!(said.contains("several servers, old, restored") && said.contains("POSTGRES_SERVER"), "{said}");

    // The one of the last deployment goes on.
    let state = stand_in.remembered().replace("psql-1", "restored");
    std::fs::write(stand_in.file(".azure/dev/.env"), state).unwrap();
    stand_in.forget();
    stand_in.run(&PROVISION, &[]).well();
    assert_eq!(stand_in.variable("az", "POSTGRES_SERVER").as_deref(), Some("restored"));

    // A name that is written wrongly makes no second server.
    let mut stand_in = StandIn::for_provision("");
    stand_in.answer(LIST, &both);
    let said = stand_in.run(&PROVISION, &[]).badly();
    assert!(said.contains("say which one"), "{said}");
    let said = stand_in.run(&PROVISION, &[("POSTGRES_SERVER", "restord")]).badly();
    assert!(said.contains("has old, restored and no server restord"), "{said}");
    assert!(stand_in.calls_of("deployment").is_empty());
}

#[test]
fn a_budget_keeps_the_day_it_began() {
    let mut stand_in = StandIn::for_provision("");
    stand_in.answer(LIST, &servers(&[("psql-1", 32, "17")]));
    stand_in.answer(BUDGET, r#"{"properties": {"timePeriod": {"startDate": "2026-09-01T00:00:00Z"}}}"#);
    stand_in.run(&PROVISION, &[("BACKTEST_BUDGET_START", "2026-11-01")]).well();
    assert_eq!(stand_in.variable("az", "BACKTEST_BUDGET_START").as_deref(), Some("2026-09-01"));

    let mut stand_in = StandIn::for_provision("");
    stand_in.answer(LIST, &servers(&[("psql-1", 32, "17")]));
    stand_in.refuse(
        9,
        BUDGET,
        "ERROR: Not Found({\"error\":{\"code\":\"404\",\"message\":\"Budget not found.\"}})",
    );
    stand_in.run(&PROVISION, &[]).well();
    assert_eq!(stand_in.variable("az", "BACKTEST_BUDGET_START"), None, "a new one begins this month");

    // Not every subscription has budgets.
    let mut stand_in = StandIn::for_provision("");
    stand_in.answer(LIST, &servers(&[("psql-1", 32, "17")]));
    stand_in.refuse(9, BUDGET, "ERROR: Bad Request(no budgets for this offer)");
    let said = stand_in.run(&PROVISION, &[]).well();
    assert!(said.contains("cannot learn when the budget began: ERROR: Bad Request(no budgets"), "{said}");
}

#[test]
fn a_plan_is_asked_with_what_is_there_and_changes_nothing() {
    let mut stand_in = StandIn::for_provision("");
    stand_in.answer(LIST, &servers(&[("psql-1", 64, "17")]));
    stand_in.answer("deployment sub what-if", r#"{"changes": []}"#);
    let file = stand_in.file("what-if.json");
    let arguments = ["provision", "--what-if", file.to_str().unwrap()];
    stand_in.run(&arguments, &[("POSTGRES_LOCATION", "westeurope")]).well();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "{\n  \"changes\": []\n}\n");
    let asked = stand_in.calls_of("deployment");
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert!(asked[0].contains("--validation-level ProviderNoRbac --no-pretty-print"), "{asked:?}");
    let given = |name| stand_in.variable("az", name);
    assert_eq!(given("POSTGRES_LOCATION").as_deref(), Some("northeurope"), "where the server is");
    assert_eq!(given("POSTGRES_STORAGE_FOUND_GB").as_deref(), Some("64"));
    assert!(stand_in.remembered().is_empty() && stand_in.calls_of("migrate").is_empty());
}

/// A deployment with these parameters, on a server that has two rules of files, one of `firewall open`, two administrators.
fn deployed_with(parameters: &serde_json::Value) -> StandIn {
    let mut stand_in = StandIn::for_provision("");
    stand_in.answer(LIST, &servers(&[("psql-1", 32, "17")]));
    stand_in.answer(
        "psql-1/firewallRules?",
        r#"{"value": [{"name": "office"}, {"name": "every-azure-customer"}, {"name": "tmp-17-42"}]}"#,
    );
    stand_in.answer("psql-1/administrators?", r#"{"value": [{"name": "me-1"}, {"name": "gone-1"}]}"#);
    let outputs = serde_json::json!({
        "AZURE_RESOURCE_GROUP": {"value": "rg-backtests-dev"}, "POSTGRES_SERVER": {"value": "psql-1"}
    });
    let answer = serde_json::json!({"properties": {"outputs": outputs, "parameters": parameters}});
    stand_in.answer_first("deployment sub create", &answer.to_string());
    stand_in
}

fn parameters(network: &str, rules: &[&str], azure: bool) -> serde_json::Value {
    let rules: Vec<_> = rules.iter().map(|name| serde_json::json!({"name": name})).collect();
    serde_json::json!({
        "network": {"value": network},
        "firewallRules": {"value": rules},
        "allowAzureServices": {"value": azure},
        "postgresAdministrators": {"value": [{"objectId": "ME-1"}]}
    })
}

#[test]
fn what_nobody_names_any_more_is_taken_away() {
    let administrator = [("POSTGRES_ADMIN_OBJECT_ID", "me-1"), ("POSTGRES_ADMIN_NAME", "me")];
    let removed = |stand_in: &StandIn| -> Vec<String> {
        let ids = stand_in.calls_of("resource delete --ids");
        ids.iter()
            .map(|call| call.split("psql-1/").nth(1).unwrap().split(' ').next().unwrap().to_owned())
            .collect()
    };
    for (network, rules, azure, expected) in [
        ("public", ["office"].as_slice(), true, vec!["administrators/gone-1"]),
        ("public", &["office"], false, vec!["firewallRules/every-azure-customer", "administrators/gone-1"]),
        ("public", &[], true, vec!["firewallRules/office", "administrators/gone-1"]),
        // No rule counts without public access.
        ("private", &[], false, vec!["administrators/gone-1"]),
    ] {
        let stand_in = deployed_with(&parameters(network, rules, azure));
        stand_in.run(&PROVISION, &administrator).well();
        assert_eq!(removed(&stand_in), expected, "{network}, {rules:?}, {azure}");
    }

    // Who only is signed in locks out nobody.
    let stand_in = deployed_with(&parameters("public", &["office"], true));
    let said = stand_in.run(&PROVISION, &[]).well();
    assert!(said.contains("gone-1 is an administrator of the database too"), "{said}");
    assert!(removed(&stand_in).is_empty());

    // Nor does an answer that does not say what was deployed.
    let stand_in = deployed_with(&serde_json::Value::Null);
    stand_in.run(&PROVISION, &administrator).well();
    assert!(removed(&stand_in).is_empty());
}
