//! The commands of `backtests`, one file each, and the two things they share: settings and telemetry.

pub mod boot;
pub mod settings;
pub mod telemetry;
pub mod throwaway;

mod audit;
mod client;
mod compare;
mod demo;
mod dev;
mod embedded;
mod evidence;
mod experiments;
mod exporter;
mod lake;
mod migrate;
mod order;
mod progress;
mod reproduce;
mod run;
mod schedules;
mod serve;
mod service;
mod study;
mod summary;
mod sync;
mod table;

use std::process::ExitCode;
use std::sync::OnceLock;

use clap::{CommandFactory as _, Parser};
use serde_json::{Value, json};

use self::settings::{Settings, environment, log_filter};
use crate::engine::config::Fault;
use crate::store::prices::{MarketData, Reach};
use crate::work::chain;

/// Backtests for portfolio research: a function set on Azure, or one program on a laptop.
///
/// Exit codes: 0 done; 1 it did not work; 2 wrong usage or an invalid config; 3 the data cannot be used;
/// 4 the strategy cannot decide on this data; 5 an audit found something.
#[derive(Debug, Parser)]
#[command(name = "backtests", version = crate::work::ENGINE_VERSION, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Serve(serve::Args),
    Dev(dev::Args),
    Demo(demo::Args),
    Init(embedded::InitArgs),
    Run(run::Args),
    Submit(client::SubmitArgs),
    /// Submit a study to a service, stay until it ends and show how far its best trial can be believed.
    Study(client::SubmitArgs),
    Validate(client::ValidateArgs),
    Status(client::StatusArgs),
    List(client::ListArgs),
    Watch(client::WatchArgs),
    Cancel(client::CancelArgs),
    Fetch(client::FetchArgs),
    Summary(client::SummaryArgs),
    Report(client::ReportArgs),
    Compare(compare::Args),
    Experiments(experiments::Args),
    Metrics(client::MetricsArgs),
    Trades(client::TradesArgs),
    Positions(client::PositionsArgs),
    Orders(client::OrdersArgs),
    Events(client::EventsArgs),
    Schedules(schedules::Args),
    Schedule(schedules::ScheduleArgs),
    Unschedule(schedules::UnscheduleArgs),
    Tag(order::TagArgs),
    Note(order::NoteArgs),
    Archive(order::ArchiveArgs),
    Delete(order::DeleteArgs),
    Reproduce(reproduce::Args),
    Audit(audit::Args),
    Evidence(evidence::EvidenceArgs),
    Verify(evidence::VerifyArgs),
    Completions(CompletionsArgs),
    Lake(lake::Args),
    Sync(sync::Args),
    Migrate(migrate::Args),
    Settings(settings::Args),
}

impl Command {
    /// How the answer of this command is printed; commands that have no such choice print for people.
    fn output(&self) -> Output {
        match self {
            Self::Run(args) => args.output,
            Self::Submit(args) | Self::Study(args) => args.service.output,
            Self::Validate(args) => args.service.output,
            Self::Status(args) => args.service.output,
            Self::List(args) => args.service.output,
            Self::Watch(args) => args.service.output,
            Self::Cancel(args) => args.service.output,
            Self::Fetch(args) => args.service.output,
            Self::Summary(args) => args.service.output,
            Self::Report(args) => args.service.output,
            Self::Compare(args) => args.service.output,
            Self::Experiments(args) => args.service.output,
            Self::Metrics(args) => args.service.output,
            Self::Trades(args) => args.service.output,
            Self::Positions(args) => args.service.output,
            Self::Orders(args) => args.service.output,
            Self::Events(args) => args.service.output,
            Self::Schedules(args) => args.service.output,
            Self::Schedule(args) => args.service.output,
            Self::Unschedule(args) => args.service.output,
            Self::Tag(args) => args.service.output,
            Self::Note(args) => args.service.output,
            Self::Archive(args) => args.service.output,
            Self::Delete(args) => args.service.output,
            Self::Reproduce(args) => args.service.output,
            Self::Audit(args) => args.service.output,
            Self::Evidence(args) => args.service.output,
            Self::Verify(args) => args.output,
            Self::Lake(args) => args.output,
            Self::Sync(args) => args.output,
            Self::Settings(args) => args.output,
            Self::Serve(_)
            | Self::Dev(_)
            | Self::Demo(_)
            | Self::Init(_)
            | Self::Completions(_)
            | Self::Migrate(_) => Output::Table,
        }
    }
}

