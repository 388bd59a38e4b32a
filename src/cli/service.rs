//! The connection to a service: its address, its key, what is sent where, and what a refusal means for the person at the
//! terminal. Nothing of ours is ever sent to another origin than the one that was named.

use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use reqwest::header::{HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url, redirect};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::progress::Progress;
use super::settings::{ClientSettings, environment, log_filter};
use super::{CliError, Output, telemetry};
use crate::run::RunId;
use crate::work::study::Study;

/// Address of the local host.
const LOCAL: &str = "http://127.0.0.1:7071";

/// Times in a row that a watched service may be busy.
const BUSY_MAX: u32 = 30;

/// Redirects of one download.
const REDIRECTS_MAX: usize = 5;

/// Runs that a prefix is looked up among.
const CANDIDATES: u32 = 100;

/// Options of every client command.
#[derive(Debug, clap::Args)]
pub(super) struct Service {
    /// Address of the service [default: BACKTEST_URL, else http://127.0.0.1:7071]. The function key comes from
    /// BACKTEST_FUNCTION_KEY.
    #[arg(long)]
    url: Option<String>,
    /// Send the function key over plain http to another machine.
    #[arg(long)]
    insecure: bool,
    /// How the answer is printed.
    #[arg(long, value_enum, default_value = "table")]
    pub(super) output: Output,
}

/// A run as a person names it.
#[derive(Debug, Clone)]
pub(super) enum RunName {
    /// An id, or the beginning of one.
    Id(RunId),
    /// The run submitted last.
    Latest,
    /// The run submitted last of those that failed.
    LatestFailed,
}

impl std::str::FromStr for RunName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "@latest" => Ok(Self::Latest),
            "@latest-failed" => Ok(Self::LatestFailed),
            _ => text.parse().map(Self::Id).map_err(|error| {
                format!(
                    "a run is named by its id, the beginning of one, @latest or @latest-failed; an id {error}"
                )
            }),
        }
    }
}

/// A file as the service lists it.
pub(super) struct Listed<'a> {
    pub(super) name: &'a str,
    pub(super) sha256: Option<&'a str>,
}

