//! `POST /api/backtests/bulk`: the same with many runs.

use serde_json::{Map, Value, json};

use super::amend::actor;
use super::call::Call;
use super::function::{Answer, Content, Function, Method, Operation};
use super::list::filters;
use super::reply::{Code, Refusal, Reply};
use super::run_request::json_object;
use super::schema::Shape;
use crate::engine::config::Fault;
use crate::run::RunId;
use crate::work::App;
use crate::work::order::{Action, BULK_MAX, Bulk, Selection, TAG_PATTERN, TAGS_MAX, bulk, read_tags};

pub(super) const FUNCTION: Function = Function::http("bulk", "backtests/bulk", &[&CHANGE_RUNS]);

const CHANGE_RUNS: Operation = Operation {
    id: "changeRuns",
    method: Method::Post,
    path: "backtests/bulk",
    tag: "runs",
    summary: "Archive, tag, delete or cancel many runs",
    description: "Of the runs with these ids, or of those that a list with this filter shows. With `dry_run` nothing is changed \
                  and the answer says what would be. One call changes at most a thousand runs; `left` says how many are \
                  left for another one.",
    parameters: &[],
    bodies: &[Content {
        media_type: "application/json",
        shape: Shape::Composed(|schemas| schemas.put("BulkRequest", request_schema())),
        example: None,
    }],
    answers: &[Answer::document(200, "What was done, or would be", &[Content::json(Shape::of::<Bulk>())])],
    refusals: &[
        Code::MalformedRequest,
        Code::BodyMissing,
        Code::InvalidParameter,
        Code::BodyTooLarge,
        Code::UnsupportedMediaType,
        Code::StoreUnavailable,
    ],
    handler: |app, call| Box::pin(changed(app, call)),
};

const ACTIONS: [&str; 6] = ["archive", "unarchive", "tag", "untag", "delete", "cancel"];
/// Filters of which there may be several values.
const SEVERAL: [&str; 2] = ["status", "kind"];
const FIELDS: &str = "is not a field here; there are ids, filter, action, tags, dry_run";

fn request_schema() -> Value {
    let texts = |description: &str| {
        json!({ "description": description, "anyOf": [
            { "type": "string" }, { "type": "array", "items": { "type": "string" }, "minItems": 1 },
        ] })
    };
    let text = |description: &str| json!({ "type": "string", "description": description });
    json!({
        "type": "object",
        "description": "Which runs, by `ids` or by `filter`, and what to do with them.",
        "properties": {
            "ids": { "type": "array", "items": { "type": "string" }, "minItems": 1, "maxItems": BULK_MAX },
            "filter": {
                "type": "object",
                "description": "The filters of the list, at least one",
                "properties": {
                    "status": texts("Only runs in these states"),
                    "kind": texts("Only runs of these kinds"),
                    "q": text("Only runs whose id or name holds this text"),
                    "submitted_after": text("Only runs submitted after this moment"),
                    "submitted_before": text("Only runs submitted before this moment"),
                    "submitted_by": text("Only runs of exactly this caller"),
                    "results_sha256": text("Only runs with exactly these results"),
                    "tag": text("Only runs with this tag"),
                    "archived": { "type": "string", "enum": ["true", "false", "any"] },
                },
                "minProperties": 1,
                "additionalProperties": false,
            },
            "action": { "type": "string", "enum": ACTIONS },
            "tags": { "type": "array", "items": { "type": "string", "pattern": TAG_PATTERN }, "maxItems": TAGS_MAX,
                      "description": "For tag and untag" },
            "dry_run": { "type": "boolean", "default": false },
        },
        "required": ["action"],
        "additionalProperties": false,
        "example": { "filter": { "tag": "scratch" }, "action": "archive", "dry_run": true },
    })
}

