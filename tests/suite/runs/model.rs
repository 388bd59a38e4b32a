//! Random commands on a run store and on a model of it that fits on a page: answers, rows and events must agree.
//! A lease is either over at once or holds for the whole test, so that no clock is needed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use backtest_functions::run::{Fence, Location, Publication, Reason, RunId, Status, Verdict, decide};
use backtest_functions::store::runs::sqlite::SqliteRuns;
use backtest_functions::store::runs::{
    Beat, Cancel, Claim, Claimant, Ending, Finish, HeldLease, Inserted, NewRun, Progress, Repair, RunStore,
};
use proptest::prelude::*;
use serde_json::json;

use crate::support::postgres;
use crate::support::submission::submission;

const MAX_ATTEMPTS: u32 = 3;
const ATTEMPT: Duration = Duration::from_secs(3600);

/// Numbers name a run, or one of the leases granted so far.
#[derive(Debug, Clone)]
enum Command {
    Submit(usize),
    Claim { run: usize, holds: bool },
    Beat(usize),
    Finish(usize, End),
    Cancel(usize),
    Announce(usize),
    Reconcile,
}

#[derive(Debug, Clone, Copy)]
enum End {
    Complete,
    Fail,
    RetryNow,
    RetryLater,
    AcknowledgeCancel,
}

/// Few runs and many leases that are over at once: what matters is who else held a run.
fn command() -> impl Strategy<Value = Command> {
    let run = || 0..2_usize;
    let lease = || 0..4_usize;
    let end = prop_oneof![
        3 => Just(End::Complete),
        1 => Just(End::Fail),
        2 => Just(End::RetryNow),
        1 => Just(End::RetryLater),
        1 => Just(End::AcknowledgeCancel)
    ];
    prop_oneof![
        2 => run().prop_map(Command::Submit),
        6 => (run(), prop::bool::weighted(0.25)).prop_map(|(run, holds)| Command::Claim { run, holds }),
        2 => lease().prop_map(Command::Beat),
        4 => (lease(), end).prop_map(|(lease, end)| Command::Finish(lease, end)),
        1 => run().prop_map(Command::Cancel),
        1 => run().prop_map(Command::Announce),
        1 => Just(Command::Reconcile),
    ]
}

/// What the model knows of a run.
#[derive(Debug, Clone)]
struct Row {
    status: Status,
    due: bool,
    lease_over: bool,
    attempt: u32,
    fence: i64,
    cancel_asked: bool,
    announced: bool,
    events: Vec<&'static str>,
}

impl Row {
    fn step(&mut self, status: Status, event: &'static str) {
        self.status = status;
        self.events.push(event);
    }

    fn may_be_claimed(&self) -> bool {
        let free = match self.status {
            Status::Queued => self.due,
            Status::Running => self.lease_over,
            _ => false,
        };
        free && self.attempt < MAX_ATTEMPTS && !self.cancel_asked
    }
}

/// The store beside its model.
struct Pair {
    store: Arc<dyn RunStore>,
    /// Runs of other cases in the same database have other names.
    prefix: String,
    rows: BTreeMap<String, Row>,
    leases: Vec<HeldLease>,
}

impl Pair {
    fn id(&self, run: usize) -> RunId {
        format!("{}-{run}", self.prefix).parse().unwrap()
    }

    async fn apply(&mut self, command: &Command) {
        match *command {
            Command::Submit(run) => self.submit(run).await,
            Command::Claim { run, holds } => self.claim(run, holds).await,
            Command::Cancel(run) => self.cancel(run).await,
            Command::Announce(run) => {
                let id = self.id(run);
                if self.store.announce(&id).await.unwrap() {
                    self.announced(&id);
                }
            }
            Command::Reconcile => self.reconcile().await,
            Command::Beat(lease) | Command::Finish(lease, _) if self.leases.is_empty() => {
                let _ = lease;
            }
            Command::Beat(lease) => self.beat(lease % self.leases.len()).await,
            Command::Finish(lease, end) => self.finish(lease % self.leases.len(), end).await,
        }
        self.compare().await;
    }

