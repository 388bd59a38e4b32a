//! A run as callers see it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::function::AnswerHeader;
use super::parameter::Flag;
use super::reply::{Refusal, Reply};
use crate::run::{Kind, Location, Publication, Reason, Run, RunId, RunState, Status};
use crate::store::versions::names_content;
use crate::work::App;
use crate::work::inputs::{Inputs, InputsError, Look, inputs};
use crate::work::summaries::{PartSummary, StudySummary, VerdictSummary};

/// Seconds after which a watcher may look again.
pub(super) const POLL_SECONDS: u64 = 1;

/// The header that says so.
pub(super) const RETRY_AFTER_POLL: AnswerHeader =
    AnswerHeader::whole("Retry-After", "Seconds until it is worth looking again, while the run is not final");

/// One execution of a config. What is not known yet is null.
#[derive(Serialize, ToSchema)]
pub(super) struct RunRecord<'a> {
    run_id: &'a RunId,
    /// What kind of work it is.
    kind: Kind,
    /// Where it is in its life; the last three are final.
    status: Status,
    /// Why it is there, where that is worth saying.
    status_reason: Option<Reason>,
    /// When it was stored.
    submitted_at: DateTime<Utc>,
    /// Start of the newest attempt.
    started_at: Option<DateTime<Utc>>,
    /// When it ended, however it ended.
    completed_at: Option<DateTime<Utc>>,
    /// Name in the config.
    run_name: Option<&'a str>,
    /// First day asked for.
    #[schema(format = Date)]
    start_date: &'a str,
    /// Last day asked for.
    #[schema(format = Date)]
    end_date: &'a str,
    /// Folder of the results, when they are on the service's machine.
    output_dir: Option<&'a str>,
    /// Container of the results, when they are in a storage account.
    adls_container: Option<&'a str>,
    /// Prefix of the results in the container.
    adls_prefix: Option<&'a str>,
    /// Last failure; kept over a retry.
    error: Option<&'a str>,
    /// Attempts so far.
    attempt: u32,
    /// Attempts allowed.
    max_attempts: u32,
    /// Share of the trading days that are done.
    #[schema(minimum = 0, maximum = 1)]
    progress: f64,
    /// What the executor is doing.
    progress_note: Option<&'a str>,
    /// When a running run was asked to stop.
    cancel_requested_at: Option<DateTime<Utc>>,
    /// The caller's name as the platform states it.
    submitted_by: Option<&'a str>,
    /// The run that this one repeats.
    parent_run_id: Option<&'a RunId>,
    /// For a part: its study.
    study_id: Option<&'a RunId>,
    /// For a part: its number, from 0.
    part: Option<u32>,
    /// For a study and its parts: how many parts there are.
    parts: Option<u32>,
    /// For a study and its parts: trials to evaluate.
    trials: Option<u32>,
    /// Under which the ledger counts what was tried.
    experiment: Option<&'a str>,
    /// The data as it was when the run was submitted; null reads what is there when it executes.
    #[schema(value_type = Option<Object>)]
    pins: Option<&'a Value>,
    /// Words to find it by.
    tags: &'a [String],
    /// A note on it.
    note: Option<&'a str>,
    /// When it was put away; lists leave it out unless asked.
    archived_at: Option<DateTime<Utc>>,
    /// When it was deleted: the record stays, the files go.
    deleted_at: Option<DateTime<Utc>>,
    deleted_by: Option<&'a str>,
    /// SHA-256 of the effective config.
    config_sha256: &'a str,
    /// What was read, for example table versions.
    #[schema(value_type = Option<Object>)]
    data_versions: Option<&'a Value>,
    /// Version of the engine that claimed it last.
    engine_version: Option<&'a str>,
    /// Equal fingerprints mean equal results.
    fingerprint: Option<&'a str>,
    /// What the fingerprint knows of the data: `content` names it exactly, `version` is of before and names tables by the
    /// number of their version and files by their path alone.
    fingerprint_of: Option<&'static str>,
    /// SHA-256 over the files that do not name the run: equal digests mean equal results.
    results_sha256: Option<&'a str>,
    /// What came of a completed run: of a backtest its figures.
    #[schema(value_type = Option<AnySummary>)]
    summary: Option<&'a Value>,
    /// What has become of the data that it read; only where `inputs=true` asks for it, of completed backtests.
    inputs: Option<Inputs>,
    /// Addresses below the service.
    links: Links,
}

/// Parameter that asks for that.
pub(super) const INPUTS: Flag = Flag {
    name: "inputs",
    description: "Whether completed backtests say what has become of the tables that they read, by their logs; of what has none \
                  `links.inputs` tells",
};

