//! The commands that drive `az`, with stand-ins that write everything down.

use std::time::{SystemTime, UNIX_EPOCH};

use super::stand_in::StandIn;

const NO_SERVER: &str = r#"{"value": []}"#;
const SERVER: &str = r#"{"value": [{"name": "psql-1", "location": "North Europe", "properties": {"authConfig": {"passwordAuth": "Disabled"}}}]}"#;
const LIST: &str = "rg-backtests-dev/providers/Microsoft.DBforPostgreSQL/flexibleServers?";
const RESTRICTED: &str = "ERROR: (LocationIsOfferRestricted) Subscriptions are restricted: the location is restricted for provisioning.";

fn no_secret_in_arguments(stand_in: &StandIn, secrets: &[&str]) {
    for call in stand_in.calls() {
        for secret in secrets {
            assert!(
                !call.iter().any(|argument| argument.contains(secret)),
                "{secret} is an argument: {call:?}"
            );
        }
    }
}

#[test]
fn an_environment_from_nothing() {
    let mut stand_in = StandIn::for_provision("");
    stand_in.answer(LIST, NO_SERVER);
    let said = stand_in.run(&["provision"], &[]).well();
    let calls: Vec<String> = stand_in.calls().iter().map(|call| call.join(" ")).collect();
    let calls = calls.join("\n").replace(stand_in.path().to_str().unwrap(), "PROJECT");
    insta::assert_snapshot!(calls, @r"
    az account show --only-show-errors --output json
    az ad signed-in-user show --only-show-errors --output json
    az rest --method get --url /subscriptions/sub-1/resourceGroups/rg-backtests-dev/providers/Microsoft.DBforPostgreSQL/flexibleServers?api-version=2025-08-01 --only-show-errors --output json
    az rest --method get --url /subscriptions/sub-1/resourceGroups/rg-backtests-dev/providers/Microsoft.Consumption/budgets/budget-backtests-dev?api-version=2026-06-01 --only-show-errors --output json
    az deployment sub create --name backtests-dev --location westeurope --parameters PROJECT/infra/dev.bicepparam --only-show-errors --output json
    az account get-access-token --resource-type oss-rdbms --only-show-errors --output json
    backtests migrate up
    backtests migrate verify
    backtests migrate roles --entra id-backtests-dev=7a0f:backtest_api,backtest_executor,ranking_sync
    ");
    no_secret_in_arguments(&stand_in, &["T0ken"]);
    assert!(!said.contains("T0ken"), "{said}");
    // The token travels in the environment, escaped as a part of an address.
    let dsn = stand_in.variable("backtests", "POSTGRES_DSN").unwrap();
    assert_eq!(
        dsn,
        "postgres://me%40example:T0ken%2Ffor%2BPostgres@psql-1.example:5432/backtests?sslmode=verify-full"
    );
    assert!(stand_in.variables().contains("az\tPOSTGRES_ADMIN_OBJECT_ID=me-1"));
    assert!(stand_in.remembered().contains("POSTGRES_HOST=\"psql-1.example\""));
    assert!(!stand_in.remembered().contains("T0ken"));
}

#[test]
fn another_machine_learns_the_facts_of_the_last_deployment() {
    let mut stand_in = StandIn::new();
    let outputs = r#"{"properties": {"outputs": {"BACKTEST_APP_URL": {"value": "https://func-1.example"}}}}"#;
    stand_in.answer("deployment sub show --name backtests-dev", outputs);
    let said = stand_in.run(&["outputs"], &[]).well();
    assert!(said.contains("https://func-1.example"), "{said}");
    assert_eq!(stand_in.remembered(), "BACKTEST_APP_URL=\"https://func-1.example\"\n");
}

#[test]
fn flags_win_over_variables() {
    let mut stand_in = StandIn::for_provision("");
    stand_in.answer(LIST, NO_SERVER);
    let arguments = [
        "provision",
        "--sku-name",
        "Standard_D4ds_v5",
        "--allow-ip-range-start",
        "10.0.0.1",
        "--allow-ip-range-end",
        "10.0.0.9",
        "--skip-database",
    ];
    stand_in.run(&arguments, &[("POSTGRES_SKU", "Standard_B1ms"), ("POSTGRES_VERSION", "16")]).well();
    assert_eq!(stand_in.variable("az", "POSTGRES_SKU").unwrap(), "Standard_D4ds_v5");
    assert_eq!(stand_in.variable("az", "POSTGRES_TIER").unwrap(), "GeneralPurpose");
    assert_eq!(stand_in.variable("az", "POSTGRES_VERSION").unwrap(), "16");
    assert!(
        stand_in
            .variable("az", "POSTGRES_FIREWALL_RULES")
            .unwrap()
            .contains("\"startIpAddress\":\"10.0.0.1\"")
    );
    assert!(
        stand_in.calls_of("backtests").iter().all(|call| call.starts_with("az")),
        "the database was touched"
    );
}

#[test]
fn an_empty_variable_is_none() {
    let mut stand_in = StandIn::for_provision("");
    stand_in.answer(LIST, NO_SERVER);
    stand_in.refuse(9, "deployment sub create", RESTRICTED);
    let names = [
        "AZURE_ENV_NAME",
        "POSTGRES_LOCATION",
        "POSTGRES_LOCATION_FALLBACK",
        "POSTGRES_SERVER",
        "POSTGRES_SKU",
        "POSTGRES_TIER",
        "POSTGRES_STORAGE_GB",
        "BACKTEST_NETWORK",
        "POSTGRES_ADMIN_OBJECT_ID",
    ];
    let said = stand_in.run(&["provision"], &names.map(|name| (name, ""))).badly();
    assert!(said.contains("every region is restricted for this subscription: westeurope;"), "{said}");
    assert_eq!(stand_in.calls_of("deployment sub create --name backtests-dev").len(), 1);
    assert!(!stand_in.variables().contains("POSTGRES_STORAGE_GB="), "{}", stand_in.variables());
}

#[test]
fn what_cannot_work_is_refused_before_any_call() {
    let range = |first, last| vec!["--allow-ip-range-start", first, "--allow-ip-range-end", last];
    let azure = [range("0.0.0.0", "0.0.0.0"), vec!["--allow-azure-services", "--skip-database"]].concat();
    let cases = [
        (vec!["--sku-name", "Standard_B1ms", "--tier", "GeneralPurpose"], "Standard_B1ms is Burstable"),
        (vec!["--sku-name", "Standard_D2ds_v5", "--tier", "Burstable"], "Standard_D2ds_v5 is GeneralPurpose"),
        (vec!["--tier", "Burstable"], "stands alone"),
        (vec!["--sku-name", "Large"], "is of no tier"),
        (vec!["--size", "ha", "--sku-name", "Standard_B2ms"], "which Standard_B2ms (Burstable) cannot have"),
        (range("10.0.0.2", "10.0.0.1"), "ends before it begins"),
        (range("0.0.0.0", "255.255.255.255"), "admits 4294967296 addresses"),
        (range("0.0.0.1", "255.255.255.254"), "admits 4294967294 addresses"),
        (range("128.0.0.0", "255.255.255.255"), "(a /8) at most"),
        (range("0.0.0.0", "0.0.0.0"), "say --allow-azure-services"),
        (vec!["--emit-secrets"], "on a terminal or into a file of mode 0600 only"),
    ];
    for (arguments, words) in cases {
        let stand_in = StandIn::new();
        let said = stand_in.run(&[&["provision"], arguments.as_slice()].concat(), &[]).badly();
        assert!(said.contains(words), "{arguments:?}: {said}");
        assert!(stand_in.calls().is_empty(), "{arguments:?}: {:?}", stand_in.calls());
    }
    // What is asked for by its name is done.
    let mut stand_in = StandIn::for_provision("");
    stand_in.answer(LIST, NO_SERVER);
    stand_in.run(&[&["provision"], azure.as_slice()].concat(), &[]).well();

    let rule = |name: &str, first: &str, last: &str| {
        format!(r#"[{{"name": "{name}", "startIpAddress": "{first}", "endIpAddress": "{last}"}}]"#)
    };
    for (rules, words) in [
        (
            rule("all", "0.0.0.0", "255.255.255.255"),
            "POSTGRES_FIREWALL_RULES: all: 0.0.0.0 to 255.255.255.255 admits",
        ),
        (rule("azure", "0.0.0.0", "0.0.0.0"), "say --allow-azure-services"),
        (rule("office", "192.0.2.1", "2001:db8::1"), "office: endIpAddress is not an IPv4 address"),
        (rule("the office", "192.0.2.1", "192.0.2.9"), "has no name of 1 to 80 letters"),
        (rule("tmp-17-office", "192.0.2.1", "192.0.2.9"), "the name tmp-17-office is ours"),
        ("{}".to_owned(), "not a JSON list"),
    ] {
        let stand_in = StandIn::new();
        let said = stand_in.run(&["provision"], &[("POSTGRES_FIREWALL_RULES", &rules)]).badly();
        assert!(said.contains(words), "{rules}: {said}");
        assert!(stand_in.calls().is_empty(), "{rules}: {:?}", stand_in.calls());
    }
    let said = StandIn::new().run(&["provision"], &[("POSTGRES_SIGNALS", "false")]).badly();
    assert!(said.contains("needs BACKTEST_RUN_STORE_MODE=adls"), "{said}");
}

#[test]
fn another_region_only_where_the_first_is_restricted() {
    let mut stand_in = StandIn::for_provision("");
    stand_in.answer(LIST, NO_SERVER);
    // The first says so when asked, the second only when it is tried, the third takes it.
    stand_in.answer_first("locations/westeurope/capabilities", r#"{"value": [{"restricted": "Enabled"}]}"#);
    stand_in.answer("locations/northeurope/capabilities", r#"{"value": [{"restricted": "Disabled"}]}"#);
    stand_in.refuse(1, "deployment sub create", RESTRICTED);
    let arguments = ["provision", "--location-fallback", "northeurope,swedencentral", "--skip-database"];
    let said = stand_in.run(&arguments, &[]).well();
    assert!(
        said.contains("westeurope is restricted") && said.contains("northeurope is restricted"),
        "{said}"
    );
    assert_eq!(stand_in.calls_of("deployment sub create").len(), 2);
    assert_eq!(stand_in.variable("az", "POSTGRES_LOCATION").unwrap(), "swedencentral");
    assert_eq!(stand_in.variable("az", "AZURE_LOCATION").unwrap(), "westeurope", "the rest stays");

    // Any other error ends the attempt.
    let mut stand_in = StandIn::for_provision("");
    stand_in.answer(LIST, NO_SERVER);
    stand_in.refuse(9, "deployment sub create", "ERROR: (QuotaExceeded) no cores left");
    let said = stand_in.run(&arguments, &[]).badly();
    assert!(said.contains("QuotaExceeded"), "{said}");
    assert_eq!(stand_in.calls_of("deployment sub create").len(), 1);

    // And when no region is left, every one is named.
    let mut stand_in = StandIn::for_provision("");
    stand_in.answer(LIST, NO_SERVER);
    stand_in.refuse(9, "deployment sub create", RESTRICTED);
    let said = stand_in.run(&arguments, &[]).badly();
    assert!(said.contains("westeurope, northeurope, swedencentral"), "{said}");
}

#[test]
fn an_existing_server_never_moves() {
    let mut stand_in = StandIn::for_provision("");
    stand_in.answer(LIST, SERVER);
    let arguments = ["provision", "--postgres-location", "eastus", "--location-fallback", "westus"];
    let said = stand_in.run(&arguments, &[]).well();
    assert!(said.contains("psql-1 stays in northeurope"), "{said}");
    assert_eq!(stand_in.variable("az", "POSTGRES_LOCATION").unwrap(), "northeurope");
    assert_eq!(stand_in.variable("az", "POSTGRES_SERVER").unwrap(), "psql-1");
    assert!(stand_in.calls_of("capabilities").is_empty(), "nobody needs to know about other regions");

    // Not even when its region has become restricted.
    stand_in.forget();
    stand_in.refuse(1, "deployment sub create", RESTRICTED);
    stand_in.run(&arguments, &[]).badly();
    assert_eq!(stand_in.calls_of("deployment sub create").len(), 1);
}

#[test]
fn passwords_are_made_once_and_seen_by_nobody() {
    let mut stand_in = StandIn::for_provision("kv-1");
    stand_in.answer(LIST, NO_SERVER);
    stand_in.refuse(
        3,
        "secret show",
        "ERROR: (SecretNotFound) A secret with (name/id) postgres-dsn was not found",
    );
    let said = stand_in.run(&["provision", "--create-app-users"], &[]).well();
    let variables = stand_in.variables();
    let secrets: Vec<&str> = variables
        .lines()
        .filter(|line| line.contains("_PASSWORD=") && !line.starts_with("az\tPOSTGRES_PASSWORD_AUTH"))
        .map(|line| line.split_once('=').unwrap().1)
        .collect();
    // The administrator's, and one for each of the three logins.
    assert_eq!(secrets.iter().collect::<std::collections::BTreeSet<_>>().len(), 4, "{secrets:?}");
    assert!(secrets.iter().all(|secret| secret.len() == 40));
    no_secret_in_arguments(&stand_in, &secrets);
    for secret in &secrets {
        assert!(!said.contains(secret), "{said}");
        assert!(!stand_in.remembered().contains(secret));
    }
    assert_eq!(stand_in.calls_of("migrate roles --only").len(), 3);
    // The vault gets their connection strings out of files that only we can read, which are gone afterwards.
    let stored = stand_in.files();
    for login in ["api_service", "backtest_service", "ranking_writer"] {
        assert!(stored.contains(&format!("postgres://{login}:")), "{stored}");
    }
    assert_eq!(stand_in.modes(), "600\n".repeat(3));
    assert_eq!(stand_in.calls_of("--name postgres-dsn --file").len(), 1, "what the app's setting refers to");
    let set = stand_in.calls().into_iter().find(|call| call.contains(&"set".to_owned())).unwrap();
    let path = &set[set.iter().position(|one| one == "--file").unwrap() + 1];
    assert!(!std::path::Path::new(path).exists());

    // A second run finds everything and makes nothing.
    stand_in.forget();
    stand_in.answer_first(LIST, &SERVER.replace("Disabled", "Enabled"));
    stand_in.answer("secret show", r#"{"login": "backtest_service_b"}"#);
    stand_in.answer_first("--name postgres-dsn-api-service", "null");
    stand_in.answer_first("--name postgres-dsn-ranking-writer", "");
    // Nobody needs to say again that there are passwords.
    stand_in.run(&["provision"], &[]).well();
    assert_eq!(stand_in.variable("az", "POSTGRES_PASSWORD_AUTH").unwrap(), "true");
    assert!(stand_in.calls_of("migrate roles").is_empty() && stand_in.calls_of("secret set").is_empty());
    assert!(
        !stand_in.variables().contains("POSTGRES_ADMIN_PASSWORD"),
        "the administrator has a new password"
    );
}

#[test]
fn secrets_are_shown_only_where_they_were_asked_for() {
    let prepare = || {
        let mut stand_in = StandIn::for_provision("kv-1");
        stand_in.answer(LIST, SERVER);
        stand_in.refuse(3, "secret show", "(SecretNotFound)");
        stand_in
    };
    let given = [("API_SERVICE_PASSWORD", "given-by-somebody")];
    let stand_in = prepare();
    let printed = stand_in.file("printed");
    let emit = ["provision", "--create-app-users", "--emit-secrets"];
    stand_in.run_into(&emit, &given, &printed, 0o600).well();
    assert!(std::fs::read_to_string(&printed).unwrap().contains("api_service=given-by-somebody\n"));
    let stand_in = prepare();
    let said = stand_in.run_into(&emit, &given, &printed, 0o644).badly();
    assert!(said.contains("mode 0600 only") && stand_in.calls().is_empty(), "{said}");

    // A file that others may read is replaced, not written to.
    let mut stand_in = prepare();
    stand_in.answer_first(LIST, NO_SERVER);
    let file = stand_in.file("secrets");
    std::fs::write(&file, "old\n").unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let arguments = ["provision", "--create-app-users", "--secrets-file", file.to_str().unwrap()];
    let said = stand_in.run(&arguments, &given).well();
    assert!(!said.contains("given-by-somebody"), "{said}");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let written = std::fs::read_to_string(&file).unwrap();
    let logins: Vec<&str> = written.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    assert_eq!(logins, ["backtests_admin", "api_service", "backtest_service", "ranking_writer"]);
    assert!(written.contains("api_service=given-by-somebody\n") && !written.contains("old"));
    no_secret_in_arguments(&stand_in, &["given-by-somebody"]);
}

#[test]
fn who_may_not_read_the_vault_is_told_what_to_do() {
    let mut stand_in = StandIn::for_provision("kv-1");
    stand_in.answer(LIST, SERVER);
    stand_in.refuse(
        9,
        "secret show",
        "ERROR: (Forbidden) Caller is not authorized. Inner error: {\"code\": \"ForbiddenByRbac\"}",
    );
    let said = stand_in.run(&["provision", "--create-app-users"], &[]).badly();
    assert!(said.contains("az role assignment create --role \"Key Vault Secrets Officer\""), "{said}");
    assert!(said.contains("az keyvault show --name kv-1"), "{said}");
    assert!(stand_in.calls_of("migrate").is_empty(), "the database was touched");
}

#[test]
fn a_failing_child_does_not_repeat_what_it_was_told() {
    let mut stand_in = StandIn::for_provision("");
    stand_in.answer(LIST, SERVER);
    let dsn =
        "postgres://me%40example:T0ken%2Ffor%2BPostgres@psql-1.example:5432/backtests?sslmode=verify-full";
    stand_in.refuse(1, "migrate up", &format!("error: cannot connect to {dsn}"));
    let said = stand_in.run(&["provision"], &[]).badly();
    assert!(said.contains("cannot connect to (secret)") && !said.contains("T0ken"), "{said}");
}

#[test]
fn providers_that_may_not_be_registered_are_only_mentioned() {
    let mut stand_in = StandIn::for_provision("");
    stand_in.answer(LIST, SERVER);
    stand_in.refuse(1, "--namespace Microsoft.App", "ERROR: (AuthorizationFailed) not allowed");
    let said = stand_in.run(&["provision", "--register-providers", "--skip-database"], &[]).well();
    assert!(said.contains("may not register Microsoft.App;"), "{said}");
    assert_eq!(stand_in.calls_of("provider register").len(), 10);

    let mut stand_in = StandIn::for_provision("");
    stand_in.refuse(1, "--namespace Microsoft.App", "ERROR: no network");
    let said = stand_in.run(&["provision", "--register-providers", "--skip-database"], &[]).badly();
    assert!(said.contains("no network"), "{said}");
}

const RULES: &str = "psql-1/firewallRules?";

fn with_environment() -> (StandIn, [(&'static str, &'static str); 8]) {
    let mut stand_in = StandIn::new();
    stand_in.answer("get-access-token", r#"{"accessToken": "T0ken"}"#);
    let environment = [
        ("AZURE_SUBSCRIPTION_ID", "sub-1"),
        ("AZURE_RESOURCE_GROUP", "rg-1"),
        ("POSTGRES_SERVER", "psql-1"),
        ("POSTGRES_HOST", "psql-1.example"),
        ("POSTGRES_DATABASE", "backtests"),
        ("POSTGRES_ADMIN_NAME", "deployer"),
        ("BACKTEST_APP_NAME", "func-1"),
        ("BACKTEST_APP_URL", "https://func-1.example"),
    ];
    (stand_in, environment)
}

#[test]
fn a_rule_ends_and_whoever_comes_next_sweeps() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let rules = format!(
        r#"{{"value": [{{"name": "tmp-1000-broken"}}, {{"name": "tmp-{}-other"}}, {{"name": "office"}}, {{"name": "tmp-{}-42"}}]}}"#,
        now + 600,
        now + 600
    );
    let (mut stand_in, environment) = with_environment();
    stand_in.answer("--method get", &rules);
    let said = stand_in
        .run(&["firewall", "open", "--ip", "192.0.2.7", "--for", "20m", "--run", "77"], &environment)
        .well();
    assert!(said.contains("192.0.2.7 may connect for 20 minutes"), "{said}");
    let put = stand_in.calls_of("--method put");
    let name = put[0].split("firewallRules/tmp-").nth(1).unwrap();
    let end: u64 = name.split('-').next().unwrap().parse().unwrap();
    assert!((now + 1190..now + 1300).contains(&end), "{put:?}");
    assert!(
        put[0].contains(r#"{"properties":{"startIpAddress":"192.0.2.7","endIpAddress":"192.0.2.7"}}"#),
        "{put:?}"
    );
    let removed = stand_in.calls_of("resource delete");
    assert!(
        removed.len() == 1 && removed[0].contains("tmp-1000-broken --api-version 2025-08-01"),
        "{removed:?}"
    );

    stand_in.forget();
    stand_in.run(&["firewall", "close", "--run", "42"], &environment).well();
    let removed = stand_in.calls_of("resource delete");
    assert_eq!(removed.len(), 2, "its own and the one that ended: {removed:?}");
    assert!(!removed.iter().any(|call| call.contains("office") || call.contains("other")), "{removed:?}");
    assert!(
        stand_in
            .calls_of(RULES)
            .iter()
            .all(|call| call.contains("/subscriptions/sub-1/resourceGroups/rg-1/"))
    );
}

#[test]
fn the_server_says_which_address_we_come_from() {
    let (mut stand_in, environment) = with_environment();
    stand_in.answer("--method get", NO_SERVER);
    stand_in.refuse(
        1,
        "migrate status",
        "error: FATAL: no pg_hba.conf entry for host \"198.51.100.4\", user \"deployer\"",
    );
    let open = ["firewall", "open", "--pause", "0"];
    let said = stand_in.run(&open, &environment).well();
    assert!(said.contains("198.51.100.4 may connect for 15 minutes"), "{said}");
    assert!(said.contains("the server lets us in\n"), "{said}");

    // It waits until the rule works, and says when it never does.
    for (refusals, ends_well) in [(9, true), (99, false)] {
        let (mut stand_in, environment) = with_environment();
        stand_in.answer("--method get", NO_SERVER);
        stand_in.refuse(refusals, "migrate status", "no pg_hba.conf entry for host \"198.51.100.4\"");
        let ran = stand_in.run(&open, &environment);
        if ends_well {
            ran.well();
            assert_eq!(stand_in.calls_of("migrate status").len(), 10);
        } else {
            assert!(ran.badly().contains("still turns 198.51.100.4 away"));
        }
        assert_eq!(stand_in.calls_of("--method put").len(), 1);
    }

    let (mut stand_in, environment) = with_environment();
    stand_in.answer("--method get", NO_SERVER);
    stand_in.refuse(1, "migrate status", "error: timed out");
    let said = stand_in.run(&["firewall", "open"], &environment).badly();
    assert!(said.contains("--ip"), "{said}");
    assert!(stand_in.calls_of("--method put").is_empty());
    for time in ["0m", "25h", "15", "soon"] {
        stand_in.run(&["firewall", "open", "--for", time], &environment).badly();
    }
}

#[test]
fn a_smoke_test_waits_and_then_completes_a_backtest() {
    let (mut stand_in, environment) = with_environment();
    stand_in.refuse(2, "/api/readyz", "503 Service Unavailable");
    stand_in.answer("listkeys", r#"{"functionKeys": {"default": "k3y-of-the-app"}}"#);
    stand_in.answer("submit", r#"{"run_id": "RUN1", "status": "completed"}"#);
    let arguments = ["smoke", "--pause", "0", "--attempts", "3"];
    stand_in.answer("psql", " version | name \n");
    let elsewhere = [("PGSERVICE", "elsewhere"), ("PGHOSTADDR", "192.0.2.1")];
    let said = stand_in.run(&arguments, &[environment.as_slice(), &elsewhere].concat()).well();
    assert!(said.contains("a backtest completed") && !said.contains("k3y"), "{said}");
    assert!(said.contains("Which migrations are applied") && said.contains(" version | name"), "{said}");
    assert_eq!(stand_in.calls_of("/api/readyz").len(), 3);
    assert!(stand_in.calls()[0].contains(&"get-access-token".to_owned()), "a fresh sign-in does not last");
    assert!(
        stand_in.calls_of("/api/readyz")[0].contains("--skip-authorization-header"),
        "the token went to the app"
    );
    assert_eq!(stand_in.variable("backtests", "BACKTEST_FUNCTION_KEY").unwrap(), "k3y-of-the-app");
    // The questions go in by standard input, the token by the environment, and to no other server than ours.
    let asked = stand_in.input();
    let tables = ["core.schema_migrations", "backtest.runs", "ranking.signal_sync_state"];
    assert!(tables.iter().all(|table| asked.contains(&format!("FROM {table}"))), "{asked}");
    let given = |name| stand_in.variable("psql", name);
    assert_eq!(given("PGPASSWORD").as_deref(), Some("T0ken"));
    assert_eq!(given("PGHOST").as_deref(), Some("psql-1.example"));
    assert_eq!(
        (given("PGUSER").as_deref(), given("PGSSLMODE").as_deref()),
        (Some("deployer"), Some("verify-full"))
    );
    assert_eq!((given("PGSERVICE"), given("PGHOSTADDR")), (None, None));
    no_secret_in_arguments(&stand_in, &["k3y-of-the-app", "T0ken"]);

    stand_in.forget();
    let without = [arguments.as_slice(), &["--skip-database"]].concat();
    stand_in.run(&without, &environment).well();
    assert!(stand_in.calls_of("psql --").is_empty() && !stand_in.variables().contains("T0ken"));
    stand_in.refuse(1, "psql", "FATAL: password authentication failed, not T0ken");
    let said = stand_in.run(&arguments, &environment).badly();
    assert!(said.contains("authentication failed, not (secret)"), "{said}");

    stand_in.answer_first("submit", r#"{"run_id": "RUN2", "status": "failed"}"#);
    let said = stand_in.run(&arguments, &environment).badly();
    assert!(said.contains("failed, not completed"), "{said}");
    stand_in.refuse(9, "/api/readyz", "503 schema is missing");
    let said = stand_in.run(&arguments, &environment).badly();
    assert!(said.contains("is not ready: 503 schema is missing"), "{said}");
}

/// The calls of a rotation in a few words each.
fn steps(stand_in: &StandIn) -> Vec<&'static str> {
    let words = [
        ("--retire backtest_service_b", "retire b"),
        ("--retire backtest_service", "retire a"),
        ("--only backtest_service_b --member backtest_service_b=", "password b"),
        ("--only backtest_service --member backtest_service=", "password a"),
        ("migrate verify", "verify"),
        ("--name postgres-dsn --file", "vault"),
        ("configreferences/appsettings/refresh?api-version=2022-03-01", "references"),
        ("functionapp restart", "restart"),
        ("/api/readyz", "ready"),
    ];
    let of = |call: &Vec<String>| {
        let call = call.join(" ");
        words.iter().find(|(part, _)| call.contains(part)).map(|(_, step)| *step)
    };
    stand_in.calls().iter().filter_map(of).collect()
}

#[test]
fn a_rotation_moves_to_the_other_slot_and_back() {
    let (mut stand_in, mut environment) = with_environment();
    environment[0] = ("BACKTEST_KEY_VAULT", "kv-1");
    let subscription = ("AZURE_SUBSCRIPTION_ID", "sub-1");
    let environment = [environment.as_slice(), &[subscription]].concat();
    let arguments = ["rotate", "--pause", "0", "--only", "backtest_service"];
    let dsn = |slot: &str, password: &str| {
        format!("postgres://{slot}:{password}@psql-1.example:5432/backtests?sslmode=verify-full")
    };

    // A secret without a tag is of the first slot. The idle slot proves itself before the vault names it, and the other
    // one is retired only when the app is ready again.
    stand_in.run(&arguments, &environment).well();
    let there =
        ["retire b", "password b", "verify", "vault", "references", "restart", "ready", "retire a", "ready"];
    assert_eq!(steps(&stand_in), there);
    let password = stand_in.variable("backtests", "BACKTEST_SERVICE_B_PASSWORD").unwrap();
    assert_eq!(stand_in.files(), dsn("backtest_service_b", &password));
    assert_eq!(stand_in.calls_of("--tags login=backtest_service_b").len(), 1);
    assert!(stand_in.variables().contains(&dsn("backtest_service_b", &password)), "it proved itself");
    no_secret_in_arguments(&stand_in, &[&password, "T0ken"]);

    stand_in.forget();
    let secret = "--name postgres-dsn --query";
    stand_in.answer_first(secret, r#"{"login": "backtest_service_b"}"#);
    stand_in.run(&arguments, &environment).well();
    let back =
        ["retire a", "password a", "verify", "vault", "references", "restart", "ready", "retire b", "ready"];
    assert_eq!(steps(&stand_in), back);
    let password = stand_in.variable("backtests", "BACKTEST_SERVICE_PASSWORD").unwrap();
    assert_eq!(stand_in.files(), dsn("backtest_service", &password));

    // Without a wish, all of them; the others have no app to move.
    stand_in.forget();
    stand_in.run(&["rotate", "--pause", "0"], &environment).well();
    assert_eq!(stand_in.calls_of("secret set").len(), 3);
    assert_eq!(stand_in.calls_of("functionapp restart").len(), 1);

    stand_in.answer_first(secret, r#"{"login": "somebody"}"#);
    let said = stand_in.run(&arguments, &environment).badly();
    assert!(said.contains("names no slot of backtest_service"), "{said}");
}

/// Wherever it stops, the slot that the vault names can log in.
#[test]
fn a_rotation_that_fails_leaves_what_works() {
    for (fails, words, expected) in [
        ("--retire backtest_service_b", "is in use by 2 connections", vec!["retire b"]),
        ("--only backtest_service_b", "no network", vec!["retire b", "password b"]),
        ("migrate verify", "FATAL: password", vec!["retire b", "password b", "verify"]),
        ("secret set", "Forbidden", vec!["retire b", "password b", "verify", "vault"]),
        // From here on the vault names the new slot, and both work.
        (
            "/api/readyz",
            "503",
            vec!["retire b", "password b", "verify", "vault", "references", "restart", "ready", "ready"],
        ),
    ] {
        let (mut stand_in, mut environment) = with_environment();
        environment[0] = ("BACKTEST_KEY_VAULT", "kv-1");
        stand_in.refuse(9, fails, words);
        let arguments = ["rotate", "--pause", "0", "--attempts", "2", "--only", "backtest_service"];
        let subscription = ["--subscription-id", "sub-1"];
        let said = stand_in.run(&[arguments.as_slice(), &subscription].concat(), &environment).badly();
        assert!(said.contains(words), "{said}");
        assert_eq!(steps(&stand_in), expected, "{fails}");
    }

    // An old slot is retired as soon as nobody uses it; one that stays in use is named, and goes on working.
    for (uses, ends_well) in [(2, true), (9, false)] {
        let (mut stand_in, mut environment) = with_environment();
        environment[0] = ("BACKTEST_KEY_VAULT", "kv-1");
        stand_in.answer_first("--retire ranking_writer_b", "");
        stand_in.refuse_last(uses, "--retire ranking_writer", "ranking_writer is in use by 1 connections");
        let arguments = ["rotate", "--pause", "0", "--attempts", "3", "--only", "ranking_writer"];
        let ran = stand_in.run(&arguments, &environment);
        if ends_well {
            assert!(ran.well().contains("ranking_writer is retired"));
        } else {
            assert!(ran.badly().contains("ranking_writer still in use; both slots work"));
        }
        assert!(stand_in.calls_of("restart").is_empty(), "the app has another login");
    }
}

#[test]
fn with_an_identity_only_the_key_of_callers_can_rotate() {
    let (stand_in, environment) = with_environment();
    let said = stand_in.run(&["rotate", "--pause", "0", "--function-key"], &environment).well();
    assert!(said.contains("no password to rotate"), "{said}");
    assert!(stand_in.calls_of("backtests").iter().all(|call| call.starts_with("az")));
    assert_eq!(stand_in.calls_of("functionapp keys set").len(), 1);
}
