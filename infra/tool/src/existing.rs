//! What an environment has already and a deployment must not contradict: a server keeps its region, never shrinks and
//! never goes back a version, and a budget keeps the day it began.

use serde_json::Value;

use crate::azure::{Failure, POSTGRES_API, Tools, say};

/// Version of the interface of budgets, as in budget.bicep.
pub const BUDGET_API: &str = "2026-06-01";

/// What `az` says of something that is not there, whose group is not, or whose kind the subscription never had.
const MISSING: [&str; 5] = [
    "Not Found(",
    "ResourceGroupNotFound",
    "ResourceNotFound",
    "could not be found",
    "MissingSubscriptionRegistration",
];

/// The resource group of an environment, as main.bicep names it.
pub fn group(environment: &str) -> String {
    format!("rg-backtests-{environment}")
}

/// The database server that an environment has.
#[derive(Debug)]
pub struct Existing {
    /// Its name.
    pub name: String,
    /// Its region, without spaces, in small letters.
    pub region: String,
    /// Whether it takes passwords.
    pub passwords: bool,
    /// Its storage by now: it grows by itself.
    storage_gb: Option<u64>,
    /// Its major version.
    version: Option<u32>,
}

impl Existing {
    /// The version to deploy: its own, unless a higher one is asked for.
    pub fn version(&self, asked: Option<String>) -> Option<String> {
        let (Some(has), number) = (self.version, asked.as_ref().and_then(|text| text.parse().ok())) else {
            return asked;
        };
        if number.is_some_and(|asked: u32| asked < has) {
            say(format_args!("{} keeps version {has}: it cannot go back", self.name));
        }
        Some(number.unwrap_or(has).max(has).to_string())
    }

    /// The storage that it has, for the template to take the larger of this and what is asked for.
    pub fn storage(&self, asked: Option<&str>) -> Option<String> {
        let has = self.storage_gb?;
        if asked.and_then(|text| text.parse().ok()).is_some_and(|asked: u64| asked < has) {
            say(format_args!("{} keeps its {has} GiB: storage does not shrink", self.name));
        }
        Some(has.to_string())
    }
}

/// The server of an environment: the one that is named, else the only one, else the one of the last deployment.
/// `None` when there is none yet.
pub fn server(
    tools: &Tools,
    subscription: &str,
    environment: &str,
    named: Option<&str>,
    last: Option<&str>,
) -> Result<Option<Existing>, Failure> {
    let group = group(environment);
    let path = format!(
        "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.DBforPostgreSQL/flexibleServers"
    );
    let answer = match tools.rest("get", &path, POSTGRES_API, None) {
        Ok(answer) => answer,
        Err(refusal) if refusal.says(&MISSING) => return Ok(None),
        Err(refusal) => return Err(refusal.into()),
    };
    let servers: Vec<Existing> = answer["value"].as_array().into_iter().flatten().filter_map(read).collect();
    let all = servers.iter().map(|server| server.name.as_str()).collect::<Vec<_>>().join(", ");
    let several = servers.len() > 1;
    let wanted = named.or(last.filter(|_| several));
    let found = servers
        .into_iter()
        .find(|server| wanted.is_none_or(|wanted| wanted.eq_ignore_ascii_case(&server.name)));
    match (found, named) {
        (Some(_), _) if several && wanted.is_none() => Err(Failure::new(format!(
            "{group} has several servers, {all}: say which one with --server-name or POSTGRES_SERVER"
        ))),
        (None, Some(named)) if !all.is_empty() => Err(Failure::new(format!(
            "{group} has {all} and no server {named}; an environment does not get a second one beside it"
        ))),
        (None, None) if several => Err(Failure::new(format!(
            "{group} has several servers, {all}, and none is the one of the last deployment: say which one with \
             --server-name or POSTGRES_SERVER"
        ))),
        (found, _) => Ok(found),
    }
}

fn read(server: &Value) -> Option<Existing> {
    let properties = &server["properties"];
    Some(Existing {
        name: server["name"].as_str()?.to_owned(),
        region: server["location"].as_str()?.replace(' ', "").to_lowercase(),
        passwords: properties["authConfig"]["passwordAuth"].as_str() == Some("Enabled"),
        storage_gb: properties["storage"]["storageSizeGB"].as_u64(),
        version: properties["version"].as_str().and_then(|text| text.parse().ok()),
    })
}

/// The day on which the budget of an environment begins; `None` without one. Azure refuses to change it. Some kinds of
/// subscription have no budgets and say so in many ways, which is not a reason not to deploy.
pub fn budget_start(tools: &Tools, subscription: &str, environment: &str) -> Option<String> {
    let path = format!(
        "/subscriptions/{subscription}/resourceGroups/{}/providers/Microsoft.Consumption/budgets/budget-backtests-{environment}",
        group(environment)
    );
    match tools.rest("get", &path, BUDGET_API, None) {
        Ok(budget) => {
            let start = budget["properties"]["timePeriod"]["startDate"].as_str();
            start.and_then(|start| start.get(..10)).map(str::to_owned)
        }
        Err(refusal) => {
            if !refusal.says(&MISSING) {
                say(format_args!("cannot learn when the budget began: {}", refusal.words.trim()));
            }
            None
        }
    }
}