/// A record with what has become of the data of its run.
pub(super) async fn record_with_inputs<'r>(app: &App, run: &'r Run) -> Result<RunRecord<'r>, Refusal> {
    let mut record = record(run);
    if let (RunState::Completed { publication, .. }, Kind::Backtest, None) =
        (&run.state, run.submission.kind, &run.labels.deleted)
    {
        record.inputs = match inputs(app, run, publication, Look::Logs).await {
            Ok(found) => Some(found),
            Err(InputsError::Data(error)) => return Err(Reply::data(&error).into()),
            // Nothing can be said of what is not understood any more; `links.inputs` says why.
            Err(InputsError::Config) => None,
        };
    }
    Ok(record)
}

/// What came of a completed run, by its kind.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes the stored summary")]
pub(super) enum AnySummary {
    /// Of a backtest.
    Backtest(Box<RunSummary>),
    /// Of a study.
    Study(StudySummary),
    /// Of a part of a study.
    Part(PartSummary),
    /// Of a reproduction or an audit.
    Verdict(VerdictSummary),
}

/// The figures of a run with its identity.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the stored summary")]
pub(super) struct RunSummary {
    run_id: RunId,
    #[schema(inline)]
    #[serde(flatten)]
    figures: crate::engine::metrics::Summary,
    /// How sure the figures are; runs of older versions do not say.
    confidence: Option<crate::work::confidence::Confidence>,
}

/// Addresses of a run and what belongs to it.
#[derive(Serialize, ToSchema)]
struct Links {
    #[serde(rename = "self")]
    this: String,
    cancel: String,
    events: String,
    summary: String,
    metrics: String,
    trades: String,
    positions: String,
    artifacts: String,
    report: String,
    inputs: String,
    evidence: String,
}

/// The public record of a run.
pub(super) fn record(run: &Run) -> RunRecord<'_> {
    let asked = &run.submission;
    let (completed_at, publication) = match &run.state {
        RunState::Completed { ended_at, publication } => (Some(*ended_at), Some(publication)),
        RunState::Failed { ended_at, .. } | RunState::Canceled { ended_at } => (Some(*ended_at), None),
        RunState::Queued { .. } | RunState::Running { .. } => (None, None),
    };
    let (output_dir, adls_container, adls_prefix) = place(publication);
    let base = path(run);
    RunRecord {
        run_id: &run.id,
        kind: asked.kind,
        status: run.state.status(),
        status_reason: run.status_reason,
        submitted_at: run.submitted_at,
        started_at: run.started_at,
        completed_at,
        run_name: asked.run_name.as_deref(),
        start_date: &asked.start_date,
        end_date: &asked.end_date,
        output_dir,
        adls_container,
        adls_prefix,
        error: run.error.as_deref(),
        attempt: run.attempt,
        max_attempts: run.max_attempts,
        progress: run.progress,
        progress_note: run.progress_note.as_deref(),
        cancel_requested_at: run.cancel_requested_at,
        submitted_by: asked.submitted_by.as_deref(),
        parent_run_id: asked.parent_run_id.as_ref(),
        study_id: asked.part_of.as_ref().map(|of| &of.study),
        part: asked.part_of.as_ref().map(|of| of.part),
        parts: asked.parts,
        trials: asked.trials,
        experiment: asked.experiment.as_deref(),
        pins: asked.pins.as_ref(),
        tags: &run.labels.tags,
        note: run.labels.note.as_deref(),
        archived_at: run.labels.archived_at,
        deleted_at: run.labels.deleted.as_ref().map(|deleted| deleted.at),
        deleted_by: run.labels.deleted.as_ref().map(|deleted| deleted.by.as_str()),
        config_sha256: &asked.config_sha256,
        data_versions: publication.map(|publication| &publication.data_versions),
        engine_version: run.engine_version.as_deref(),
        fingerprint: publication.map(|publication| publication.fingerprint.as_str()),
        fingerprint_of: publication
            .map(|publication| if names_content(&publication.data_versions) { "content" } else { "version" }),
        results_sha256: run.results_sha256(),
        summary: publication.map(|publication| &publication.summary),
        inputs: None,
        links: Links {
            cancel: format!("{base}/cancel"),
            events: format!("{base}/events"),
            summary: format!("{base}/summary"),
            metrics: format!("{base}/metrics/timeseries"),
            trades: format!("{base}/trades"),
            positions: format!("{base}/positions"),
            artifacts: format!("{base}/artifacts"),
            report: format!("{base}/report"),
            inputs: format!("{base}/inputs"),
            evidence: format!("{base}/evidence"),
            this: base,
        },
    }
}

fn place(publication: Option<&Publication>) -> (Option<&str>, Option<&str>, Option<&str>) {
    match publication.map(|publication| &publication.location) {
        Some(Location::Local { dir }) => (Some(dir), None, None),
        Some(Location::Adls { container, prefix }) => (None, Some(container), Some(prefix)),
        None => (None, None, None),
    }
}

/// Address of a run below the service.
pub(super) fn path(run: &Run) -> String {
    format!("/api/backtests/{}", run.id)
}
