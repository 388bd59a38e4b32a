//! Schedules: configs that are run again whenever their tables have a new day. A timer asks which of them are due, the logs of
//! the tables say which day is the newest, and a run that ends there is submitted under a key that names schedule and day: of
//! many instances that look at once one makes it, and a look that broke off is made again.

use std::time::{Duration, Instant};

use chrono::{Days, NaiveDate};
use futures_util::StreamExt;
use futures_util::stream::iter;
use serde_json::{Map, Value, json};

use super::document::requested_config;
use super::submit::{self, Request, SubmitError, Submitted};
use super::{App, chain, notify};
use crate::clock::Timestamp;
use crate::engine::BacktestConfig;
use crate::engine::config::Fault;
use crate::ncrontab;
use crate::run::{RunId, Wake};
use crate::store::load_error::LoadError;
use crate::store::runs::StoreError;
use crate::store::runs::schedule::{Look, NewSchedule, Schedule, ScheduleName, When};

/// Schedules of a service.
pub const SCHEDULES_MAX: usize = 100;

/// Longest wait for the logs of the tables of a schedule.
const PATIENCE: Duration = Duration::from_secs(10);

/// Schedules that are looked at at once.
const AT_ONCE: usize = 4;

/// Time after which no further one is looked at before the next tick: messages wait for the answer of this one.
const BUDGET: Duration = Duration::from_secs(20);

/// A schedule as a caller asks for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    config: Value,
    cron: String,
    when: When,
}

impl Asked {
    /// Reads the fields of a request.
    ///
    /// # Errors
    /// Every fault of it.
    pub fn from_fields(mut fields: Map<String, Value>) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut refused = |path: &str, message: &str| {
            faults.push(fault(path, message));
            Value::Null
        };
        let config = match requested_config(fields.remove("config"), fields.remove("config_yaml")) {
            Ok(config @ Value::Object(_)) => config,
            Ok(_) => refused("config_yaml", "must be a document with the fields of a config"),
            Err((path, message)) => refused(path, &message),
        };
        let cron = match fields.remove("cron") {
            Some(Value::String(text)) => {
                faults.extend(check_cron(&text).err().map(|message| fault("cron", message)));
                text
            }
            Some(_) => {
                faults.push(fault("cron", "must be a text, for example \"0 30 22 * * 1-5\""));
                String::new()
            }
            None => {
                faults.push(fault("cron", "is required, for example \"0 30 22 * * 1-5\""));
                String::new()
            }
        };
        let when = match fields.remove("when") {
            None => When::default(),
            Some(word) => word.as_str().unwrap_or_default().parse::<When>().unwrap_or_else(|error| {
                faults.push(fault("when", error.to_string()));
                When::default()
            }),
        };
        for name in fields.keys() {
            faults.push(fault(name, "is not a field here; there are config, config_yaml, cron, when"));
        }
        if faults.is_empty() { Ok(Self { config, cron, when }) } else { Err(faults) }
    }
}

fn fault(path: &str, message: impl Into<String>) -> Fault {
    Fault { path: path.to_owned(), message: message.into() }
}

/// Refuses what names no time of a calendar.
fn check_cron(text: &str) -> Result<(), String> {
    match ncrontab::Schedule::parse(text) {
        Err(error) => Err(format!("is not an NCRONTAB expression: {error}")),
        Ok(ncrontab::Schedule::Every(_)) => {
            Err("must be an NCRONTAB expression, six fields from seconds to weekdays, not an interval"
                .to_owned())
        }
        Ok(schedule) if schedule.next_after(Timestamp::UNIX_EPOCH).is_none() => {
            Err(format!("`{text}` names a day that never comes"))
        }
        Ok(_) => Ok(()),
    }
}

