//! What must hold, whatever failed: plain functions of the evidence, each of which names the runs that broke it.

use std::collections::{BTreeMap, BTreeSet};

use backtest_functions::work::files::MANIFEST;
use backtest_functions::work::sha256_hex;
use serde_json::Value;

use super::evidence::{Event, Evidence, Files, Results, Row, normal};
use super::work::{TRIALS, result_key};
use super::world::LEASE;

type Holds = fn(&Evidence) -> Vec<String>;

/// All of them, in the order of the specification.
pub(super) const INVARIANTS: [(&str, Holds); 12] = [
    ("every accepted submit has one row, and every row is final", every_submit_has_one_final_row),
    ("fences grow, one claim each, and nobody loses a lease that holds", claims_are_exclusive),
    ("a run ends once, and nothing follows", a_run_ends_once),
    ("a result is that of the highest fence", a_result_is_of_the_highest_fence),
    ("files are whole, manifests come last, and a sweep leaves no orphan", files_are_whole),
    ("no attempt too many, and what was canceled stays so", answers_stay_true),
    ("events tell the row", events_tell_the_row),
    ("results are those of a run without faults", results_are_as_without_faults),
    ("an experiment counts each config once", configs_count_once),
    ("a scan of the list sees every older run once", |evidence| evidence.told.scans.clone()),
    ("no connection too many", connections_stay_within_their_sum),
    ("no message is poison", |evidence| evidence.poison.iter().map(|one| format!("poison: {one}")).collect()),
];

fn every_submit_has_one_final_row(evidence: &Evidence) -> Vec<String> {
    let mut wrong: Vec<String> =
        evidence.unsettled.iter().map(|run| format!("run {run} did not end in time")).collect();
    let mut of_key = BTreeMap::<&str, BTreeSet<&str>>::new();
    for one in &evidence.told.accepted {
        if !evidence.rows.contains_key(&one.run_id) {
            wrong.push(format!("run {} was accepted and has no row", one.run_id));
        }
        if let Some(key) = &one.key {
            of_key.entry(key).or_default().insert(&one.run_id);
        }
    }
    for (key, runs) in of_key.iter().filter(|(_, runs)| runs.len() > 1) {
        wrong.push(format!("key {key} was answered with the runs {runs:?}"));
    }
    let accepted: BTreeSet<&str> = evidence.told.accepted.iter().map(|one| one.run_id.as_str()).collect();
    let mut keys = BTreeSet::new();
    for row in evidence.rows.values() {
        let asked_for = row.study_id.as_ref().unwrap_or(&row.run_id);
        if !accepted.contains(asked_for.as_str()) {
            wrong.push(format!("run {} was not accepted and has a row", row.run_id));
        }
        if row.idempotency_key.as_ref().is_some_and(|key| !keys.insert(key)) {
            wrong.push(format!("run {} is the second one of its key", row.run_id));
        }
        if !["completed", "failed", "canceled"].contains(&row.status.as_str()) {
            wrong.push(format!("run {} is {}", row.run_id, row.status));
        }
    }
    wrong
}

fn claims_are_exclusive(evidence: &Evidence) -> Vec<String> {
    let (mut wrong, mut owners) = (Vec::new(), BTreeSet::new());
    for (row, events) in evidence.runs() {
        let claims: Vec<&Event> = events.iter().filter(|event| event.is_claim()).collect();
        for claim in &claims {
            if !owners.insert(&claim.actor) {
                wrong.push(format!("run {} was claimed by {}, who claimed before", row.run_id, claim.actor));
            }
        }
        for pair in claims.windows(2) {
            if pair[1].fence <= pair[0].fence {
                wrong.push(format!(
                    "run {} was claimed with fence {} after {}",
                    row.run_id, pair[1].fence, pair[0].fence
                ));
            }
            if pair[1].event == "taken_over" && pair[1].at < pair[0].at + LEASE {
                let after = pair[1].at - pair[0].at;
                wrong.push(format!("run {} was taken over {after} after it was claimed", row.run_id));
            }
        }
    }
    // Events tell of claims that landed, the log of executors that took one for theirs.
    let mut executors = BTreeSet::new();
    for line in evidence.lines("claimed run ").chain(evidence.lines("took run ")) {
        let (run, attempt) = (&line["run.id"], &line["attempt"]);
        if !executors.insert((run.to_string(), attempt.to_string())) {
            wrong.push(format!("two executors took attempt {attempt} of run {run} for theirs"));
        }
    }
    wrong
}

