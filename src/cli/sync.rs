//! `backtests sync`: the signal sync once, by hand.

use serde_json::json;

use super::progress::Progress;
use super::settings::{Settings, environment, log_filter};
use super::{CliError, Output, boot, say, telemetry};
use crate::signal::YearMonth;
use crate::store::prices::{MarketData, Reach};
use crate::work::chain;
use crate::work::factors::{self, FactorReport};
use crate::work::sync::{self, Behind, Due, MonthReport, Report, SignalSync, SyncRequest};

/// Bring ranking signals up to date: in the lake, then in the database of POSTGRES_DSN if there is one.
///
/// Does what the timer does: every month whose signals are older than its rankings, or that Postgres does not hold as
/// the lake does, is written again, newest first. Months that are up to date cost nothing. Filling an empty database
/// is the same command. Last come the factor figures (`backtests lake factors`) of months whose signals or prices changed.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only this month (YYYY-MM); may be given several times.
    #[arg(long, value_name = "YYYY-MM")]
    month: Vec<YearMonth>,
    /// Every month; the default, and what --force must be told when no month is named.
    #[arg(long, conflicts_with = "month")]
    all: bool,
    /// Only say what is behind, and why.
    #[arg(long)]
    dry_run: bool,
    /// Write months that are up to date, too, and every day of them.
    #[arg(long)]
    force: bool,
    /// First compare every row of Postgres with what was written there; days that were changed by hand are written
    /// again. With --dry-run they are only named.
    #[arg(long)]
    audit: bool,
    /// Root of the lake [default: BACKTEST_LAKE].
    #[arg(long, value_name = "DIR")]
    lake: Option<String>,
    /// How the answer is printed.
    #[arg(long, value_enum, default_value = "table")]
    pub(super) output: Output,
}

pub(super) async fn run(args: Args) -> Result<(), CliError> {
    let environment = environment();
    telemetry::command(log_filter(&environment));
    let settings = Settings::from(&environment)?.at_lake(args.lake.as_deref())?;
    if settings.lake.is_none() {
        return Err(CliError::usage("name the lake with --lake or BACKTEST_LAKE"));
    }
    if args.force && args.month.is_empty() && !args.all {
        return Err(CliError::usage("--force needs --month or --all"));
    }
    let signals =
        boot::signal_sync(&settings).map_err(|error| CliError::because("prepare the stores", error))?;
    let request =
        SyncRequest { months: args.month.into_iter().collect(), force: args.force, audit: args.audit };
    let data = boot::market_data(&settings, Reach::unlimited(), None);
    if args.dry_run {
        return dry_run(&signals, &data, &request, args.output).await;
    }

    let mut progress = Progress::start("sync signals");
    let mut on_month = |done: usize, total: usize, month: YearMonth| {
        progress.at(done as u64, total as u64, &month.to_string());
    };
    let report = sync::sync(&signals, &data, &request, &mut on_month)
        .await
        .map_err(|error| CliError::because("look at the lake", error).with_exit(CliError::DATA))?;
    progress.finish(&match report.months.len() {
        0 if report.postgres.is_some() => "the lake is up to date".to_owned(),
        0 => NOTHING_BEHIND.to_owned(),
        1 => "1 month was behind".to_owned(),
        months => format!("{months} months were behind"),
    });
    match args.output {
        Output::Json => say(json!(report)),
        Output::Table => {
            print(&report, signals.postgres.is_some());
            print_factors(&report.factors);
        }
    }
    match report.failure(signals.terms.write_required) {
        None => Ok(()),
        Some(failure) => Err(CliError::failed(failure)),
    }
}

/// What is said when there is nothing to do; also of months that neither side has.
const NOTHING_BEHIND: &str = "every month is up to date";

