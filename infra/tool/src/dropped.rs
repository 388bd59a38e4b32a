//! What a deployment leaves behind. It adds and changes; what its parameters no longer name stays in force until
//! somebody takes it away, and a door that was closed in a file must not stay open in Azure.

use serde_json::Value;

use crate::azure::{Failure, POSTGRES_API, Tools, say};
use crate::firewall::{self, AZURE_RULE};

/// Removes the firewall rules and administrators of the server at `path` that the deployment's `parameters` do not
/// name. Rules of `cargo infra firewall` end by themselves. Administrators go only when somebody said who they are
/// (`administrators_named`); otherwise the next person to deploy would lock out the last.
pub fn remove(
    tools: &Tools,
    path: &str,
    parameters: &Value,
    administrators_named: bool,
) -> Result<(), Failure> {
    let value = |name: &str| &parameters[name]["value"];
    // Without public access no rule counts.
    if value("network").as_str() == Some("public")
        && let Some(mut named) = texts(value("firewallRules"), "name")
    {
        if value("allowAzureServices").as_bool() == Some(true) {
            named.push(AZURE_RULE);
        }
        let there = tools.rest("get", &format!("{path}/firewallRules"), POSTGRES_API, None)?;
        for name in texts(&there["value"], "name").unwrap_or_default() {
            if !is_among(&named, name) && firewall::parse(name).is_none() {
                tools.delete(&format!("{path}/firewallRules/{name}"), POSTGRES_API)?;
                say(format_args!("removed the firewall rule {name}: nothing names it"));
            }
        }
    }
    if let Some(named) = texts(value("postgresAdministrators"), "objectId").filter(|named| !named.is_empty())
    {
        let there = tools.rest("get", &format!("{path}/administrators"), POSTGRES_API, None)?;
        for id in texts(&there["value"], "name").unwrap_or_default() {
            if is_among(&named, id) {
                continue;
            }
            if administrators_named {
                tools.delete(&format!("{path}/administrators/{id}"), POSTGRES_API)?;
                say(format_args!("{id} is not an administrator of the database any more: nothing names it"));
            } else {
                say(format_args!(
                    "{id} is an administrator of the database too; POSTGRES_ADMIN_OBJECT_ID, _NAME and _TYPE make it end"
                ));
            }
        }
    }
    Ok(())
}

/// A text of every object of a list; `None` if it is not a list.
fn texts<'a>(list: &'a Value, key: &str) -> Option<Vec<&'a str>> {
    Some(list.as_array()?.iter().filter_map(|one| one[key].as_str()).collect())
}

fn is_among(names: &[&str], name: &str) -> bool {
    names.iter().any(|one| one.eq_ignore_ascii_case(name))
}