    async fn submit(&mut self, run: usize) {
        let id = self.id(run);
        let new =
            NewRun { id: id.clone(), submission: submission(), max_attempts: MAX_ATTEMPTS, announced: false };
        let created = matches!(self.store.insert(&new).await.unwrap(), Inserted::Created(_));
        assert_eq!(created, !self.rows.contains_key(id.as_str()));
        self.rows.entry(id.to_string()).or_insert(Row {
            status: Status::Queued,
            due: true,
            lease_over: false,
            attempt: 0,
            fence: 0,
            cancel_asked: false,
            announced: false,
            events: vec!["submitted"],
        });
    }

    async fn claim(&mut self, run: usize, holds: bool) {
        let id = self.id(run);
        let claimant = Claimant {
            owner: format!("owner {}", self.leases.len()),
            lease: if holds { ATTEMPT } else { Duration::ZERO },
            timeout: ATTEMPT,
            engine_version: "v".into(),
        };
        let claim = self.store.claim(&id, &claimant).await.unwrap();
        let Some(row) = self.rows.get_mut(id.as_str()) else {
            return assert!(matches!(claim, Claim::Unknown), "{claim:?}");
        };
        if !row.may_be_claimed() {
            return assert!(
                matches!(claim, Claim::NotNow(status) if status == row.status),
                "{claim:?} {row:?}"
            );
        }
        let Claim::Claimed(claimed) = claim else { panic!("{claim:?} {row:?}") };
        let taken_over = row.status == Status::Running;
        assert_eq!(claimed.taken_from.is_some(), taken_over);
        (row.attempt, row.fence, row.lease_over) = (row.attempt + 1, row.fence + 1, !holds);
        row.step(Status::Running, if taken_over { "taken_over" } else { "claimed" });
        assert_eq!(claimed.lease.fence, Fence(row.fence));
        self.leases.push(claimed.lease);
    }

    /// The row of a lease, if the lease still counts.
    fn held(&mut self, lease: usize) -> Option<&mut Row> {
        let lease = &self.leases[lease];
        let row = self.rows.get_mut(lease.run_id.as_str()).unwrap();
        (row.status == Status::Running && Fence(row.fence) == lease.fence).then_some(row)
    }

    async fn beat(&mut self, lease: usize) {
        let beat = self.store.beat(&self.leases[lease], &Progress::default()).await.unwrap();
        let expected = match self.held(lease) {
            Some(row) => Beat::Held { cancel_requested: row.cancel_asked },
            None => Beat::Lost,
        };
        assert_eq!(beat, expected);
    }

    async fn finish(&mut self, lease: usize, end: End) {
        let (reason, error) = (Reason::StorageUnavailable, String::from("down"));
        let ending = match end {
            End::Complete => Ending::from(Publication {
                location: Location::Local { dir: "/r".into() },
                manifest_sha256: "m".into(),
                summary: json!({}),
                data_versions: json!({}),
                fingerprint: "f".into(),
                results_sha256: Some("d".into()),
            }),
            End::Fail => Ending::Fail { reason, error },
            End::RetryNow => Ending::RetryLater { reason, error, delay: Duration::ZERO },
            End::RetryLater => Ending::RetryLater { reason, error, delay: ATTEMPT },
            End::AcknowledgeCancel => Ending::AcknowledgeCancel,
        };
        let finish = self.store.finish(&self.leases[lease], &ending).await.unwrap();
        let Some(row) = self.held(lease) else {
            return assert!(matches!(finish, Finish::Lost), "{finish:?}");
        };
        let again = row.attempt < MAX_ATTEMPTS && !row.cancel_asked;
        match end {
            End::Complete => row.step(Status::Completed, "completed"),
            End::RetryNow | End::RetryLater if again => {
                row.due = matches!(end, End::RetryNow);
                row.step(Status::Queued, "retry_scheduled");
            }
            End::RetryNow | End::RetryLater if row.cancel_asked => row.step(Status::Canceled, "canceled"),
            End::Fail | End::RetryNow | End::RetryLater => row.step(Status::Failed, "failed"),
            End::AcknowledgeCancel => row.step(Status::Canceled, "canceled"),
        }
        assert!(matches!(finish, Finish::Done(status) if status == row.status), "{finish:?} {row:?}");
    }

