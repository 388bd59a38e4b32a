//! `cargo infra rotate`: new passwords for the database's logins and a new function key. With identities instead of
//! passwords only the key is left to rotate.
//!
//! Each login has two slots. The idle one gets a password and proves itself, the vault's connection string is turned to
//! it, the app moves over, and only then the old one is retired. Whatever fails, a slot that works is in the vault.

use std::time::Duration;

use crate::azure::{Failure, Refusal, Secret, Server, Tools, say};
use crate::environment::{app_path, as_administrator};
use crate::provision::{APP_LOGIN, LOGINS, active_slot, other_slot, ready, set_password, store_dsn};
use crate::state::State;

/// Version of the interface that fetches references to a vault anew, as it is documented.
const REFERENCES_API: &str = "2022-03-01";

/// What to rotate.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only this login.
    #[arg(long, value_parser = LOGINS)]
    pub only: Option<String>,
    /// Also make a new default function key; clients need it from then on.
    #[arg(long)]
    pub function_key: bool,
    /// How often to ask whether the service is ready again, and whether the old slots are idle.
    #[arg(long, default_value_t = 30)]
    pub attempts: u32,
    /// Seconds between two questions.
    #[arg(long, default_value_t = 10)]
    pub pause: u64,
}

/// Runs the command.
pub fn run(tools: &Tools, state: &State, args: &Args) -> Result<(), Failure> {
    let group = state.require("AZURE_RESOURCE_GROUP")?;
    let app = state.require("BACKTEST_APP_NAME")?;
    let pause = Duration::from_secs(args.pause);
    let restart = ["functionapp", "restart", "--name", &app, "--resource-group", &group];
    let is_ready = || ready(tools, &state.require("BACKTEST_APP_URL")?, args.attempts, pause);
    match state.get("BACKTEST_KEY_VAULT") {
        None => say("the app signs in to the database with its identity; there is no password to rotate"),
        Some(vault) => {
            let (server, administrator) = as_administrator(tools, state)?;
            let asked = |login: &&&str| args.only.as_deref().is_none_or(|only| only == **login);
            let mut old = Vec::new();
            for login in LOGINS.iter().filter(asked) {
                old.push(turn(tools, &vault, &server, &administrator, login)?);
                if *login == APP_LOGIN {
                    // A restart alone keeps what the platform fetched from the vault up to a day ago.
                    let references =
                        format!("{}/config/configreferences/appsettings/refresh", app_path(tools, state)?);
                    tools.rest("post", &references, REFERENCES_API, None)?;
                    tools.az(&restart, &[])?;
                    is_ready()?;
                }
            }
            retire_all(tools, &administrator, old, args.attempts, pause)?;
        }
    }
    if args.function_key {
        let mut arguments = vec!["functionapp", "keys", "set", "--name", &app, "--resource-group", &group];
        arguments.extend(["--key-type", "functionKeys", "--key-name", "default", "--query", "name"]);
        tools.az(&arguments, &[])?;
        say("the default function key is new");
    }
    is_ready()?;
    say("the service is ready");
    Ok(())
}

/// Turns the vault's connection string of a login to the idle slot, with a new password, and answers the other one.
fn turn(
    tools: &Tools,
    vault: &str,
    server: &Server,
    administrator: &Secret,
    login: &str,
) -> Result<String, Failure> {
    let old = active_slot(tools, vault, login)?.unwrap_or_else(|| login.to_owned());
    let new = other_slot(&old);
    // A client that an earlier rotation left behind must not lose its password now.
    retire(tools, administrator, &new)?;
    let password = set_password(tools, administrator, login, &new)?;
    let dsn = server.dsn(&new, &password);
    tools.backtests(&["migrate", "verify"], &[("POSTGRES_DSN", dsn.reveal())])?;
    store_dsn(tools, vault, login, &new, &dsn)?;
    say(format_args!("the vault names {new}"));
    Ok(old)
}

fn retire(tools: &Tools, administrator: &Secret, slot: &str) -> Result<(), Refusal> {
    let variables = [("POSTGRES_DSN", administrator.reveal())];
    tools.backtests(&["migrate", "roles", "--retire", slot], &variables).map(|_| ())
}

/// Retires the slots as soon as nobody is connected with them.
fn retire_all(
    tools: &Tools,
    administrator: &Secret,
    mut slots: Vec<String>,
    attempts: u32,
    pause: Duration,
) -> Result<(), Failure> {
    for attempt in 0..attempts {
        if attempt > 0 {
            std::thread::sleep(pause);
        }
        let mut busy = Vec::new();
        for slot in slots {
            match retire(tools, administrator, &slot) {
                Ok(()) => say(format_args!("{slot} is retired")),
                Err(refusal) if refusal.says(&["is in use by"]) => busy.push(slot),
                Err(refusal) => return Err(refusal.into()),
            }
        }
        slots = busy;
        if slots.is_empty() {
            return Ok(());
        }
    }
    Err(Failure::new(format!(
        "{} still in use; both slots work. Let the clients read the vault, then `backtests migrate roles --retire`",
        slots.join(", ")
    )))
}
