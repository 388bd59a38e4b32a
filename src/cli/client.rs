//! The client commands, one for each call of the HTTP API of a local host or of the service on Azure.

use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

use clap::builder::PossibleValuesParser;
use reqwest::Method;
use serde_json::{Value, json};

use super::progress::Progress;
use super::service::{Client, Listed, RunName, Service, id_of};
use super::summary::{REPORT, print_summary, show};
use super::table::{self, Column, number, percent};
use super::{CliError, Output, say};
use crate::run::{RunId, Status};
use crate::work::document::parse_yaml;
use crate::work::files::MANIFEST;
use crate::work::study::Study;

/// Submit a backtest to a service.
#[derive(Debug, clap::Args)]
pub(super) struct SubmitArgs {
    /// The config, YAML or JSON; - reads it from stdin.
    config: PathBuf,
    /// Id of the run [default: the service chooses].
    #[arg(long)]
    run_id: Option<RunId>,
    /// The same key and config give the same run, however often they are sent.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Take a completed run of the same config, data and engine instead, if there is one.
    #[arg(long)]
    reuse: bool,
    /// Stay until the run ends.
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    pub(super) service: Service,
}

/// Show one run.
#[derive(Debug, clap::Args)]
pub(super) struct StatusArgs {
    /// The run: its id, the beginning of it, @latest or @latest-failed.
    run: RunName,
    #[command(flatten)]
    pub(super) service: Service,
}

/// List runs, newest first.
#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    /// Only runs in these states.
    #[arg(long, value_delimiter = ',', value_parser = PossibleValuesParser::new(Status::ALL.map(Status::as_str)))]
    status: Vec<String>,
    /// Only runs whose id or name holds this text.
    #[arg(long, short)]
    query: Option<String>,
    /// Only runs submitted after this day or moment (UTC).
    #[arg(long, value_name = "DATE", value_parser = moment)]
    submitted_after: Option<String>,
    /// Only runs of exactly this caller.
    #[arg(long, value_name = "NAME")]
    submitted_by: Option<String>,
    /// Only runs with this tag.
    #[arg(long)]
    tag: Option<String>,
    /// Only runs that were put away.
    #[arg(long)]
    archived: bool,
    /// Order of the runs that are shown [default: newest first]. Figures come best first.
    #[arg(long, value_enum)]
    sort: Option<Sort>,
    /// Runs to show.
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// Where the page before ended.
    #[arg(long)]
    cursor: Option<String>,
    #[command(flatten)]
    pub(super) service: Service,
}

/// What runs are ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Sort {
    /// Newest first.
    Submitted,
    /// Total return, highest first.
    Return,
    /// Sharpe ratio, highest first.
    Sharpe,
    /// Deepest fall, smallest first.
    Drawdown,
    /// Name, from A.
    Name,
}

/// Stay with a run until it ends. Exit code 1 unless it completes.
#[derive(Debug, clap::Args)]
pub(super) struct WatchArgs {
    /// The run: its id, the beginning of it, @latest or @latest-failed.
    run: RunName,
    #[command(flatten)]
    pub(super) service: Service,
}

/// Cancel a run: a queued one ends at once, a running one is asked to stop.
#[derive(Debug, clap::Args)]
pub(super) struct CancelArgs {
    /// The run: its id, the beginning of it, @latest or @latest-failed.
    run: RunName,
    #[command(flatten)]
    pub(super) service: Service,
}

/// Fetch the artifacts of a completed run into DIR/<run_id>/.
#[derive(Debug, clap::Args)]
pub(super) struct FetchArgs {
    /// The run: its id, the beginning of it, @latest or @latest-failed.
    run: RunName,
    /// Only these artifacts.
    names: Vec<String>,
    /// Folder to put them in.
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    #[command(flatten)]
    pub(super) service: Service,
}

/// Check a config with a service: every fault of it, or what would be run. Nothing is stored.
#[derive(Debug, clap::Args)]
pub(super) struct ValidateArgs {
    /// The config, YAML or JSON; - reads it from stdin.
    config: PathBuf,
    #[command(flatten)]
    pub(super) service: Service,
}

/// Show the figures of a completed run.
#[derive(Debug, clap::Args)]
pub(super) struct SummaryArgs {
    /// The run: its id, the beginning of it, @latest or @latest-failed.
    run: RunName,
    #[command(flatten)]
    pub(super) service: Service,
}

