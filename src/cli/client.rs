//! The client commands, one for each call of the HTTP API of a local host or of the service on Azure.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use reqwest::header::{HeaderValue, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, StatusCode, Url};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::progress::Progress;
use super::run::print_summary;
use super::settings::{ClientSettings, environment, log_filter};
use super::{CliError, Output, say, telemetry};
use crate::run::RunId;
use crate::work::document::parse_yaml;
use crate::work::files::MANIFEST;

/// Address of the local host.
const LOCAL: &str = "http://127.0.0.1:7071";

/// Options of every client command.
#[derive(Debug, clap::Args)]
pub(super) struct Service {
    /// Address of the service [default: BACKTEST_URL, else http://127.0.0.1:7071]. The function key comes from
    /// BACKTEST_FUNCTION_KEY.
    #[arg(long)]
    url: Option<String>,
    /// How the answer is printed.
    #[arg(long, value_enum, default_value = "table")]
    output: Output,
}

/// Submit a backtest to a service.
#[derive(Debug, clap::Args)]
pub(super) struct SubmitArgs {
    /// The config, YAML or JSON.
    config: PathBuf,
    /// Id of the run [default: the service chooses].
    #[arg(long)]
    run_id: Option<RunId>,
    /// The same key and config give the same run, however often they are sent.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Stay until the run ends.
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    service: Service,
}

/// Show one run.
#[derive(Debug, clap::Args)]
pub(super) struct StatusArgs {
    /// The run.
    run_id: RunId,
    #[command(flatten)]
    service: Service,
}

/// List runs, newest first.
#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    /// Only runs in these states.
    #[arg(long, value_delimiter = ',')]
    status: Vec<String>,
    /// Only runs whose id or name holds this text.
    #[arg(long, short)]
    query: Option<String>,
    /// Runs to show.
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// Where the page before ended.
    #[arg(long)]
    cursor: Option<String>,
    #[command(flatten)]
    service: Service,
}

/// Stay with a run until it ends. Exit code 1 unless it completes.
#[derive(Debug, clap::Args)]
pub(super) struct WatchArgs {
    /// The run.
    run_id: RunId,
    #[command(flatten)]
    service: Service,
}

/// Cancel a run: a queued one ends at once, a running one is asked to stop.
#[derive(Debug, clap::Args)]
pub(super) struct CancelArgs {
    /// The run.
    run_id: RunId,
    #[command(flatten)]
    service: Service,
}

/// Fetch the artifacts of a completed run into DIR/<run_id>/.
#[derive(Debug, clap::Args)]
pub(super) struct FetchArgs {
    /// The run.
    run_id: RunId,
    /// Only these artifacts.
    names: Vec<String>,
    /// Folder to put them in.
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    #[command(flatten)]
    service: Service,
}

/// Check a config with a service: every fault of it, or what would be run. Nothing is stored.
#[derive(Debug, clap::Args)]
pub(super) struct ValidateArgs {
    /// The config, YAML or JSON.
    config: PathBuf,
    #[command(flatten)]
    service: Service,
}

/// Show the figures of a completed run.
#[derive(Debug, clap::Args)]
pub(super) struct SummaryArgs {
    /// The run.
    run_id: RunId,
    #[command(flatten)]
    service: Service,
}

/// Show the daily measures of a completed run, or those of a moving window.
#[derive(Debug, clap::Args)]
pub(super) struct MetricsArgs {
    /// The run.
    run_id: RunId,
    /// Trading days of a moving window.
    #[arg(long, value_name = "DAYS")]
    rolling: Option<u32>,
    /// Never more points than this, evenly spread.
    #[arg(long, value_name = "N", default_value_t = 5000)]
    max_points: u32,
    #[command(flatten)]
    service: Service,
}

/// Show the fills of a completed run.
#[derive(Debug, clap::Args)]
pub(super) struct TradesArgs {
    /// The run.
    run_id: RunId,
    /// Fills to show.
    #[arg(long, default_value_t = 1000)]
    limit: u32,
    /// Fills to leave out before.
    #[arg(long, default_value_t = 0)]
    offset: u32,
    #[command(flatten)]
    service: Service,
}

