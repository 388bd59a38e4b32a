//! The rules of the run protocol, on every store. Leases are made over by giving them no length, not by waiting.
//!
//! What differs between the stores is tested below the rules: the schemas of sqlite and Postgres refuse nonsense by
//! themselves; a document does not, so `adls` has the guards in code only. Postgres decides by a second look after a cut
//! connection, `adls` after any write whose reply is lost. In `adls` time stands still for up to a second, a key stays
//! with the request that took it first even if that died, and a filtered page may be short and still have a next one.

use std::sync::Arc;
use std::time::Duration;

use backtest_functions::run::{
    Fence, Kind, Location, PartOf, Publication, Reason, RunId, RunState, Status, Submission, Verdict, decide,
};
use backtest_functions::statistics::sharpe::SharpeRatio;
use backtest_functions::store::pg::Database;
use backtest_functions::store::runs::adls::AdlsRuns;
use backtest_functions::store::runs::ledger::Tried;
use backtest_functions::store::runs::schedule::{Look, NewSchedule, ScheduleName, When};
use backtest_functions::store::runs::sqlite::SqliteRuns;
use backtest_functions::store::runs::{
    Amend, Backlog, Beat, Cancel, Change, Claim, Claimant, Claimed, Ending, Finish, HeldLease, Inserted,
    ListQuery, NewPart, NewRun, Progress, Repair, RunStore,
};
use serde_json::json;

use crate::support::azurite::Storage;
use crate::support::submission::submission;

type Store = Arc<dyn RunStore>;

/// Each rule as a test of each store.
macro_rules! on_every_store {
    ($($rule:ident,)*) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $rule() {
                let folder = tempfile::tempdir().unwrap();
                let file = folder.path().join("runs.sqlite3");
                super::$rule(std::sync::Arc::new(super::SqliteRuns::new(file))).await;
            })*
        }

        mod postgres {
            $(#[tokio::test]
            async fn $rule() {
                if let Some(dsn) = crate::support::postgres::database() {
                    super::$rule(super::postgres_store(&dsn)).await;
                }
            })*
        }

        mod adls {
            $(#[tokio::test]
            async fn $rule() {
                if let Some(storage) = crate::support::azurite::storage() {
                    super::$rule(super::adls_store(&storage)).await;
                }
            })*
        }
    };
}

on_every_store! {
    a_run_lives_from_submit_to_publication,
    an_id_and_a_key_belong_to_one_run,
    a_held_run_is_not_claimed_again_and_an_unknown_one_is_unknown,
    whoever_lost_the_lease_changes_nothing,
    a_lease_that_ran_out_but_was_not_taken_is_still_its_holders,
    the_end_is_the_end,
    a_retry_waits_and_ends_when_no_attempt_is_left,
    cancel_ends_a_queued_run_and_asks_a_running_one,
    a_cancel_that_was_asked_wins_over_a_retry,
    a_run_that_was_never_announced_is_announced_once,
    an_announced_run_waits_for_its_back_off,
    a_lost_executor_is_announced_and_at_last_given_up,
    a_cancel_that_nobody_acknowledges_is_forced,
    an_attempt_past_its_wall_time_is_ended,
    a_beat_between_look_and_repair_saves_the_run,
    one_of_many_claims_wins,
    what_waits_and_runs_is_counted,
    pages_hold_every_older_run_once_while_others_are_submitted,
    filters_are_literal_and_combine,
    labels_change_also_after_the_end_and_nothing_else_does,
    what_a_run_is_of_stays_with_it_and_parts_are_not_listed,
    a_study_waits_for_its_parts_and_is_announced_once,
    a_study_is_stored_whole_or_not_at_all,
    a_study_is_canceled_with_its_parts,
    an_experiment_counts_each_config_once_whoever_tries_it,
    a_schedule_is_kept_with_what_it_ran_and_noted_by_one,
    of_parts_that_end_at_once_one_executor_joins_the_study,
    a_cancel_that_races_the_last_part_is_kept_or_comes_too_late,
}

fn postgres_store(dsn: &str) -> Store {
    Arc::new(crate::support::postgres::runs(dsn))
}

fn adls_store(storage: &Storage) -> Store {
    Arc::new(AdlsRuns::new(storage.container(), "team/runs"))
}

fn id(text: &str) -> RunId {
    text.parse().unwrap()
}

fn new_run(name: &str) -> NewRun {
    NewRun {
        id: id(name),
        submission: Submission {
            run_name: Some(format!("name of {name}")),
            request_sha256: format!("request {name}"),
            submitted_by: Some("ada".into()),
            ..submission()
        },
        max_attempts: 2,
        announced: false,
    }
}

fn claimant(owner: &str, lease_seconds: u64) -> Claimant {
    let lease = Duration::from_secs(lease_seconds);
    Claimant { owner: owner.into(), lease, timeout: Duration::from_secs(600), engine_version: "test".into() }
}

async fn insert(store: &Store, name: &str) {
    assert!(matches!(store.insert(&new_run(name)).await.unwrap(), Inserted::Created(_)));
}

async fn claim(store: &Store, name: &str, owner: &str, lease_seconds: u64) -> Claimed {
    match store.claim(&id(name), &claimant(owner, lease_seconds)).await.unwrap() {
        Claim::Claimed(claimed) => *claimed,
        other => panic!("not claimed: {other:?}"),
    }
}

async fn status(store: &Store, name: &str) -> Status {
    store.get(&id(name)).await.unwrap().unwrap().state.status()
}

fn publication() -> Publication {
    Publication {
        location: Location::Local { dir: "/results/r/f1".into() },
        manifest_sha256: "m".into(),
        summary: json!({ "total_return": 0.5 }),
        data_versions: json!({ "prices": 3 }),
        fingerprint: "f".into(),
        results_sha256: Some("d".into()),
    }
}

fn failure(reason: Reason) -> Ending {
    Ending::Fail { reason, error: "why".into() }
}

fn retry(delay_seconds: u64) -> Ending {
    Ending::RetryLater {
        reason: Reason::StorageUnavailable,
        error: "down".into(),
        delay: Duration::from_secs(delay_seconds),
    }
}

async fn finish(store: &Store, lease: &HeldLease, ending: &Ending) -> Option<Status> {
    match store.finish(lease, ending).await.unwrap() {
        Finish::Done(status) => Some(status),
        Finish::Lost => None,
    }
}

