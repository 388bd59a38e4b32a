//! Who waits for a timer: fires its function on schedule, one run at a time, and remembers on disk what was due, so
//! that runs missed while the host was down are made up for, once.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::app::Trigger;
use super::envelope::Envelope;
use super::invoke::Invoker;
use super::ncrontab::Schedule;

/// What the disk remembers of a timer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Status {
    last: DateTime<Utc>,
    next: DateTime<Utc>,
    last_updated: DateTime<Utc>,
    /// A changed schedule is computed anew and is not past due.
    schedule: String,
}

/// Fires a timer until the host ends.
pub(super) async fn tick(invoker: Arc<Invoker>, name: String, folder: PathBuf) {
    let Some(function) = invoker.function(&name) else { return };
    let Trigger::Timer { schedule, expression, run_on_startup, monitored } = &function.trigger else { return };
    let timer = Timer {
        invoker: &invoker,
        name: &name,
        schedule,
        expression,
        file: monitored.then(|| folder.join(format!("{name}.json"))),
    };
    let never = DateTime::<Utc>::from_timestamp(-62_135_596_800, 0).unwrap_or_default();
    let mut status = timer.remembered();
    let now = Utc::now();
    match &status {
        Some(known) if known.next <= now => {
            let due = known.clone();
            status = timer.fire(Some(&due), true).await;
        }
        _ if *run_on_startup => status = timer.fire(status.as_ref(), false).await,
        Some(_) => {}
        None => {
            status = timer.schedule_from(never, now);
            timer.remember(status.as_ref());
        }
    }
    while let Some(due) = status {
        // In steps, because a suspended machine's clock leaps while a sleep does not.
        while let Ok(left) = (due.next - Utc::now()).to_std() {
            tokio::time::sleep(left.min(Duration::from_secs(30))).await;
        }
        status = timer.fire(Some(&due), false).await;
    }
    tracing::warn!(function = name, "the schedule `{expression}` has no further occurrence");
}

struct Timer<'a> {
    invoker: &'a Invoker,
    name: &'a str,
    schedule: &'a Schedule,
    expression: &'a str,
    /// `None` for a timer that is not monitored.
    file: Option<PathBuf>,
}

impl Timer<'_> {
    /// Runs the function; the next occurrence counts from the start of this run, so that after a long run it comes
    /// at once, and once.
    async fn fire(&self, due: Option<&Status>, past_due: bool) -> Option<Status> {
        let started = Utc::now();
        let shown = match (due, &self.file) {
            (Some(due), Some(_)) => {
                json!({ "Last": date(due.last), "Next": date(due.next), "LastUpdated": date(due.last_updated) })
            }
            _ => Value::Null,
        };
        if let Some(function) = self.invoker.function(self.name) {
            let adjusts = self.schedule.adjusts_for_daylight_saving();
            let envelope = Envelope::of_tick(&function.name, &function.trigger_name, adjusts, shown, past_due);
            // A failure is in the log; the schedule goes on.
            let _ = self.invoker.invoke(function, &envelope).await;
        }
        // A clock that ticks a moment early must not make an occurrence come twice.
        let base = due.map_or(started, |due| started.max(due.next));
        let status = self.schedule_from(started, base);
        self.remember(status.as_ref());
        status
    }

    fn schedule_from(&self, last: DateTime<Utc>, base: DateTime<Utc>) -> Option<Status> {
        let next = self.schedule.next_after(base)?;
        Some(Status { last, next, last_updated: Utc::now(), schedule: self.expression.to_owned() })
    }

    fn remembered(&self) -> Option<Status> {
        let text = std::fs::read(self.file.as_ref()?).ok()?;
        let status: Status = serde_json::from_slice(&text).ok()?;
        (status.schedule == self.expression).then_some(status)
    }

    fn remember(&self, status: Option<&Status>) {
        let (Some(file), Some(status)) = (&self.file, status) else { return };
        if let Err(error) = write(file, status) {
            tracing::warn!(function = self.name, "cannot keep the timer's status: {error}");
        }
    }
}

/// Beside the file first, so that a kill leaves the old status or the new one.
fn write(file: &Path, status: &Status) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let unfinished = file.with_extension("tmp");
    std::fs::write(&unfinished, serde_json::to_vec_pretty(status)?)?;
    std::fs::rename(unfinished, file)
}

fn date(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%dT%H:%M:%S%.f+00:00").to_string()
}
