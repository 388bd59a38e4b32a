//! `backtests schedules`, `schedule` and `unschedule`: configs that a service runs whenever their tables have a new day.

use std::path::PathBuf;

use reqwest::Method;
use serde_json::{Value, json};

use super::client::read_config;
use super::service::{Client, Service};
use super::table::{self, Column};
use super::{CliError, Output, say};
use crate::store::runs::schedule::ScheduleName;

/// Show the schedules of a service, or one of them with all that is known of it.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only this schedule.
    name: Option<ScheduleName>,
    #[command(flatten)]
    pub(super) service: Service,
}

/// Run a config whenever its tables have a new day: each run ends there and has the one before as its parent.
#[derive(Debug, clap::Args)]
pub(super) struct ScheduleArgs {
    /// What the schedule is called; one of this name is replaced, and what it has run stays with it.
    name: ScheduleName,
    /// The config without `end_date`, YAML or JSON; - reads it from stdin.
    config: PathBuf,
    /// When its tables are looked at: NCRONTAB, six fields from seconds to weekdays, in UTC.
    #[arg(long, value_name = "EXPRESSION", default_value = "0 */15 * * * *")]
    cron: String,
    #[command(flatten)]
    pub(super) service: Service,
}

/// Delete a schedule. Its runs stay.
#[derive(Debug, clap::Args)]
pub(super) struct UnscheduleArgs {
    /// The schedule.
    name: ScheduleName,
    #[command(flatten)]
    pub(super) service: Service,
}

pub(super) async fn show(args: Args) -> Result<(), CliError> {
    let client = Client::connect(&args.service)?;
    let path = args.name.as_ref().map_or_else(|| "schedules".to_owned(), |name| format!("schedules/{name}"));
    let found = client.json(client.request(Method::GET, &path)).await?;
    match (args.service.output, &args.name) {
        (Output::Json, _) => say(format_args!("{found:#}")),
        (Output::Table, Some(_)) => print_one(&found),
        (Output::Table, None) => print(found["schedules"].as_array().map(Vec::as_slice).unwrap_or_default()),
    }
    Ok(())
}

pub(super) async fn schedule(args: ScheduleArgs) -> Result<(), CliError> {
    let client = Client::connect(&args.service)?;
    let config = read_config(&args.config)?;
    let body = json!({ "config": config, "cron": args.cron, "when": "new_data" });
    let path = format!("schedules/{}", args.name);
    let stored = client.json(client.request(Method::PUT, &path).json(&body)).await?;
    match args.service.output {
        Output::Json => say(format_args!("{stored:#}")),
        Output::Table => print_one(&stored),
    }
    Ok(())
}

pub(super) async fn unschedule(args: UnscheduleArgs) -> Result<(), CliError> {
    let client = Client::connect(&args.service)?;
    let path = format!("schedules/{}", args.name);
    let gone = client.json(client.request(Method::DELETE, &path)).await?;
    match args.service.output {
        Output::Json => say(format_args!("{gone:#}")),
        Output::Table => say(format_args!("{} is deleted; its runs stay", args.name)),
    }
    Ok(())
}

/// A text as it is, what is not there as a dash.
fn text(value: &Value) -> String {
    value.as_str().unwrap_or("-").to_owned()
}

/// A moment to the minute.
fn minute(value: &Value) -> String {
    text(value).chars().take(16).collect::<String>().replace('T', " ")
}

fn print(schedules: &[Value]) {
    if schedules.is_empty() {
        return say("no schedules; `backtests schedule NAME CONFIG` makes one");
    }
    let columns = [
        Column::text("schedule"),
        Column::text("cron"),
        Column::text("last day"),
        Column::text("run"),
        Column::text("next look"),
        Column::text("error"),
    ];
    let row = |schedule: &Value| {
        vec![
            text(&schedule["name"]),
            text(&schedule["cron"]),
            text(&schedule["last_date"]),
            text(&schedule["last_run_id"]),
            minute(&schedule["next_look_at"]),
            text(&schedule["error"]),
        ]
    };
    table::print(&columns, &schedules.iter().map(row).collect::<Vec<_>>());
}

fn print_one(schedule: &Value) {
    for (name, value) in schedule.as_object().into_iter().flatten() {
        match value {
            Value::Null => {}
            Value::String(text) => say(format_args!("{name:<16} {text}")),
            other => say(format_args!("{name:<16} {other}")),
        }
    }
}