async fn a_run_lives_from_submit_to_publication(store: Store) {
    insert(&store, "r").await;
    let claimed = claim(&store, "r", "one", 60).await;
    assert_eq!((claimed.run.fence, claimed.run.attempt), (Fence(1), 1));
    let progress = Progress { share: 0.25, note: Some("day 1 of 4".into()) };
    assert_eq!(store.beat(&claimed.lease, &progress).await.unwrap(), Beat::Held { cancel_requested: false });
    let run = store.get(&id("r")).await.unwrap().unwrap();
    assert_eq!((run.progress, run.progress_note.as_deref()), (0.25, Some("day 1 of 4")));
    assert_eq!(finish(&store, &claimed.lease, &Ending::from(publication())).await, Some(Status::Completed));
    match store.get(&id("r")).await.unwrap().unwrap().state {
        RunState::Completed { publication: published, .. } => assert_eq!(published, publication()),
        other => panic!("{other:?}"),
    }
    let events = store.events(&id("r")).await.unwrap();
    let told: Vec<_> =
        events.iter().map(|event| (event.version, event.event.as_str(), event.fence)).collect();
    assert_eq!(told, [(1, "submitted", 0), (2, "claimed", 1), (3, "completed", 1)]);
}

async fn an_id_and_a_key_belong_to_one_run(store: Store) {
    let mut keyed = new_run("a");
    keyed.submission.idempotency_key = Some("key".into());
    assert!(matches!(store.insert(&keyed).await.unwrap(), Inserted::Created(_)));
    keyed.id = id("b");
    match store.insert(&keyed).await.unwrap() {
        Inserted::Replayed(run) => assert_eq!(run.id, id("a")),
        other => panic!("{other:?}"),
    }
    keyed.submission.request_sha256 = "another".into();
    assert!(matches!(store.insert(&keyed).await.unwrap(), Inserted::KeyReused));
    assert!(matches!(store.insert(&new_run("a")).await.unwrap(), Inserted::IdTaken));
    assert!(store.get(&id("b")).await.unwrap().is_none());
}

async fn a_held_run_is_not_claimed_again_and_an_unknown_one_is_unknown(store: Store) {
    insert(&store, "r").await;
    claim(&store, "r", "one", 60).await;
    assert!(matches!(
        store.claim(&id("r"), &claimant("two", 60)).await.unwrap(),
        Claim::NotNow(Status::Running)
    ));
    assert!(matches!(store.claim(&id("x"), &claimant("two", 60)).await.unwrap(), Claim::Unknown));
}

async fn whoever_lost_the_lease_changes_nothing(store: Store) {
    insert(&store, "r").await;
    let first = claim(&store, "r", "one", 0).await;
    let second = claim(&store, "r", "two", 60).await;
    assert_eq!((second.taken_from.as_deref(), second.lease.fence), (Some("one"), Fence(2)));
    assert_eq!(store.beat(&first.lease, &Progress::default()).await.unwrap(), Beat::Lost);
    for ending in
        [Ending::from(publication()), failure(Reason::InvalidData), retry(0), Ending::AcknowledgeCancel]
    {
        assert_eq!(finish(&store, &first.lease, &ending).await, None);
    }
    assert_eq!(status(&store, "r").await, Status::Running);
    assert_eq!(finish(&store, &second.lease, &Ending::from(publication())).await, Some(Status::Completed));
}

async fn a_lease_that_ran_out_but_was_not_taken_is_still_its_holders(store: Store) {
    insert(&store, "r").await;
    let late = claim(&store, "r", "one", 0).await;
    assert!(matches!(store.beat(&late.lease, &Progress::default()).await.unwrap(), Beat::Held { .. }));
    assert_eq!(finish(&store, &late.lease, &Ending::from(publication())).await, Some(Status::Completed));
}

async fn what_waits_and_runs_is_counted(store: Store) {
    assert_eq!(store.backlog().await.unwrap(), Backlog::default());
    for name in ["a", "b", "c", "d"] {
        insert(&store, name).await;
    }
    let (a, b) = (claim(&store, "a", "one", 60).await, claim(&store, "b", "one", 60).await);
    store.request_cancel(&id("c"), "ada").await.unwrap();
    let backlog = store.backlog().await.unwrap();
    assert_eq!((backlog.queued, backlog.running), (1, 2));
    assert!(backlog.oldest_due < Duration::from_secs(60), "{backlog:?}");
    // A run that waits for its retry is not due.
    assert_eq!(finish(&store, &a.lease, &retry(3600)).await, Some(Status::Queued));
    store.request_cancel(&id("d"), "ada").await.unwrap();
    assert_eq!(
        store.backlog().await.unwrap(),
        Backlog { queued: 1, running: 1, oldest_due: Duration::ZERO },
        "one is not due"
    );
    assert_eq!(finish(&store, &b.lease, &failure(Reason::InvalidData)).await, Some(Status::Failed));
    assert_eq!(store.backlog().await.unwrap().running, 0);
}

async fn the_end_is_the_end(store: Store) {
    insert(&store, "r").await;
    let claimed = claim(&store, "r", "one", 60).await;
    finish(&store, &claimed.lease, &failure(Reason::InvalidData)).await;
    assert_eq!(finish(&store, &claimed.lease, &Ending::from(publication())).await, None);
    assert!(matches!(
        store.claim(&id("r"), &claimant("two", 60)).await.unwrap(),
        Claim::NotNow(Status::Failed)
    ));
    assert!(matches!(store.request_cancel(&id("r"), "ada").await.unwrap(), Cancel::Ended(_)));
    assert!(!store.give_up(&id("r"), Reason::Poison, "poison").await.unwrap());
    assert!(!store.announce(&id("r")).await.unwrap());
}

async fn a_retry_waits_and_ends_when_no_attempt_is_left(store: Store) {
    insert(&store, "r").await;
    let first = claim(&store, "r", "one", 60).await;
    assert_eq!(finish(&store, &first.lease, &retry(60)).await, Some(Status::Queued));
    assert!(matches!(
        store.claim(&id("r"), &claimant("two", 60)).await.unwrap(),
        Claim::NotNow(Status::Queued)
    ));

    insert(&store, "s").await;
    let first = claim(&store, "s", "one", 60).await;
    finish(&store, &first.lease, &retry(0)).await;
    let second = claim(&store, "s", "two", 60).await;
    assert_eq!(second.run.error.as_deref(), Some("down"), "the last failure is kept");
    assert_eq!(finish(&store, &second.lease, &retry(0)).await, Some(Status::Failed));
    let run = store.get(&id("s")).await.unwrap().unwrap();
    assert_eq!(run.status_reason, Some(Reason::StorageUnavailable));
}