/// Show what a completed run held at the close of a day.
#[derive(Debug, clap::Args)]
pub(super) struct PositionsArgs {
    /// The run.
    run_id: RunId,
    /// The day [default: the last on which anything was held].
    #[arg(long, value_name = "YYYY-MM-DD")]
    date: Option<chrono::NaiveDate>,
    #[command(flatten)]
    service: Service,
}

/// Show the history of a run.
#[derive(Debug, clap::Args)]
pub(super) struct EventsArgs {
    /// The run.
    run_id: RunId,
    #[command(flatten)]
    service: Service,
}

pub(super) async fn submit(args: SubmitArgs) -> Result<(), CliError> {
    let client = Client::connect(&args.service)?;
    let config = read_config(&args.config)?;
    let run = client.submit(&config, args.run_id.as_ref(), args.idempotency_key.as_deref()).await?;
    if args.watch {
        return client.watch_and_print(id_of(&run), args.service.output).await;
    }
    print_run(&run, args.service.output);
    Ok(())
}

pub(super) async fn validate(args: ValidateArgs) -> Result<(), CliError> {
    let client = Client::connect(&args.service)?;
    let body = json!({ "config": read_config(&args.config)? });
    let found = client.json(client.request(Method::POST, "backtests/validate").json(&body)).await?;
    if args.service.output == Output::Json {
        say(format_args!("{found:#}"));
        return Ok(());
    }
    say(format_args!("{} can be run", args.config.display()));
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
    let summary = client.result(&args.run_id, "summary", &[]).await?;
    match args.service.output {
        Output::Json => say(format_args!("{summary:#}")),
        Output::Table => print_summary(&summary),
    }
    Ok(())
}

pub(super) async fn metrics(args: MetricsArgs) -> Result<(), CliError> {
    let client = Client::connect(&args.service)?;
    let most = ("max_points", args.max_points.to_string());
    let found = match args.rolling {
        Some(days) => {
            let query = [("window_days", days.to_string()), most];
            client.result(&args.run_id, "metrics/rolling", &query).await?
        }
        None => client.result(&args.run_id, "metrics/timeseries", &[most]).await?,
    };
    print_rows(&found, "points", args.service.output);
    Ok(())
}

pub(super) async fn trades(args: TradesArgs) -> Result<(), CliError> {
    let client = Client::connect(&args.service)?;
    let query = [("limit", args.limit.to_string()), ("offset", args.offset.to_string())];
    let found = client.result(&args.run_id, "trades", &query).await?;
    print_rows(&found, "trades", args.service.output);
    let shown = u64::from(args.offset) + found["trades"].as_array().map_or(0, Vec::len) as u64;
    if args.service.output == Output::Table && found["total"].as_u64().is_some_and(|total| shown < total) {
        say(format_args!("{shown} of {}; more: --offset {shown}", found["total"]));
    }
    Ok(())
}

pub(super) async fn positions(args: PositionsArgs) -> Result<(), CliError> {
    let client = Client::connect(&args.service)?;
    let query: Vec<_> = args.date.iter().map(|date| ("date", date.to_string())).collect();
    let found = client.result(&args.run_id, "positions", &query).await?;
    if args.service.output == Output::Table {
        say(format_args!("at the close of {}", found["date"].as_str().unwrap_or("no day")));
    }
    print_rows(&found, "positions", args.service.output);
    Ok(())
}

pub(super) async fn events(args: EventsArgs) -> Result<(), CliError> {
    let client = Client::connect(&args.service)?;
    let found = client.result(&args.run_id, "events", &[]).await?;
    print_rows(&found, "events", args.service.output);
    Ok(())
}

pub(super) async fn status(args: StatusArgs) -> Result<(), CliError> {
    let run = Client::connect(&args.service)?.status(args.run_id.as_str()).await?;
    print_run(&run, args.service.output);
    Ok(())
}

