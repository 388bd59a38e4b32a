//! `backtests experiments`: what a team tried under each name, and what is left of the best of it.

use reqwest::Method;
use serde_json::Value;

use super::service::{Client, Service};
use super::table::{self, Column, number};
use super::{CliError, Output, say};
use crate::engine::config::check_experiment;

/// Show what was tried under each experiment, by everybody, and how far the best of it can be believed.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only this experiment.
    #[arg(value_parser = name)]
    name: Option<String>,
    #[command(flatten)]
    pub(super) service: Service,
}

fn name(text: &str) -> Result<String, String> {
    check_experiment(text).map(|()| text.to_owned())
}

pub(super) async fn run(args: Args) -> Result<(), CliError> {
    let client = Client::connect(&args.service)?;
    let path = match &args.name {
        Some(name) => format!("experiments/{name}"),
        None => "experiments".to_owned(),
    };
    let found = client.json(client.request(Method::GET, &path)).await?;
    if args.service.output == Output::Json {
        say(format_args!("{found:#}"));
        return Ok(());
    }
    let experiments = match &args.name {
        Some(_) => vec![found.clone()],
        None => found["experiments"].as_array().cloned().unwrap_or_default(),
    };
    let untold = found["reason"].as_str().or(found["undefined"]["trials"].as_str());
    match (experiments.is_empty(), untold) {
        (_, Some(reason)) => say(reason),
        (true, None) => say("no experiments; `experiment: NAME` in a config or below `study:` makes one"),
        (false, None) => print(&experiments),
    }
    Ok(())
}

fn print(experiments: &[Value]) {
    let columns = [
        Column::text("experiment"),
        Column::number("trials"),
        Column::number("distinct"),
        Column::number("people"),
        Column::number("best Sharpe"),
        Column::number("deflated"),
        Column::text("newest"),
        Column::text("best"),
    ];
    let row = |experiment: &Value| {
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            Value::Null => "-".to_owned(),
            other => other.to_string(),
        };
        let best = &experiment["best"];
        let place = match (&best["study"], &best["trial"]) {
            (Value::String(study), trial) => format!("{study} trial {trial}"),
            _ => text(&best["run_id"]),
        };
        vec![
            text(&experiment["experiment"]),
            text(&experiment["trials"]),
            text(&experiment["distinct"]),
            text(&experiment["people"]),
            number(&best["sharpe_ratio"]),
            number(&experiment["dsr_of_best"]),
            text(&experiment["last_at"]).chars().take(16).collect::<String>().replace('T', " "),
            place,
        ]
    };
    table::print(&columns, &experiments.iter().map(row).collect::<Vec<_>>());
}