async fn cancel_ends_a_queued_run_and_asks_a_running_one(store: Store) {
    insert(&store, "q").await;
    assert!(matches!(store.request_cancel(&id("q"), "ada").await.unwrap(), Cancel::Canceled(_)));
    assert!(
        matches!(store.request_cancel(&id("q"), "ada").await.unwrap(), Cancel::Before(_)),
        "again is harmless"
    );
    assert!(matches!(store.claim(&id("q"), &claimant("one", 60)).await.unwrap(), Claim::NotNow(_)));

    insert(&store, "r").await;
    let held = claim(&store, "r", "one", 60).await;
    assert!(matches!(store.request_cancel(&id("r"), "ada").await.unwrap(), Cancel::Requested(_)));
    assert_eq!(
        store.beat(&held.lease, &Progress::default()).await.unwrap(),
        Beat::Held { cancel_requested: true }
    );
    assert_eq!(finish(&store, &held.lease, &Ending::AcknowledgeCancel).await, Some(Status::Canceled));
    assert!(matches!(store.request_cancel(&id("x"), "ada").await.unwrap(), Cancel::Unknown));
}

async fn a_cancel_that_was_asked_wins_over_a_retry(store: Store) {
    insert(&store, "r").await;
    let held = claim(&store, "r", "one", 60).await;
    store.request_cancel(&id("r"), "ada").await.unwrap();
    assert_eq!(finish(&store, &held.lease, &retry(0)).await, Some(Status::Canceled));
}

async fn reconcile(store: &Store) -> (Vec<RunId>, Vec<(RunId, Reason)>) {
    let overdue = store.overdue(500).await.unwrap();
    let verdicts: Vec<Repair> =
        overdue.runs.into_iter().map(|run| Repair { verdict: decide(&run, overdue.now), run }).collect();
    let repaired = store.repair(&verdicts).await.unwrap();
    (repaired.announced.into_iter().map(|wake| wake.run_id).collect(), repaired.ended)
}

async fn a_run_that_was_never_announced_is_announced_once(store: Store) {
    insert(&store, "r").await;
    assert_eq!(reconcile(&store).await.0, [id("r")]);
    assert_eq!(reconcile(&store).await.0, []);
    assert!(!store.announce(&id("r")).await.unwrap());
}

async fn an_announced_run_waits_for_its_back_off(store: Store) {
    let announced = NewRun { announced: true, ..new_run("r") };
    store.insert(&announced).await.unwrap();
    assert_eq!(reconcile(&store).await.0, []);
    let mut run = store.get(&id("r")).await.unwrap().unwrap();
    let minutes = |minutes: u64| run.submitted_at + Duration::from_secs(60 * minutes);
    assert_eq!(decide(&run, minutes(3)), Verdict::Leave);
    assert_eq!(decide(&run, minutes(4)), Verdict::Announce);
    let later = minutes(63);
    run.announce_count = 9;
    assert_eq!(decide(&run, later), Verdict::Leave);
    let run_later = minutes(64);
    assert_eq!(decide(&run, run_later), Verdict::Announce, "the wait grows to 64 minutes and no further");
}

async fn a_lost_executor_is_announced_and_at_last_given_up(store: Store) {
    insert(&store, "r").await;
    let first = claim(&store, "r", "one", 0).await;
    assert_eq!(reconcile(&store).await.0, [id("r")]);
    claim(&store, "r", "two", 0).await;
    let (announced, ended) = reconcile(&store).await;
    assert_eq!((announced, ended), (vec![], vec![(id("r"), Reason::AttemptsExhausted)]));
    let run = store.get(&id("r")).await.unwrap().unwrap();
    assert_eq!(
        (run.state.status(), run.fence),
        (Status::Failed, Fence(3)),
        "the fence shuts the lost ones out"
    );
    assert_eq!(finish(&store, &first.lease, &Ending::from(publication())).await, None);
}

async fn a_cancel_that_nobody_acknowledges_is_forced(store: Store) {
    insert(&store, "r").await;
    claim(&store, "r", "one", 0).await;
    store.request_cancel(&id("r"), "ada").await.unwrap();
    assert_eq!(reconcile(&store).await.1, [(id("r"), Reason::CanceledByUser)]);
    assert_eq!(status(&store, "r").await, Status::Canceled);
}

async fn an_attempt_past_its_wall_time_is_ended(store: Store) {
    insert(&store, "r").await;
    let late = Claimant { timeout: Duration::ZERO, ..claimant("one", 60) };
    store.claim(&id("r"), &late).await.unwrap();
    assert_eq!(reconcile(&store).await.1, [(id("r"), Reason::Timeout)]);
}

async fn a_beat_between_look_and_repair_saves_the_run(store: Store) {
    insert(&store, "r").await;
    claim(&store, "r", "one", 0).await;
    claim(&store, "r", "two", 0).await;
    let overdue = store.overdue(500).await.unwrap();
    let run = overdue.runs[0].clone();
    let lease =
        HeldLease { run_id: id("r"), fence: Fence(2), owner: "two".into(), length: Duration::from_secs(60) };
    store.beat(&lease, &Progress::default()).await.unwrap();
    let repaired = store.repair(&[Repair { verdict: decide(&run, overdue.now), run }]).await.unwrap();
    assert!(repaired.ended.is_empty());
    assert_eq!(status(&store, "r").await, Status::Running);
}

async fn one_of_many_claims_wins(store: Store) {
    insert(&store, "r").await;
    let claims = (0..16).map(|number| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let claimed = store.claim(&id("r"), &claimant(&format!("owner {number}"), 60)).await.unwrap();
            matches!(claimed, Claim::Claimed(_))
        })
    });
    let mut winners = 0;
    for claim in claims.collect::<Vec<_>>() {
        winners += usize::from(claim.await.unwrap());
    }
    assert_eq!(winners, 1);
}

async fn pages_hold_every_older_run_once_while_others_are_submitted(store: Store) {
    for number in 0..25 {
        insert(&store, &format!("run-{number:02}")).await;
    }
    let (mut seen, mut query) = (Vec::new(), ListQuery { limit: 4, ..ListQuery::default() });
    loop {
        let page = store.list(&query).await.unwrap();
        seen.extend(page.runs.iter().map(|run| run.id.to_string()));
        insert(&store, &format!("new-{}", seen.len())).await;
        match page.next {
            Some(next) => query.after = Some(next),
            None => break,
        }
    }
    if store.ping().await.unwrap().mode == "adls" {
        // Within one second this store cannot tell what was submitted later.
        seen.retain(|name| name.starts_with("run-"));
    }
    let expected: Vec<String> = (0..25).map(|number| format!("run-{number:02}")).collect();
    seen.sort();
    assert_eq!(seen, expected);
}