/// Fetch the report of a completed run into DIR/<run_id>/report.html.
#[derive(Debug, clap::Args)]
pub(super) struct ReportArgs {
    /// The run: its id, the beginning of it, @latest or @latest-failed.
    run: RunName,
    /// Show it in the browser.
    #[arg(long)]
    open: bool,
    /// Folder to put it in.
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    #[command(flatten)]
    pub(super) service: Service,
}

/// Show the daily measures of a completed run, or those of a moving window.
#[derive(Debug, clap::Args)]
pub(super) struct MetricsArgs {
    /// The run: its id, the beginning of it, @latest or @latest-failed.
    run: RunName,
    /// Trading days of a moving window.
    #[arg(long, value_name = "DAYS")]
    rolling: Option<u32>,
    /// Never more points than this, evenly spread.
    #[arg(long, value_name = "N", default_value_t = 5000)]
    max_points: u32,
    #[command(flatten)]
    pub(super) service: Service,
}

/// Show the fills of a completed run.
#[derive(Debug, clap::Args)]
pub(super) struct TradesArgs {
    /// The run: its id, the beginning of it, @latest or @latest-failed.
    run: RunName,
    /// Fills to show.
    #[arg(long, default_value_t = 1000)]
    limit: u32,
    /// Fills to leave out before.
    #[arg(long, default_value_t = 0)]
    offset: u32,
    #[command(flatten)]
    pub(super) service: Service,
}

/// Show what a completed run held at the close of a day.
#[derive(Debug, clap::Args)]
pub(super) struct PositionsArgs {
    /// The run: its id, the beginning of it, @latest or @latest-failed.
    run: RunName,
    /// The day [default: the last on which anything was held].
    #[arg(long, value_name = "YYYY-MM-DD")]
    date: Option<chrono::NaiveDate>,
    #[command(flatten)]
    pub(super) service: Service,
}

/// Show the orders that the last day of a completed run leaves (`output.save_orders: true`); nothing of it was traded.
#[derive(Debug, clap::Args)]
pub(super) struct OrdersArgs {
    /// The run: its id, the beginning of it, @latest or @latest-failed.
    run: RunName,
    /// Show the weights that shall be held instead.
    #[arg(long)]
    weights: bool,
    #[command(flatten)]
    pub(super) service: Service,
}

/// Show the history of a run.
#[derive(Debug, clap::Args)]
pub(super) struct EventsArgs {
    /// The run: its id, the beginning of it, @latest or @latest-failed.
    run: RunName,
    #[command(flatten)]
    pub(super) service: Service,
}

pub(super) async fn submit(args: SubmitArgs) -> Result<(), CliError> {
    let client = Client::connect(&args.service)?;
    let config = read_config(&args.config)?;
    let run =
        client.submit(&config, args.run_id.as_ref(), args.idempotency_key.as_deref(), args.reuse).await?;
    if args.watch {
        return watch_and_print(&client, &id_of(&run)?, args.service.output).await;
    }
    print_run(&run, args.service.output);
    Ok(())
}

/// Submits, and stays until the run ends.
pub(super) async fn study(args: SubmitArgs) -> Result<(), CliError> {
    submit(SubmitArgs { watch: true, ..args }).await
}

pub(super) async fn validate(args: ValidateArgs) -> Result<(), CliError> {
    let client = Client::connect(&args.service)?;
    let config = read_config(&args.config)?;
    let is_study = Study::is_one(&config);
    let path = if is_study { "studies/validate" } else { "backtests/validate" };
    let body = json!({ "config": config });
    let found = client.json(client.request(Method::POST, path).json(&body)).await?;
    if args.service.output == Output::Json {
        say(format_args!("{found:#}"));
        return Ok(());
    }
    say(format_args!("{} can be run", place_of(&args.config)));
    for warning in found["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        say(format_args!("warning: {warning}"));
    }
    if is_study {
        let counts = found.as_object().into_iter().flatten().filter(|(_, value)| value.is_number());
        for (name, value) in counts {
            say(format_args!("{name:<16} {value}"));
        }
        return Ok(());
    }
    say(format_args!("{:<16} {}", "fingerprint", found["fingerprint"].as_str().unwrap_or_default()));
    for section in ["estimate", "data_versions"] {
        for (name, value) in found[section].as_object().into_iter().flatten() {
            say(format_args!("{name:<16} {value}"));
        }
    }
    Ok(())
}