/// Print the completions of a shell, for example `backtests completions bash > /etc/bash_completion.d/backtests`,
/// `backtests completions zsh > "${fpath[1]}/_backtests"` or `backtests completions fish | source`.
#[derive(Debug, clap::Args)]
struct CompletionsArgs {
    shell: clap_complete::Shell,
}

fn completions(args: &CompletionsArgs) {
    // Into memory first: a reader who goes away is no fault of ours.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "backtests", &mut script);
    say(String::from_utf8_lossy(&script).trim_end());
}

/// Stack of the threads that answer requests and compute.
const STACK_BYTES: usize = 2 * 1024 * 1024;

/// Runs the command line of this process and returns its exit code.
pub fn main() -> ExitCode {
    // Two parts of the tree bring a TLS provider each; without a choice the first connection panics.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let cli = Cli::parse();
    let output = cli.command.output();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    // Stated, so that the limit on nested documents holds whatever the environment says of stacks.
    let runtime = match runtime.thread_stack_size(STACK_BYTES).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(&CliError::because("start the runtime", error)),
    };
    let done = runtime.block_on(async {
        match cli.command {
            Command::Serve(args) => serve::run(args).await,
            Command::Dev(args) => dev::run(args).await,
            Command::Demo(args) => demo::run(args).await,
            Command::Init(args) => embedded::init(&args),
            Command::Run(args) => run::run(args).await,
            Command::Submit(args) => client::submit(args).await,
            Command::Study(args) => client::study(args).await,
            Command::Validate(args) => client::validate(args).await,
            Command::Status(args) => client::status(args).await,
            Command::List(args) => client::list(args).await,
            Command::Watch(args) => client::watch(args).await,
            Command::Cancel(args) => client::cancel(args).await,
            Command::Fetch(args) => client::fetch(args).await,
            Command::Summary(args) => client::summary(args).await,
            Command::Report(args) => client::report(args).await,
            Command::Compare(args) => compare::run(args).await,
            Command::Experiments(args) => experiments::run(args).await,
            Command::Metrics(args) => client::metrics(args).await,
            Command::Trades(args) => client::trades(args).await,
            Command::Positions(args) => client::positions(args).await,
            Command::Orders(args) => client::orders(args).await,
            Command::Events(args) => client::events(args).await,
            Command::Schedules(args) => schedules::show(args).await,
            Command::Schedule(args) => schedules::schedule(args).await,
            Command::Unschedule(args) => schedules::unschedule(args).await,
            Command::Tag(args) => order::tag(args).await,
            Command::Note(args) => order::note(args).await,
            Command::Archive(args) => order::archive(args).await,
            Command::Delete(args) => order::delete(args).await,
            Command::Reproduce(args) => reproduce::run(args).await,
            Command::Audit(args) => audit::run(args).await,
            Command::Evidence(args) => evidence::evidence(args).await,
            Command::Verify(args) => evidence::verify(args).await,
            Command::Completions(args) => {
                completions(&args);
                Ok(())
            }
            Command::Lake(args) => lake::run(args).await,
            Command::Sync(args) => sync::run(args).await,
            Command::Migrate(args) => migrate::run(args).await,
            Command::Settings(args) => settings::run(&args),
        }
    });
    runtime.shutdown_background();
    let said = UNSAID.get().map_or(Ok(()), |error| Err(CliError::because("write the answer", error)));
    match done.and(said) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if let (Output::Json, Some(document)) = (output, error.document()) {
                say(format_args!("{document:#}"));
            }
            report(&error)
        }
    }
}

#[expect(clippy::print_stderr, reason = "the one place where a command says why it failed")]
fn report(error: &CliError) -> ExitCode {
    eprintln!("error: {}", table::harmless(&error.message));
    ExitCode::from(error.exit)
}

