//! `cargo infra`: the commands around the infrastructure. `--help` of each says what it does.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use infra_tool::azure::{Failure, Tools, say};
use infra_tool::bicep::Compiler;
use infra_tool::crosscheck::{self, Surroundings};
use infra_tool::package::Packing;
use infra_tool::snapshot::Snapshot;
use infra_tool::state::State;
use infra_tool::{firewall, gate, package, provision, rotate, settings, smoke};

/// Checks, packs and provisions Backtest Functions.
#[derive(Debug, Parser)]
#[command(name = "cargo infra", bin_name = "cargo infra", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// The project.
    #[arg(long, global = true, default_value = ".", hide = true)]
    root: PathBuf,
    /// The Azure CLI.
    #[arg(long, global = true, env = "INFRA_AZ", default_value = "az", hide = true)]
    az: PathBuf,
    /// The service's program, for work in the database.
    #[arg(long, global = true, env = "INFRA_BACKTESTS", default_value = "backtests")]
    backtests: PathBuf,
    /// The Postgres client.
    #[arg(long, global = true, env = "INFRA_PSQL", default_value = "psql", hide = true)]
    psql: PathBuf,
    /// The subscription; else the one that `az` is set to.
    #[arg(long, global = true, env = "AZURE_SUBSCRIPTION_ID")]
    subscription_id: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check the Bicep files by their compiler, and that what they deploy agrees with the functions, the settings, the
    /// migrations and the rest.
    Check {
        /// First format the files, and write down what they deploy now.
        #[arg(long)]
        write: bool,
    },
    /// Build the program for the platform and pack the release.
    Package {
        /// Pack this program instead of building one.
        #[arg(long)]
        binary: Option<PathBuf>,
        /// What to build for: a Rust target; behind `-gnu` the glibc can be named, as in `-gnu.2.17`.
        #[arg(long, default_value = package::TARGET)]
        target: String,
        /// The zip.
        #[arg(long, default_value = "target/package/release.zip")]
        out: PathBuf,
        /// Take a program that needs a younger glibc than the platform may have.
        #[arg(long)]
        any_glibc: bool,
    },
    /// Make an environment, or bring it up to date: resources, schema, roles.
    Provision(Box<provision::Args>),
    /// Learn the facts of an environment that was deployed from another machine.
    Outputs {
        /// Name of the environment.
        #[arg(long, env = "AZURE_ENV_NAME", default_value = "dev")]
        environment: String,
    },
    /// Turn the switches of the deployed app, without deploying and without the database: the way back.
    Settings {
        /// Name of the environment.
        #[arg(long, env = "AZURE_ENV_NAME", default_value = "dev")]
        environment: String,
        #[command(flatten)]
        args: settings::Args,
    },
    /// Let an address through to the database for a while.
    Firewall {
        /// Name of the environment.
        #[arg(long, env = "AZURE_ENV_NAME", default_value = "dev")]
        environment: String,
        #[command(subcommand)]
        command: firewall::Command,
    },
    /// Ask the deployed service whether it is ready, let it complete a backtest, and show what its database says.
    Smoke {
        /// Name of the environment.
        #[arg(long, env = "AZURE_ENV_NAME", default_value = "dev")]
        environment: String,
        #[command(flatten)]
        args: smoke::Args,
    },
    /// Change passwords and keys.
    Rotate {
        /// Name of the environment.
        #[arg(long, env = "AZURE_ENV_NAME", default_value = "dev")]
        environment: String,
        #[command(flatten)]
        args: rotate::Args,
    },
    /// Refuse a planned deployment that deletes, or changes what a database server keeps for life.
    Gate {
        /// What `cargo infra provision --what-if` wrote.
        what_if: PathBuf,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(error.as_ref());
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "it is a command")]
fn complain(error: &dyn Error) {
    eprint!("error: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        eprint!(": {cause}");
        source = cause.source();
    }
    eprintln!();
}

fn run(cli: &Cli) -> Result<(), Box<dyn Error>> {
    let tools = Tools {
        az: cli.az.clone(),
        backtests: cli.backtests.clone(),
        psql: cli.psql.clone(),
        subscription: cli.subscription_id.clone().filter(|id| !id.is_empty()),
    };
    let state = |environment: &str| State::load(&cli.root, environment);
    match &cli.command {
        Command::Check { write } => check_all(&cli.root, *write)?,
        Command::Package { binary, target, out, any_glibc } => {
            let program = match binary {
                Some(path) => path.clone(),
                None => package::build(&cli.root, target)?,
            };
            let release =
                package::pack(&cli.root, &program, out, Packing { any_glibc: *any_glibc, compress: true })?;
            let mib = |bytes: u64| format!("{}.{} MiB", bytes >> 20, ((bytes & 0xf_ffff) * 10) >> 20);
            say(format_args!(
                "{}: {}, {} entries; the program has {} and is {}",
                release.path.display(),
                mib(release.size),
                release.entries.len(),
                mib(release.program_size),
                release.needs
            ));
        }
        Command::Provision(args) => provision::run(&tools, &cli.root, args)?,
        Command::Outputs { environment } => provision::outputs(&tools, environment, &mut state(environment))?,
        Command::Settings { environment, args } => {
            settings::run(&tools, environment, &state(environment), args)?;
        }
        Command::Firewall { environment, command } => firewall::run(&tools, &state(environment), command)?,
        Command::Smoke { environment, args } => smoke::run(&tools, &state(environment), args)?,
        Command::Rotate { environment, args } => rotate::run(&tools, &state(environment), args)?,
        Command::Gate { what_if } => {
            let text = std::fs::read_to_string(what_if)
                .map_err(|error| Failure::new(format!("read {}: {error}", what_if.display())))?;
            let plan = gate::read(&serde_json::from_str(&text)?)?;
            say(plan.table);
            for objection in &plan.objections {
                say(format_args!("- **refused:** {objection}"));
            }
            if !plan.objections.is_empty() {
                return Err(Failure::new(plan.objections.join("; ")).into());
            }
        }
    }
    Ok(())
}

fn check_all(root: &Path, write: bool) -> Result<(), Box<dyn Error>> {
    let compiler = Compiler::find()?;
    let mut found = Vec::new();
    match (&compiler, write) {
        (Some(compiler), true) => compiler.write(root)?,
        (None, true) => return Err(Failure::new(NO_COMPILER).into()),
        (None, false) => say(format_args!("skipped: {NO_COMPILER}; the committed snapshots are checked")),
        (Some(_), false) => {}
    }
    if let Some(compiler) = &compiler {
        let report = compiler.check(root)?;
        found.extend(report.findings);
        found.extend(report.template.iter().flat_map(crosscheck::series));
    }
    let snapshots = Snapshot::load_all(root)?;
    found.extend(crosscheck::check(&snapshots, &Surroundings::load(root)?));
    for one in &found {
        say(one);
    }
    if found.is_empty() {
        let by = if compiler.is_some() { "the files compile, and " } else { "" };
        say(format_args!("{by}{} snapshots are in order", snapshots.len()));
        return Ok(());
    }
    Err(Failure::new(format!("{} findings", found.len())).into())
}

/// Why the compiler does not run.
const NO_COMPILER: &str =
    "there is no Bicep compiler (the variable BICEP, `bicep` on the path, or `az bicep install`)";
