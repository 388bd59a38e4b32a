//! `backtests migrate`: the schema of the Postgres database.

use super::settings::{Settings, environment, log_filter};
use super::{CliError, say, telemetry};
use crate::store::migrations::{self, Standing};
use crate::store::pg::Database;

/// Bring the Postgres database of POSTGRES_DSN to the schema that this version needs.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Apply the migrations that are missing, each in a transaction of its own; again is harmless.
    Up {
        /// Only say which ones are missing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Say which migrations are applied, and when.
    Status,
    /// Fail unless every migration is applied, unedited.
    Verify,
}

pub(super) async fn run(args: Args) -> Result<(), CliError> {
    let environment = environment();
    telemetry::command(log_filter(&environment));
    let settings = Settings::from(&environment)?;
    let dsn = settings
        .postgres
        .as_ref()
        .ok_or_else(|| CliError::usage("POSTGRES_DSN: is not set; it names the database to migrate"))?;
    let database = Database::parse(dsn.reveal(), &settings.instance)
        .map_err(|error| CliError::usage(format!("POSTGRES_DSN: {error}")))?;
    let mut client =
        database.connect().await.map_err(|error| CliError::because("connect to the database", error))?;
    let failed = |error| CliError::because("migrate", error);
    match args.command {
        Command::Up { dry_run: true } => {
            let waiting: Vec<Standing> = migrations::verify(&client).await.map_err(failed)?;
            let waiting: Vec<_> = waiting.iter().filter(|one| one.applied_at.is_none()).collect();
            for standing in &waiting {
                say(format_args!("would apply {}", standing.migration.name));
            }
            if waiting.is_empty() {
                say("nothing to apply");
            }
        }
        Command::Up { dry_run: false } => {
            let applied = migrations::up(&mut client).await.map_err(failed)?;
            for migration in &applied {
                say(format_args!("applied {}", migration.name));
            }
            if applied.is_empty() {
                say("nothing to apply");
            }
        }
        Command::Status => {
            for Standing { migration, applied_at, edited } in
                migrations::status(&client).await.map_err(failed)?
            {
                let when =
                    applied_at.map_or("missing".to_owned(), |at| at.format("%Y-%m-%d %H:%M:%SZ").to_string());
                let edited = if edited { "  EDITED after it was applied" } else { "" };
                say(format_args!("{:<24} {when}{edited}", migration.name));
            }
        }
        Command::Verify => {
            let standings = migrations::verify(&client).await.map_err(failed)?;
            let missing: Vec<_> = standings
                .iter()
                .filter(|one| one.applied_at.is_none())
                .map(|one| one.migration.name)
                .collect();
            if !missing.is_empty() {
                return Err(CliError::failed(format!(
                    "missing: {}; run `backtests migrate up`",
                    missing.join(", ")
                )));
            }
            say("every migration is applied and unedited");
        }
    }
    Ok(())
}