pub(super) async fn summary(args: SummaryArgs) -> Result<(), CliError> {
    let client = Client::connect(&args.service)?;
    let id = client.id(&args.run).await?;
    let summary = client.result(&id, "summary", &[]).await?;
    match args.service.output {
        Output::Json => say(format_args!("{summary:#}")),
        Output::Table => print_summary(&summary, Some(&client.report_place(id.as_str()))),
    }
    Ok(())
}

pub(super) async fn report(args: ReportArgs) -> Result<(), CliError> {
    let client = Client::connect(&args.service)?;
    let id = client.id(&args.run).await?;
    let file = Listed { name: REPORT, sha256: None };
    let path = client.fetch(&id, &file, &args.out.join(id.as_str())).await?;
    match args.service.output {
        Output::Json => say(json!({ "report": path })),
        Output::Table => say(format_args!("report: {}", path.display())),
    }
    if args.open { show(&path).await } else { Ok(()) }
}

pub(super) async fn metrics(args: MetricsArgs) -> Result<(), CliError> {
    let client = Client::connect(&args.service)?;
    let id = client.id(&args.run).await?;
    let most = ("max_points", args.max_points.to_string());
    let found = match args.rolling {
        Some(days) => {
            let query = [("window_days", days.to_string()), most];
            client.result(&id, "metrics/rolling", &query).await?
        }
        None => client.result(&id, "metrics/timeseries", &[most]).await?,
    };
    print_rows(&found, "points", args.service.output);
    Ok(())
}

pub(super) async fn trades(args: TradesArgs) -> Result<(), CliError> {
    let client = Client::connect(&args.service)?;
    let id = client.id(&args.run).await?;
    let query = [("limit", args.limit.to_string()), ("offset", args.offset.to_string())];
    let found = client.result(&id, "trades", &query).await?;
    print_rows(&found, "trades", args.service.output);
    let shown = u64::from(args.offset) + found["trades"].as_array().map_or(0, Vec::len) as u64;
    if args.service.output == Output::Table && found["total"].as_u64().is_some_and(|total| shown < total) {
        say(format_args!("{shown} of {}; more: --offset {shown}", found["total"]));
    }
    Ok(())
}

pub(super) async fn positions(args: PositionsArgs) -> Result<(), CliError> {
    let client = Client::connect(&args.service)?;
    let id = client.id(&args.run).await?;
    let query: Vec<_> = args.date.iter().map(|date| ("date", date.to_string())).collect();
    let found = client.result(&id, "positions", &query).await?;
    if args.service.output == Output::Table {
        say(format_args!("at the close of {}", found["date"].as_str().unwrap_or("no day")));
    }
    print_rows(&found, "positions", args.service.output);
    Ok(())
}

pub(super) async fn orders(args: OrdersArgs) -> Result<(), CliError> {
    let client = Client::connect(&args.service)?;
    let id = client.id(&args.run).await?;
    let found = client.result(&id, "orders", &[]).await?;
    if args.service.output == Output::Table {
        say(format_args!("after the close of {}", found["as_of"].as_str().unwrap_or("no day")));
    }
    print_rows(&found, if args.weights { "target_weights" } else { "orders" }, args.service.output);
    Ok(())
}

pub(super) async fn events(args: EventsArgs) -> Result<(), CliError> {
    let client = Client::connect(&args.service)?;
    let found = client.result(&client.id(&args.run).await?, "events", &[]).await?;
    print_rows(&found, "events", args.service.output);
    Ok(())
}

pub(super) async fn status(args: StatusArgs) -> Result<(), CliError> {
    let client = Client::connect(&args.service)?;
    let run = client.status(&client.id(&args.run).await?).await?;
    print_run(&run, args.service.output);
    Ok(())
}

pub(super) async fn list(args: ListArgs) -> Result<(), CliError> {
    let client = Client::connect(&args.service)?;
    let mut query = vec![("limit", args.limit.to_string())];
    query.extend(args.status.into_iter().map(|status| ("status", status)));
    query.extend(args.query.map(|text| ("q", text)));
    query.extend(args.submitted_after.map(|moment| ("submitted_after", moment)));
    query.extend(args.submitted_by.map(|name| ("submitted_by", name)));
    query.extend(args.tag.map(|tag| ("tag", tag)));
    query.extend(args.archived.then(|| ("archived", "true".to_owned())));
    query.extend(args.cursor.map(|cursor| ("cursor", cursor)));
    let mut page = client.json(client.request(Method::GET, "backtests").query(&query)).await?;
    if let (Some(sort), Value::Array(runs)) = (args.sort, &mut page["runs"]) {
        order(runs, sort);
    }
    if args.service.output == Output::Json {
        say(format_args!("{page:#}"));
        return Ok(());
    }
    let runs = page["runs"].as_array().map(Vec::as_slice).unwrap_or_default();
    if runs.is_empty() {
        say("no runs; `backtests submit CONFIG` makes one");
        return Ok(());
    }
    print_runs(runs);
    if let Some(cursor) = page["next_cursor"].as_str() {
        let sorted = if args.sort.is_some() { "only these were sorted; " } else { "" };
        say(format_args!("{sorted}more: --cursor {cursor}"));
    }
    Ok(())
}