impl<'a> Listed<'a> {
    /// Refuses a name that leads out of the folder of the run: the service is not trusted.
    pub(super) fn of(file: &'a Value) -> Result<Self, CliError> {
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
    pub(super) fn connect(service: &Service) -> Result<Self, CliError> {
        let environment = environment();
        telemetry::command(log_filter(&environment));
        let settings = ClientSettings::from(&environment);
        let (name, url) = match (&service.url, &settings.url) {
            (Some(url), _) => ("--url", url.clone()),
            (None, Some(url)) => ("BACKTEST_URL", url.clone()),
            (None, None) => ("--url", LOCAL.to_owned()),
        };
        let client = Self::at(name, &url, settings)?;
        let exposed = client.settings.key.is_some() && client.base.scheme() == "http" && !client.is_local();
        if exposed && !service.insecure {
            let mut secure = client.base.clone();
            // Both schemes are of the same kind, so this cannot fail.
            let _ = secure.set_scheme("https");
            return Err(CliError::usage(format!(
                "{name}: the key of BACKTEST_FUNCTION_KEY would cross the network unencrypted; use {}, or --insecure \
                 where that is meant",
                address(&secure)
            )));
        }
        Ok(client)
    }

    /// A client of the service at `url`, which came by `name`.
    pub(super) fn at(name: &str, url: &str, settings: ClientSettings) -> Result<Self, CliError> {
        let base = base(url).map_err(|why| CliError::usage(format!("{name}: {why}")))?;
        let key = settings.key.as_ref().map(|key| HeaderValue::from_str(key.reveal()));
        if key.is_some_and(|key| key.is_err()) {
            return Err(CliError::usage("BACKTEST_FUNCTION_KEY: is not a key: it holds other characters"));
        }
        // Redirects are looked at one by one in `send`: reqwest would turn a POST into a GET, and take our key along.
        let http =
            reqwest::Client::builder().timeout(Duration::from_secs(120)).redirect(redirect::Policy::none());
        Ok(Self {
            http: http.build().map_err(|error| CliError::because("prepare the client", error))?,
            base,
            settings,
        })
    }

    fn is_local(&self) -> bool {
        self.base.host_str().is_some_and(is_loopback)
    }

    /// A request to a call, `path` below `/api/`.
    pub(super) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path()));
        let request = self.http.request(method, url);
        match &self.settings.key {
            Some(key) => request.header("x-functions-key", key.reveal()),
            None => request,
        }
    }

    /// Sends a request. A redirect is an error that names the new address: to follow it would send a changed request, or
    /// our headers, to an origin that was not named.
    async fn send(&self, request: RequestBuilder) -> Result<Response, CliError> {
        let answer = request.send().await.map_err(|error| self.unreachable(error))?;
        match target(&answer) {
            Some(target) => Err(self.moved(&target)),
            None => Ok(answer),
        }
    }

    /// Sends a request for a file, which may lie elsewhere: there it is fetched without anything of ours.
    async fn send_for_file(&self, request: RequestBuilder) -> Result<Response, CliError> {
        let mut answer = request.send().await.map_err(|error| self.unreachable(error))?;
        for _ in 0..REDIRECTS_MAX {
            let Some(target) = target(&answer) else { return Ok(answer) };
            let downgraded = target.scheme() != "https" && answer.url().scheme() == "https";
            if !matches!(target.scheme(), "http" | "https") || downgraded {
                return Err(self.moved(&target));
            }
            answer = self.http.get(target).send().await.map_err(|error| self.unreachable(error))?;
        }
        Err(CliError::failed(format!("{} redirects again and again", address(&self.base))))
    }

    /// Sends a request and reads its document; a problem becomes the error of the command.
    pub(super) async fn json(&self, request: RequestBuilder) -> Result<Value, CliError> {
        self.document(self.send(request).await?).await
    }

    /// Sends a request and reads its text; a problem becomes the error of the command.
    pub(super) async fn text(&self, request: RequestBuilder) -> Result<String, CliError> {
        let answer = self.send(request).await?;
        if answer.status().is_success() {
            return answer.text().await.map_err(|error| self.unreachable(error));
        }
        // Always an error.
        self.document(answer).await.map(|document| document.to_string())
    }

    async fn document(&self, answer: Response) -> Result<Value, CliError> {
        let status = answer.status();
        let body = answer.bytes().await.map_err(|error| self.unreachable(error))?;
        match serde_json::from_slice(&body) {
            Ok(document @ Value::Object(_)) if status.is_success() => Ok(document),
            Ok(document) if !status.is_success() => Err(self.problem(status, document)),
            Err(_) if !status.is_success() => Err(self.problem(status, Value::Null)),
            _ => Err(CliError::failed(format!("{} answers, but is no such service", address(&self.base)))),
        }
    }

    fn unreachable(&self, error: reqwest::Error) -> CliError {
        let next = match error.is_connect() {
            true if self.is_local() => {
                "; `backtests dev` starts a service here, --url or BACKTEST_URL names another"
            }
            true => "; --url or BACKTEST_URL names the service",
            false => "",
        };
        // The address stands in the message once, without anything that the query may carry.
        let why = CliError::because(format!("reach {}", address(&self.base)), error.without_url());
        CliError::failed(format!("{}{next}", why.message))
    }

    /// What to say of a service that points elsewhere.
    fn moved(&self, target: &Url) -> CliError {
        let mut target = target.clone();
        // A query may hold a secret of the redirected caller.
        target.set_query(None);
        target.set_fragment(None);
        let place = target.path().find(self.base.path()).map(|at| target.path()[..at].to_owned());
        let known = place.is_some();
        if let Some(place) = place {
            target.set_path(&place);
        }
        let target = target.as_str().trim_end_matches('/').to_owned();
        let next =
            if known { format!("use --url {target} (or BACKTEST_URL)") } else { "see --url".to_owned() };
        CliError::failed(format!(
            "{} sends its callers to {target}; nothing was done and nothing was sent there: {next}",
            address(&self.base)
        ))
    }

    /// What a refusal says, every fault of it, and what to do next.
    fn problem(&self, status: StatusCode, document: Value) -> CliError {
        let detail = document["detail"].as_str().unwrap_or("the service gave no reason");
        let faults = document["errors"].as_array().filter(|faults| !faults.is_empty());
        let message = match (status, faults, &self.settings.key) {
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _, None) => format!(
                "{} asks for a key ({}): set BACKTEST_FUNCTION_KEY to a function key of the service",
                address(&self.base),
                status.as_u16()
            ),
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _, Some(_)) => format!(
                "{} does not take the key of BACKTEST_FUNCTION_KEY ({})",
                address(&self.base),
                status.as_u16()
            ),
            (_, Some(faults), _) => {
                let text = |fault: &Value, name: &str| fault[name].as_str().unwrap_or_default().to_owned();
                let lines = faults
                    .iter()
                    .map(|fault| format!("\n  {}: {}", text(fault, "path"), text(fault, "message")));
                format!("{}:{}", document["title"].as_str().unwrap_or("refused"), lines.collect::<String>())
            }
            _ => format!("{detail} ({})", status.as_u16()),
        };
        let error = match status {
            StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => CliError::usage(message),
            _ => CliError::failed(message),
        };
        match document {
            document @ Value::Object(_) => error.with_document(document),
            _ => error,
        }
    }

    /// Submits a config, or a study.
    pub(super) async fn submit(
        &self,
        config: &Value,
        run_id: Option<&RunId>,
        key: Option<&str>,
        reuse: bool,
    ) -> Result<Value, CliError> {
        let mut body = json!({ "config": config });
        if let Some(run_id) = run_id {
            body["run_id"] = json!(run_id);
        }
        if reuse {
            body["reuse"] = json!(true);
        }
        let path = if Study::is_one(config) { "studies" } else { "backtests" };
        let mut request = self.request(Method::POST, path).json(&body);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        self.json(request).await
    }

    /// The id of the run that a person named.
    pub(super) async fn id(&self, name: &RunName) -> Result<RunId, CliError> {
        let newest =
            |query: Vec<(&'static str, String)>| self.request(Method::GET, "backtests").query(&query);
        let (request, what) = match name {
            RunName::Latest => (newest(vec![("limit", "1".to_owned())]), "no run yet"),
            RunName::LatestFailed => (
                newest(vec![("limit", "1".to_owned()), ("status", "failed".to_owned())]),
                "no run that failed",
            ),
            RunName::Id(id) => return self.completed_id(id).await,
        };
        let page = self.json(request).await?;
        run_id(&page["runs"][0])?.ok_or_else(|| {
            CliError::failed(format!("{} has {what}; see `backtests list`", address(&self.base)))
        })
    }

    /// The one run whose id begins so. An id that the service knows, or one as the service makes them, stands for itself.
    async fn completed_id(&self, id: &RunId) -> Result<RunId, CliError> {
        let text = id.as_str();
        if text.len() == 24 && text.starts_with("RUN") {
            return Ok(id.clone());
        }
        let known = self.send(self.request(Method::GET, &format!("backtests/{id}"))).await?;
        if known.status() != StatusCode::NOT_FOUND {
            return Ok(id.clone());
        }
        let query =
            [("q", text.to_owned()), ("archived", "any".to_owned()), ("limit", CANDIDATES.to_string())];
        let page = self.json(self.request(Method::GET, "backtests").query(&query)).await?;
        let mut found = Vec::new();
        for run in page["runs"].as_array().into_iter().flatten() {
            found.extend(run_id(run)?.filter(|id| id.as_str().starts_with(text)));
        }
        match &found[..] {
            [] => Err(CliError::failed(format!("no run's id begins with '{text}'; see `backtests list`"))),
            [one] if page["next_cursor"].is_null() => Ok(one.clone()),
            several => Err(CliError::failed(format!(
                "'{text}' begins the ids of several runs: {}{}",
                several.iter().take(5).map(RunId::as_str).collect::<Vec<_>>().join(", "),
                if several.len() > 5 { ", …" } else { "" }
            ))),
        }
    }

    /// What belongs to a run, as a document.
    pub(super) async fn result(
        &self,
        run_id: &RunId,
        what: &str,
        query: &[(&str, String)],
    ) -> Result<Value, CliError> {
        self.json(self.request(Method::GET, &format!("backtests/{run_id}/{what}")).query(query)).await
    }

    /// Has the service make something of a run, which is a run of its own, and answers the file that it leaves. `call` is
    /// the last part of the address.
    pub(super) async fn made_of(&self, name: &RunName, call: &str, file: &str) -> Result<Value, CliError> {
        let id = self.id(name).await?;
        let made = self.json(self.request(Method::POST, &format!("backtests/{id}/{call}"))).await?;
        let made = id_of(&made)?;
        let run = self.watch(&made).await?;
        if run["status"] != "completed" {
            let why = run["error"].as_str().or(run["status_reason"].as_str()).unwrap_or("no reason given");
            let kind = run["kind"].as_str().unwrap_or(call);
            return Err(CliError::failed(format!("{kind} {made} of {id}: {why}")));
        }
        self.result(&made, &format!("artifacts/{file}"), &[]).await
    }

    /// The record of a run.
    pub(super) async fn status(&self, run_id: &RunId) -> Result<Value, CliError> {
        self.json(self.request(Method::GET, &format!("backtests/{run_id}"))).await
    }

    /// Where a person finds the report of a run: its address, or the command that has the key.
    pub(super) fn report_place(&self, run_id: &str) -> String {
        match self.settings.key {
            None => format!("{}/api/backtests/{run_id}/report", address(&self.base)),
            Some(_) => format!("backtests report {run_id} --open"),
        }
    }

    /// Stays with a run until it ends, and answers its last record. Ctrl-C leaves the run alone and says so.
    pub(super) async fn watch(&self, run_id: &RunId) -> Result<Value, CliError> {
        tokio::select! {
            run = self.watched(run_id) => run,
            _ = tokio::signal::ctrl_c() => Err(CliError::failed(format!(
                "no longer watched; the run goes on. Come back with `backtests watch {run_id}`, end it with \
                 `backtests cancel {run_id}`"
            ))),
        }
    }

    async fn watched(&self, run_id: &RunId) -> Result<Value, CliError> {
        let mut progress = Progress::start(run_id.as_str());
        let mut pause = Duration::from_millis(50);
        let mut busy = 0;
        loop {
            let answer = self.send(self.request(Method::GET, &format!("backtests/{run_id}"))).await?;
            // A service that is short of something for a while says so; the run goes on meanwhile.
            if matches!(answer.status(), StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS)
                && busy < BUSY_MAX
            {
                busy += 1;
                progress.note("the service is busy");
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

    /// Fetches an artifact into `folder`.
    pub(super) async fn fetch(
        &self,
        run_id: &RunId,
        file: &Listed<'_>,
        folder: &Path,
    ) -> Result<PathBuf, CliError> {
        let request = self.request(Method::GET, &format!("backtests/{run_id}/artifacts/{}", file.name));
        self.fetch_from(request, file, folder).await
    }

    /// Fetches a file beside its place and moves it there when it is whole.
    pub(super) async fn fetch_from(
        &self,
        request: RequestBuilder,
        file: &Listed<'_>,
        folder: &Path,
    ) -> Result<PathBuf, CliError> {
        let name = file.name;
        let mut answer = self.send_for_file(request).await?;
        if !answer.status().is_success() {
            return Err(self.problem(answer.status(), answer.json().await.unwrap_or(Value::Null)));
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
        unfinished.persist(&path).map_err(|error| write(error.error))?;
        Ok(path)
    }
}

/// The address of the calls of a service. Without a scheme it is plain for this machine and encrypted for any other.
fn base(url: &str) -> Result<Url, String> {
    let form = "must look like https://NAME.azurewebsites.net or http://127.0.0.1:7071";
    let url = url.trim();
    let with_scheme = match url.split_once("://") {
        Some(("http" | "https", rest)) if !rest.starts_with(['/', ':']) && !rest.is_empty() => url.to_owned(),
        Some(_) => return Err(format!("{form}, not {url}")),
        None => {
            let named = Url::parse(&format!("https://{url}")).map_err(|error| format!("{form}: {error}"))?;
            let scheme = if named.host_str().is_some_and(is_loopback) { "http" } else { "https" };
            format!("{scheme}://{url}")
        }
    };
    let with_scheme = with_scheme.trim_end_matches('/');
    let base = Url::parse(&format!("{with_scheme}/api/")).map_err(|error| format!("{form}: {error}"))?;
    if !base.username().is_empty() || base.password().is_some() || base.query().is_some() {
        return Err(
            "must carry neither a password nor a query; the key comes from BACKTEST_FUNCTION_KEY".to_owned()
        );
    }
    Ok(base)
}

/// Whether a host name means this machine.
fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// The address of a service as its user knows it, without `/api/`.
fn address(base: &Url) -> &str {
    base.as_str().trim_end_matches("/api/")
}

/// Where a redirect leads.
fn target(answer: &Response) -> Option<Url> {
    if !answer.status().is_redirection() || answer.status() == StatusCode::NOT_MODIFIED {
        return None;
    }
    let target = answer.headers().get(LOCATION)?.to_str().ok()?;
    answer.url().join(target).ok()
}

/// The id in a record that a service gave; `None` without a record.
fn run_id(run: &Value) -> Result<Option<RunId>, CliError> {
    let Some(id) = run["run_id"].as_str() else { return Ok(None) };
    let id =
        id.parse().map_err(|error| CliError::failed(format!("the service names a run {id:?}: {error}")))?;
    Ok(Some(id))
}

/// The id of a run that was just made.
pub(super) fn id_of(run: &Value) -> Result<RunId, CliError> {
    run_id(run)?.ok_or_else(|| CliError::failed("the service answers without a run id"))
}

/// Seconds that a busy service asks for, within reason.
fn retry_after(answer: &Response) -> Duration {
    let named = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    Duration::from_secs(named.unwrap_or(2_u64).clamp(1, 30))
}