async fn filters_are_literal_and_combine(store: Store) {
    for name in ["alpha", "beta", "al_ha"] {
        insert(&store, name).await;
    }
    claim(&store, "beta", "one", 60).await;
    let find = async |query: ListQuery| {
        let page = store.list(&ListQuery { limit: 10, ..query }).await.unwrap();
        page.runs.iter().map(|run| run.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(find(ListQuery { text: Some("al_".into()), ..ListQuery::default() }).await, ["al_ha"]);
    assert_eq!(find(ListQuery { text: Some("NAME OF BETA".into()), ..ListQuery::default() }).await, ["beta"]);
    assert!(find(ListQuery { text: Some("%".into()), ..ListQuery::default() }).await.is_empty());
    assert_eq!(find(ListQuery { statuses: vec![Status::Running], ..ListQuery::default() }).await, ["beta"]);
    assert!(find(ListQuery { submitted_by: Some("bob".into()), ..ListQuery::default() }).await.is_empty());
}

async fn labels_change_also_after_the_end_and_nothing_else_does(store: Store) {
    insert(&store, "r").await;
    let run = store.get(&id("r")).await.unwrap().unwrap();
    let amend = async |seen: i64, change: &Change| store.amend(&id("r"), seen, change, "ada").await.unwrap();
    let labels = Change {
        run_name: Some("another name".into()),
        tags: vec!["momentum".into(), "2020/q1".into()],
        note: Some("looks good".into()),
        archived: true,
        deleted: false,
    };
    let Amend::Done(amended) = amend(run.version, &labels).await else {
        panic!("a queued run has labels too")
    };
    assert_eq!((Change::of(&amended), amended.version), (labels.clone(), run.version + 1));
    assert!(matches!(amend(run.version, &labels).await, Amend::Stale(_)), "another writer was faster");
    let delete = Change { deleted: true, ..labels.clone() };
    assert!(matches!(amend(amended.version, &delete).await, Amend::NotEnded(_)));

    let claimed = claim(&store, "r", "one", 60).await;
    finish(&store, &claimed.lease, &Ending::from(publication())).await;
    let ended = store.get(&id("r")).await.unwrap().unwrap();
    assert_eq!((ended.results_sha256(), Change::of(&ended)), (Some("d"), labels.clone()));
    let plain = Change { tags: Vec::new(), note: None, archived: false, ..labels };
    let Amend::Done(amended) = amend(ended.version, &plain).await else { panic!("an ended run has labels") };
    assert_eq!((Change::of(&amended), &amended.state), (plain.clone(), &ended.state));

    let Amend::Done(gone) = amend(amended.version, &Change { deleted: true, ..plain }).await else {
        panic!("an ended run can be deleted")
    };
    assert_eq!(gone.labels.deleted.as_ref().map(|deleted| deleted.by.as_str()), Some("ada"));
    assert_eq!(store.get(&id("r")).await.unwrap().as_ref(), Some(&*gone), "the row stays");
    assert!(matches!(amend(gone.version, &delete).await, Amend::Deleted(_)));
    assert!(matches!(store.insert(&new_run("r")).await.unwrap(), Inserted::IdTaken));
    let page = store.list(&ListQuery { limit: 10, ..ListQuery::default() }).await.unwrap();
    assert!(page.runs.is_empty(), "a deleted run is not listed");
    let events = store.events(&id("r")).await.unwrap();
    let told: Vec<_> = events.iter().map(|event| event.event.as_str()).collect();
    assert_eq!(told, ["submitted", "amended", "claimed", "completed", "amended", "deleted"]);
    assert_eq!(events[1].detail["tags"], json!(["momentum", "2020/q1"]));
    assert!(matches!(store.amend(&id("none"), 1, &delete, "ada").await.unwrap(), Amend::Unknown));
}

async fn what_a_run_is_of_stays_with_it_and_parts_are_not_listed(store: Store) {
    let mut study = new_run("s");
    study.submission.kind = Kind::Study;
    study.submission.parts = Some(2);
    study.submission.trials = Some(90);
    study.submission.experiment = Some("us-momentum".into());
    study.submission.pins = Some(json!({ "prices": { "version": 3 } }));
    let mut part = new_run("s-p01");
    part.submission = study.submission.clone();
    part.submission.kind = Kind::Part;
    part.submission.part_of = Some(PartOf { study: id("s"), part: 1 });
    for new in [&study, &part, &new_run("plain")] {
        assert!(matches!(store.insert(new).await.unwrap(), Inserted::Created(_)));
        assert_eq!(store.get(&new.id).await.unwrap().unwrap().submission, new.submission);
    }
    let find = async |query: ListQuery| {
        let page = store.list(&ListQuery { limit: 10, ..query }).await.unwrap();
        let mut found: Vec<_> = page.runs.iter().map(|run| run.id.to_string()).collect();
        found.sort();
        found
    };
    assert_eq!(find(ListQuery::default()).await, ["plain", "s"]);
    let parts = ListQuery { kinds: vec![Kind::Part], ..ListQuery::default() };
    assert_eq!(find(parts).await, ["s-p01"]);
    let claimed = claim(&store, "plain", "one", 60).await;
    finish(&store, &claimed.lease, &Ending::from(publication())).await;
    let equal = |digest: &str| ListQuery { results_sha256: Some(digest.into()), ..ListQuery::default() };
    assert_eq!(find(equal("d")).await, ["plain"]);
    assert!(find(equal("e")).await.is_empty());
    let run = store.get(&id("plain")).await.unwrap().unwrap();
    let tagged = Change { tags: vec!["keep".into()], archived: true, ..Change::of(&run) };
    assert!(matches!(store.amend(&run.id, run.version, &tagged, "ada").await.unwrap(), Amend::Done(_)));
    assert_eq!(find(ListQuery { tag: Some("keep".into()), ..ListQuery::default() }).await, ["plain"]);
    assert_eq!(find(ListQuery { archived: Some(false), ..ListQuery::default() }).await, ["s"]);
    assert_eq!(find(ListQuery { archived: Some(true), ..ListQuery::default() }).await, ["plain"]);
}

fn new_study(name: &str, parts: u32) -> (NewRun, Vec<NewPart>) {
    let mut study = new_run(name);
    study.submission.kind = Kind::Study;
    study.submission.parts = Some(parts);
    study.submission.trials = Some(60 * parts);
    study.announced = true;
    let part = |number: u32| NewPart {
        id: id(name).of_part(number).unwrap(),
        config_json: json!({ "trials": [[60 * number, 60 * number + 59]] }).to_string(),
        trials: 60,
    };
    (study, (0..parts).map(part).collect())
}

async fn a_study_waits_for_its_parts_and_is_announced_once(store: Store) {
    let (study, parts) = new_study("s", 3);
    let Inserted::Created(run) = store.insert_study(&study, &parts).await.unwrap() else {
        panic!("it is new")
    };
    assert_eq!((run.submission.kind, run.submission.parts, run.announced_at), (Kind::Study, Some(3), None));
    let stored = store.parts(&id("s")).await.unwrap();
    let numbers: Vec<_> = stored.iter().map(|part| part.submission.part_of.clone().unwrap().part).collect();
    assert_eq!(numbers, [0, 1, 2]);
    assert_eq!(stored[1].submission.config_json, parts[1].config_json);
    assert!(stored.iter().all(|part| part.announced_at.is_some()), "the caller wakes the parts");
    assert_eq!(store.events(&id("s-p01")).await.unwrap()[0].event, "submitted");
    let page = store.list(&ListQuery { limit: 10, ..ListQuery::default() }).await.unwrap();
    assert_eq!(page.runs.len(), 1, "parts are not listed");

    let waits = async || {
        assert!(!store.announce(&id("s")).await.unwrap());
        let claim = store.claim(&id("s"), &claimant("one", 60)).await.unwrap();
        assert!(matches!(claim, Claim::NotNow(Status::Queued)), "{claim:?}");
        assert!(store.overdue(10).await.unwrap().runs.iter().all(|run| run.id != id("s")));
    };
    waits().await;
    for (number, ending) in [
        (0, Ending::from(publication())),
        (1, failure(Reason::StrategyFailed)),
        (2, Ending::from(publication())),
    ] {
        let part = format!("s-p{number:02}");
        let claimed = claim(&store, &part, "one", 60).await;
        waits().await;
        finish(&store, &claimed.lease, &ending).await.unwrap();
        assert!(!store.announce(&id(&part)).await.unwrap(), "a part that has ended wakes nobody");
    }
    // Now it is due, and exactly one of those who ask wakes it.
    let (one, other) = (id("s"), id("s"));
    let (one, other) = tokio::join!(store.announce(&one), store.announce(&other));
    assert!(one.unwrap() ^ other.unwrap());
    claim(&store, "s", "two", 60).await;
}

async fn a_study_is_stored_whole_or_not_at_all(store: Store) {
    insert(&store, "t-p01").await;
    let (study, parts) = new_study("t", 2);
    assert!(matches!(store.insert_study(&study, &parts).await.unwrap(), Inserted::IdTaken));
    assert!(store.get(&id("t")).await.unwrap().is_none());

    let (mut study, parts) = new_study("u", 2);
    study.submission.idempotency_key = Some("key".into());
    assert!(matches!(store.insert_study(&study, &parts).await.unwrap(), Inserted::Created(_)));
    let (mut again, parts) = new_study("v", 2);
    again.submission.idempotency_key = Some("key".into());
    again.submission.request_sha256 = study.submission.request_sha256.clone();
    match store.insert_study(&again, &parts).await.unwrap() {
        Inserted::Replayed(run) => assert_eq!(run.id, id("u")),
        other => panic!("{other:?}"),
    }
    assert!(store.get(&id("v")).await.unwrap().is_none());
    assert!(store.get(&id("v-p00")).await.unwrap().is_none());
}

async fn a_study_is_canceled_with_its_parts(store: Store) {
    let (study, parts) = new_study("s", 3);
    assert!(matches!(store.insert_study(&study, &parts).await.unwrap(), Inserted::Created(_)));
    let done = claim(&store, "s-p00", "one", 60).await;
    finish(&store, &done.lease, &Ending::from(publication())).await.unwrap();
    let held = claim(&store, "s-p01", "one", 60).await;
    assert!(matches!(store.request_cancel(&id("s"), "ada").await.unwrap(), Cancel::Canceled(_)));
    assert_eq!(status(&store, "s").await, Status::Canceled);
    assert_eq!(status(&store, "s-p00").await, Status::Completed);
    assert_eq!(
        store.beat(&held.lease, &Progress::default()).await.unwrap(),
        Beat::Held { cancel_requested: true }
    );
    assert_eq!(status(&store, "s-p02").await, Status::Canceled);
    assert_eq!(finish(&store, &held.lease, &Ending::AcknowledgeCancel).await, Some(Status::Canceled));
    assert!(matches!(store.request_cancel(&id("s"), "ada").await.unwrap(), Cancel::Before(_)));
    assert_eq!(store.events(&id("s")).await.unwrap().len(), 2, "submitted, canceled");
}

/// A study of so many parts.
async fn insert_study(store: &Store, name: &str, parts: u32) {
    let mut study = new_run(name);
    study.submission.kind = Kind::Study;
    (study.submission.parts, study.submission.trials) = (Some(parts), Some(parts));
    let parts: Vec<NewPart> = (0..parts)
        .map(|part| NewPart { id: id(name).of_part(part).unwrap(), config_json: "{}".into(), trials: 1 })
        .collect();
    assert!(matches!(store.insert_study(&study, &parts).await.unwrap(), Inserted::Created(_)));
}

/// How often a race is run; a storage account answers slowly.
async fn races(store: &Store) -> usize {
    if store.ping().await.unwrap().mode == "adls" { 5 } else { 100 }
}

async fn of_parts_that_end_at_once_one_executor_joins_the_study(store: Store) {
    for race in 0..races(&store).await {
        let name = format!("s{race}");
        insert_study(&store, &name, 2).await;
        let (one, other) = (format!("{name}-p00"), format!("{name}-p01"));
        let held = [claim(&store, &one, "one", 60).await, claim(&store, &other, "two", 60).await];
        // As an executor does: the end of the part, then a look at whether the study is due.
        let ends = async |held: &Claimed, owner: &str| {
            finish(&store, &held.lease, &Ending::from(publication())).await.unwrap();
            store.claim(&id(&name), &claimant(owner, 60)).await.unwrap()
        };
        let joined = tokio::join!(ends(&held[0], "one"), ends(&held[1], "two"));
        let claims =
            [joined.0, joined.1].into_iter().filter(|claim| matches!(claim, Claim::Claimed(_))).count();
        assert_eq!(claims, 1, "race {race}");
    }
}

async fn a_cancel_that_races_the_last_part_is_kept_or_comes_too_late(store: Store) {
    for race in 0..races(&store).await {
        let name = format!("s{race}");
        insert_study(&store, &name, 1).await;
        let part = claim(&store, &format!("{name}-p00"), "one", 60).await;
        let ends = async {
            finish(&store, &part.lease, &Ending::from(publication())).await;
            store.claim(&id(&name), &claimant("one", 60)).await.unwrap()
        };
        let study = id(&name);
        let (canceled, claimed) = tokio::join!(store.request_cancel(&study, "ada"), ends);
        let run = store.get(&id(&name)).await.unwrap().unwrap();
        match (canceled.unwrap(), claimed) {
            // Before the join: nobody joins it.
            (Cancel::Canceled(_), Claim::NotNow(_)) => {
                assert_eq!(run.state.status(), Status::Canceled, "race {race}");
            }
            // While it is joined: whoever joins is asked to stop.
            (Cancel::Requested(_), Claim::Claimed(join)) => {
                assert!(run.cancel_requested_at.is_some(), "race {race}");
                let ending = Ending::AcknowledgeCancel;
                assert_eq!(finish(&store, &join.lease, &ending).await, Some(Status::Canceled));
            }
            other => panic!("race {race}: {other:?}"),
        }
        let part = store.get(&id(&format!("{name}-p00"))).await.unwrap().unwrap();
        assert!(part.state.status().is_final(), "race {race}: {:?}", part.state);
    }
}

/// A config that returned `returns`, with a daily Sharpe ratio.
fn tried(config: &str, trial: Option<u32>, returns: Option<&str>, daily: f64) -> Tried {
    let sharpe = SharpeRatio { daily, skew: -0.5, kurtosis: 4.0, observations: 250 };
    Tried {
        config_sha256: config.into(),
        trial,
        returns_sha256: returns.map(str::to_owned),
        sharpe_ratio: returns.map(|_| daily * 16.0),
        sharpe: returns.map(|_| sharpe),
    }
}

async fn an_experiment_counts_each_config_once_whoever_tries_it(store: Store) {
    let mut study = new_run("s");
    study.submission.kind = Kind::Study;
    (study.submission.parts, study.submission.trials) = (Some(1), Some(4));
    study.submission.experiment = Some("us-momentum".into());
    let part = NewPart { id: id("s-p00"), config_json: "{}".into(), trials: 4 };
    store.insert_study(&study, &[part]).await.unwrap();
    let trials = [
        tried("b", Some(0), Some("same"), 0.05),
        tried("a", Some(1), Some("same"), 0.05),
        tried("c", Some(2), Some("other"), 0.09),
        tried("d", Some(3), None, 0.0),
    ];
    let zombie = claim(&store, "s-p00", "one", 0).await;
    store.count(&zombie.lease, &trials).await.unwrap();
    let Some(once) = store.experiments(None).await.unwrap() else {
        // This store keeps no ledger: it counts nothing and says so.
        assert_eq!(store.experiments(Some("us-momentum")).await.unwrap(), None);
        return;
    };
    // The first executor is gone; the next one tries all of it again, and the first one comes back.
    let held = claim(&store, "s-p00", "two", 60).await;
    store.count(&held.lease, &trials).await.unwrap();
    store.count(&zombie.lease, &[tried("never", Some(9), Some("never"), 0.5)]).await.unwrap();
    finish(&store, &held.lease, &Ending::from(publication())).await;
    assert_eq!(store.experiments(None).await.unwrap().unwrap(), once, "a retry and a zombie count nothing");
    let [of] = &once[..] else { panic!("{once:?}") };
    assert_eq!((of.name.as_str(), of.trials, of.distinct, of.failed, of.people), ("us-momentum", 4, 2, 1, 1));
    // Of 0.05 and 0.09: each 0.02 from their mean, over one degree of freedom.
    assert!((of.variance - 2.0 * 0.02 * 0.02).abs() < 1e-15, "{}", of.variance);
    let best = of.best.as_ref().unwrap();
    assert_eq!((best.run_id.as_str(), best.trial, best.sharpe_ratio), ("s", Some(2), 0.09 * 16.0));
    assert_eq!(best.sharpe.unwrap().observations, 250);

    // Plain runs: one that tries what was tried, one that tries something new, one that loses its lease, one without a name.
    let ends = async |name: &str, by: &str, experiment: Option<&str>, with: Tried| {
        let mut run = new_run(name);
        run.submission.experiment = experiment.map(str::to_owned);
        run.submission.submitted_by = Some(by.into());
        store.insert(&run).await.unwrap();
        let lost = claim(&store, name, "one", 0).await;
        let held = claim(&store, name, "two", 60).await;
        let ending = Ending::Complete { publication: Box::new(publication()), tried: Some(Box::new(with)) };
        assert!(finish(&store, &lost.lease, &ending).await.is_none());
        let before = store.experiments(Some("us-momentum")).await.unwrap().unwrap()[0].trials;
        assert_eq!(finish(&store, &held.lease, &ending).await, Some(Status::Completed));
        store.experiments(Some("us-momentum")).await.unwrap().unwrap()[0].trials - before
    };
    assert_eq!(ends("r1", "bob", Some("us-momentum"), tried("a", None, Some("same"), 0.05)).await, 0);
    assert_eq!(ends("r2", "bob", Some("us-momentum"), tried("e", None, Some("new"), 0.2)).await, 1);
    assert_eq!(ends("r3", "eve", None, tried("f", None, Some("f"), 0.9)).await, 0);
    let all = store.experiments(Some("us-momentum")).await.unwrap().unwrap();
    assert_eq!((all[0].trials, all[0].distinct, all[0].people), (5, 3, 2), "{all:?}");
    let best = all[0].best.as_ref().unwrap();
    assert_eq!((best.run_id.as_str(), best.trial), ("r2", None));
    assert!(all[0].first_at <= all[0].last_at);
    assert_eq!(store.experiments(Some("another")).await.unwrap().unwrap(), []);
}

async fn a_schedule_is_kept_with_what_it_ran_and_noted_by_one(store: Store) {
    let name: ScheduleName = "daily-1".parse().unwrap();
    let new = NewSchedule {
        name: name.clone(),
        config_json: r#"{"a": 1}"#.into(),
        cron: "0 0 22 * * *".into(),
        when: When::NewData,
        submitted_by: Some("ada".into()),
    };
    assert!(store.schedules(None).await.unwrap().schedules.is_empty());
    assert!(!store.delete_schedule(&name).await.unwrap());
    let (stored, is_new) = store.put_schedule(&new).await.unwrap();
    assert!(is_new);
    assert_eq!((&stored.name, &stored.config_json, &stored.cron), (&name, &new.config_json, &new.cron));
    assert_eq!((stored.submitted_by.as_deref(), stored.when), (Some("ada"), When::NewData));
    assert_eq!((stored.created_at, stored.looked_at, &stored.error), (stored.updated_at, None, &None));
    let read = store.schedules(None).await.unwrap();
    assert_eq!(read.schedules, std::slice::from_ref(&stored));
    assert!((read.now - stored.created_at).num_seconds().abs() < 60, "{read:?}");

    // Two that looked at once; the second finds that it was noted.
    let day = chrono::NaiveDate::from_ymd_opt(2026, 11, 27).unwrap();
    let look = Look { at: Some(read.now), ran: Some((day, id("r1"))), error: None };
    assert!(store.note_look(&stored, &look).await.unwrap());
    assert!(!store.note_look(&stored, &look).await.unwrap());
    let looked = store.schedules(Some(&name)).await.unwrap().schedules.pop().unwrap();
    assert_eq!((looked.looked_at, looked.last_date), (Some(read.now), Some(day)));
    assert_eq!(looked.last_run_id, Some(id("r1")));

    // A look that is repeated soon leaves its time, and takes no run away.
    let trouble = Look { at: looked.looked_at, ran: None, error: Some("no lake".into()) };
    assert!(store.note_look(&looked, &trouble).await.unwrap());
    assert!(!store.note_look(&looked, &trouble).await.unwrap(), "the trouble was noted by another");
    let (again, is_new) =
        store.put_schedule(&NewSchedule { cron: "0 0 23 * * *".into(), ..new }).await.unwrap();
    assert!(!is_new);
    assert_eq!((again.created_at, again.last_run_id.clone()), (stored.created_at, Some(id("r1"))));
    assert_eq!((again.cron.as_str(), &again.error, again.last_date), ("0 0 23 * * *", &None, Some(day)));
    assert!(store.schedules(Some(&"other".parse().unwrap())).await.unwrap().schedules.is_empty());
    assert!(store.delete_schedule(&name).await.unwrap());
    assert!(store.schedules(None).await.unwrap().schedules.is_empty());
    assert!(!store.note_look(&again, &look).await.unwrap(), "what is gone is not looked at");
}

/// Columns of a final run that somebody may still write.
const LABELS: [&str; 8] =
    ["run_name", "tags", "note", "archived_at", "deleted_at", "deleted_by", "version", "updated_at"];

#[test]
fn of_a_final_run_the_file_lets_labels_change_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.sqlite3");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store: Store = Arc::new(SqliteRuns::new(&path));
        insert(&store, "done").await;
        let held = claim(&store, "done", "one", 60).await;
        finish(&store, &held.lease, &Ending::from(publication())).await;
    });
    let file = rusqlite::Connection::open(&path).unwrap();
    let mut columns = file.prepare("SELECT name, type FROM pragma_table_info('runs')").unwrap();
    let columns = columns.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let columns: Vec<(String, String)> = columns.collect::<Result<_, _>>().unwrap();
    let frozen: Vec<_> = columns.iter().filter(|(name, _)| !LABELS.contains(&name.as_str())).collect();
    assert_eq!(columns.len() - frozen.len(), LABELS.len());
    for (name, kind) in frozen {
        let value = if kind.eq_ignore_ascii_case("text") { "'other'" } else { "9" };
        let change = format!("UPDATE runs SET {name} = {value}, version = version + 1");
        let refused = file.execute(&change, []).unwrap_err().to_string();
        assert!(refused.contains("a final run does not change"), "{name}: {refused}");
    }
    let silent = file.execute("UPDATE runs SET note = 'x'", []).unwrap_err().to_string();
    assert!(silent.contains("a final run does not change"), "each change counts: {silent}");
    let labels = "UPDATE runs SET run_name = 'n', tags = '[\"t\"]', note = 'n', archived_at = 'a', deleted_at = 'd', \
                  deleted_by = 'b', version = version + 1";
    assert_eq!(file.execute(labels, []).unwrap(), 1);
    let undeleted = "UPDATE runs SET deleted_at = NULL, deleted_by = NULL, version = version + 1";
    assert!(file.execute(undeleted, []).is_err(), "deleted is deleted");
}

