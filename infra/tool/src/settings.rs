//! `cargo infra settings`: turns the switches of a deployed app and nothing else. It asks neither the template nor the
//! database, so it works when the database does not: the way back of the runbook.

use crate::azure::{Failure, Tools, say};
use crate::existing;
use crate::provision::SIGNALS_NEED_ADLS;
use crate::state::State;

/// The switches. Those that are not given stay as they are.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where run records live.
    #[arg(long, env = "BACKTEST_RUN_STORE_MODE", value_parser = ["postgres", "adls", ""], hide_possible_values = true)]
    pub run_store_mode: Option<String>,
    /// Whether signals are written to Postgres; false, with runs in adls, takes the connection string away.
    #[arg(long, env = "POSTGRES_SIGNALS", value_parser = ["true", "false", ""], hide_possible_values = true)]
    pub signals: Option<String>,
    /// Whether a sync fails when it cannot write signals to Postgres.
    #[arg(long, env = "POSTGRES_SIGNALS_WRITE_REQUIRED", value_parser = ["true", "false", ""], hide_possible_values = true)]
    pub signals_write_required: Option<String>,
    /// Whether rows are counted after every write of signals.
    #[arg(long, env = "POSTGRES_SIGNALS_VERIFY_COUNTS", value_parser = ["true", "false", ""], hide_possible_values = true)]
    pub signals_verify_counts: Option<String>,
}

/// App settings without which the program does not know of a database.
const CONNECTION: [&str; 2] = ["POSTGRES_DSN", "POSTGRES_AUTH"];

/// Runs the command.
pub fn run(tools: &Tools, environment: &str, state: &State, args: &Args) -> Result<(), Failure> {
    let given = |value: &Option<String>| value.clone().filter(|text| !text.is_empty());
    let mode = given(&args.run_store_mode);
    let without_signals = given(&args.signals).as_deref() == Some("false");
    let mut turned = Vec::new();
    for (name, value) in [
        ("BACKTEST_RUN_STORE_MODE", mode.clone()),
        ("POSTGRES_SIGNALS_WRITE_REQUIRED", given(&args.signals_write_required)),
        ("POSTGRES_SIGNALS_VERIFY_COUNTS", given(&args.signals_verify_counts)),
    ] {
        turned.extend(value.map(|value| format!("{name}={value}")));
    }
    if without_signals && mode.as_deref() != Some("adls") {
        return Err(Failure::new(SIGNALS_NEED_ADLS));
    }
    if turned.is_empty() && given(&args.signals).is_none() {
        return Err(Failure::new("no switch is given; see --help"));
    }

    let group = state.get("AZURE_RESOURCE_GROUP").unwrap_or_else(|| existing::group(environment));
    let app = match state.get("BACKTEST_APP_NAME") {
        Some(app) => app,
        None => the_app(tools, &group)?,
    };
    let call = |verb: &str, further: &[&str]| {
        let words =
            ["functionapp", "config", "appsettings", verb, "--name", &app, "--resource-group", &group];
        tools.az(&[words.as_slice(), further].concat(), &[])
    };
    let needs_connection =
        mode.as_deref() == Some("postgres") || given(&args.signals).as_deref() == Some("true");
    if needs_connection {
        let names = call("list", &["--query", "[?value].name"])?;
        if !names.as_array().is_some_and(|names| names.iter().any(|name| name == "POSTGRES_DSN")) {
            return Err(Failure::new(format!(
                "{app} has no connection string; `cargo infra provision` gives it back"
            )));
        }
    }
    if !turned.is_empty() {
        let turned: Vec<&str> = turned.iter().map(String::as_str).collect();
        call("set", &[["--settings"].as_slice(), &turned].concat())?;
        say(format_args!("{app}: {}", turned.join(", ")));
    }
    if without_signals {
        call("delete", &[["--setting-names"].as_slice(), &CONNECTION].concat())?;
        say(format_args!("{app}: without {}", CONNECTION.join(" and ")));
    }
    say("the app restarts with them; the next deployment goes back unless the same variables are set there");
    Ok(())
}

/// The only app of the environment, when no deployment left its name here.
fn the_app(tools: &Tools, group: &str) -> Result<String, Failure> {
    let arguments =
        ["functionapp", "list", "--resource-group", group, "--query", "[?kind=='functionapp,linux'].name"];
    let names = tools.az(&arguments, &[])?;
    match names.as_array().map(Vec::as_slice) {
        Some([name]) => Ok(name.as_str().unwrap_or_default().to_owned()),
        _ => {
            Err(Failure::new(format!("{group} has not one function app but {names}; set BACKTEST_APP_NAME")))
        }
    }
}
