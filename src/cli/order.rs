//! `backtests tag`, `note`, `archive` and `delete`: order among the runs of a service.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use reqwest::Method;
use serde_json::{Value, json};

use super::client::print_run;
use super::service::{Client, RunName, Service};
use super::{CliError, Output, say};
use crate::run::RunId;

/// Give a run tags, by which `list --tag` finds it.
#[derive(Debug, clap::Args)]
pub(super) struct TagArgs {
    /// The run: its id, the beginning of it, @latest or @latest-failed.
    run: RunName,
    /// Tags: lower-case letters, digits, '.', '_', '/' and '-'.
    #[arg(required = true)]
    tags: Vec<String>,
    /// Take them off instead.
    #[arg(long)]
    remove: bool,
    #[command(flatten)]
    pub(super) service: Service,
}

/// Note something on a run; an empty text takes the note away.
#[derive(Debug, clap::Args)]
pub(super) struct NoteArgs {
    /// The run: its id, the beginning of it, @latest or @latest-failed.
    run: RunName,
    /// Plain text, at most 4,000 characters.
    text: String,
    #[command(flatten)]
    pub(super) service: Service,
}

/// Put runs away: `list` leaves them out unless it is asked with --archived.
#[derive(Debug, clap::Args)]
pub(super) struct ArchiveArgs {
    /// Runs: ids, or the beginnings of ids.
    #[arg(required = true)]
    runs: Vec<RunName>,
    /// Bring them back.
    #[arg(long)]
    undo: bool,
    #[command(flatten)]
    pub(super) service: Service,
}

/// Delete runs that have ended. Their records and hashes stay, their files go with the next sweep.
#[derive(Debug, clap::Args)]
pub(super) struct DeleteArgs {
    /// Runs: ids, or the beginnings of ids.
    #[arg(required = true)]
    runs: Vec<RunName>,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    pub(super) service: Service,
}

pub(super) async fn tag(args: TagArgs) -> Result<(), CliError> {
    let client = Client::connect(&args.service)?;
    let id = client.id(&args.run).await?;
    let action = if args.remove { "untag" } else { "tag" };
    let body = json!({ "ids": [id], "action": action, "tags": args.tags });
    let done = client.json(client.request(Method::POST, "backtests/bulk").json(&body)).await?;
    if let Some((why, _)) = done["refused"].as_object().and_then(|refused| refused.iter().next()) {
        return Err(CliError::failed(format!("run {id} was left as it is: {}", why.replace('_', " "))));
    }
    print_run(&client.status(&id).await?, args.service.output);
    Ok(())
}

pub(super) async fn note(args: NoteArgs) -> Result<(), CliError> {
    let client = Client::connect(&args.service)?;
    let id = client.id(&args.run).await?;
    let run = amend(&client, &id, &json!({ "note": args.text })).await?;
    print_run(&run, args.service.output);
    Ok(())
}

pub(super) async fn archive(args: ArchiveArgs) -> Result<(), CliError> {
    let client = Client::connect(&args.service)?;
    let mut runs = Vec::new();
    for id in ids(&client, &args.runs).await? {
        runs.push(amend(&client, &id, &json!({ "archived": !args.undo })).await?);
    }
    tell(&runs, if args.undo { "is back" } else { "is put away" }, args.service.output);
    Ok(())
}

pub(super) async fn delete(args: DeleteArgs) -> Result<(), CliError> {
    let client = Client::connect(&args.service)?;
    let ids = ids(&client, &args.runs).await?;
    if !args.yes && !agreed(&ids)? {
        return Err(CliError::failed("nothing was deleted"));
    }
    let mut runs = Vec::new();
    for id in &ids {
        runs.push(client.json(client.request(Method::DELETE, &format!("backtests/{id}"))).await?);
    }
    tell(&runs, "is deleted", args.service.output);
    Ok(())
}

async fn ids(client: &Client, names: &[RunName]) -> Result<Vec<RunId>, CliError> {
    let mut ids = Vec::new();
    for name in names {
        ids.push(client.id(name).await?);
    }
    Ok(ids)
}

async fn amend(client: &Client, id: &RunId, body: &Value) -> Result<Value, CliError> {
    client.json(client.request(Method::PATCH, &format!("backtests/{id}")).json(body)).await
}

fn tell(runs: &[Value], what: &str, output: Output) {
    if output == Output::Json {
        return say(format_args!("{:#}", Value::Array(runs.to_vec())));
    }
    for run in runs {
        say(format_args!("{} {what}", run["run_id"].as_str().unwrap_or_default()));
    }
}

/// Asks the person at the terminal. Without a terminal nothing is deleted without `--yes`.
fn agreed(ids: &[RunId]) -> Result<bool, CliError> {
    if !std::io::stdin().is_terminal() {
        return Err(CliError::usage(
            "this is not a terminal, so there is no one to ask: give --yes to delete without a question",
        ));
    }
    let names: Vec<&str> = ids.iter().map(RunId::as_str).collect();
    let question = format!("Delete {}, with all files? [y/N] ", names.join(", "));
    let asked = std::io::stderr().write_all(question.as_bytes()).and_then(|()| {
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer).map(|_| answer)
    });
    let answer = asked.map_err(|error| CliError::because("ask", error))?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