pub(super) async fn list(args: ListArgs) -> Result<(), CliError> {
    let client = Client::connect(&args.service)?;
    let mut query = vec![("limit", args.limit.to_string())];
    query.extend(args.status.into_iter().map(|status| ("status", status)));
    query.extend(args.query.map(|text| ("q", text)));
    query.extend(args.cursor.map(|cursor| ("cursor", cursor)));
    let page = client.json(client.request(Method::GET, "backtests").query(&query)).await?;
    if args.service.output == Output::Json {
        say(format_args!("{page:#}"));
        return Ok(());
    }
    say(format_args!("{:<26} {:<10} {:>8}  {:<20} name", "run", "status", "progress", "submitted"));
    for run in page["runs"].as_array().into_iter().flatten() {
        let text = |name: &str| run[name].as_str().unwrap_or("-").to_owned();
        let progress = format!("{:.0} %", 100.0 * run["progress"].as_f64().unwrap_or(0.0));
        let submitted: String = text("submitted_at").chars().take(19).collect();
        let (id, status, name) = (text("run_id"), text("status"), text("run_name"));
        say(format_args!("{id:<26} {status:<10} {progress:>8}  {submitted:<20} {name}"));
    }
    if let Some(cursor) = page["next_cursor"].as_str() {
        say(format_args!("more: --cursor {cursor}"));
    }
    Ok(())
}

pub(super) async fn watch(args: WatchArgs) -> Result<(), CliError> {
    Client::connect(&args.service)?.watch_and_print(args.run_id.as_str(), args.service.output).await
}

pub(super) async fn cancel(args: CancelArgs) -> Result<(), CliError> {
    let client = Client::connect(&args.service)?;
    let run = client.json(client.request(Method::POST, &format!("backtests/{}/cancel", args.run_id))).await?;
    print_run(&run, args.service.output);
    Ok(())
}

pub(super) async fn fetch(args: FetchArgs) -> Result<(), CliError> {
    let client = Client::connect(&args.service)?;
    let listed =
        client.json(client.request(Method::GET, &format!("backtests/{}/artifacts", args.run_id))).await?;
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
    let folder = args.out.join(args.run_id.as_str());
    let mut progress = Progress::start(format!("fetch {}", args.run_id));
    for (done, file) in known.iter().enumerate() {
        progress.at(done as u64, known.len() as u64, file.name);
        client.fetch(args.run_id.as_str(), file, &folder).await?;
    }
    progress.finish(&format!("{} files in {}", known.len(), folder.display()));
    if args.service.output == Output::Json {
        let names: Vec<&str> = known.iter().map(|file| file.name).collect();
        say(json!({ "folder": folder, "artifacts": names }));
    }
    Ok(())
}

/// A file as the service lists it.
struct Listed<'a> {
    name: &'a str,
    sha256: Option<&'a str>,
}

impl<'a> Listed<'a> {
    /// Refuses a name that leads out of the folder of the run: whoever answers may be anybody.
    fn of(file: &'a Value) -> Result<Self, CliError> {
        let name = file["name"].as_str().unwrap_or_default();
        let plain = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
        if name.is_empty() || name.contains('\\') || !plain {
            return Err(CliError::failed(format!("the service lists an artifact under the name {name:?}")));
        }
        Ok(Self { name, sha256: file["sha256"].as_str() })
    }
}

/// A client of one service.
pub(super) struct Client {
    http: reqwest::Client,
    base: Url,
    settings: ClientSettings,
}

impl Client {
    fn connect(service: &Service) -> Result<Self, CliError> {
        let environment = environment();
        telemetry::command(log_filter(&environment));
        let settings = ClientSettings::from(&environment);
        let url = match (&service.url, &settings.url) {
            (Some(url), _) => ("--url", url.clone()),
            (None, Some(url)) => ("BACKTEST_URL", url.clone()),
            (None, None) => ("--url", LOCAL.to_owned()),
        };
        Self::at(url.0, &url.1, settings)
    }

