//! `backtests migrate`: the schema of the Postgres database, and its logins.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use rand::distr::{Alphanumeric, SampleString as _};

use super::settings::{Environment, Settings, environment, log_filter, password_of_login};
use super::{CliError, boot, say, telemetry};
use crate::store::groups;
use crate::store::migrations::{self, MIGRATIONS, Migration, Standing};
use crate::store::pg::Database;
use crate::store::psql::Psql;
use crate::store::roles::{self, LOGINS, Login, Retired, Wanted};
use crate::work::chain;

/// Bring the Postgres database of POSTGRES_DSN to the schema that this version needs, and make its logins.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
    /// What speaks to the database; `psql` and `docker` get SQL by standard input and the password by the environment.
    #[arg(long, global = true, value_enum, default_value_t)]
    via: Via,
    /// Image with `psql`, for `--via docker`.
    #[arg(long, global = true, value_name = "IMAGE", default_value = "postgres:17-alpine")]
    docker_image: String,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Via {
    /// This program.
    #[default]
    Driver,
    /// `psql` of this machine.
    Psql,
    /// `psql` of a container.
    Docker,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Apply the migrations that are missing, each in a transaction of its own; again is harmless.
    Up {
        /// Only say which ones are missing.
        #[arg(long)]
        dry_run: bool,
        /// Make the database first, if its server has none of that name. Needs a login that may make databases.
        #[arg(long)]
        create_database: bool,
    },
    /// Say which migrations are applied, and when.
    Status,
    /// Fail unless every migration is applied, unedited.
    Verify,
    /// Make the logins, or give them new passwords. Needs a login that may make roles.
    ///
    /// A password comes from API_SERVICE_PASSWORD, BACKTEST_SERVICE_PASSWORD or RANKING_WRITER_PASSWORD, or is made.
    /// It is shown only on request; the server gets its SCRAM verifier. With --entra, service principals of Microsoft
    /// Entra become roles instead, and have no password.
    ///
    /// To change a password while the service runs, give it to the login's second slot, which may do the same
    /// (`--only api_service_b`), let the service log in with that, then `--retire api_service`. The next time the other
    /// way round.
    Roles(RolesArgs),
}

#[derive(Debug, clap::Args)]
struct RolesArgs {
    /// Only this login; may be repeated. Without it, the first slot of each.
    #[arg(long, value_name = "LOGIN", value_parser = LOGINS.map(|login| login.name))]
    only: Vec<String>,
    /// Forbid this login, and do nothing else; refused while a connection uses it. May be
    /// repeated.
    #[arg(long, value_name = "LOGIN", value_parser = LOGINS.map(|login| login.name),
          conflicts_with_all = ["only", "member", "connection_limit", "emit_secrets", "secrets_file", "entra"])]
    retire: Vec<String>,
    /// Groups that a login is a member of beside its own, for a service that has one login for everything; may be
    /// repeated.
    #[arg(long, value_name = "LOGIN=GROUP,...", value_parser = membership)]
    member: Vec<(String, Vec<String>)>,
    /// Most connections of a login at once; may be repeated.
    #[arg(long, value_name = "LOGIN=N", value_parser = connection_limit)]
    connection_limit: Vec<(String, u32)>,
    /// Print the connection strings of the logins: to a terminal, or to a file that only its owner reads.
    #[arg(long, conflicts_with = "secrets_file")]
    emit_secrets: bool,
    /// Write the connection strings to this file, for its owner alone.
    #[arg(long, value_name = "FILE")]
    secrets_file: Option<PathBuf>,
    /// Map a service principal to a role, member of all groups or of those named; may be repeated.
    #[arg(long, value_name = "NAME=OBJECT_ID[:GROUP,...]", value_parser = principal)]
    entra: Vec<Principal>,
}

/// A service principal of Microsoft Entra.
#[derive(Debug, Clone)]
struct Principal {
    name: String,
    object_id: String,
    groups: Vec<String>,
}