#[tokio::test]
async fn of_a_final_run_the_table_lets_labels_change_and_nothing_else() {
    let Some(dsn) = crate::support::postgres::database() else { return };
    let store = postgres_store(&dsn);
    insert(&store, "done").await;
    let held = claim(&store, "done", "one", 60).await;
    finish(&store, &held.lease, &Ending::from(publication())).await;
    let client = Database::parse(&dsn, "test").unwrap().connect().await.unwrap();
    let columns = "SELECT column_name, data_type FROM information_schema.columns \
                   WHERE table_schema = 'backtest' AND table_name = 'runs'";
    let columns: Vec<(String, String)> = client
        .query(columns, &[])
        .await
        .unwrap()
        .iter()
        .map(|row| (row.get::<_, String>(0), row.get::<_, String>(1)))
        .collect();
    let frozen: Vec<_> = columns.iter().filter(|(name, _)| !LABELS.contains(&name.as_str())).collect();
    assert_eq!(columns.len() - frozen.len(), LABELS.len());
    for (name, kind) in frozen {
        let value = match kind.as_str() {
            "text" => "'other'",
            "jsonb" => "'[7]'",
            "timestamp with time zone" => "now() + interval '1 day'",
            _ => "9",
        };
        let change = format!("UPDATE backtest.runs SET {name} = {value}, version = version + 1");
        let refused = client.batch_execute(&change).await.unwrap_err();
        let refused = format!("{:?}", refused.as_db_error());
        assert!(refused.contains("a final run does not change"), "{name}: {refused}");
    }
    let silent = client.batch_execute("UPDATE backtest.runs SET note = 'x'").await;
    assert!(silent.is_err(), "each change counts");
    let labels = "UPDATE backtest.runs SET run_name = 'n', tags = '{t}', note = 'n', archived_at = now(), \
                  deleted_at = now(), deleted_by = 'b', version = version + 1";
    client.batch_execute(labels).await.unwrap();
    let undeleted = "UPDATE backtest.runs SET deleted_at = NULL, deleted_by = NULL, version = version + 1";
    assert!(client.batch_execute(undeleted).await.is_err(), "deleted is deleted");
}

