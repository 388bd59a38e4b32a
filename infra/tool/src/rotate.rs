//! `cargo infra rotate`: new passwords for the database's logins and a new function key. With identities instead of
//! passwords only the key is left to rotate.

use std::time::Duration;

use crate::azure::{Failure, Tools, say};
use crate::provision::{APP_LOGIN, LOGINS, as_administrator, ready, set_password, store_dsn};
use crate::state::State;

/// What to rotate.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only this login.
    #[arg(long, value_parser = LOGINS)]
    pub only: Option<String>,
    /// Also make a new default function key; clients need it from then on.
    #[arg(long)]
    pub function_key: bool,
    /// How often to ask whether the service is ready again.
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
    match state.get("BACKTEST_KEY_VAULT") {
        None => say("the app signs in to the database with its identity; there is no password to rotate"),
        Some(vault) => {
            let (server, administrator) = as_administrator(tools, state)?;
            for login in LOGINS.iter().filter(|login| args.only.as_deref().is_none_or(|only| only == **login))
            {
                let password = set_password(tools, &administrator, login)?;
                if *login == APP_LOGIN {
                    // Connections that are open stay open; new ones need what the restart reads from the vault.
                    store_dsn(tools, &vault, &server.dsn(login, &password))?;
                    tools.az(&["functionapp", "restart", "--name", &app, "--resource-group", &group], &[])?;
                }
            }
        }
    }
    if args.function_key {
        let arguments = [
            "functionapp",
            "keys",
            "set",
            "--name",
            &app,
            "--resource-group",
            &group,
            "--key-type",
            "functionKeys",
            "--key-name",
            "default",
            "--query",
            "name",
        ];
        tools.az(&arguments, &[])?;
        say("the default function key is new");
    }
    ready(tools, &state.require("BACKTEST_APP_URL")?, args.attempts, Duration::from_secs(args.pause))?;
    say("the service is ready");
    Ok(())
}