pub(super) async fn run(args: Args) -> Result<(), CliError> {
    let environment = environment();
    telemetry::command(log_filter(&environment));
    let settings = Settings::from(&environment)?;
    let database = boot::database(&settings)
        .map_err(|error| CliError::because("find the database", error))?
        .ok_or_else(|| CliError::usage("POSTGRES_DSN: is not set; it names the database to migrate"))?;
    let psql = match args.via {
        Via::Driver => None,
        Via::Psql => Some(Psql::Local),
        Via::Docker => Some(Psql::Docker { image: args.docker_image }),
    };
    match args.command {
        Command::Up { create_database: true, .. } if psql.is_some() => {
            let message = "--create-database: the database is made by this program itself (--via driver)";
            return Err(CliError::usage(message));
        }
        Command::Up { dry_run: true, create_database } => {
            let waiting = if create_database && made(&database, true).await? {
                MIGRATIONS.to_vec()
            } else {
                missing(&verify(&database, psql.as_ref()).await?)
            };
            for migration in &waiting {
                say(format_args!("would apply {}", migration.name));
            }
            if waiting.is_empty() {
                say("nothing to apply");
            }
        }
        Command::Up { dry_run: false, create_database } => {
            if create_database {
                made(&database, false).await?;
            }
            let applied = match psql {
                Some(psql) => psql.up(&database).await.map_err(failed)?,
                None => migrations::up(&mut connect(&database).await?).await.map_err(failed)?,
            };
            for migration in &applied {
                say(format_args!("applied {}", migration.name));
            }
            if applied.is_empty() {
                say("nothing to apply");
            }
        }
        Command::Status => {
            let standings = match psql {
                Some(psql) => psql.status(&database).await.map_err(failed)?,
                None => migrations::status(&connect(&database).await?).await.map_err(failed)?,
            };
            for Standing { migration, applied_at, edited } in standings {
                let when =
                    applied_at.map_or("missing".to_owned(), |at| at.format("%Y-%m-%d %H:%M:%SZ").to_string());
                let edited = if edited { "  EDITED after it was applied" } else { "" };
                say(format_args!("{:<24} {when}{edited}", migration.name));
            }
        }
        Command::Verify => {
            let missing = missing(&verify(&database, psql.as_ref()).await?);
            if !missing.is_empty() {
                let names: Vec<_> = missing.iter().map(|migration| migration.name).collect();
                return Err(CliError::failed(format!(
                    "missing: {}; run `backtests migrate up`",
                    names.join(", ")
                )));
            }
            say("every migration is applied and unedited");
        }
        Command::Roles(_) if psql.is_some() => {
            return Err(CliError::usage("--via: roles are made by this program itself (--via driver)"));
        }
        Command::Roles(roles) => make_roles(&database, &environment, roles).await?,
    }
    Ok(())
}

async fn connect(database: &Database) -> Result<tokio_postgres::Client, CliError> {
    database.connect().await.map_err(|error| {
        let doing = if error.is_without_database() {
            "connect to the database (`backtests migrate up --create-database` makes it)"
        } else {
            "connect to the database"
        };
        CliError::because(doing, error)
    })
}

/// Makes the database unless it is there, or only looks; answers whether it was missing.
async fn made(database: &Database, look_only: bool) -> Result<bool, CliError> {
    let name = database.name().unwrap_or_default();
    let missing = migrations::create_database(database, look_only).await;
    let missing = missing.map_err(|error| CliError::because(format!("make the database {name}"), error))?;
    if missing {
        say(format_args!("{} database {name}", if look_only { "would make" } else { "made" }));
    }
    Ok(missing)
}

async fn verify(database: &Database, psql: Option<&Psql>) -> Result<Vec<Standing>, CliError> {
    match psql {
        Some(psql) => psql.verify(database).await.map_err(failed),
        None => migrations::verify(&connect(database).await?).await.map_err(failed),
    }
}