    async fn cancel(&mut self, run: usize) {
        let id = self.id(run);
        let cancel = self.store.request_cancel(&id, "api").await.unwrap();
        let Some(row) = self.rows.get_mut(id.as_str()) else {
            return assert!(matches!(cancel, Cancel::Unknown), "{cancel:?}");
        };
        match row.status {
            Status::Queued => row.step(Status::Canceled, "canceled"),
            Status::Running if !row.cancel_asked => {
                row.cancel_asked = true;
                row.step(Status::Running, "cancel_requested");
            }
            _ => {}
        }
        let agrees = match row.status {
            Status::Canceled => matches!(cancel, Cancel::Canceled(_) | Cancel::Before(_)),
            Status::Running => matches!(cancel, Cancel::Requested(_)),
            _ => matches!(cancel, Cancel::Ended(_)),
        };
        assert!(agrees, "{cancel:?} {row:?}");
    }

    /// A wake-up is lawful for whatever could be claimed if attempts were not counted, and sure the first time.
    fn announced(&mut self, id: &RunId) {
        let row = self.rows.get_mut(id.as_str()).unwrap();
        let free =
            (row.status == Status::Queued && row.due) || (row.status == Status::Running && row.lease_over);
        assert!(free, "announced {row:?}");
        row.announced = true;
        row.events.push("announced");
    }

    async fn reconcile(&mut self) {
        let overdue = self.store.overdue(10_000).await.unwrap();
        let own = overdue.runs.into_iter().filter(|run| self.rows.contains_key(run.id.as_str()));
        let repairs: Vec<Repair> =
            own.map(|run| Repair { verdict: decide(&run, overdue.now), run }).collect();
        let repairs: Vec<Repair> =
            repairs.into_iter().filter(|repair| repair.verdict != Verdict::Leave).collect();
        let repaired = self.store.repair(&repairs).await.unwrap();
        for row in self.rows.values_mut() {
            if row.status == Status::Running
                && row.lease_over
                && (row.cancel_asked || row.attempt == MAX_ATTEMPTS)
            {
                row.fence += 1;
                match row.cancel_asked {
                    true => row.step(Status::Canceled, "canceled"),
                    false => row.step(Status::Failed, "failed"),
                }
            }
        }
        for wake in &repaired.announced {
            self.announced(&wake.run_id);
        }
        let forgotten =
            self.rows.values().find(|row| !row.announced && row.due && row.status == Status::Queued);
        assert!(forgotten.is_none(), "{forgotten:?}");
    }

    async fn compare(&self) {
        for (id, row) in &self.rows {
            let id: RunId = id.parse().unwrap();
            let run = self.store.get(&id).await.unwrap().unwrap();
            let found =
                (run.state.status(), run.attempt, run.fence, run.version, run.cancel_requested_at.is_some());
            let version = row.events.len() as i64;
            let asked =
                row.cancel_asked || (row.status == Status::Canceled && run.cancel_requested_at.is_some());
            assert_eq!(found, (row.status, row.attempt, Fence(row.fence), version, asked), "{id}");
            let events = self.store.events(&id).await.unwrap();
            let names: Vec<&str> = events.iter().map(|event| event.event.as_str()).collect();
            assert_eq!(names, row.events, "{id}");
            assert!(events.iter().map(|event| event.version).eq(1..=version), "{id}");
        }
    }
}

async fn play(store: Arc<dyn RunStore>, commands: &[Command]) {
    static CASE: AtomicUsize = AtomicUsize::new(0);
    let prefix = format!("c{}", CASE.fetch_add(1, Ordering::Relaxed));
    let mut pair = Pair { store, prefix, rows: BTreeMap::new(), leases: Vec::new() };
    for command in commands {
        pair.apply(command).await;
    }
}

fn check(cases: u32, store: impl Fn() -> Arc<dyn RunStore>) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let commands = proptest::collection::vec(command(), 5..40);
    let result = runner.run(&commands, |commands| {
        runtime.block_on(play(store(), &commands));
        Ok(())
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn sqlite_does_what_the_model_does() {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn RunStore> = Arc::new(SqliteRuns::new(folder.path().join("runs.sqlite3")));
    check(128, || Arc::clone(&store));
}

#[test]
fn postgres_does_what_the_model_does() {
    let Some(dsn) = postgres::database() else { return };
    // A pool belongs to the runtime that it was first used on, which is that of the whole check.
    let store = postgres::runs(&dsn);
    let store: Arc<dyn RunStore> = Arc::new(store);
    check(128, || Arc::clone(&store));
}
