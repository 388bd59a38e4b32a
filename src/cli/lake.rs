//! `backtests lake`: a synthetic market, rankings of prices, what a table holds, what differs between its versions. How
//! files come in is told in `import`, what signals predict in `factors`.

mod factors;
pub(super) mod import;

use super::progress::Progress;
use super::settings::{Settings, environment, log_filter};
use super::{CliError, Output, boot, say, telemetry};
use crate::store::contents::{self, Contents};
use crate::store::delta::{Location, StorageOptions};
use crate::store::difference::{self, Difference};
use crate::store::prices::{PRICE_TABLE, Reach};
use crate::store::sample;
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
    /// Put the bars of files into a table: CSV (also .txt, .tsv, .gz) and Parquet, as vendors write them.
    ///
    /// Bars need a date, a symbol, an open and a close, and may have high, low, volume, adj_close, dividend, split_factor
    /// and exchange, under these or other usual names (Ticker, Adj. Close, TradeDate, …). Whatever the header tells is
    /// taken without being asked for, and said; whatever it does not tell is refused with the option that would settle
    /// it. Files with rows that cannot be are refused as a whole, with counts and examples.
    Import(Box<import::Args>),
    /// Make a synthetic market: random walks with a common factor, the same for the same arguments.
    Sample {
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
    /// Say what signals predict: information coefficients, returns by fifth of the symbols, turnover.
    ///
    /// Of the ranking signals, each strategy's percentile; with --table of any table of signals, each of its columns. Every
    /// signal is followed over 1, 5, 21 and 63 trading days of the lake's prices, from the close of its day and from the next
    /// open. Of ranking signals the figures that `backtests sync` keeps are taken as far as they are up to date.
    Factors(factors::Args),
    /// Say what differs between two versions of a table, by date and symbol.
    Diff {
        /// The earlier version.
        before: u64,
        /// The later version.
        after: u64,
        /// Table below the lake root.
        #[arg(default_value = PRICE_TABLE)]
        table: String,
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
        Command::Import(wanted) => return import::run(*wanted, &root, &options, args.output).await,
        Command::Diff { before, after, table } => {
            return diff(&table, &root.join(&table), &options, (before, after), args.output).await;
        }
        Command::Sample { symbols, days, seed, table } => {
            let progress = Progress::start("make a synthetic market");
            let made =
                sample::sample(symbols as usize, days as usize, seed, &root.join(&table), &options).await;
            let contents = made.map_err(|error| CliError::because("make a synthetic market", error))?;
            progress.finish("made a synthetic market: random walks, no real prices");
            (table, contents)
        }
        Command::Rank { replace } => return rank(settings, root, replace, args.output).await,
        Command::Factors(wanted) => return factors::run(wanted, settings, root, args.output).await,
        Command::Inspect { table } => {
            let found = contents::inspect(&root.join(&table), &options).await;
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

async fn diff(
    name: &str,
    table: &Location,
    options: &StorageOptions,
    (before, after): (u64, u64),
    output: Output,
) -> Result<(), CliError> {
    let found = difference::between(table, options, before, after).await;
    let found = found
        .map_err(|error| {
            CliError::because(format!("compare versions {before} and {after} of {name}"), error)
                .with_exit(CliError::DATA)
        })?
        .ok_or_else(|| CliError::failed(format!("there is no table {name} in the lake")))?;
    match output {
        Output::Json => say(serde_json::json!({
            "table": name, "before": before, "after": after, "difference": found
        })),
        Output::Table => {
            line("table", &format!("{name}, version {before} to {after}"));
            print_difference(&found);
        }
    }
    Ok(())
}

/// What differs, a line a kind.
fn print_difference(found: &Difference) {
    const SHOWN: usize = 8;
    let names = |names: &mut dyn Iterator<Item = &String>, count: usize| {
        let shown = names.take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
        format!("{count} ({shown}{})", if count > SHOWN { ", …" } else { "" })
    };
    line("rows added", &found.added.to_string());
    line("rows removed", &found.removed.to_string());
    line("rows changed", &found.changed.to_string());
    if !found.columns.is_empty() {
        let cells = found.columns.iter().map(|(column, count)| format!("{column} {count}"));
        line("values changed", &cells.collect::<Vec<_>>().join(", "));
    }
    if let Some(largest) = &found.largest {
        line("largest change", &largest.to_string());
    }
    if !found.symbols.is_empty() {
        line("symbols", &names(&mut found.symbols.iter(), found.symbols.len()));
    }
    if !found.restated.is_empty() {
        line("restated", &names(&mut found.restated.iter(), found.restated.len()));
    }
    for (title, columns) in
        [("columns removed", &found.columns_removed), ("columns added", &found.columns_added)]
    {
        if !columns.is_empty() {
            line(title, &columns.join(", "));
        }
    }
}

fn line(title: &str, what: &str) {
    say(format_args!("{title:<16} {what}"));
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
        line(name, &value);
    }
    if let Some(jumps) = contents.split_like.as_ref().filter(|jumps| jumps.count > 0) {
        let more = if jumps.count > jumps.examples.len() { "; …" } else { "" };
        line("split-like jumps", &format!("{} ({}{more})", jumps.count, jumps.examples.join("; ")));
    }
}