/// Puts runs into the order that was asked for; those without the figure come last, equal ones stay as they are.
fn order(runs: &mut [Value], sort: Sort) {
    let highest =
        |name: &'static str| move |run: &Value| -run["summary"][name].as_f64().unwrap_or(f64::NEG_INFINITY);
    match sort {
        // As the service sends them.
        Sort::Submitted => (),
        Sort::Return => runs.sort_by(by(highest("total_return"))),
        Sort::Sharpe => runs.sort_by(by(highest("sharpe_ratio"))),
        // Falls are negative.
        Sort::Drawdown => runs.sort_by(by(highest("max_drawdown"))),
        Sort::Name => runs.sort_by_key(|run| run["run_name"].as_str().unwrap_or("\u{10ffff}").to_owned()),
    }
}

fn by(key: impl Fn(&Value) -> f64) -> impl Fn(&Value, &Value) -> std::cmp::Ordering {
    move |a, b| key(a).total_cmp(&key(b))
}

/// Where there is room for it, the moment of the submission stands before the name.
fn print_runs(runs: &[Value]) {
    let roomy = table::width() >= 100;
    let mut columns = vec![
        Column::text("run"),
        Column::text("status"),
        Column::number("return"),
        Column::number("Sharpe"),
        Column::number("drawdown"),
    ];
    if roomy {
        columns.push(Column::text("submitted"));
    }
    columns.push(Column::text("name"));
    let row = |run: &Value| {
        let text = |name: &str| run[name].as_str().unwrap_or("-").to_owned();
        let status = match run["status"].as_str() {
            Some("running") => format!("running {:.0} %", 100.0 * run["progress"].as_f64().unwrap_or(0.0)),
            _ => text("status"),
        };
        let figures = &run["summary"];
        let mut row = vec![
            text("run_id"),
            status,
            percent(&figures["total_return"]),
            number(&figures["sharpe_ratio"]),
            percent(&figures["max_drawdown"]),
        ];
        if roomy {
            row.push(text("submitted_at").chars().take(16).collect::<String>().replace('T', " "));
        }
        row.push(text("run_name"));
        row
    };
    table::print(&columns, &runs.iter().map(row).collect::<Vec<_>>());
}

pub(super) async fn watch(args: WatchArgs) -> Result<(), CliError> {
    let client = Client::connect(&args.service)?;
    watch_and_print(&client, &client.id(&args.run).await?, args.service.output).await
}

async fn watch_and_print(client: &Client, run_id: &RunId, output: Output) -> Result<(), CliError> {
    let run = client.watch(run_id).await?;
    match output {
        Output::Json => print_run(&run, output),
        Output::Table if run["summary"]["sentence"].is_string() => {
            say(run["summary"]["sentence"].as_str().unwrap_or_default());
            say(format_args!("report: {}", client.report_place(run_id.as_str())));
        }
        Output::Table if run["summary"].is_object() => {
            print_summary(&run["summary"], Some(&client.report_place(run_id.as_str())));
        }
        Output::Table => print_run(&run, output),
    }
    if run["status"] == "completed" {
        return Ok(());
    }
    let why = run["error"].as_str().or(run["status_reason"].as_str()).unwrap_or("no reason given");
    let status = run["status"].as_str().unwrap_or_default();
    // With JSON the record on stdout says it all; a second document beside it could not be read.
    Err(CliError::failed(format!("run {run_id} is {status}: {why}")).with_answer_given())
}

pub(super) async fn cancel(args: CancelArgs) -> Result<(), CliError> {
    let client = Client::connect(&args.service)?;
    let id = client.id(&args.run).await?;
    let run = client.json(client.request(Method::POST, &format!("backtests/{id}/cancel"))).await?;
    print_run(&run, args.service.output);
    Ok(())
}