/// Why a schedule was not stored.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// Its config cannot be run on a schedule; every fault is named.
    #[error("the config has {} faults", .0.len())]
    Config(Vec<Fault>),
    /// There are as many as there may be.
    #[error("there are {SCHEDULES_MAX} schedules; delete one that is not needed any more")]
    TooMany,
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Stores a schedule, and whether it is new. What one of its name has run stays with it.
///
/// # Errors
/// If its config cannot be run, or not on a schedule; if there are too many; if the store does not answer.
pub async fn put(
    app: &App,
    name: ScheduleName,
    asked: Asked,
    submitted_by: Option<String>,
) -> Result<(Schedule, bool), PutError> {
    let within = |mut fault: Fault| {
        fault.path =
            if fault.path.is_empty() { "config".to_owned() } else { format!("config.{}", fault.path) };
        fault
    };
    let invalid = |faults: Vec<Fault>| PutError::Config(faults.into_iter().map(within).collect());
    let config = check(app, &asked.config).map_err(invalid)?;
    // A table that is not there yet may come; what can never tell its newest day is refused at once.
    if let Ok(Err(LoadError::Refused(fault))) =
        tokio::time::timeout(PATIENCE, app.data.newest_day(&config)).await
    {
        return Err(invalid(vec![fault]));
    }
    let all = app.runs.schedules(None).await?.schedules;
    if all.len() >= SCHEDULES_MAX && all.iter().all(|schedule| schedule.name != name) {
        return Err(PutError::TooMany);
    }
    let new = NewSchedule {
        name,
        config_json: asked.config.to_string(),
        cron: asked.cron,
        when: asked.when,
        submitted_by,
    };
    Ok(app.runs.put_schedule(&new).await?)
}

/// Fields of a config that a schedule takes no part in, or fills in itself, with what to do.
const NOT_ON_A_SCHEDULE: [(&str, &str); 5] = [
    ("/end_date", "must be left out: each run ends on the newest day of its tables"),
    ("/data/price_version", "must be left out: a schedule reads what is newest"),
    ("/data/signal_version", "must be left out: a schedule reads what is newest"),
    ("/data/as_of", "must be left out: a schedule reads what is newest"),
    ("/experiment", "must be left out: the same config on more days tries nothing new"),
];

/// The last day that a config can name: a schedule's has no end but that of its tables.
fn no_end() -> NaiveDate {
    NaiveDate::from_ymd_opt(9999, 12, 31).unwrap_or(NaiveDate::MAX)
}

/// The config of a schedule with the last day of a run.
fn ending(config: &Value, day: NaiveDate) -> Value {
    let mut config = config.clone();
    if let Value::Object(fields) = &mut config {
        fields.insert("end_date".to_owned(), json!(day));
    }
    config
}

/// A config that may be run on a schedule here.
fn check(app: &App, config: &Value) -> Result<BacktestConfig, Vec<Fault>> {
    let given = |(pointer, message): &(&str, &str)| {
        let is_given = config.pointer(pointer).is_some_and(|value| !value.is_null());
        is_given.then(|| fault(&pointer[1..].replace('/', "."), *message))
    };
    let mut faults: Vec<Fault> = NOT_ON_A_SCHEDULE.iter().filter_map(given).collect();
    match submit::check(app, &ending(config, no_end())) {
        Ok(config) if faults.is_empty() && config.output.save_metrics_parquet => return Ok(config),
        Ok(config) if !config.output.save_metrics_parquet => faults.push(fault(
            "output.save_metrics_parquet",
            "must not be false: the days of each run are compared with those of the run before",
        )),
        Ok(_) => {}
        Err(more) => faults.extend(more),
    }
    Err(faults)
}

/// Looks at the tables of every schedule that is due, and submits what has a new day. Answers the wake-up messages that the
/// caller must send at once. What could not be looked at stays due.
///
/// # Errors
/// If the store does not answer.
pub async fn run_due(app: &App) -> Result<Vec<Wake>, StoreError> {
    let found = app.runs.schedules(None).await?;
    let (now, started) = (found.now, Instant::now());
    let is_due = |schedule: &Schedule| schedule.next_look_at().is_some_and(|at| at <= now);
    let due: Vec<Schedule> = found.schedules.into_iter().filter(is_due).collect();
    let looks: Vec<_> = due.iter().map(|schedule| look_in_time(app, schedule, now, started)).collect();
    let wakes: Vec<Vec<Wake>> = iter(looks).buffer_unordered(AT_ONCE).collect().await;
    Ok(wakes.concat())
}

/// Why a look came to no run.
enum NoRun {
    /// There is no new day.
    NothingNew,
    /// Something does not answer; it is looked at again soon.
    NotNow(String),
    /// A person has to do something about it.
    Refused(String),
}

async fn look_in_time(app: &App, schedule: &Schedule, now: Timestamp, started: Instant) -> Vec<Wake> {
    if started.elapsed() < BUDGET { look_at(app, schedule, now).await } else { Vec::new() }
}

