//! `GET /api/schedules` and `GET`, `PUT`, `DELETE /api/schedules/{name}`: configs that are run again whenever their tables have a
//! new day.

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::call::Call;
use super::function::{Answer, Content, Function, Method, Operation};
use super::parameter::PathPart;
use super::reply::{Code, Refusal, Reply};
use super::run_request::json_object;
use super::schema::Shape;
use super::submit::caller;
use crate::engine::config::Fault;
use crate::run::RunId;
use crate::store::runs::schedule::{Schedule, ScheduleName, When};
use crate::work::App;
use crate::work::schedules::{Asked, PutError, put};

pub(super) const FUNCTION: Function = Function::http(
    "schedules",
    "schedules/{*name}",
    &[&LIST_SCHEDULES, &GET_SCHEDULE, &PUT_SCHEDULE, &DELETE_SCHEDULE],
);

/// A config that is run again whenever its tables have a new day. What is not known yet is null.
#[derive(Serialize, ToSchema)]
struct ScheduleRecord {
    /// What it is called.
    name: ScheduleName,
    /// The config as it came, without an end date: each run ends on the newest day of its tables.
    #[schema(value_type = Object)]
    config: Value,
    /// When its tables are looked at: NCRONTAB, in UTC.
    cron: String,
    /// What a look must find, for a run to be submitted.
    when: When,
    /// Who put it there last, as the platform states it.
    submitted_by: Option<String>,
    /// When it was stored first.
    created_at: DateTime<Utc>,
    /// When it was stored last.
    updated_at: DateTime<Utc>,
    /// When its tables were looked at last.
    looked_at: Option<DateTime<Utc>>,
    /// When they are due to be looked at next.
    next_look_at: Option<DateTime<Utc>>,
    /// Newest day of its tables that was run.
    last_date: Option<NaiveDate>,
    /// The run of that day, parent of the next one.
    last_run_id: Option<RunId>,
    /// Why the last look came to no run, where it should have.
    error: Option<String>,
}

/// The schedules of the service.
#[derive(Serialize, ToSchema)]
struct ScheduleList {
    /// By name.
    schedules: Vec<ScheduleRecord>,
}

impl From<Schedule> for ScheduleRecord {
    fn from(schedule: Schedule) -> Self {
        let next_look_at = schedule.next_look_at();
        Self {
            // Stored by this program, as it came.
            config: serde_json::from_str(&schedule.config_json).unwrap_or_default(),
            name: schedule.name,
            cron: schedule.cron,
            when: schedule.when,
            submitted_by: schedule.submitted_by,
            created_at: schedule.created_at,
            updated_at: schedule.updated_at,
            looked_at: schedule.looked_at,
            next_look_at,
            last_date: schedule.last_date,
            last_run_id: schedule.last_run_id,
            error: schedule.error,
        }
    }
}

const NAME: PathPart =
    PathPart { name: "name", description: "Name of the schedule", shape: Shape::of::<ScheduleName>() };

const LIST_SCHEDULES: Operation = Operation {
    id: "listSchedules",
    method: Method::Get,
    path: "schedules",
    tag: "schedules",
    summary: "All schedules",
    description: "Each with what came of the last look at its tables.",
    parameters: &[],
    bodies: &[],
    answers: &[Answer::document(200, "The schedules", &[Content::json(Shape::of::<ScheduleList>())])],
    refusals: &[Code::InvalidParameter, Code::StoreUnavailable],
    handler: |app, call| Box::pin(list(app, call)),
};

const GET_SCHEDULE: Operation = Operation {
    id: "getSchedule",
    method: Method::Get,
    path: "schedules/{name}",
    tag: "schedules",
    summary: "One schedule",
    description: "",
    parameters: &[&NAME],
    bodies: &[],
    answers: &[Answer::document(200, "The schedule", &[Content::json(Shape::of::<ScheduleRecord>())])],
    refusals: &[Code::InvalidParameter, Code::ScheduleNotFound, Code::StoreUnavailable],
    handler: |app, call| Box::pin(get(app, call)),
};

const PUT_SCHEDULE: Operation = Operation {
    id: "putSchedule",
    method: Method::Put,
    path: "schedules/{name}",
    tag: "schedules",
    summary: "Run a config whenever its tables have a new day",
    description: "At the times of `cron` the logs of its tables are looked at; a day that is later than that of the last run is \
                  run, with the run before as `parent_run_id`. Of a schedule of this name the config and the times are \
                  replaced; what it has run stays with it.",
    parameters: &[&NAME],
    bodies: &[Content {
        media_type: "application/json",
        shape: Shape::Composed(|schemas| schemas.put("ScheduleRequest", request_schema())),
        example: None,
    }],
    answers: &[
        Answer::document(
            200,
            "Stored in the place of the one before",
            &[Content::json(Shape::of::<ScheduleRecord>())],
        ),
        Answer::document(201, "Stored", &[Content::json(Shape::of::<ScheduleRecord>())]),
    ],
    refusals: &[
        Code::MalformedRequest,
        Code::BodyMissing,
        Code::InvalidParameter,
        Code::InvalidConfig,
        Code::TooManySchedules,
        Code::BodyTooLarge,
        Code::UnsupportedMediaType,
        Code::StoreUnavailable,
    ],
    handler: |app, call| Box::pin(replace(app, call)),
};