    /// A client of the service at `url`, which came by `name`.
    pub(super) fn at(name: &str, url: &str, settings: ClientSettings) -> Result<Self, CliError> {
        let base = format!("{}/api/", url.trim_end_matches('/'));
        let base = Url::parse(&base).map_err(|error| CliError::usage(format!("{name}: {error}")))?;
        if !base.username().is_empty() || base.password().is_some() || base.query().is_some() {
            return Err(CliError::usage(format!(
                "{name}: must carry neither a password nor a query; the key comes from BACKTEST_FUNCTION_KEY"
            )));
        }
        let key = settings.key.as_ref().map(|key| HeaderValue::from_str(key.reveal()));
        if key.is_some_and(|key| key.is_err()) {
            return Err(CliError::usage("BACKTEST_FUNCTION_KEY: is no key: it holds other characters"));
        }
        let http = reqwest::Client::builder().timeout(Duration::from_secs(120)).build();
        Ok(Self {
            http: http.map_err(|error| CliError::because("prepare the client", error))?,
            base,
            settings,
        })
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path()));
        let request = self.http.request(method, url);
        match &self.settings.key {
            Some(key) => request.header("x-functions-key", key.reveal()),
            None => request,
        }
    }

    /// Sends a request and reads its document; a problem becomes the error of the command.
    async fn json(&self, request: RequestBuilder) -> Result<Value, CliError> {
        self.document(request.send().await.map_err(|error| self.unreachable(error))?).await
    }

    async fn document(&self, answer: reqwest::Response) -> Result<Value, CliError> {
        let status = answer.status();
        let body = answer.bytes().await.map_err(|error| self.unreachable(error))?;
        match serde_json::from_slice(&body) {
            Ok(document @ Value::Object(_)) if status.is_success() => Ok(document),
            Ok(document) if !status.is_success() => Err(problem(status, &document)),
            Err(_) if !status.is_success() => Err(problem(status, &Value::Null)),
            _ => Err(CliError::failed(format!("{} answers, but is no such service", self.base))),
        }
    }

    fn unreachable(&self, error: reqwest::Error) -> CliError {
        // The address stands in the message once, without anything that the query may carry.
        CliError::because(format!("reach {}", self.base), error.without_url())
    }

    /// Submits a config.
    pub(super) async fn submit(
        &self,
        config: &Value,
        run_id: Option<&RunId>,
        key: Option<&str>,
    ) -> Result<Value, CliError> {
        let mut body = json!({ "config": config });
        if let Some(run_id) = run_id {
            body["run_id"] = json!(run_id);
        }
        let mut request = self.request(Method::POST, "backtests").json(&body);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        self.json(request).await
    }

    /// What a run left behind, as a document.
    async fn result(&self, run_id: &RunId, what: &str, query: &[(&str, String)]) -> Result<Value, CliError> {
        self.json(self.request(Method::GET, &format!("backtests/{run_id}/{what}")).query(query)).await
    }

    async fn status(&self, run_id: &str) -> Result<Value, CliError> {
        self.json(self.request(Method::GET, &format!("backtests/{run_id}"))).await
    }

    /// Stays with a run until it ends, and answers its last record.
    pub(super) async fn watch(&self, run_id: &str) -> Result<Value, CliError> {
        let mut progress = Progress::start(run_id);
        let mut pause = Duration::from_millis(50);
        let mut busy = 0;
        loop {
            let answer = self.request(Method::GET, &format!("backtests/{run_id}"));
            let answer = answer.send().await.map_err(|error| self.unreachable(error))?;
            // A service that is short of something for a while says so; the run goes on meanwhile.
            if matches!(answer.status(), StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS)
                && busy < BUSY_MAX
            {
                busy += 1;
                progress.at(0, 1000, "the service is busy");
                tokio::time::sleep(retry_after(&answer)).await;
                continue;
            }
            busy = 0;
            let run = self.document(answer).await?;
            let status = run["status"].as_str().unwrap_or_default();
            if matches!(status, "completed" | "failed" | "canceled") {
                progress.finish(&format!("{run_id}: {status}"));
                return Ok(run);
            }
            let done = (1000.0 * run["progress"].as_f64().unwrap_or(0.0)) as u64;
            let note = run["progress_note"].as_str().unwrap_or(status);
            progress.at(done, 1000, note);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    async fn watch_and_print(&self, run_id: &str, output: Output) -> Result<(), CliError> {
        let run = self.watch(run_id).await?;
        match output {
            Output::Json => print_run(&run, output),
            Output::Table if run["summary"].is_object() => print_summary(&run["summary"]),
            Output::Table => print_run(&run, output),
        }
        if run["status"] == "completed" {
            return Ok(());
        }
        let why = run["error"].as_str().or(run["status_reason"].as_str()).unwrap_or("no reason given");
        Err(CliError::failed(format!(
            "run {run_id} is {}: {why}",
            run["status"].as_str().unwrap_or_default()
        )))
    }

    /// Fetches a file beside its place and moves it there when it is whole.
    async fn fetch(&self, run_id: &str, file: &Listed<'_>, folder: &Path) -> Result<(), CliError> {
        let name = file.name;
        let request = self.request(Method::GET, &format!("backtests/{run_id}/artifacts/{name}"));
        let mut answer = request.send().await.map_err(|error| self.unreachable(error))?;
        if !answer.status().is_success() {
            return Err(problem(answer.status(), &answer.json().await.unwrap_or(Value::Null)));
        }
        let path = folder.join(name);
        let write = |error: std::io::Error| CliError::because(format!("write {}", path.display()), error);
        let parent = path.parent().unwrap_or(folder);
        std::fs::create_dir_all(parent).map_err(write)?;
        let mut unfinished = tempfile::Builder::new()
            .prefix(".unfinished-")
            .permissions(std::fs::Permissions::from_mode(0o644))
            .tempfile_in(parent)
            .map_err(write)?;
        let mut digest = Sha256::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| self.unreachable(error))? {
            digest.update(&chunk);
            unfinished.write_all(&chunk).map_err(write)?;
        }
        if file.sha256.is_some_and(|sha256| sha256 != format!("{:x}", digest.finalize())) {
            return Err(CliError::failed(format!(
                "{name} is not what the manifest says; nothing was kept of it"
            )));
        }
        unfinished.persist(&path).map(|_| ()).map_err(|error| write(error.error))
    }
}

