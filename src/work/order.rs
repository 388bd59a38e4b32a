//! Order among many runs: what people call, tag and note, what they put away and what they delete. What was run and what came
//! of it never changes; a deleted run leaves a row that keeps its id, its hashes and who deleted it, and its files go with
//! the next sweep.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};
use unicode_normalization::UnicodeNormalization as _;
use utoipa::ToSchema;

use super::chain;
use super::{App, notify};
use crate::engine::config::Fault;
use crate::run::{Run, RunId, RunState, Status};
use crate::store::runs::{Amend, Cancel, Change, ListQuery, StoreError};
use crate::telemetry;

/// Tags of a run.
pub const TAGS_MAX: usize = 20;
/// Characters of a note.
pub const NOTE_MAX: usize = 4000;
/// Characters of a name.
pub const NAME_MAX: usize = 200;
/// What a tag looks like.
pub const TAG_PATTERN: &str = "^[a-z0-9][a-z0-9._/-]{0,63}$";

/// Runs that one call changes.
pub const BULK_MAX: usize = 1000;
/// Ids that an answer names.
const IDS_SHOWN: usize = 100;
/// Runs of a page that is looked through.
const PAGE: usize = 500;
/// Times that a change is tried anew when another writer was faster.
const TRIES: usize = 5;

/// Whether a text is a tag, see [`TAG_PATTERN`].
pub fn is_tag(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=64).contains(&text.len())
        && text.bytes().next().is_some_and(plain)
        && text.bytes().all(|byte| plain(byte) || matches!(byte, b'.' | b'_' | b'/' | b'-'))
}

/// What is to be noted on a run; `None` leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Patch {
    /// A name, or none.
    pub run_name: Option<Option<String>>,
    /// All of its tags.
    pub tags: Option<Vec<String>>,
    /// A note, or none.
    pub note: Option<Option<String>>,
    /// Whether it is put away.
    pub archived: Option<bool>,
}

impl Patch {
    /// Reads the fields of a request.
    ///
    /// # Errors
    /// Every fault of it.
    pub fn from_fields(mut fields: Map<String, Value>) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        if fields.is_empty() {
            faults.push(fault("body", "names nothing to change; there are tags, note, archived, run_name"));
        }
        let patch = Self {
            run_name: fields
                .remove("run_name")
                .map(|name| text("run_name", name, NAME_MAX, false, &mut faults)),
            tags: fields.remove("tags").map(|tags| read_tags(tags, &mut faults)),
            note: fields.remove("note").map(|note| text("note", note, NOTE_MAX, true, &mut faults)),
            archived: fields.remove("archived").map(|archived| {
                archived.as_bool().unwrap_or_else(|| {
                    faults.push(fault("archived", "must be true or false"));
                    false
                })
            }),
        };
        for name in fields.keys() {
            faults.push(fault(name, "is not a field here; there are tags, note, archived, run_name"));
        }
        if faults.is_empty() { Ok(patch) } else { Err(faults) }
    }

    fn apply(&self, change: &mut Change) {
        if let Some(name) = &self.run_name {
            change.run_name.clone_from(name);
        }
        if let Some(tags) = &self.tags {
            change.tags.clone_from(tags);
        }
        if let Some(note) = &self.note {
            change.note.clone_from(note);
        }
        if let Some(archived) = self.archived {
            change.archived = archived;
        }
    }
}

fn fault(path: &str, message: impl Into<String>) -> Fault {
    Fault { path: path.to_owned(), message: message.into() }
}

/// A text, or none where it is null or empty. Names are kept composed, as those of configs are.
fn text(field: &str, value: Value, longest: usize, lines: bool, faults: &mut Vec<Fault>) -> Option<String> {
    let text = match value {
        Value::Null => return None,
        Value::String(text) => text.trim().nfc().collect::<String>(),
        _ => {
            faults.push(fault(field, "must be a text, or null"));
            return None;
        }
    };
    let found = text.chars().count();
    if found > longest {
        faults.push(fault(field, format!("has {found} characters, at most {longest} are allowed")));
    }
    if text.chars().any(|c| c.is_control() && !(lines && matches!(c, '\n' | '\t' | '\r'))) {
        faults.push(fault(field, "holds a control character; it is plain text"));
    }
    Some(text).filter(|text| !text.is_empty())
}