#[test]
fn the_file_itself_refuses_nonsense() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.sqlite3");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store: Store = Arc::new(SqliteRuns::new(&path));
        insert(&store, "queued").await;
        insert(&store, "done").await;
        let held = claim(&store, "done", "one", 60).await;
        finish(&store, &held.lease, &Ending::from(publication())).await;
    });
    let file = rusqlite::Connection::open(&path).unwrap();
    for (statement, expected) in [
        ("UPDATE runs SET status = 'running' WHERE run_id = 'queued'", "CHECK"),
        ("UPDATE runs SET status = 'failed', completed_at = 'now' WHERE run_id = 'queued'", "CHECK"),
        ("UPDATE runs SET progress = 2 WHERE run_id = 'queued'", "CHECK"),
        ("UPDATE runs SET status = 'queued' WHERE run_id = 'done'", "a final run does not change"),
        ("UPDATE runs SET fence = -1 WHERE run_id = 'queued'", "a fence only grows"),
        ("UPDATE runs SET kind = 'sweep' WHERE run_id = 'queued'", "CHECK"),
        ("UPDATE runs SET kind = 'part' WHERE run_id = 'queued'", "CHECK"),
        ("UPDATE runs SET part = 2, parts = 2 WHERE run_id = 'queued'", "CHECK"),
        ("UPDATE runs SET deleted_at = 'now' WHERE run_id = 'queued'", "CHECK"),
    ] {
        let refused = file.execute(statement, []).unwrap_err().to_string();
        assert!(refused.contains(expected), "{statement}: {refused}");
    }
}

