//! `backtests lake`: bars from files into Delta tables, a synthetic market, what a table holds.

use std::path::PathBuf;

use super::progress::Progress;
use super::settings::{Settings, environment, log_filter};
use super::{CliError, Output, boot, say, telemetry};
use crate::store::delta::{Location, StorageOptions};
use crate::store::lake::{self, Contents};
use crate::store::prices::{PRICE_TABLE, Reach};
use crate::store::signals::lake::SignalLake;
use crate::work;

/// Fill the lake and look at it.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
    /// Root of the lake [default: BACKTEST_LAKE].
    #[arg(long, value_name = "DIR", global = true)]
    lake: Option<String>,
    /// How the answer is printed.
    #[arg(long, value_enum, default_value = "table", global = true)]
    pub(super) output: Output,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Put the bars of a CSV or Parquet file into a table.
    ///
    /// The file needs the columns date, symbol, open and close, and may have high, low, volume, adj_close and
    /// exchange; upper and lower case do not matter. A file with impossible rows (a price that is not above zero,
    /// high below low, two bars of one date and symbol) is refused as a whole, with counts and examples.
    Import {
        /// The file.
        file: PathBuf,
        /// Table below the lake root.
        #[arg(long, default_value = PRICE_TABLE)]
        table: String,
        /// Replace what the table holds; otherwise bars are added, and one that is there already is refused.
        #[arg(long)]
        replace: bool,
    },
    /// Make a synthetic market: random walks with a common factor, the same for the same arguments.
    Sample {
        /// Number of symbols.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=20_000))]
        symbols: u32,
        /// Number of weekdays, from 2000-01-03.
        #[arg(long, default_value_t = 2520, value_parser = clap::value_parser!(u32).range(1..=20_000))]
        days: u32,
        /// Another seed, another market.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Table below the lake root; what it holds is replaced.
        #[arg(long, default_value = PRICE_TABLE)]
        table: String,
    },
    /// Make rankings from the prices, for a lake that has no others: momentum_60d, momentum_12_1, low_volatility_60d and
    /// reversal_21d, day by day. Again, it adds the days that are new; `backtests sync` and the timer then do so, too.
    Rank {
        /// Make all rankings anew, in the place of whatever the table holds.
        #[arg(long)]
        replace: bool,
    },
    /// Say what a table holds.
    Inspect {
        /// Table below the lake root.
        #[arg(default_value = PRICE_TABLE)]
        table: String,
    },
}

pub(super) async fn run(args: Args) -> Result<(), CliError> {
    let environment = environment();
    telemetry::command(log_filter(&environment));
    let settings = Settings::from(&environment)?.at_lake(args.lake.as_deref())?;
    let root = settings.lake.clone();
    let root = root.ok_or_else(|| CliError::usage("name the lake with --lake or BACKTEST_LAKE"))?;
    let options = boot::storage_options(&settings);
    let (table, contents) = match args.command {
        Command::Import { file, table, replace } => {
            let contents = import(file, &root.join(&table), &options, replace).await?;
            (table, contents)
        }
        Command::Sample { symbols, days, seed, table } => {
            let progress = Progress::start("make a synthetic market");
            let made =
                lake::sample(symbols as usize, days as usize, seed, &root.join(&table), &options).await;
            let contents = made.map_err(|error| CliError::because("make a synthetic market", error))?;
            progress.finish("made a synthetic market: random walks, no real prices");
            (table, contents)
        }
        Command::Rank { replace } => return rank(settings, root, replace, args.output).await,
        Command::Inspect { table } => {
            let found = lake::inspect(&root.join(&table), &options).await;
            let contents = found
                .map_err(|error| {
                    CliError::because(format!("look at {table}"), error).with_exit(CliError::DATA)
                })?
                .ok_or_else(|| CliError::failed(format!("there is no table {table} in the lake {root}")))?;
            (table, contents)
        }
    };
    match args.output {
        Output::Json => say(serde_json::json!({ "table": table, "contents": contents })),
        Output::Table => print(&table, &contents),
    }
    Ok(())
}

async fn rank(settings: Settings, root: Location, replace: bool, output: Output) -> Result<(), CliError> {
    let lake = SignalLake::new(root.clone(), boot::storage_options(&settings));
    let data = boot::market_data(&Settings { lake: Some(root), ..settings }, Reach::unlimited(), None);
    let mut progress = Progress::start("rank prices");
    let mut on_day = |done: usize, total: usize| progress.at(done as u64, total as u64, "days");
    let ranked = work::rank::rank(&data, &lake, replace, &mut on_day)
        .await
        .map_err(|error| CliError::because("rank prices", error).with_exit(CliError::DATA))?;
    progress.finish(&format!("ranked {} days", ranked.days));
    match output {
        Output::Json => {
            say(serde_json::json!({ "days": ranked.days, "rows": ranked.rows, "remade": ranked.remade }));
        }
        Output::Table if ranked.remade => say(format_args!(
            "{} rankings of {} days, all of them anew: the meaning of the signals has changed",
            ranked.rows, ranked.days
        )),
        Output::Table => say(format_args!("{} rankings of {} new days", ranked.rows, ranked.days)),
    }
    Ok(())
}

/// Imports with a progress bar.
pub(super) async fn import(
    file: PathBuf,
    table: &Location,
    options: &StorageOptions,
    replace: bool,
) -> Result<Contents, CliError> {
    let name = file.display().to_string();
    let mut progress = Progress::start(format!("import {name}"));
    let mut on_rows = |rows: usize| progress.at(rows as u64, 0, &format!("{rows} rows"));
    let contents = lake::import(&file, table, options, replace, &mut on_rows)
        .await
        .map_err(|error| CliError::because(format!("import {name}"), error).with_exit(CliError::DATA))?;
    progress.finish(&format!("imported {name}"));
    Ok(contents)
}

fn print(table: &str, contents: &Contents) {
    let date = |date: Option<chrono::NaiveDate>| date.map_or_else(|| "-".to_owned(), |date| date.to_string());
    let missing: Vec<String> =
        contents.missing.iter().map(|(name, count)| format!("{name} {count}")).collect();
    let rows = [
        ("table", format!("{table}, version {}", contents.version)),
        ("rows", contents.rows.to_string()),
        ("symbols", contents.symbols.to_string()),
        ("dates", format!("{} ({} to {})", contents.dates, date(contents.first), date(contents.last))),
        ("missing values", if missing.is_empty() { "none".to_owned() } else { missing.join(", ") }),
        ("columns", contents.columns.join(", ")),
        ("files", format!("{} ({:.1} MB)", contents.files, contents.bytes as f64 / 1e6)),
    ];
    for (name, value) in rows {
        say(format_args!("{name:<16} {value}"));
    }
}
