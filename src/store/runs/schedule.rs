//! Schedules: configs that are run again whenever their tables have a new day. What is kept of one, and when it is looked at
//! next. The statements belong to the stores; what is looked at and submitted is told in `work::schedules`.

use std::fmt;
use std::str::FromStr;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::ncrontab;
use crate::run::{RunId, is_name};

/// What the idempotency keys of scheduled runs begin with. Callers may not use such keys.
pub const KEYS: &str = "schedule/";

/// Identity of a schedule: a letter or digit, then at most 63 letters, digits, `_` or `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, pattern = "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$", example = "momentum-daily")]
pub struct ScheduleName(String);

impl ScheduleName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ScheduleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that is not a [`ScheduleName`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be a letter or digit followed by at most 63 letters, digits, '_' or '-'")]
pub struct InvalidScheduleName;

impl FromStr for ScheduleName {
    type Err = InvalidScheduleName;

    fn from_str(text: &str) -> Result<Self, InvalidScheduleName> {
        if is_name(text) { Ok(Self(text.to_owned())) } else { Err(InvalidScheduleName) }
    }
}

impl TryFrom<String> for ScheduleName {
    type Error = InvalidScheduleName;

    fn try_from(text: String) -> Result<Self, InvalidScheduleName> {
        text.parse()
    }
}

impl From<ScheduleName> for String {
    fn from(name: ScheduleName) -> Self {
        name.0
    }
}

/// What a look must find, for a run to be submitted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// A day in all of its tables that is later than that of the last run.
    #[default]
    NewData,
}

impl When {
    /// The word as stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NewData => "new_data",
        }
    }
}

/// A text that names no [`When`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be new_data")]
pub struct UnknownWhen;

impl FromStr for When {
    type Err = UnknownWhen;

    fn from_str(text: &str) -> Result<Self, UnknownWhen> {
        if text == Self::NewData.as_str() { Ok(Self::NewData) } else { Err(UnknownWhen) }
    }
}

/// A schedule as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSchedule {
    /// What it is called.
    pub name: ScheduleName,
    /// The config as it came, as JSON, without an end date.
    pub config_json: String,
    /// When its tables are looked at: NCRONTAB, UTC.
    pub cron: String,
    /// What a look must find.
    pub when: When,
    /// The caller as the platform states it.
    pub submitted_by: Option<String>,
}

/// A schedule as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// What it is called.
    pub name: ScheduleName,
    /// The config as it came, as JSON, without an end date.
    pub config_json: String,
    /// When its tables are looked at: NCRONTAB, UTC.
    pub cron: String,
    /// What a look must find.
    pub when: When,
    /// Who put it there last.
    pub submitted_by: Option<String>,
    /// When it was stored first.
    pub created_at: Timestamp,
    /// When it was stored last.
    pub updated_at: Timestamp,
    /// When its tables were looked at last.
    pub looked_at: Option<Timestamp>,
    /// Newest day of its tables that was run.
    pub last_date: Option<NaiveDate>,
    /// The run of that day, parent of the next one.
    pub last_run_id: Option<RunId>,
    /// Why the last look came to no run, where it should have.
    pub error: Option<String>,
}

/// What came of a look at the tables of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// When; as before for a look that is repeated soon.
    pub at: Option<Timestamp>,
    /// The new day and its run, if there is one.
    pub ran: Option<(NaiveDate, RunId)>,
    /// Why there is none, where there should be.
    pub error: Option<String>,
}

/// Schedules, with the store's time.
#[derive(Debug)]
pub struct Schedules {
    /// When they were read; without any it says nothing.
    pub now: Timestamp,
    /// By name.
    pub schedules: Vec<Schedule>,
}

impl Schedule {
    /// The schedule that a new one makes, in the place of the one of its name: what was run stays with it.
    pub(super) fn stored(new: &NewSchedule, before: Option<Self>, now: Timestamp) -> Self {
        let NewSchedule { name, config_json, cron, when, submitted_by } = new.clone();
        let (mut created_at, mut looked_at, mut last_date, mut last_run_id) = (now, None, None, None);
        if let Some(before) = before {
            (created_at, looked_at) = (before.created_at, before.looked_at);
            (last_date, last_run_id) = (before.last_date, before.last_run_id);
        }
        Self {
            name,
            config_json,
            cron,
            when,
            submitted_by,
            created_at,
            updated_at: now,
            looked_at,
            last_date,
            last_run_id,
            error: None,
        }
    }

    /// Takes in what came of a look, unless another instance has looked since it was `seen`. Whether it did.
    pub(super) fn take(&mut self, seen: &Self, look: &Look) -> bool {
        let is_as_seen = self.looked_at == seen.looked_at && self.error == seen.error;
        if is_as_seen {
            self.looked_at = look.at;
            self.error.clone_from(&look.error);
            if let Some((date, run_id)) = &look.ran {
                (self.last_date, self.last_run_id) = (Some(*date), Some(run_id.clone()));
            }
        }
        is_as_seen
    }

    /// When its tables are due to be looked at: the first time that its expression names after the last look. `None` for a
    /// time that never comes.
    pub fn next_look_at(&self) -> Option<Timestamp> {
        ncrontab::Schedule::parse(&self.cron).ok()?.next_after(self.looked_at.unwrap_or(self.created_at))
    }

    /// The idempotency key of the run of a day.
    pub fn key(&self, date: NaiveDate) -> String {
        format!("{KEYS}{}/{date}", self.name)
    }
}