#[tokio::test]
async fn the_table_itself_refuses_nonsense() {
    let Some(dsn) = crate::support::postgres::database() else { return };
    let store = postgres_store(&dsn);
    insert(&store, "queued").await;
    insert(&store, "done").await;
    let held = claim(&store, "done", "one", 60).await;
    finish(&store, &held.lease, &Ending::from(publication())).await;
    let client = Database::parse(&dsn, "test").unwrap().connect().await.unwrap();
    let ended = "completed_at = now() WHERE run_id = 'queued'";
    for (change, expected) in [
        ("status = 'running' WHERE run_id = 'queued'".to_owned(), "runs_running_has_a_lease"),
        ("lease_owner = 'one' WHERE run_id = 'queued'".to_owned(), "runs_running_has_a_lease"),
        ("status = 'failed' WHERE run_id = 'queued'".to_owned(), "runs_f"),
        (format!("status = 'failed', {ended}"), "runs_failed_has_an_error"),
        (format!("status = 'completed', {ended}"), "runs_completed_has_a_manifest"),
        (ended.to_owned(), "runs_final_has_an_end"),
        ("status = 'paused' WHERE run_id = 'queued'".to_owned(), "runs_status_known"),
        ("progress = 2 WHERE run_id = 'queued'".to_owned(), "runs_progress_is_a_share"),
        ("status = 'queued' WHERE run_id = 'done'".to_owned(), "a final run does not change"),
        ("fence = -1 WHERE run_id = 'queued'".to_owned(), "a fence only grows"),
        ("kind = 'sweep' WHERE run_id = 'queued'".to_owned(), "runs_kind_known"),
        ("kind = 'part' WHERE run_id = 'queued'".to_owned(), "runs_part_has_a_study"),
        ("part = 2, parts = 2 WHERE run_id = 'queued'".to_owned(), "runs_part_in_range"),
        ("study_id = 'none' WHERE run_id = 'queued'".to_owned(), "runs_study_exists"),
        ("deleted_at = now() WHERE run_id = 'queued'".to_owned(), "runs_deleted_is_final"),
    ] {
        let refused = client.batch_execute(&format!("UPDATE backtest.runs SET {change}")).await.unwrap_err();
        let refused = format!("{:?}", refused.as_db_error());
        assert!(refused.contains(expected), "{change}: {refused}");
    }
    let mut again = new_run("queued");
    again.submission.idempotency_key = Some("key".into());
    assert!(matches!(store.insert(&again).await.unwrap(), Inserted::IdTaken));
}