pub(super) async fn fetch(args: FetchArgs) -> Result<(), CliError> {
    let client = Client::connect(&args.service)?;
    let id = client.id(&args.run).await?;
    let listed = client.result(&id, "artifacts", &[]).await?;
    let listed = listed["artifacts"].as_array().into_iter().flatten();
    let mut known = listed.map(Listed::of).collect::<Result<Vec<Listed<'_>>, CliError>>()?;
    // It lists the others, so it is not in its own list.
    known.push(Listed { name: MANIFEST, sha256: None });
    if let Some(unknown) = args.names.iter().find(|name| known.iter().all(|file| file.name != **name)) {
        let names: Vec<&str> = known.iter().map(|file| file.name).collect();
        return Err(CliError::failed(format!(
            "the run has no artifact '{unknown}'; it has {}",
            names.join(", ")
        )));
    }
    known.retain(|file| args.names.is_empty() || args.names.iter().any(|name| name == file.name));
    let folder = args.out.join(id.as_str());
    let mut progress = Progress::start(format!("fetch {id}"));
    for (done, file) in known.iter().enumerate() {
        progress.at(done as u64, known.len() as u64, file.name);
        client.fetch(&id, file, &folder).await?;
    }
    progress.finish(&format!("{} files in {}", known.len(), folder.display()));
    if args.service.output == Output::Json {
        let names: Vec<&str> = known.iter().map(|file| file.name).collect();
        say(json!({ "folder": folder, "artifacts": names }));
    }
    Ok(())
}

/// A moment as the service reads it; a day alone is its beginning.
fn moment(text: &str) -> Result<String, String> {
    if text.parse::<chrono::NaiveDate>().is_ok() {
        return Ok(format!("{text}T00:00:00Z"));
    }
    let moment = chrono::DateTime::parse_from_rfc3339(text);
    moment
        .map(|moment| moment.to_rfc3339())
        .map_err(|_| "must look like 2026-11-20 or 2026-11-20T09:30:00Z".to_owned())
}

/// What a config's file is called in messages.
fn place_of(path: &Path) -> String {
    if path == Path::new("-") { "the config from stdin".to_owned() } else { path.display().to_string() }
}

/// The config in a file, or on stdin.
pub(super) fn read_config(path: &Path) -> Result<Value, CliError> {
    let place = place_of(path);
    let text = if path == Path::new("-") {
        if std::io::stdin().is_terminal() {
            return Err(CliError::usage(
                "the config is read from stdin, which is a terminal: give a file, or `< FILE`",
            ));
        }
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    let text =
        text.map_err(|error| CliError::because(format!("read {place}"), error).with_exit(CliError::USAGE))?;
    parse_yaml(&text).map_err(|error| CliError::usage(format!("{place} is not YAML or JSON: {error}")))
}

/// Columns that come first where not all of them fit.
const FIRST_COLUMNS: [&str; 9] =
    ["date", "execution_date", "symbol", "side", "quantity", "price", "equity", "daily_return", "drawdown"];

/// The rows that a document has below `name`, under the names of their fields.
fn print_rows(document: &Value, name: &str, output: Output) {
    if output == Output::Json {
        return say(format_args!("{document:#}"));
    }
    match document[name].as_array() {
        Some(rows) if !rows.is_empty() => table::print_records(rows, &FIRST_COLUMNS),
        _ => say(format_args!("no {name}")),
    }
}

pub(super) fn print_run(run: &Value, output: Output) {
    if output == Output::Json {
        return say(format_args!("{run:#}"));
    }
    for name in [
        "run_id",
        "run_name",
        "status",
        "status_reason",
        "progress_note",
        "attempt",
        "submitted_at",
        "started_at",
        "completed_at",
        "error",
        "engine_version",
        "fingerprint",
        "results_sha256",
        "output_dir",
        "adls_container",
        "adls_prefix",
        "tags",
        "note",
        "archived_at",
        "deleted_at",
        "deleted_by",
    ] {
        match &run[name] {
            Value::Null => {}
            Value::Array(texts) if texts.is_empty() => {}
            Value::Array(texts) => {
                let texts: Vec<&str> = texts.iter().filter_map(Value::as_str).collect();
                say(format_args!("{name:<16} {}", texts.join(" ")));
            }
            Value::String(text) => say(format_args!("{name:<16} {text}")),
            other => say(format_args!("{name:<16} {other}")),
        }
    }
}
