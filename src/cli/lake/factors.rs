//! `backtests lake factors`: the tear sheets of the ranking signals, or of any table of signals.

use std::path::PathBuf;

use serde_json::json;

use super::super::progress::Progress;
use super::super::settings::Settings;
use super::super::table::{self, Column};
use super::super::{CliError, Output, boot, say};
use crate::engine::nearest::did_you_mean;
use crate::store::delta::Location;
use crate::store::prices::Reach;
use crate::store::signals::lake::SignalLake;
use crate::work::factors::{self, FactorFigures, OutlookSheet, TearSheet};
use crate::work::report::factor_page;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only this strategy of the ranking signals, or this column of --table.
    #[arg(long, value_name = "NAME")]
    strategy: Option<String>,
    /// A table of signals below the lake root, with a date, a symbol and a column for each signal [default: the ranking
    /// signals].
    #[arg(long, value_name = "TABLE")]
    table: Option<String>,
    /// Also the figures of each day, in the JSON.
    #[arg(long)]
    by_day: bool,
    /// Write the sheet of one strategy as a self-contained page.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

pub(super) async fn run(
    args: Args,
    settings: Settings,
    root: Location,
    output: Output,
) -> Result<(), CliError> {
    let lake = SignalLake::new(root.clone(), boot::storage_options(&settings));
    let data = boot::market_data(&Settings { lake: Some(root), ..settings }, Reach::unlimited(), None);
    let progress = Progress::start("follow signals");
    let wanted = args.strategy.as_deref();
    let found = match &args.table {
        Some(table) => factors::of_table(&data, table, wanted).await,
        None => factors::of_now(&lake, &data, wanted).await,
    };
    let found =
        found.map_err(|error| CliError::because("follow signals", error).with_exit(CliError::DATA))?;
    let FactorFigures { figures, strategies, notes, .. } = found;
    progress.finish("followed signals");
    if let (Some(wanted), true) = (wanted, figures.is_empty()) {
        return Err(CliError::failed(nothing_of(wanted, strategies.iter().map(String::as_str))));
    }
    if figures.is_empty() {
        let place = args.table.as_deref().unwrap_or("the lake");
        return Err(CliError::failed(format!(
            "there are no signals in {place}; `backtests sync` makes them of rankings"
        )));
    }
    if args.html.is_some() && figures.len() > 1 {
        let names: Vec<&str> = figures.keys().map(String::as_str).collect();
        return Err(CliError::usage(format!(
            "--html shows one strategy; name it with --strategy: {}",
            names.join(", ")
        )));
    }
    let by_day = args.by_day || args.html.is_some();
    let sheets: Vec<TearSheet> =
        figures.iter().map(|(strategy, days)| TearSheet::of(strategy, days, by_day)).collect();
    if let (Some(path), [sheet]) = (&args.html, &sheets[..]) {
        let written = tokio::fs::write(path, factor_page(sheet, &notes)).await;
        written.map_err(|error| CliError::because(format!("write {}", path.display()), error))?;
    }
    match output {
        Output::Json => say(json!({ "table": args.table, "notes": notes, "strategies": sheets })),
        Output::Table => {
            sheets.iter().for_each(print);
            notes.iter().for_each(say);
            if let Some(path) = &args.html {
                say(format_args!("page: {}", path.display()));
            }
        }
    }
    Ok(())
}

/// That there is nothing of a strategy, and what there is.
fn nothing_of<'a>(wanted: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let names: Vec<&str> = known.clone().collect();
    if names.is_empty() {
        return format!(
            "there is no signal '{wanted}', nor any other; `backtests sync` makes signals of rankings"
        );
    }
    let hint = did_you_mean(wanted, known);
    format!("there is no signal '{wanted}'{hint}; there are {}", names.join(", "))
}

fn print(sheet: &TearSheet) {
    let signal = &sheet.signal;
    let day = |day: Option<chrono::NaiveDate>| day.map_or_else(|| "-".to_owned(), |day| day.to_string());
    say(format_args!(
        "{}  {} to {}, {} days, {} symbols a day, coverage {}",
        sheet.strategy,
        day(sheet.from),
        day(sheet.to),
        signal.days,
        decimals(signal.symbols, 1),
        percent(signal.coverage, 1),
    ));
    let columns = [
        Column::text("from"),
        Column::number("horizon"),
        Column::number("days"),
        Column::number("mean IC"),
        Column::number("deviation"),
        Column::number("IR"),
        Column::number("t"),
        Column::number("> 0"),
        Column::number("Pearson"),
        Column::number("5 less 1"),
    ];
    table::print(&columns, &sheet.outlooks.iter().map(row).collect::<Vec<_>>());
    let turnover: Vec<String> = signal.turnover.iter().map(|share| percent(*share, 1)).collect();
    say(format_args!(
        "turnover a day by fifth, lowest signals first: {}; rank autocorrelation {}",
        turnover.join(", "),
        decimals(signal.rank_autocorrelation, 4)
    ));
    let most = |of: fn(&OutlookSheet) -> usize| sheet.outlooks.iter().map(of).max().unwrap_or_default();
    let left_out = [
        (signal.days_without_trading, "days without trading"),
        (signal.signals_without_price, "signals of symbols without a close that day"),
        (most(|outlook| outlook.signals_without_return), "signals without a return over some horizon"),
        (most(|outlook| outlook.days_with_too_few_symbols), "days with fewer than three symbols"),
        (most(|outlook| outlook.days_without_variation), "days on which all are equal"),
        (most(|outlook| outlook.days_ahead), "days whose horizon has not ended"),
    ];
    let said: Vec<String> = left_out
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    if !said.is_empty() {
        say(format_args!("not counted: {}", said.join(", ")));
    }
}

fn row(outlook: &OutlookSheet) -> Vec<String> {
    let ic = &outlook.ic;
    vec![
        outlook.entry.to_owned(),
        outlook.horizon.to_string(),
        ic.days.to_string(),
        decimals(ic.mean_rank_ic, 4),
        decimals(ic.std_rank_ic, 4),
        decimals(ic.ic_ir, 2),
        decimals(ic.t_newey_west, 2),
        percent(ic.hit_rate, 0),
        decimals(ic.mean_pearson_ic, 4),
        percent(outlook.top_minus_bottom, 3),
    ]
}

fn decimals(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}

fn percent(share: Option<f64>, digits: usize) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.digits$} %", 100.0 * share))
}
