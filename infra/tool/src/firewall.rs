//! The database's firewall: which rules may be asked for, and `cargo infra firewall`, which lets one address through for
//! some minutes. Its rule carries its own end in its name, so that whoever comes next can sweep what a broken run left.

use std::net::Ipv4Addr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::azure::{Failure, POSTGRES_API, Tools, say};
use crate::environment::{as_administrator, server_path};
use crate::state::State;

/// Name of the rule for every address inside Azure, as in postgres.bicep.
pub const AZURE_RULE: &str = "every-azure-customer";

/// Addresses that one rule may admit: a network of eight fixed bits.
const MOST_ADDRESSES: u64 = 1 << 24;

/// Refuses a rule that would open the database to (nearly) everybody, or to nobody.
pub fn check(first: Ipv4Addr, last: Ipv4Addr, azure: bool) -> Result<(), Failure> {
    if first.is_unspecified() && last.is_unspecified() {
        return if azure {
            Ok(())
        } else {
            Err(Failure::new(
                "0.0.0.0 to 0.0.0.0 admits every address inside Azure, those of other customers too; if that is meant, \
                 say --allow-azure-services or POSTGRES_ALLOW_AZURE_SERVICES=true",
            ))
        };
    }
    if last < first {
        return Err(Failure::new(format!("the address range ends before it begins: {first} to {last}")));
    }
    let admitted = u64::from(u32::from(last) - u32::from(first)) + 1;
    if admitted > MOST_ADDRESSES {
        return Err(Failure::new(format!(
            "{first} to {last} admits {admitted} addresses; name a range of yours, of {MOST_ADDRESSES} (a /8) at most"
        )));
    }
    Ok(())
}

/// Checks a list of rules in JSON as the parameter files take it.
pub fn check_all(text: &str, azure: bool) -> Result<(), Failure> {
    let fault = |what: &str| Failure::new(format!("POSTGRES_FIREWALL_RULES: {what}"));
    let rules: Vec<Value> = serde_json::from_str(text)
        .map_err(|error| fault(&format!("not a JSON list of name, startIpAddress, endIpAddress: {error}")))?;
    for rule in rules {
        let name = rule["name"].as_str().unwrap_or_default();
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
        if name.is_empty() || name.len() > 80 || !name.chars().all(plain) {
            return Err(fault(&format!("{rule} has no name of 1 to 80 letters, digits, - and _")));
        }
        if parse(name).is_some() || name == AZURE_RULE {
            return Err(fault(&format!("the name {name} is ours")));
        }
        let address = |key: &str| {
            let text = rule[key].as_str().unwrap_or_default();
            text.parse().map_err(|_| fault(&format!("{name}: {key} is not an IPv4 address")))
        };
        check(address("startIpAddress")?, address("endIpAddress")?, azure)
            .map_err(|error| fault(&format!("{name}: {error}")))?;
    }
    Ok(())
}

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Let an address in. Its own, if none is named; then it waits until that works, which takes up to five minutes.
    Open {
        /// The address; without it, the one that the server names when it turns us away.
        #[arg(long)]
        ip: Option<Ipv4Addr>,
        /// For how long, such as 15m or 2h.
        #[arg(long = "for", default_value = "15m", value_parser = minutes)]
        minutes: u64,
        /// Name of this use, for example a run of a pipeline.
        #[arg(long, env = "GITHUB_RUN_ID", default_value = "local")]
        run: String,
        /// Seconds between two attempts to get in.
        #[arg(long, default_value_t = 10, hide = true)]
        pause: u64,
    },
    /// Take the rule of this use away, and every rule that has ended.
    Close {
        /// Name of this use.
        #[arg(long, env = "GITHUB_RUN_ID", default_value = "local")]
        run: String,
    },
}

