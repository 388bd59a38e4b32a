//! `PATCH` and `DELETE /api/backtests/{run_id}`: what people note on a run, and the end of what it left behind.

use serde_json::{Value, json};
use warp::http::header::{CACHE_CONTROL, ETAG};

use super::call::{Call, RUN_ID, unknown_run};
use super::cancel::IF_MATCH;
use super::function::{Answer, AnswerHeader, Content, Function, Method, Operation};
use super::record::{RunRecord, record};
use super::reply::{Code, Refusal, Reply};
use super::run_request::json_object;
use super::schema::Shape;
use super::status::etag;
use super::submit::caller;
use crate::run::Run;
use crate::work::App;
use crate::work::order::{NAME_MAX, NOTE_MAX, Ordered, Patch, TAG_PATTERN, TAGS_MAX, amend, delete};

pub(super) const FUNCTION: Function =
    Function::http("amend", "backtests/{run_id}", &[&AMEND_RUN, &DELETE_RUN]);

const AMEND_RUN: Operation = Operation {
    id: "amendRun",
    method: Method::Patch,
    path: "backtests/{run_id}",
    tag: "runs",
    summary: "Name, tag, note or archive a run",
    description: "Fields that are left out stay as they are; null or an empty text takes a name or a note away. What was run \
                  and what came of it never changes. With `If-Match`, only if the run is as the caller saw it.",
    parameters: &[&RUN_ID, &IF_MATCH],
    bodies: &[Content {
        media_type: "application/json",
        shape: Shape::Composed(|schemas| schemas.put("RunPatch", patch_schema())),
        example: None,
    }],
    answers: &[Answer::document(200, "The run as it is now", &[Content::json(Shape::of::<RunRecord<'_>>())])
        .with(&[STATE])],
    refusals: &[
        Code::MalformedRequest,
        Code::BodyMissing,
        Code::InvalidParameter,
        Code::RunNotFound,
        Code::RunDeleted,
        Code::PreconditionFailed,
        Code::BodyTooLarge,
        Code::UnsupportedMediaType,
        Code::StoreUnavailable,
    ],
    handler: |app, call| Box::pin(amended(app, call)),
};

const DELETE_RUN: Operation = Operation {
    id: "deleteRun",
    method: Method::Delete,
    summary: "Delete a run that has ended",
    description: "Its record stays, with its hashes and who deleted it when, and its id is never used again; its files go with \
                  the next sweep. Lists leave it out. Again, the answer is the same.",
    bodies: &[],
    refusals: &[
        Code::InvalidParameter,
        Code::RunNotFound,
        Code::RunNotEnded,
        Code::PreconditionFailed,
        Code::StoreUnavailable,
    ],
    handler: |app, call| Box::pin(deleted(app, call)),
    ..AMEND_RUN
};

const STATE: AnswerHeader = AnswerHeader::text("ETag", "Names this state of the record");

fn patch_schema() -> Value {
    json!({
        "type": "object",
        "description": "What to note on a run.",
        "properties": {
            "tags": { "type": "array", "maxItems": TAGS_MAX, "items": { "type": "string", "pattern": TAG_PATTERN },
                      "description": "All of its tags" },
            "note": { "type": ["string", "null"], "maxLength": NOTE_MAX, "pattern": "^[^\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f]*$",
                      "description": "Plain text" },
            "archived": { "type": "boolean", "description": "Whether lists leave it out unless asked" },
            "run_name": { "type": ["string", "null"], "maxLength": NAME_MAX, "pattern": "^[^\\x00-\\x1f\\x7f-\\x9f]*$",
                          "description": "What it is called" },
        },
        "minProperties": 1,
        "additionalProperties": false,
        "example": { "tags": ["momentum", "paper"], "note": "the one to beat" },
    })
}

async fn amended(app: App, call: Call) -> Result<Reply, Refusal> {
    call.query().check()?;
    let id = call.run_id()?;
    let patch = Patch::from_fields(json_object(&call)?);
    let patch = patch.map_err(|faults| Reply::faults(Code::MalformedRequest, &faults))?;
    let (actor, seen) = (actor(&app, &call), precondition(&call)?);
    let ordered = amend(&app, &id, &patch, &actor, seen).await.map_err(|error| Reply::store(&error))?;
    match ordered {
        Ordered::Deleted(run) => Err(Reply::deleted(&run).into()),
        ordered => answer(id.as_str(), ordered),
    }
}

async fn deleted(app: App, call: Call) -> Result<Reply, Refusal> {
    call.query().check()?;
    let id = call.run_id()?;
    let (actor, seen) = (actor(&app, &call), precondition(&call)?);
    let ordered = delete(&app, &id, &actor, seen).await.map_err(|error| Reply::store(&error))?;
    match ordered {
        // A repeat finds what it asked for.
        Ordered::Deleted(run) => answer(id.as_str(), Ordered::Done(run)),
        ordered => answer(id.as_str(), ordered),
    }
}

/// Who did it, for the history of the run.
pub(super) fn actor(app: &App, call: &Call) -> String {
    caller(app, call).unwrap_or_else(|| "api".to_owned())
}

/// Whether a state of the run is the one that `If-Match` names, if it names one.
fn precondition(call: &Call) -> Result<impl Fn(&Run) -> bool, Refusal> {
    call.deciding_header("If-Match")?;
    Ok(move |run: &Run| call.must_match(&etag(&record(run))).is_ok())
}

fn answer(id: &str, ordered: Ordered) -> Result<Reply, Refusal> {
    match ordered {
        Ordered::Done(run) => {
            let record = record(&run);
            let etag = etag(&record);
            Ok(Reply::ok(&record).with(ETAG, &etag).with(CACHE_CONTROL, "no-cache"))
        }
        Ordered::MovedOn => {
            let detail = "the run is not any more as the caller saw it; read it again";
            Err(Reply::problem(Code::PreconditionFailed, detail).into())
        }
        Ordered::NotEnded(status) => {
            let detail = format!("run {id} is {status}; cancel it, or wait until it has ended");
            Err(Reply::wrong_state(Code::RunNotEnded, detail, status).into())
        }
        Ordered::Deleted(run) => Err(Reply::deleted(&run).into()),
        Ordered::Unknown => Err(unknown_run(id).into()),
    }
}