/// Times in a row that a watched service may be busy.
const BUSY_MAX: u32 = 30;

/// Seconds that a busy service asks for, within reason.
fn retry_after(answer: &reqwest::Response) -> Duration {
    let named = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    Duration::from_secs(named.unwrap_or(2_u64).clamp(1, 30))
}

/// What a refusal says, every fault of it.
fn problem(status: StatusCode, document: &Value) -> CliError {
    let detail = document["detail"].as_str().unwrap_or("the service gave no reason");
    let faults = document["errors"].as_array().filter(|faults| !faults.is_empty());
    let message = match faults {
        Some(faults) => {
            let text = |fault: &Value, name: &str| fault[name].as_str().unwrap_or_default().to_owned();
            let lines =
                faults.iter().map(|fault| format!("\n  {}: {}", text(fault, "path"), text(fault, "message")));
            format!("{}:{}", document["title"].as_str().unwrap_or("refused"), lines.collect::<String>())
        }
        None => format!("{detail} ({})", status.as_u16()),
    };
    match status {
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => CliError::usage(message),
        _ => CliError::failed(message),
    }
}

/// The config in a file.
fn read_config(path: &std::path::Path) -> Result<Value, CliError> {
    let place = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| CliError::because(format!("read {place}"), error).with_exit(CliError::USAGE))?;
    parse_yaml(&text).map_err(|error| CliError::usage(format!("{place} is no YAML or JSON: {error}")))
}

/// The rows that a document has below `name`, under the names of their fields.
fn print_rows(document: &Value, name: &str, output: Output) {
    if output == Output::Json {
        return say(format_args!("{document:#}"));
    }
    let rows: Vec<_> = document[name].as_array().into_iter().flatten().filter_map(Value::as_object).collect();
    let Some(first) = rows.first() else { return say(format_args!("no {name}")) };
    let text = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => format!("{:.6}", number.as_f64().unwrap_or_default()),
        other => other.to_string(),
    };
    let mut lines = vec![first.keys().cloned().collect::<Vec<String>>()];
    lines.extend(rows.iter().map(|row| row.values().map(text).collect()));
    let widths: Vec<usize> = (0..first.len())
        .map(|column| lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max())
        .map(Option::unwrap_or_default)
        .collect();
    for line in lines {
        let cells: Vec<String> =
            line.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}")).collect();
        say(cells.join("  ").trim_end());
    }
}

/// The id in a run record.
pub(super) fn id_of(run: &Value) -> &str {
    run["run_id"].as_str().unwrap_or_default()
}

fn print_run(run: &Value, output: Output) {
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
        "output_dir",
        "adls_container",
        "adls_prefix",
    ] {
        match &run[name] {
            Value::Null => {}
            Value::String(text) => say(format_args!("{name:<16} {text}")),
            other => say(format_args!("{name:<16} {other}")),
        }
    }
}