/// `15m` or `2h` in minutes; a day at most.
fn minutes(text: &str) -> Result<u64, String> {
    let fault = || format!("`{text}` is not a time such as 15m or 2h, of a day at most");
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(fault)?;
    let number: u64 = number.parse().map_err(|_| fault())?;
    let minutes = match unit {
        "m" => number,
        "h" => number * 60,
        _ => return Err(fault()),
    };
    if (1..=24 * 60).contains(&minutes) { Ok(minutes) } else { Err(fault()) }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// Name of a rule that ends at `end`, in seconds since 1970.
fn rule_name(end: u64, run: &str) -> String {
    let run: String =
        run.chars().filter(|letter| letter.is_ascii_alphanumeric() || *letter == '-').take(40).collect();
    format!("tmp-{end}-{run}")
}

/// The end and the use that a name of ours says; `None` for a rule that somebody else made.
pub fn parse(name: &str) -> Option<(u64, &str)> {
    let (end, run) = name.strip_prefix("tmp-")?.split_once('-')?;
    Some((end.parse().ok()?, run))
}

/// Runs the command.
pub fn run(tools: &Tools, state: &State, command: &Command) -> Result<(), Failure> {
    let path = format!("{}/firewallRules", server_path(&tools.subscription()?, state)?);
    match command {
        Command::Open { ip, minutes, run, pause } => {
            sweep(tools, &path, None)?;
            let ours = if ip.is_none() { address_seen_by_the_server(tools, state)? } else { None };
            let Some(ip) = ip.or(ours) else {
                say("the server lets us in already");
                return Ok(());
            };
            let name = rule_name(now() + minutes * 60, run);
            let body =
                json!({"properties": {"startIpAddress": ip.to_string(), "endIpAddress": ip.to_string()}});
            tools.rest("put", &format!("{path}/{name}"), POSTGRES_API, Some(&body))?;
            say(format_args!("{ip} may connect for {minutes} minutes (rule {name})"));
            if ours.is_some() {
                wait(tools, state, Duration::from_secs(*pause))?;
            }
        }
        Command::Close { run } => sweep(tools, &path, Some(run))?,
    }
    Ok(())
}

/// Waits until the server lets us in. While a rule is new it may answer anything.
fn wait(tools: &Tools, state: &State, pause: Duration) -> Result<(), Failure> {
    const ATTEMPTS: u32 = 36;
    for attempt in 1..=ATTEMPTS {
        std::thread::sleep(pause);
        match address_seen_by_the_server(tools, state) {
            Ok(None) => break,
            Ok(Some(ip)) if attempt == ATTEMPTS => {
                return Err(Failure::new(format!("the server still turns {ip} away")));
            }
            Err(fault) if attempt == ATTEMPTS => return Err(fault),
            _ => {}
        }
    }
    say("the server lets us in");
    Ok(())
}

/// Removes our rules that have ended, and those of `run`.
fn sweep(tools: &Tools, path: &str, run: Option<&str>) -> Result<(), Failure> {
    let rules = tools.rest("get", path, POSTGRES_API, None)?;
    let ours = run.map(|run| rule_name(0, run));
    let ours = ours.as_deref().and_then(|name| parse(name)).map(|(_, run)| run.to_owned());
    for name in rules["value"].as_array().into_iter().flatten().filter_map(|rule| rule["name"].as_str()) {
        let Some((end, run)) = parse(name) else { continue };
        if end < now() || ours.as_deref() == Some(run) {
            tools.delete(&format!("{path}/{name}"), POSTGRES_API)?;
            say(format_args!("removed the rule {name}"));
        }
    }
    Ok(())
}

/// The address in the server's refusal; `None` if it does not refuse. No web service of a stranger is asked.
fn address_seen_by_the_server(tools: &Tools, state: &State) -> Result<Option<Ipv4Addr>, Failure> {
    let (_, dsn) = as_administrator(tools, state)?;
    match tools.backtests(&["migrate", "status"], &[("POSTGRES_DSN", dsn.reveal())]) {
        Ok(_) => Ok(None),
        Err(refusal) => {
            let after = refusal.words.split("no pg_hba.conf entry for host \"").nth(1);
            let address = after.and_then(|rest| rest.split('"').next()).and_then(|text| text.parse().ok());
            address.map(Some).ok_or_else(|| {
                Failure::new(format!(
                    "the server does not say which address we come from ({}); name it with --ip",
                    refusal.words.trim()
                ))
            })
        }
    }
}