const DELETE_SCHEDULE: Operation = Operation {
    id: "deleteSchedule",
    method: Method::Delete,
    path: "schedules/{name}",
    tag: "schedules",
    summary: "Delete a schedule",
    description: "Its runs stay.",
    parameters: &[&NAME],
    bodies: &[],
    answers: &[Answer::document(200, "As it was", &[Content::json(Shape::of::<ScheduleRecord>())])],
    refusals: &[Code::InvalidParameter, Code::ScheduleNotFound, Code::StoreUnavailable],
    handler: |app, call| Box::pin(delete(app, call)),
};

fn request_schema() -> Value {
    json!({
        "type": "object",
        "description": "What to run, and when to look whether it is due.",
        "properties": {
            "config": { "type": "object", "additionalProperties": true,
                        "description": "A config without `end_date`: each run ends on the newest day of its tables" },
            "config_yaml": { "type": "string", "minLength": 1, "description": "The same as a YAML document, in its place" },
            "cron": { "type": "string", "description": "When its tables are looked at: NCRONTAB (`second minute hour day month weekday`), in UTC" },
            "when": { "type": "string", "enum": [When::NewData.as_str()], "default": When::NewData.as_str(),
                      "description": "What a look must find" },
        },
        "required": ["cron"],
        "additionalProperties": false,
        "example": {
            "config": { "start_date": "2005-01-03", "universe": { "symbols": ["AAPL", "IBM", "MSFT"] },
                        "strategy": { "class": "TopNSignalStrategy",
                                      "parameters": { "signal_column": "momentum_12_1", "top_n": 2 } },
                        "output": { "save_orders": true } },
            "cron": "0 */15 * * * *",
            "when": "new_data",
        },
    })
}

async fn list(app: App, call: Call) -> Result<Reply, Refusal> {
    call.query().check()?;
    let found = app.runs.schedules(None).await.map_err(|error| Reply::store(&error))?;
    let schedules = found.schedules.into_iter().map(ScheduleRecord::from).collect();
    Ok(Reply::ok(ScheduleList { schedules }))
}

async fn get(app: App, call: Call) -> Result<Reply, Refusal> {
    call.query().check()?;
    Ok(Reply::ok(ScheduleRecord::from(find(&app, &call).await?)))
}

async fn replace(app: App, call: Call) -> Result<Reply, Refusal> {
    call.query().check()?;
    let name = call.placeholder(NAME.name).parse::<ScheduleName>();
    let name = name.map_err(|error| {
        let faults = [Fault { path: NAME.name.to_owned(), message: error.to_string() }];
        Reply::faults(Code::InvalidParameter, &faults)
    })?;
    let fields = json_object(&call)?;
    // A document may be made to take long.
    let asked = tokio::task::spawn_blocking(move || Asked::from_fields(fields)).await;
    let asked = asked.map_err(|_| Reply::bug())?;
    let asked = asked.map_err(|faults| Reply::faults(Code::MalformedRequest, &faults))?;
    match put(&app, name, asked, caller(&app, &call)).await {
        Ok((schedule, true)) => Ok(Reply::created(ScheduleRecord::from(schedule))),
        Ok((schedule, false)) => Ok(Reply::ok(ScheduleRecord::from(schedule))),
        Err(PutError::Config(faults)) => Err(Reply::faults(Code::InvalidConfig, &faults).into()),
        Err(error @ PutError::TooMany) => {
            Err(Reply::problem(Code::TooManySchedules, error.to_string()).into())
        }
        Err(PutError::Store(error)) => Err(Reply::store(&error).into()),
    }
}

async fn delete(app: App, call: Call) -> Result<Reply, Refusal> {
    call.query().check()?;
    let schedule = find(&app, &call).await?;
    match app.runs.delete_schedule(&schedule.name).await {
        Ok(_) => Ok(Reply::ok(ScheduleRecord::from(schedule))),
        Err(error) => Err(Reply::store(&error).into()),
    }
}

/// The schedule that the path names. A text that cannot be a name names none.
async fn find(app: &App, call: &Call) -> Result<Schedule, Refusal> {
    let text = call.placeholder(NAME.name);
    let unknown = || {
        let text: String = text.chars().take(80).collect();
        Refusal::from(Reply::problem(Code::ScheduleNotFound, format!("there is no schedule '{text}'")))
    };
    let name: ScheduleName = text.parse().map_err(|_| unknown())?;
    let mut found = app.runs.schedules(Some(&name)).await.map_err(|error| Reply::store(&error))?;
    found.schedules.pop().ok_or_else(unknown)
}