#[tokio::test]
async fn a_cut_connection_loses_nothing_but_a_call() {
    let Some(dsn) = crate::support::postgres::database() else { return };
    let store = postgres_store(&dsn);
    let admin = Database::parse(&dsn, "admin").unwrap().connect().await.unwrap();
    let cut = async || {
        let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                      WHERE datname = current_database() AND pid <> pg_backend_pid()";
        admin.batch_execute(others).await.unwrap();
    };
    insert(&store, "r").await;
    cut().await;
    let claimed = loop {
        match store.claim(&id("r"), &claimant("one", 60)).await {
            Ok(Claim::Claimed(claimed)) => break claimed,
            Ok(other) => panic!("{other:?}"),
            Err(error) => assert!(error.retryable, "{error:?}"),
        }
    };
    cut().await;
    let ended = loop {
        match store.finish(&claimed.lease, &Ending::from(publication())).await {
            Ok(ended) => break ended,
            Err(error) => assert!(error.retryable, "{error:?}"),
        }
    };
    assert!(matches!(ended, Finish::Done(Status::Completed)));
    let run = store.get(&id("r")).await.unwrap().unwrap();
    assert_eq!((run.attempt, run.version), (1, 3), "each transition happened once");
}

#[tokio::test]
async fn a_file_of_an_older_version_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.sqlite3");
    let older = rusqlite::Connection::open(&path).unwrap();
    older.execute_batch(include_str!("../../golden/runs_schema_1.sql")).unwrap();
    drop(older);
    let store: Store = Arc::new(SqliteRuns::new(&path));

    let page = store.list(&ListQuery { limit: 10, ..ListQuery::default() }).await.unwrap();
    let listed: Vec<_> = page.runs.iter().map(|run| (run.id.as_str(), run.state.status())).collect();
    let expected = [
        ("held", Status::Running),
        ("waits", Status::Queued),
        ("dropped", Status::Canceled),
        ("wrong", Status::Failed),
        ("done", Status::Completed),
    ];
    assert_eq!(listed, expected);
    let RunState::Completed { publication, .. } = &page.runs[4].state else { unreachable!() };
    assert_eq!(publication.location, Location::Local { dir: "/srv/backtests/out/done/f1".into() });
    assert!(publication.summary["total_return"].is_number(), "{}", publication.summary);
    let mut again = new_run("another");
    again.submission.idempotency_key = Some("a key".into());
    again.submission.request_sha256 = page.runs[4].submission.request_sha256.clone();
    match store.insert(&again).await.unwrap() {
        Inserted::Replayed(run) => assert_eq!(run.id, id("done")),
        other => panic!("{other:?}"),
    }

    // What was under way goes on: the lost run is taken over, the waiting one runs.
    let (taken, waited) = (claim(&store, "held", "new", 60).await, claim(&store, "waits", "new", 60).await);
    assert_eq!((taken.lease.fence, waited.lease.fence), (Fence(2), Fence(1)));
    assert!(taken.taken_from.as_ref().is_some_and(|owner| owner.starts_with("old:")));
    for claimed in [&taken, &waited] {
        let ending = Ending::from(publication.clone());
        assert_eq!(finish(&store, &claimed.lease, &ending).await, Some(Status::Completed));
        let run = store.get(&claimed.run.id).await.unwrap().unwrap();
        let before = page.runs.iter().find(|before| before.id == run.id).unwrap();
        assert_eq!((&run.submission, run.submitted_at), (&before.submission, before.submitted_at));
    }
    let told: Vec<_> =
        store.events(&id("held")).await.unwrap().into_iter().map(|event| event.event).collect();
    assert_eq!(told, ["submitted", "claimed", "taken_over", "completed"]);
}