fn missing(standings: &[Standing]) -> Vec<Migration> {
    standings.iter().filter(|one| one.applied_at.is_none()).map(|one| one.migration).collect()
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> CliError {
    CliError::because("migrate", error)
}

async fn make_roles(database: &Database, environment: &Environment, args: RolesArgs) -> Result<(), CliError> {
    let mut client = connect(database).await?;
    let missing = missing(&migrations::verify(&client).await.map_err(failed)?);
    if !missing.is_empty() {
        return Err(CliError::failed(
            "the groups come with the migrations; run `backtests migrate up` first",
        ));
    }
    if !args.retire.is_empty() {
        return retire(&client, &args.retire).await;
    }
    if !args.entra.is_empty() {
        return make_principals(database, &client, &args.entra).await;
    }
    if args.emit_secrets && !output_is_private() {
        return Err(CliError::usage(
            "--emit-secrets: standard output is neither a terminal nor a file for its owner alone (mode 0600)",
        ));
    }
    // Everything that can be refused is looked at before the first password changes.
    let (mut wanted, mut connections) = (Vec::new(), String::new());
    for known in &LOGINS {
        let asked = args.only.iter().any(|name| name == known.name);
        if !asked && (known.is_second || !args.only.is_empty()) {
            continue;
        }
        let limit = args.connection_limit.iter().rev().find(|(name, _)| name == known.name);
        let login = Login { connection_limit: limit.map_or(known.connection_limit, |(_, n)| *n), ..*known };
        let password = password(database, environment, &login)?;
        let more = args.member.iter().filter(|(name, _)| name == known.name).flat_map(|(_, groups)| groups);
        let groups = std::iter::once(login.group.to_owned()).chain(more.cloned()).collect();
        let variable = login.name.to_ascii_uppercase();
        connections += &format!("{variable}_DSN={}\n", database.dsn_of(login.name, &password));
        wanted.push(Wanted { login, password, groups });
    }
    let written = |path: &Path, error| CliError::because(format!("write {}", path.display()), error);
    let secrets = args.secrets_file.as_deref().map(|path| {
        private_file(path, &connections).map(|file| (path, file)).map_err(|error| written(path, error))
    });
    let secrets = secrets.transpose()?;
    roles::make(&mut client, &wanted).await.map_err(|error| CliError::because("make the logins", error))?;
    if !args.emit_secrets {
        for Wanted { login, groups, .. } in &wanted {
            say(format_args!("{:<18} member of {}, new password", login.name, groups.join(", ")));
        }
    }
    match secrets {
        Some((path, file)) => {
            file.persist(path).map_err(|error| written(path, error.error))?;
            say(format_args!("connection strings: {}", path.display()));
        }
        None if args.emit_secrets => say(connections.trim_end()),
        None => say("passwords are not shown; --secrets-file or --emit-secrets does that"),
    }
    Ok(())
}

async fn retire(client: &tokio_postgres::Client, names: &[String]) -> Result<(), CliError> {
    for login in LOGINS.iter().filter(|login| names.iter().any(|name| name == login.name)) {
        let retired = roles::retire(client, login)
            .await
            .map_err(|error| CliError::because(format!("retire {}", login.name), error))?;
        match retired {
            Retired::Done => say(format_args!("{:<18} can no longer log in", login.name)),
            Retired::InUse(connections) => {
                return Err(CliError::failed(format!(
                    "{} is in use by {connections} connections; move them to the other slot first",
                    login.name
                )));
            }
        }
    }
    Ok(())
}

/// The password of a login: given by the environment, or made.
fn password(database: &Database, environment: &Environment, login: &Login) -> Result<String, CliError> {
    let (variable, given) = password_of_login(environment, login.name).ok_or_else(|| {
        CliError::failed(format!("no setting is declared for the password of {}", login.name))
    })?;
    let Some(given) = given else { return Ok(Alphanumeric.sample_string(&mut rand::rng(), 32)) };
    if given.chars().count() < 12 {
        return Err(CliError::usage(format!("{variable}: has fewer than 12 characters")));
    }
    if database.has_password(given) {
        return Err(CliError::usage(format!(
            "{variable}: is the password of POSTGRES_DSN; take another one"
        )));
    }
    Ok(given.to_owned())
}

async fn make_principals(
    database: &Database,
    client: &tokio_postgres::Client,
    principals: &[Principal],
) -> Result<(), CliError> {
    let directory = connect(&database.with_database("postgres")).await?;
    for Principal { name, object_id, groups } in principals {
        let refused = |error| CliError::because(format!("make the role {name}"), error);
        let created = roles::create_principal(&directory, name, object_id).await.map_err(refused)?;
        roles::join(client, name, groups).await.map_err(refused)?;
        if let Err(error) = roles::limit_principal(client, name).await {
            // A server may keep the roles of principals to itself.
            say(format_args!("{name:<18} has no limits: {}", chain(&error)));
        }
        let what = if created { "made" } else { "was there" };
        say(format_args!("{name:<18} {what}, member of {}", groups.join(", ")));
    }
    Ok(())
}

fn connection_limit(text: &str) -> Result<(String, u32), String> {
    let (name, limit) = text.split_once('=').ok_or("must be LOGIN=N")?;
    let name = known_login(name)?;
    match limit.parse() {
        Ok(limit) if (1..=10_000).contains(&limit) => Ok((name, limit)),
        _ => Err(format!("'{limit}' is not a number from 1 to 10000")),
    }
}

fn principal(text: &str) -> Result<Principal, String> {
    let (name, rest) = text.split_once('=').ok_or("must be NAME=OBJECT_ID, with :GROUP,... if you like")?;
    let (object_id, groups) = rest.split_once(':').unwrap_or((rest, ""));
    let parts: Vec<usize> = object_id.split('-').map(str::len).collect();
    let hex = object_id.chars().all(|c| c == '-' || c.is_ascii_hexdigit());
    if parts != [8, 4, 4, 4, 12] || !hex {
        return Err(format!("'{object_id}' is not an object id (00000000-0000-0000-0000-000000000000)"));
    }
    if name.is_empty() || name.len() > 63 {
        return Err("the name of a role has 1 to 63 bytes".to_owned());
    }
    let groups = match groups {
        "" => groups::ALL.map(str::to_owned).to_vec(),
        groups => known_groups(groups)?,
    };
    Ok(Principal { name: name.to_owned(), object_id: object_id.to_owned(), groups })
}

fn membership(text: &str) -> Result<(String, Vec<String>), String> {
    let (name, groups) = text.split_once('=').ok_or("must be LOGIN=GROUP,...")?;
    Ok((known_login(name)?, known_groups(groups)?))
}

fn known_login(name: &str) -> Result<String, String> {
    let known = LOGINS.map(|login| login.name);
    if known.contains(&name) {
        Ok(name.to_owned())
    } else {
        Err(format!("'{name}' is none of {}", known.join(", ")))
    }
}

fn known_groups(groups: &str) -> Result<Vec<String>, String> {
    match groups.split(',').find(|group| !groups::ALL.contains(group)) {
        Some(unknown) => Err(format!("'{unknown}' is none of {}", groups::ALL.join(", "))),
        None => Ok(groups.split(',').map(str::to_owned).collect()),
    }
}

/// Whether only a person at a terminal or the owner of a file sees what is printed.
fn output_is_private() -> bool {
    let output = std::io::stdout();
    #[cfg(unix)]
    {
        use std::os::fd::AsFd as _;
        use std::os::unix::fs::MetadataExt as _;
        let file = output.as_fd().try_clone_to_owned().map(std::fs::File::from);
        let private = file.and_then(|file| file.metadata());
        if private.is_ok_and(|about| about.is_file() && about.mode() & 0o077 == 0) {
            return true;
        }
    }
    output.is_terminal()
}

/// A file that its owner alone may read, complete but for its name. Under it, it replaces what stood there before.
fn private_file(path: &Path, text: &str) -> std::io::Result<tempfile::NamedTempFile> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Temporary files are made with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    Ok(file)
}
