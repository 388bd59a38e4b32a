//! `cargo infra smoke`: is the deployed service ready, does it complete a backtest, and what does its database say?

use std::path::PathBuf;
use std::time::Duration;

use crate::azure::{Failure, Secret, Tools, WEB_API, mask, say};
use crate::environment::app_path;
use crate::provision::ready;
use crate::state::State;

/// What a person would ask the database after a deployment; each begins with a line that says what it is.
const VERIFY: [&str; 3] = [
    include_str!("../../verify/migrations.sql"),
    include_str!("../../verify/runs.sql"),
    include_str!("../../verify/signals.sql"),
];

/// What to try.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Config of the backtest; its prices must be in the lake.
    #[arg(long, default_value = "examples/momentum.yaml")]
    pub config: PathBuf,
    /// Only ask whether the service is ready.
    #[arg(long)]
    pub ready_only: bool,
    /// Leave the database alone: it is out of reach from here, or not in use.
    #[arg(long)]
    pub skip_database: bool,
    /// How often to ask before giving up, ten seconds apart.
    #[arg(long, default_value_t = 30)]
    pub attempts: u32,
    /// Seconds between two questions.
    #[arg(long, default_value_t = 10)]
    pub pause: u64,
}

/// Runs the command.
pub fn run(tools: &Tools, state: &State, args: &Args) -> Result<(), Failure> {
    let url = state.require("BACKTEST_APP_URL")?;
    // First, because a runner's sign-in gives new tokens for five minutes only.
    let asks_database = !args.ready_only && !args.skip_database;
    let token = if asks_database { Some(tools.database_token()?) } else { None };
    ready(tools, &url, args.attempts, Duration::from_secs(args.pause))?;
    say(format_args!("{url} is ready"));
    if args.ready_only {
        return Ok(());
    }
    let key = function_key(tools, state)?;
    let config = args.config.display().to_string();
    let variables = [("BACKTEST_URL", url.as_str()), ("BACKTEST_FUNCTION_KEY", key.reveal())];
    let answer = tools.backtests(&["submit", &config, "--watch", "--output", "json"], &variables)?;
    say(answer.trim());
    // The last line is the run's record.
    let run: serde_json::Value = answer
        .trim()
        .lines()
        .rev()
        .find_map(|line| serde_json::from_str(line).ok())
        .or_else(|| serde_json::from_str(answer.trim()).ok())
        .unwrap_or_default();
    match run["status"].as_str() {
        Some("completed") => say("a backtest completed"),
        other => {
            let state = other.unwrap_or("in no known state");
            return Err(Failure::new(format!("the backtest is {state}, not completed")));
        }
    }
    match token {
        Some(token) => show_database(tools, state, &token),
        None => Ok(()),
    }
}

/// Prints the answers to the questions of `infra/verify`.
fn show_database(tools: &Tools, state: &State, token: &Secret) -> Result<(), Failure> {
    let server = state.server()?;
    let login = state.require("POSTGRES_ADMIN_NAME")?;
    for sql in VERIFY {
        say(format_args!("\n{}", sql.lines().next().unwrap_or_default().trim_start_matches("-- ")));
        for line in tools.psql(&server, &login, token, sql)?.trim_end().lines() {
            say(line.trim_end());
        }
    }
    Ok(())
}

/// The default function key of the app.
fn function_key(tools: &Tools, state: &State) -> Result<Secret, Failure> {
    let path = format!("{}/host/default/listkeys", app_path(tools, state)?);
    let keys = tools.rest("post", &path, WEB_API, None)?;
    let key =
        keys["functionKeys"]["default"].as_str().ok_or_else(|| Failure::new("the app has no default key"))?;
    mask(key);
    Ok(Secret::new(key))
}
