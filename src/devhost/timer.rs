//! A timer function: waits for its next occurrence, runs it, remembers on disk what ran. When an expression fires is
//! computed in `ncrontab`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::watch;
use tracing::{info, warn};

use super::app::{Function, Trigger};
use super::envelope::Envelope;
use super::invoke::Invoker;
use crate::ncrontab::Schedule;

/// Longest single sleep, so that a computer waking from suspension is not late for long.
const NAP_MAX: Duration = Duration::from_secs(20);

/// What is remembered of a timer, in the host's own format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Status {
    /// Start of the last run; year 1 if there was none.
    pub last: DateTime<Utc>,
    /// The occurrence due next.
    pub next: DateTime<Utc>,
    /// When this was computed.
    pub last_updated: DateTime<Utc>,
}

/// Runs one timer function.
#[derive(Debug)]
pub struct Timer {
    /// Calls functions, over the one limit of the app.
    pub invoker: Arc<Invoker>,
    /// Position of the function in the app.
    pub index: usize,
    /// Folder of the status files.
    pub folder: PathBuf,
    /// True while nothing new may start.
    pub draining: watch::Receiver<bool>,
}

/// What a start finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// The status to go on with.
    pub status: Status,
    /// An occurrence was missed; one run makes up for all of them.
    pub past_due: bool,
}

impl Timer {
    /// Fires until the host ends. One run at a time; an overrun is followed by one run at once.
    pub async fn run(self) {
        let Some(function) = self.invoker.app.functions.get(self.index) else { return };
        let Trigger::Timer { schedule, run_on_startup, monitored, .. } = &function.trigger else { return };
        let name = function.name.as_str();
        let file = self.folder.join(format!("{name}.json"));
        let remembered = if *monitored { read(&file) } else { None };
        let Some(opening) = open(schedule, remembered, Utc::now()) else {
            warn!(function = name, "the schedule of {name} has no occurrence");
            return;
        };
        let mut status = opening.status;
        if *monitored && remembered != Some(status) {
            write(&file, &status);
        }
        info!(function = name, "next occurrence of {name}: {}", status.next.to_rfc3339());
        let mut at_once = opening.past_due || *run_on_startup;
        let mut past_due = opening.past_due;
        loop {
            if !at_once && !self.wait_until(status.next).await || self.invoker.exit.borrow().is_some() {
                return;
            }
            // The sender lives as long as the host.
            let _ = self.draining.clone().wait_for(|draining| !draining).await;
            let started_at = Utc::now().trunc_subsecs(6);
            let cause = match (past_due, at_once) {
                (true, _) => "timer, past due",
                (false, true) => "timer, on startup",
                (false, false) => "timer",
            };
            // A failure is logged there and does not stop the schedule.
            let result = fire(&self.invoker, function, monitored.then_some(status), past_due, cause).await;
            if result.is_err() && self.invoker.exit.borrow().is_some() {
                // Our own end broke the run off: as the status stands, the next start makes up for it.
                return;
            }
            // A tick that came early counts for its occurrence, or it would come twice.
            let last = if at_once { started_at } else { started_at.max(status.next) };
            let Some(next) = schedule.next_after(last) else { return };
            status = Status { last, next, last_updated: last };
            if *monitored {
                write(&file, &status);
            }
            (at_once, past_due) = (false, false);
        }
    }

    /// False when the host ends first.
    async fn wait_until(&self, due: DateTime<Utc>) -> bool {
        let mut exit = self.invoker.exit.subscribe();
        loop {
            let Ok(left) = (due - Utc::now()).to_std() else { return true };
            tokio::select! {
                _ = exit.wait_for(Option::is_some) => return false,
                () = tokio::time::sleep(left.min(NAP_MAX)) => (),
            }
        }
    }
}

/// One run of a timer function, also by hand.
pub async fn fire(
    invoker: &Invoker,
    function: &Function,
    status: Option<Status>,
    past_due: bool,
    cause: &str,
) -> Result<(), super::invoke::InvocationError> {
    let Trigger::Timer { schedule, .. } = &function.trigger else { return Ok(()) };
    let status = status.map_or(json!(null), |status| {
        json!({
            "Last": status.last.to_rfc3339(),
            "Next": status.next.to_rfc3339(),
            "LastUpdated": status.last_updated.to_rfc3339(),
        })
    });
    let daylight = schedule.adjusts_for_daylight_saving();
    let envelope = Envelope::of_tick(&function.name, &function.trigger_name, daylight, &status, past_due);
    invoker.envelope(function, cause, &envelope).await
}

/// Decides from the remembered status what a start at `now` does. `None` if the schedule never fires.
///
/// A timer that never ran is planned from now. A status that does not follow from the schedule means that the schedule
/// was changed: then the past does not count.
pub fn open(schedule: &Schedule, remembered: Option<Status>, now: DateTime<Utc>) -> Option<Opening> {
    let from_now = schedule.next_after(now)?;
    let fresh = |last_updated| Status { last: never(), next: from_now, last_updated };
    let Some(remembered) = remembered else {
        return Some(Opening { status: fresh(now), past_due: false });
    };
    let ran = remembered.last != never();
    let expected = if ran { schedule.next_after(remembered.last)? } else { from_now };
    let status = match remembered.next == expected {
        true => remembered,
        false if now > expected => fresh(now),
        false => {
            Status { last: never(), next: expected, last_updated: if ran { remembered.last } else { now } }
        }
    };
    Some(Opening { status, past_due: now > status.next })
}

/// The first moment of year 1: how the host writes "never".
pub fn never() -> DateTime<Utc> {
    DateTime::<Utc>::UNIX_EPOCH - TimeDelta::days(719_162)
}

fn read(file: &Path) -> Option<Status> {
    let text = std::fs::read_to_string(file).ok()?;
    match serde_json::from_str(&text) {
        Ok(status) => Some(status),
        Err(error) => {
            warn!("the timer status {} is unreadable and starts anew: {error}", file.display());
            None
        }
    }
}

/// Written beside and renamed, so that a kill leaves the old or the new one. Failures are only logged.
fn write(file: &Path, status: &Status) {
    let beside = file.with_extension("json.new");
    let text = json!(status).to_string();
    if let Err(error) = std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, file)) {
        warn!("cannot write the timer status {}: {error}", file.display());
    }
}