fn a_run_ends_once(evidence: &Evidence) -> Vec<String> {
    let ends = |events: &[Event]| events.iter().filter(|event| event.is_final()).count();
    let mut wrong = Vec::new();
    for (row, events) in evidence.runs() {
        if ends(events) > 1 {
            wrong.push(format!("run {} ended {} times", row.run_id, ends(events)));
        }
        if ends(events) == 1 && !events.last().is_some_and(Event::is_final) {
            wrong.push(format!("run {} went on after its end", row.run_id));
        }
    }
    wrong
}

fn completed(evidence: &Evidence) -> impl Iterator<Item = (&Row, &[Event])> {
    evidence.runs().filter(|(row, _)| row.status == "completed")
}

fn a_result_is_of_the_highest_fence(evidence: &Evidence) -> Vec<String> {
    let mut wrong = Vec::new();
    for (row, events) in completed(evidence) {
        let highest = events.iter().filter(|event| event.is_claim()).map(|event| event.fence).max();
        if highest != Some(row.fence) {
            wrong.push(format!("run {} has fence {}, and {highest:?} was granted", row.run_id, row.fence));
        }
        let place = row.place().unwrap_or_default();
        if !place.ends_with(&format!("/{}/f{}", row.run_id, row.fence)) {
            wrong.push(format!("run {} has fence {} and its files are in {place}", row.run_id, row.fence));
        }
    }
    wrong
}

fn files_are_whole(evidence: &Evidence) -> Vec<String> {
    let mut wrong = Vec::new();
    for (place, files) in &evidence.files {
        // Also of attempts that nobody published: where there is a manifest, everything is.
        if let Some(manifest) = files.get(MANIFEST) {
            wrong.extend(missing(manifest, files).into_iter().map(|one| format!("{place}: {one}")));
        }
    }
    let published: BTreeMap<&str, &Row> =
        completed(evidence).filter_map(|(row, _)| Some((row.place()?, row))).collect();
    for (place, row) in &published {
        let manifest = evidence.files.get(*place).and_then(|files| files.get(MANIFEST));
        if manifest.map(sha256_hex) != row.manifest_sha256 {
            wrong.push(format!("run {} does not have the manifest that its row names", row.run_id));
        }
    }
    let after = &evidence.places_after_sweep;
    for orphan in after.iter().filter(|place| !published.contains_key(place.as_str())) {
        wrong.push(format!("{orphan} is left, and no row names it"));
    }
    for swept in published.keys().filter(|place| !after.contains(**place)) {
        wrong.push(format!("{swept} was swept, and a row names it"));
    }
    wrong
}

/// Files that a manifest lists and that are not there as it says.
fn missing(manifest: &[u8], files: &Files) -> Vec<String> {
    let manifest: Value = serde_json::from_slice(manifest).unwrap_or_default();
    let Some(listed) = manifest["artifacts"].as_array() else {
        return vec!["the manifest is broken".to_owned()];
    };
    let wrong = listed.iter().filter_map(|one| {
        let name = one["name"].as_str()?;
        match files.get(name).map(sha256_hex) {
            None => Some(format!("{name} is missing")),
            Some(digest) if one["sha256"] != digest.as_str() => Some(format!("{name} has another digest")),
            Some(_) => None,
        }
    });
    wrong.collect()
}

fn answers_stay_true(evidence: &Evidence) -> Vec<String> {
    let mut wrong = Vec::new();
    for row in evidence.rows.values() {
        if row.attempt > row.max_attempts {
            wrong.push(format!("run {} had {} of {} attempts", row.run_id, row.attempt, row.max_attempts));
        }
        let canceled = row.status == "canceled";
        if evidence.told.canceled.contains(&row.run_id) && !canceled {
            wrong.push(format!("run {} was said to be canceled and is {}", row.run_id, row.status));
        }
        if evidence.told.ended.contains(&row.run_id) && canceled {
            wrong.push(format!("run {} was said to have ended and was canceled", row.run_id));
        }
    }
    wrong
}

/// What events say of a run.
#[derive(Debug, Default, PartialEq)]
struct Told {
    status: &'static str,
    attempt: usize,
    fence: i64,
    announced: usize,
    cancel_asked: bool,
    manifest: Option<String>,
    /// Whether its submit announces others.
    waits: bool,
}