async fn changed(app: App, call: Call) -> Result<Reply, Refusal> {
    call.query().check()?;
    let mut faults = Vec::new();
    let mut fields = json_object(&call)?;
    let selection = selection(&mut fields, &mut faults);
    let action = action(&mut fields, &mut faults);
    let dry_run = match fields.remove("dry_run") {
        None => false,
        Some(Value::Bool(flag)) => flag,
        Some(_) => {
            faults.push(fault("dry_run", "must be true or false"));
            true
        }
    };
    faults.extend(fields.keys().map(|name| fault(name, FIELDS)));
    let (Some(selection), Some(action), true) = (selection, action, faults.is_empty()) else {
        return Err(Reply::faults(Code::MalformedRequest, &faults).into());
    };
    let done = bulk(&app, &selection, &action, &actor(&app, &call), dry_run).await;
    done.map(Reply::ok).map_err(|error| Reply::store(&error).into())
}

fn fault(path: &str, message: impl Into<String>) -> Fault {
    Fault { path: path.to_owned(), message: message.into() }
}

fn selection(fields: &mut Map<String, Value>, faults: &mut Vec<Fault>) -> Option<Selection> {
    match (fields.remove("ids"), fields.remove("filter")) {
        (Some(Value::Array(ids)), None) => {
            if ids.is_empty() || ids.len() > BULK_MAX {
                faults.push(fault("ids", format!("must list 1 to {BULK_MAX} runs, not {}", ids.len())));
            }
            let mut read: Vec<RunId> = Vec::new();
            for (place, id) in ids.iter().enumerate() {
                match id.as_str().map(str::parse::<RunId>) {
                    Some(Ok(id)) if read.contains(&id) => {}
                    Some(Ok(id)) => read.push(id),
                    _ => faults.push(fault(&format!("ids[{place}]"), crate::run::InvalidRunId.to_string())),
                }
            }
            Some(Selection::Ids(read))
        }
        (None, Some(Value::Object(filter))) => {
            if filter.is_empty() {
                faults.push(fault("filter", "names no condition; it would mean every run"));
            }
            let query = filters(&pairs(filter, faults));
            match query {
                Ok(query) => Some(Selection::Filter(Box::new(query))),
                Err(found) => {
                    let below = |one: Fault| fault(&format!("filter.{}", one.path), one.message);
                    faults.extend(found.into_iter().map(below));
                    None
                }
            }
        }
        (Some(_), None) => {
            faults.push(fault("ids", "must be a list of ids"));
            None
        }
        (None, Some(_)) => {
            faults.push(fault("filter", "must be an object"));
            None
        }
        (Some(_), Some(_)) => {
            faults.push(fault("ids", "stands beside filter; send one of them"));
            None
        }
        (None, None) => {
            faults.push(fault("ids", "is required (or filter)"));
            None
        }
    }
}

/// The filter as a query would have it.
fn pairs(filter: Map<String, Value>, faults: &mut Vec<Fault>) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    for (name, value) in filter {
        let values = match value {
            Value::Array(values) if SEVERAL.contains(&name.as_str()) && !values.is_empty() => values,
            value => vec![value],
        };
        for value in values {
            match value {
                Value::String(text) => pairs.push((name.clone(), text)),
                _ if SEVERAL.contains(&name.as_str()) => {
                    faults.push(fault(&format!("filter.{name}"), "must be a text, or a list of texts"));
                }
                _ => faults.push(fault(&format!("filter.{name}"), "must be a text")),
            }
        }
    }
    pairs
}

fn action(fields: &mut Map<String, Value>, faults: &mut Vec<Fault>) -> Option<Action> {
    let tags = fields.remove("tags");
    let action = fields.remove("action");
    let name = action.as_ref().and_then(Value::as_str).unwrap_or_default();
    let has_tags = tags.is_some();
    let mut listed = || {
        let listed = read_tags(tags.clone().unwrap_or(json!([])), faults);
        if listed.is_empty() {
            faults.push(fault("tags", "must name at least one tag"));
        }
        listed
    };
    let action = match name {
        "archive" => Action::Archive,
        "unarchive" => Action::Unarchive,
        "tag" => Action::Tag(listed()),
        "untag" => Action::Untag(listed()),
        "delete" => Action::Delete,
        "cancel" => Action::Cancel,
        _ => {
            faults.push(fault("action", format!("must be one of {}", ACTIONS.join(", "))));
            return None;
        }
    };
    if has_tags && !matches!(action, Action::Tag(_) | Action::Untag(_)) {
        faults.push(fault("tags", "has no effect on this action"));
    }
    Some(action)
}