/// Reads a list of tags, each once.
pub fn read_tags(value: Value, faults: &mut Vec<Fault>) -> Vec<String> {
    let Value::Array(listed) = value else {
        faults.push(fault("tags", "must be a list of texts"));
        return Vec::new();
    };
    if listed.len() > TAGS_MAX {
        faults.push(fault("tags", format!("lists {} tags, at most {TAGS_MAX} are allowed", listed.len())));
    }
    let mut tags: Vec<String> = Vec::new();
    for (place, tag) in listed.into_iter().enumerate() {
        match tag {
            Value::String(tag) if tags.contains(&tag) => {}
            Value::String(tag) if is_tag(&tag) => tags.push(tag),
            other => {
                let message = format!(
                    "must be a lower-case letter or digit and at most 63 more of these, '.', '_', '/' or '-', not {other}"
                );
                faults.push(fault(&format!("tags[{place}]"), message));
            }
        }
    }
    tags
}

/// What became of a change to a run.
#[derive(Debug)]
pub enum Ordered {
    /// The run as it is now.
    Done(Box<Run>),
    /// It is not any more as the caller wants to have seen it.
    MovedOn,
    /// It must end before it can be deleted.
    NotEnded(Status),
    /// The run was deleted; what is left of its record.
    Deleted(Box<Run>),
    /// No such run.
    Unknown,
}

/// Notes what a person wants on a run. `seen` says whether a state of the run is still one that the caller goes on from.
pub async fn amend(
    app: &App,
    id: &RunId,
    patch: &Patch,
    actor: &str,
    seen: impl Fn(&Run) -> bool,
) -> Result<Ordered, StoreError> {
    changed(app, id, actor, seen, |change| patch.apply(change)).await
}

/// Deletes a run that has ended. What it left behind goes with the next sweep, and at once where a config put it elsewhere,
/// where no sweep looks.
pub async fn delete(
    app: &App,
    id: &RunId,
    actor: &str,
    seen: impl Fn(&Run) -> bool,
) -> Result<Ordered, StoreError> {
    let ordered = changed(app, id, actor, seen, |change| change.deleted = true).await?;
    if let Ordered::Done(run) = &ordered {
        tracing::info!(run.id = %id, "run {id} was deleted");
        remove_elsewhere(app, run).await;
    }
    Ok(ordered)
}

/// Changes what is noted on a run until no other writer is faster.
async fn changed(
    app: &App,
    id: &RunId,
    actor: &str,
    seen: impl Fn(&Run) -> bool,
    apply: impl Fn(&mut Change),
) -> Result<Ordered, StoreError> {
    let Some(mut run) = app.runs.get(id).await? else { return Ok(Ordered::Unknown) };
    for _ in 0..TRIES {
        if run.labels.deleted.is_some() {
            return Ok(Ordered::Deleted(Box::new(run)));
        }
        if !seen(&run) {
            return Ok(Ordered::MovedOn);
        }
        let before = Change::of(&run);
        let mut change = before.clone();
        apply(&mut change);
        if change == before {
            return Ok(Ordered::Done(Box::new(run)));
        }
        run = match app.runs.amend(id, run.version, &change, actor).await? {
            Amend::Done(run) => return Ok(Ordered::Done(run)),
            Amend::Deleted(run) => return Ok(Ordered::Deleted(run)),
            Amend::NotEnded(run) => return Ok(Ordered::NotEnded(run.state.status())),
            Amend::Unknown => return Ok(Ordered::Unknown),
            Amend::Stale(run) => *run,
        };
    }
    Ok(Ordered::MovedOn)
}

/// Removes the files of a deleted run that its config put below a folder of its own.
async fn remove_elsewhere(app: &App, run: &Run) {
    let config: Value = serde_json::from_str(&run.submission.effective_config_json).unwrap_or_default();
    let RunState::Completed { publication, .. } = &run.state else { return };
    if config["output"]["adls_dir"].is_null() {
        return;
    }
    if let Err(error) = app.artifacts.remove(&publication.location).await {
        tracing::warn!(run.id = %run.id, error = chain(&error), "the files of run {} stay where they are", run.id);
    }
}

/// What to do with many runs.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Put them away.
    Archive,
    /// Bring them back.
    Unarchive,
    /// Give them these tags too.
    Tag(Vec<String>),
    /// Take these tags off.
    Untag(Vec<String>),
    /// Delete those that have ended.
    Delete,
    /// Cancel those that have not.
    Cancel,
}

/// Which runs.
#[derive(Debug, Clone)]
pub enum Selection {
    /// These.
    Ids(Vec<RunId>),
    /// Those of a list; its place and limit do not count.
    Filter(Box<ListQuery>),
}

/// What was done, or would be.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = BulkAnswer)]
pub struct Bulk {
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// Runs that were meant.
    pub matched: usize,
    /// Runs that were changed, or would be.
    pub done: usize,
    /// Runs that are so already.
    pub unchanged: usize,
    /// Runs for which it cannot be done, by reason.
    #[schema(value_type = BTreeMap<String, usize>)]
    pub refused: BTreeMap<&'static str, usize>,
    /// Runs that are left for another call: one changes at most a thousand.
    pub left: usize,
    /// The first hundred that were changed, or would be.
    pub ids: Vec<RunId>,
}

