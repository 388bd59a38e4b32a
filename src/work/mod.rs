//! The verbs of the service, one story a file: submit, execute (which computes and reports), reconcile, schedules, compare, sync
//! (and rank, its optional producer, and factors, which says what signals predict), sweep. Nothing here knows HTTP, reads the
//! environment or builds a client.

pub mod archive;
pub mod attempts;
pub mod audit;
pub mod compare;
pub mod compute;
pub mod confidence;
pub mod document;
pub mod evidence;
pub mod execute;
pub mod experiments;
pub mod factors;
pub mod facts;
pub mod files;
pub mod history;
pub mod inputs;
pub mod notify;
pub mod order;
pub mod rank;
pub mod reconcile;
pub mod report;
pub mod reproduce;
pub mod results;
pub mod schedules;
pub mod study;
pub mod submit;
pub mod summaries;
pub mod sweep;
pub mod sync;
pub mod trials;
pub mod validate;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::clock::Clock;
pub use crate::digest::sha256_hex;
use crate::store::artifacts::ArtifactStore;
use crate::store::prices::MarketData;
use crate::store::queue::Queue;
use crate::store::runs::RunStore;
use crate::store::webhook::Webhook;

/// The engine: version, commit, and `-dirty` where the sources were changed since. Part of every fingerprint.
pub const ENGINE_VERSION: &str = env!("BACKTESTS_ENGINE");

/// What the program was built for; part of every fingerprint too, since arithmetic libraries differ by target.
pub const ENGINE_TARGET: &str = env!("BACKTESTS_TARGET");

/// What the verbs work with. Cheap to clone.
#[derive(Clone)]
pub struct App {
    /// Run records.
    pub runs: Arc<dyn RunStore>,
    /// Prices and signals.
    pub data: Arc<MarketData>,
    /// Results.
    pub artifacts: Arc<dyn ArtifactStore>,
    /// The present, for names and durations; never for guards.
    pub clock: Arc<dyn Clock>,
    /// Ranking signals.
    pub signals: Arc<sync::SignalSync>,
    /// The queue of messages that the host gave up, where its storage account is known.
    pub poison: Option<Arc<Queue>>,
    /// Attempts under way.
    pub attempts: Arc<attempts::Attempts>,
    /// Terms of executions.
    pub terms: ExecutionTerms,
    /// Whether the platform's word on who calls is believed: it is only the platform's where callers sign in.
    pub trusts_principal: bool,
    /// Where endings of runs are told.
    pub webhook: Option<Arc<Webhook>>,
    /// Address under which callers reach the service, without a path; empty where it is not known.
    pub address: String,
    /// Requests that may be answered at once; one too many is refused instead of waiting.
    pub admission: Arc<Semaphore>,
}

/// What bounds an execution: its lease, its attempts, its time.
#[derive(Debug, Clone)]
pub struct ExecutionTerms {
    /// Name of this process among all instances.
    pub instance: String,
    /// Length of a lease.
    pub lease: Duration,
    /// Claims before a run fails.
    pub max_attempts: u32,
    /// Wall time of one attempt.
    pub timeout: Duration,
}

/// An error with all its causes on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
