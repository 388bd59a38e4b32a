//! `cargo infra settings`: the way back, when the database or the template is what does not work.

use super::stand_in::StandIn;

const APP: [(&str, &str); 2] = [("AZURE_RESOURCE_GROUP", "rg-1"), ("BACKTEST_APP_NAME", "func-1")];

fn calls(stand_in: &StandIn) -> Vec<String> {
    stand_in.calls_of("az").iter().map(|call| call.replace(" --only-show-errors --output json", "")).collect()
}

#[test]
fn the_way_back_asks_neither_template_nor_database() {
    let stand_in = StandIn::new();
    let said = stand_in.run(&["settings", "--run-store-mode", "adls", "--signals", "false"], &APP).well();
    assert!(said.contains("func-1: without POSTGRES_DSN and POSTGRES_AUTH"), "{said}");
    let app = "--name func-1 --resource-group rg-1";
    assert_eq!(
        calls(&stand_in),
        [
            format!("az functionapp config appsettings set {app} --settings BACKTEST_RUN_STORE_MODE=adls"),
            format!(
                "az functionapp config appsettings delete {app} --setting-names POSTGRES_DSN POSTGRES_AUTH"
            ),
        ]
    );

    // The same by the variables that a deployment takes; empty ones are none.
    let again = StandIn::new();
    let variables = [
        ("BACKTEST_RUN_STORE_MODE", "adls"),
        ("POSTGRES_SIGNALS", "false"),
        ("POSTGRES_SIGNALS_WRITE_REQUIRED", ""),
    ];
    again.run(&["settings"], &[APP.as_slice(), &variables].concat()).well();
    assert_eq!(calls(&again), calls(&stand_in));

    // With runs in Postgres, only the failure of a sync can be switched.
    let stand_in = StandIn::new();
    stand_in.run(&["settings", "--signals-write-required", "false"], &APP).well();
    let expected = format!(
        "az functionapp config appsettings set {app} --settings POSTGRES_SIGNALS_WRITE_REQUIRED=false"
    );
    assert_eq!(calls(&stand_in), [expected]);
    for arguments in [["settings"].as_slice(), &["settings", "--signals", "false"]] {
        let stand_in = StandIn::new();
        let said = stand_in.run(arguments, &APP).badly();
        assert!(
            said.contains("no switch is given") || said.contains("needs BACKTEST_RUN_STORE_MODE=adls"),
            "{said}"
        );
        assert!(stand_in.calls().is_empty());
    }
}

#[test]
fn forward_only_with_a_connection_string() {
    for (names, ends_well) in [(r#"["POSTGRES_DSN", "RUST_LOG"]"#, true), (r#"["RUST_LOG"]"#, false)] {
        let mut stand_in = StandIn::new();
        stand_in.answer("appsettings list", names);
        let ran = stand_in.run(&["settings", "--run-store-mode", "postgres"], &APP);
        if ends_well {
            ran.well();
        } else {
            assert!(ran.badly().contains("`cargo infra provision` gives it back"));
            assert!(stand_in.calls_of("appsettings set").is_empty());
        }
    }
}

#[test]
fn an_app_that_no_deployment_named_here_is_looked_for() {
    let mut stand_in = StandIn::new();
    stand_in.answer("functionapp list --resource-group rg-backtests-dev", r#"["func-9"]"#);
    stand_in.run(&["settings", "--run-store-mode", "adls"], &[]).well();
    assert_eq!(stand_in.calls_of("appsettings set --name func-9").len(), 1);
    let said = StandIn::new().run(&["settings", "--run-store-mode", "adls"], &[]).badly();
    assert!(said.contains("set BACKTEST_APP_NAME"), "{said}");
}