/// Looks at the tables of a schedule; answers the messages to be sent.
async fn look_at(app: &App, schedule: &Schedule, now: Timestamp) -> Vec<Wake> {
    let name = &schedule.name;
    let looked = match new_run(app, schedule, now).await {
        Ok(looked) => looked,
        Err(error) => {
            tracing::warn!(schedule = %name, error = chain(&error), "could not run schedule {name}; it stays due");
            return Vec::new();
        }
    };
    let (look, wakes) = match looked {
        Ok((day, Submitted { run, created, announce, .. })) => {
            if created {
                tracing::info!(run.id = %run.id, schedule = %name, "schedule {name} runs {day} as {}", run.id);
                remark_scheduled(app, &run.id, schedule, day).await;
            }
            (Look { at: Some(now), ran: Some((day, run.id)), error: None }, announce)
        }
        Err(NoRun::NothingNew) => (Look { at: Some(now), ran: None, error: None }, Vec::new()),
        Err(NoRun::NotNow(error)) => {
            (Look { at: schedule.looked_at, ran: None, error: Some(error) }, Vec::new())
        }
        Err(NoRun::Refused(error)) => (Look { at: Some(now), ran: None, error: Some(error) }, Vec::new()),
    };
    match app.runs.note_look(schedule, &look).await {
        Ok(noted) => {
            // Once for each of its troubles, by the instance that noted it.
            if let Some(error) = look.error.as_ref().filter(|_| noted && look.error != schedule.error) {
                tracing::warn!(schedule = %name, error, "schedule {name} came to no run");
                notify::schedule_failed(app, name);
            }
        }
        Err(error) => {
            tracing::warn!(schedule = %name, error = chain(&error), "a look at schedule {name} was not noted");
        }
    }
    wakes
}

/// Submits the run of the newest day, if that is later than the last one that was run.
async fn new_run(
    app: &App,
    schedule: &Schedule,
    now: Timestamp,
) -> Result<Result<(NaiveDate, Submitted), NoRun>, StoreError> {
    let refused = |text: String| Ok(Err(NoRun::Refused(text)));
    let told = |faults: &[Fault]| -> String {
        faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    let Ok(config) = serde_json::from_str::<Value>(&schedule.config_json) else {
        return refused("its config cannot be read".to_owned());
    };
    let checked = match check(app, &config) {
        Ok(checked) => checked,
        Err(faults) => return refused(told(&faults)),
    };
    let newest = match tokio::time::timeout(PATIENCE, app.data.newest_day(&checked)).await {
        Ok(Ok(newest)) => newest,
        Ok(Err(error)) if error.is_retryable() => return Ok(Err(NoRun::NotNow(error.to_string()))),
        Ok(Err(error)) => return refused(error.to_string()),
        Err(_) => return Ok(Err(NoRun::NotNow("the lake did not answer in time".to_owned()))),
    };
    let Some(day) = newest.filter(|day| schedule.last_date.is_none_or(|last| *day > last)) else {
        return Ok(Err(NoRun::NothingNew));
    };
    if day < checked.start_date {
        return refused(format!("the newest day of its tables is {day}, before its start_date"));
    }
    // Somewhere it is tomorrow already; anything later would be run once and never again.
    if now.date_naive().checked_add_days(Days::new(1)).is_some_and(|tomorrow| day > tomorrow) {
        return refused(format!(
            "the newest day of its tables is {day}, which has not come yet; correct the table"
        ));
    }
    let request = Request {
        config: ending(&config, day),
        run_id: None,
        parent_run_id: schedule.last_run_id.clone(),
        idempotency_key: Some(schedule.key(day)),
        submitted_by: schedule.submitted_by.clone(),
        traceparent: None,
        pins: None,
        announces: true,
        reuse: false,
    };
    match submit::submit(app, request).await {
        Ok(submitted) => Ok(Ok((day, submitted))),
        Err(SubmitError::Store(error)) => Err(error),
        Err(SubmitError::Invalid(faults)) => refused(told(&faults)),
        Err(SubmitError::Parent(fault)) => refused(fault.to_string()),
        Err(SubmitError::Data(error)) if error.is_retryable() => Ok(Err(NoRun::NotNow(error.to_string()))),
        Err(SubmitError::Data(error)) => refused(error.to_string()),
        Err(SubmitError::IdTaken(id)) => Ok(Err(NoRun::NotNow(format!("run id {id} is taken")))),
        Err(SubmitError::KeyReused) => refused(format!(
            "{day} was run before under this name with another config or parent; the next day of its tables is run again"
        )),
    }
}

/// Writes into the history of a run which schedule made it.
async fn remark_scheduled(app: &App, id: &RunId, schedule: &Schedule, day: NaiveDate) {
    let detail = json!({ "schedule": schedule.name, "date": day });
    if let Err(error) = app.runs.remark(id, "scheduled", &detail, "schedule").await {
        tracing::warn!(run.id = %id, error = chain(&error), "it is not noted which schedule run {id} is of");
    }
}