/// Why a command failed, in words for the person who gave it.
#[derive(Debug)]
struct CliError {
    message: String,
    exit: u8,
    said: Said,
}

/// What stdout has, or gets, of an error for programs.
#[derive(Debug)]
enum Said {
    /// A problem document that is made of the message.
    OwnWords,
    /// The problem document that the service sent.
    Document(Box<Value>),
    /// The answer of the command is there already and tells it.
    Already,
}

impl CliError {
    const FAILED: u8 = 1;
    const USAGE: u8 = 2;
    const DATA: u8 = 3;
    const STRATEGY: u8 = 4;
    const FOUND: u8 = 5;

    fn failed(message: impl Into<String>) -> Self {
        Self { message: message.into(), exit: Self::FAILED, said: Said::OwnWords }
    }

    fn usage(message: impl Into<String>) -> Self {
        Self { exit: Self::USAGE, ..Self::failed(message) }
    }

    /// What was being done, and the whole chain of causes.
    fn because(doing: impl std::fmt::Display, cause: impl std::error::Error) -> Self {
        Self::failed(format!("{doing}: {}", chain(&cause)))
    }

    fn with_exit(self, exit: u8) -> Self {
        Self { exit, ..self }
    }

    /// With the problem document that the service sent.
    fn with_document(self, document: Value) -> Self {
        Self { said: Said::Document(Box::new(document)), ..self }
    }

    /// With nothing more to say on stdout.
    fn with_answer_given(self) -> Self {
        Self { said: Said::Already, ..self }
    }

    /// The problem document for programs, in the words of RFC 9457 and of the service.
    fn document(&self) -> Option<Value> {
        let (code, title) = match self.exit {
            Self::USAGE => ("usage", "Wrong usage or an invalid config"),
            Self::DATA => ("unusable_data", "The data cannot be used"),
            Self::STRATEGY => ("strategy_failed", "The strategy cannot decide on this data"),
            _ => ("failed", "It did not work"),
        };
        match &self.said {
            Said::Already => None,
            Said::Document(document) => Some((**document).clone()),
            Said::OwnWords => Some(json!({ "code": code, "title": title, "detail": self.message })),
        }
    }

    /// Every fault of a config, one a line.
    fn invalid_config(place: &str, faults: &[Fault]) -> Self {
        let lines: String = faults.iter().map(|fault| format!("\n  {fault}")).collect();
        let count = if faults.len() == 1 { "a fault".to_owned() } else { format!("{} faults", faults.len()) };
        let message = format!("{place} has {count}:{lines}");
        let document = json!({
            "code": "invalid_config", "title": "The config is invalid", "detail": message, "errors": faults,
        });
        Self::usage(message).with_document(document)
    }
}

impl From<settings::InvalidSettings> for CliError {
    fn from(error: settings::InvalidSettings) -> Self {
        Self::usage(error.to_string())
    }
}

/// How an answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// For people.
    Table,
    /// For programs: one JSON document on stdout.
    Json,
}

/// Writes a line of an answer. A reader who has gone away is no fault of ours; that it cannot be written is told in the
/// end.
fn say(line: impl std::fmt::Display) {
    use std::io::Write as _;
    match writeln!(std::io::stdout(), "{}", table::harmless(&line.to_string())) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            // Of several failures the first is told.
            let _ = UNSAID.set(error);
        }
        _ => {}
    }
}

/// Why a line of the answer could not be written.
static UNSAID: OnceLock<std::io::Error> = OnceLock::new();

/// The prices and signals that a command computes with on this machine; `lake` is the root that it was given.
fn data_here(lake: Option<&str>) -> Result<MarketData, CliError> {
    let environment = environment();
    telemetry::command(log_filter(&environment));
    let settings = Settings::from(&environment)?.at_lake(lake)?;
    let signals = boot::postgres_signals(&settings)
        .map_err(|error| CliError::because("prepare the database", error))?;
    Ok(boot::market_data(&settings, Reach::unlimited(), signals))
}