impl Told {
    /// One event more. The error says why it cannot follow.
    fn follow(&mut self, event: &Event) -> Result<(), String> {
        let held = event.actor.contains('/');
        let (from, to): (&[&str], _) = match event.event.as_str() {
            "submitted" => (&[""], "queued"),
            "claimed" => (&["queued"], "running"),
            "taken_over" | "cancel_requested" => (&["running"], "running"),
            "announced" => (&["queued", "running"], self.status),
            "retry_scheduled" => (&["running"], "queued"),
            "completed" => (&["running"], "completed"),
            "failed" if held => (&["running"], "failed"),
            "failed" => (&["queued", "running"], "failed"),
            "canceled" if held => (&["running"], "canceled"),
            "canceled" => (&["queued", "running"], "canceled"),
            other => return Err(format!("there is no event {other}")),
        };
        if !from.contains(&self.status) {
            return Err(format!("{} follows {:?}", event.event, self.status));
        }
        self.attempt += usize::from(event.is_claim());
        // Whoever ends a run that is not theirs raises its fence as well.
        let given_up = event.is_final() && event.actor == "reconcile";
        self.fence += i64::from(event.is_claim() || given_up);
        let is_announced = event.event == "announced" || (event.event == "submitted" && !self.waits);
        self.announced += usize::from(is_announced);
        self.cancel_asked |=
            event.event == "cancel_requested" || (to == "canceled" && self.status == "queued");
        self.manifest = event.detail["manifest_sha256"].as_str().map(str::to_owned);
        self.status = to;
        if self.fence == event.fence {
            Ok(())
        } else {
            Err(format!("{} has fence {}", event.event, event.fence))
        }
    }
}

fn events_tell_the_row(evidence: &Evidence) -> Vec<String> {
    let mut wrong = Vec::new();
    for (row, events) in evidence.runs() {
        // Nobody is woken for a study before its parts are done.
        let mut told = Told { waits: row.kind == "study", ..Told::default() };
        for (event, version) in events.iter().zip(1..) {
            if event.version != version {
                wrong.push(format!(
                    "run {} has event {} in the place of {version}",
                    row.run_id, event.version
                ));
            }
            if let Err(why) = told.follow(event) {
                wrong.push(format!("run {}: {why}", row.run_id));
            }
        }
        if row.version != events.len() as i64 {
            wrong.push(format!("run {} has version {} and {} events", row.run_id, row.version, events.len()));
        }
        let stored = Told {
            status: told.status,
            attempt: row.attempt,
            fence: row.fence,
            announced: row.announce_count,
            cancel_asked: row.cancel_requested_at.is_some(),
            manifest: row.manifest_sha256.clone(),
            waits: told.waits,
        };
        if row.status != told.status || stored != told {
            wrong.push(format!(
                "run {} is {} {stored:?}, and its events tell {told:?}",
                row.run_id, row.status
            ));
        }
    }
    wrong
}

fn results_are_as_without_faults(evidence: &Evidence) -> Vec<String> {
    let mut wrong = Vec::new();
    for (row, _) in completed(evidence) {
        let Some(wanted) = evidence.wanted.get(&result_key(&row.config_sha256, row.part)) else {
            wrong.push(format!("run {} has a config that nobody submitted", row.run_id));
            continue;
        };
        let Some(files) = row.place().and_then(|place| evidence.files.get(place)) else {
            wrong.push(format!("run {} has no files", row.run_id));
            continue;
        };
        let digests = |name: &String, content: &bytes::Bytes| (name.clone(), normal(&row.run_id, content));
        let found: Results = files.iter().map(|(name, content)| digests(name, content)).collect();
        for name in wanted.keys().chain(found.keys()).collect::<BTreeSet<_>>() {
            // The manifest names fence and sizes; its list of files has been compared with them.
            if name != MANIFEST && wanted.get(name) != found.get(name) {
                wrong.push(format!("run {}: {name} is not as without faults", row.run_id));
            }
        }
    }
    wrong
}

/// All studies try the same, so that one that is through has tried everything.
fn configs_count_once(evidence: &Evidence) -> Vec<String> {
    let through = completed(evidence).any(|(row, _)| row.kind == "study");
    let lawful = if through { evidence.counted == TRIALS } else { evidence.counted <= TRIALS };
    if lawful { Vec::new() } else { vec![format!("{} trials were counted of {TRIALS}", evidence.counted)] }
}

fn connections_stay_within_their_sum(evidence: &Evidence) -> Vec<String> {
    let (seen, allowed) = (&evidence.connections, evidence.connections_max);
    println!("    at most {} connections at once; {allowed} are allowed", seen.most);
    seen.wrong.clone()
}