async fn dry_run(
    signals: &SignalSync,
    data: &MarketData,
    request: &SyncRequest,
    output: Output,
) -> Result<(), CliError> {
    let Behind { due, postgres, .. } = sync::look(signals, request)
        .await
        .map_err(|error| CliError::because("look at the lake", error).with_exit(CliError::DATA))?;
    let (drift, audit_error) =
        if request.audit { sync::audited(signals, request).await } else { Default::default() };
    let (factors, factors_error) = match &signals.lake {
        Some(lake) => match factors::behind(lake, data, request.force).await {
            Ok(mut due) => {
                due.retain(|(month, _)| request.includes(*month));
                (due, None)
            }
            Err(error) => (Vec::new(), Some(chain(&error))),
        },
        None => (Vec::new(), None),
    };
    match output {
        Output::Json => {
            let factors: Vec<_> =
                factors.iter().map(|(month, why)| json!({ "year_month": month, "why": why })).collect();
            say(json!({ "months": due, "drift": drift, "factors": factors, "factors_error": factors_error }));
        }
        Output::Table => {
            for Due { month, delta, postgres } in &due {
                let why = |side: &str, why: &Option<sync::Why>| why.map(|why| format!("{side}: {why}"));
                let whys: Vec<String> =
                    why("delta", delta).into_iter().chain(why("postgres", postgres)).collect();
                say(format_args!("{month}  {}", whys.join(", ")));
            }
            for (month, audit) in &drift {
                let days: Vec<String> = audit.days.iter().map(ToString::to_string).collect();
                say(format_args!("{month}  changed by hand: {}", days.join(", ")));
            }
            for (month, why) in &factors {
                say(format_args!("{month}  factors: {why}"));
            }
            if let Some(error) = &factors_error {
                say(format_args!("factors: cannot be looked at: {error}"));
            }
            if due.is_empty() && drift.is_empty() && factors.is_empty() && factors_error.is_none() {
                say(if postgres.is_some() { "the lake is up to date" } else { NOTHING_BEHIND });
            }
        }
    }
    match audit_error.or(postgres.map(|error| chain(&error))) {
        None => Ok(()),
        Some(error) => Err(CliError::failed(format!("postgres: {error}"))),
    }
}

/// What became of the factor figures, in a line.
fn print_factors(report: &FactorReport) {
    if let Some(failure) = report.failure() {
        say(format_args!("factors: still behind, the signals are not touched by that: {failure}"));
    }
    if let Some(why) = &report.skipped {
        say(format_args!("factors: {why}"));
    }
    let counts =
        [(&report.written, "written"), (&report.unchanged, "unchanged"), (&report.removed, "removed")];
    let said: Vec<String> = counts
        .iter()
        .filter(|(months, _)| !months.is_empty())
        .map(|(months, what)| format!("{} {what}", months.len()))
        .collect();
    if !said.is_empty() {
        say(format_args!("factors: months {} in {} ms", said.join(", "), report.elapsed_ms));
    }
}

fn print(report: &Report, postgres: bool) {
    for (month, audit) in &report.drift {
        let days: Vec<String> = audit.days.iter().map(ToString::to_string).collect();
        say(format_args!("{month}: changed by hand: {}", days.join(", ")));
    }
    if report.months.is_empty() {
        return;
    }
    say(format_args!(
        "{:<8} {:<17} {:>9} {:>10} {:<9} {:>9} {:>5} {:>8}  state",
        "month", "why", "signals", "composites", "delta", "copied", "days", "ms"
    ));
    for month in &report.months {
        let MonthReport { due, rows, delta_written, written, error, elapsed_ms } = month;
        let why = due.delta.or(due.postgres).map(|why| why.to_string()).unwrap_or_default();
        let number = |number: Option<String>| number.unwrap_or_else(|| "-".to_owned());
        let state = match error {
            Some(error) => format!("FAILED: {}", error.message),
            None if report.postgres.is_some() => "postgres did not answer".to_owned(),
            None if !postgres => "ok (no POSTGRES_DSN)".to_owned(),
            None => "ok".to_owned(),
        };
        say(format_args!(
            "{:<8} {why:<17} {:>9} {:>10} {:<9} {:>9} {:>5} {elapsed_ms:>8}  {state}",
            due.month.to_string(),
            number(rows.map(|rows| rows.signals.to_string())),
            number(rows.map(|rows| rows.composites.to_string())),
            if *delta_written { "written" } else { "unchanged" },
            number(written.map(|written| written.rows.to_string())),
            number(written.map(|written| written.days.to_string())),
        ));
    }
}