/// Does the same with many runs, one after the other: what was done stays done if a store stops to answer.
pub async fn bulk(
    app: &App,
    selection: &Selection,
    action: &Action,
    actor: &str,
    dry_run: bool,
) -> Result<Bulk, StoreError> {
    let mut answer = Bulk { dry_run, ..Bulk::default() };
    let ids = match selection {
        Selection::Ids(ids) => ids.clone(),
        Selection::Filter(query) => matching(app, query).await?,
    };
    answer.matched = ids.len();
    for (place, id) in ids.iter().enumerate() {
        if !dry_run && answer.done >= BULK_MAX {
            answer.left = ids.len() - place;
            break;
        }
        match one(app, id, action, actor, dry_run).await? {
            Outcome::Done => {
                answer.done += 1;
                if answer.ids.len() < IDS_SHOWN {
                    answer.ids.push(id.clone());
                }
            }
            Outcome::Unchanged => answer.unchanged += 1,
            Outcome::Refused(why) => *answer.refused.entry(why).or_default() += 1,
        }
    }
    Ok(answer)
}

/// What became of one of many runs.
enum Outcome {
    Done,
    Unchanged,
    Refused(&'static str),
}

async fn one(
    app: &App,
    id: &RunId,
    action: &Action,
    actor: &str,
    dry_run: bool,
) -> Result<Outcome, StoreError> {
    let Some(run) = app.runs.get(id).await? else { return Ok(Outcome::Refused("unknown")) };
    if run.labels.deleted.is_some() {
        return Ok(if *action == Action::Delete { Outcome::Unchanged } else { Outcome::Refused("deleted") });
    }
    let ended = run.state.status().is_final();
    let before = Change::of(&run);
    let mut after = before.clone();
    match action {
        Action::Cancel if ended => return Ok(Outcome::Refused("ended")),
        Action::Cancel if run.cancel_requested_at.is_some() => return Ok(Outcome::Unchanged),
        Action::Cancel => return cancel(app, id, actor, dry_run).await,
        Action::Delete if !ended => return Ok(Outcome::Refused("not_ended")),
        action => act(action, &mut after),
    }
    if after == before {
        return Ok(Outcome::Unchanged);
    }
    if after.tags.len() > TAGS_MAX {
        return Ok(Outcome::Refused("too_many_tags"));
    }
    if dry_run {
        return Ok(Outcome::Done);
    }
    let ordered = match action {
        Action::Delete => delete(app, id, actor, |_| true).await?,
        action => changed(app, id, actor, |_| true, |change| act(action, change)).await?,
    };
    Ok(match ordered {
        Ordered::Done(_) => Outcome::Done,
        Ordered::MovedOn => Outcome::Refused("busy"),
        Ordered::NotEnded(_) => Outcome::Refused("not_ended"),
        Ordered::Deleted(_) => Outcome::Refused("deleted"),
        Ordered::Unknown => Outcome::Refused("unknown"),
    })
}

fn act(action: &Action, change: &mut Change) {
    match action {
        Action::Archive => change.archived = true,
        Action::Unarchive => change.archived = false,
        Action::Tag(tags) => {
            let new: Vec<String> = tags.iter().filter(|tag| !change.tags.contains(tag)).cloned().collect();
            change.tags.extend(new);
        }
        Action::Untag(tags) => change.tags.retain(|tag| !tags.contains(tag)),
        Action::Delete => change.deleted = true,
        Action::Cancel => {}
    }
}

async fn cancel(app: &App, id: &RunId, actor: &str, dry_run: bool) -> Result<Outcome, StoreError> {
    if dry_run {
        return Ok(Outcome::Done);
    }
    Ok(match app.runs.request_cancel(id, actor).await? {
        Cancel::Canceled(_) => {
            telemetry::RUNS_ENDED.one(Status::Canceled.as_str());
            notify::ended(app, id);
            Outcome::Done
        }
        Cancel::Requested(_) => Outcome::Done,
        Cancel::Before(_) => Outcome::Unchanged,
        Cancel::Ended(_) => Outcome::Refused("ended"),
        Cancel::Unknown => Outcome::Refused("unknown"),
    })
}

/// The ids of all runs that a list would show.
async fn matching(app: &App, query: &ListQuery) -> Result<Vec<RunId>, StoreError> {
    let mut query = ListQuery { after: None, limit: PAGE, ..query.clone() };
    let mut ids = Vec::new();
    loop {
        let page = app.runs.list(&query).await?;
        ids.extend(page.runs.into_iter().map(|run| run.id));
        match page.next {
            Some(next) => query.after = Some(next),
            None => return Ok(ids),
        }
    }
}
