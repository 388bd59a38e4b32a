//! `backtests settings`: what is in force here, setting by setting, and whether the service would start with it.

use serde_json::{Value, json};

use super::{ALL, Environment, Kind, Setting, Settings, declared, environment, some, value};
use crate::cli::{CliError, Output, say};

/// Show the settings that are in force: value, where it comes from, and what it means. Secrets are shown as `set`.
/// Ends with exit code 2 and names every fault when the service would not start with them.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Only what is declared, as in docs/settings.json, and nothing of this environment.
    #[arg(long)]
    declared: bool,
    /// How the answer is printed.
    #[arg(long, value_enum, default_value = "table")]
    pub(in crate::cli) output: Output,
}

pub(in crate::cli) fn run(args: &Args) -> Result<(), CliError> {
    if args.declared {
        match args.output {
            Output::Json => say(format_args!("{:#}", declared())),
            Output::Table => ALL.iter().for_each(|setting| {
                let default = some(setting.default).unwrap_or("–");
                say(format_args!("{:<36} {:<28} {}", setting.name, default, setting.meaning));
            }),
        }
        return Ok(());
    }
    let environment = environment();
    let settings = Settings::from(&environment);
    match args.output {
        Output::Json => {
            let all: Vec<Value> = ALL.iter().map(|setting| in_force(setting, &environment)).collect();
            let faults = settings.as_ref().err().map(|invalid| invalid.0.clone()).unwrap_or_default();
            say(format_args!("{:#}", json!({ "settings": all, "faults": faults })));
        }
        Output::Table => {
            for setting in ALL {
                let (shown, from) = shown(setting, &environment);
                say(format_args!("{:<36} {:<28} {from}", setting.name, shown.unwrap_or("–")));
            }
        }
    }
    settings.map(drop).map_err(CliError::from)
}

/// A setting as a part of the JSON answer.
fn in_force(setting: &Setting, environment: &Environment) -> Value {
    let (shown, from) = shown(setting, environment);
    json!({
        "name": setting.name, "value": shown, "from": from, "type": setting.kind.to_string(),
        "default": some(setting.default), "meaning": setting.meaning, "azure": setting.azure.as_str(),
    })
}

/// What holds, and where that comes from.
fn shown<'a>(setting: &Setting, environment: &'a Environment) -> (Option<&'a str>, &'static str) {
    match value(environment, setting) {
        Some(_) if matches!(setting.kind, Kind::Secret) => (Some("set"), "environment"),
        Some(value) => (Some(value), "environment"),
        None => (some(setting.default), "default"),
    }
}
