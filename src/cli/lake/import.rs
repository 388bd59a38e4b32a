//! `backtests lake import`: what the files do not say is asked for here; how they are read is `store::import`'s business.

use std::path::Path;

use super::super::progress::Progress;
use super::super::{CliError, Output, say};
use super::{line, print, print_difference};
use crate::engine::config::{DateFormat, ImpossiblePrice};
use crate::store::contents::Contents;
use crate::store::dates::{DateReading, Order};
use crate::store::delta::{Location, StorageOptions};
use crate::store::import::{self, Asked, ImportError, Imported, Kind, Mode, SymbolFrom};
use crate::store::numbers::Spelling;
use crate::store::prices::PRICE_TABLE;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Files, folders or patterns with `*`.
    #[arg(required = true, value_name = "FILE|FOLDER|GLOB")]
    files: Vec<String>,
    /// Table below the lake root [default: gold/prices_daily; signals have none].
    #[arg(long)]
    table: Option<String>,
    /// Signals instead of bars: a date, a symbol and any columns of numbers.
    #[arg(long)]
    signals: bool,
    /// The symbol of every row, for files that do not say it.
    #[arg(long, value_name = "SYMBOL", conflicts_with = "symbol_from_name")]
    symbol: Option<String>,
    /// The name of each file is its symbol: AAPL.csv.
    #[arg(long)]
    symbol_from_name: bool,
    /// What columns are called in the files: symbol=Ticker,close=Last. Without a name behind it a column is left out.
    #[arg(long, value_name = "COLUMN=NAME", value_delimiter = ',', value_parser = pair)]
    map: Vec<(String, String)>,
    /// Only rows of which a column has this text: SERIES=EQ.
    #[arg(long, value_name = "COLUMN=TEXT", value_parser = pair)]
    only: Vec<(String, String)>,
    /// The files have a column for each symbol: say what stands in its cells, as close.
    #[arg(long, value_name = "COLUMN")]
    wide: Option<String>,
    /// How dates are written that end in the year.
    #[arg(long, value_name = "FORMAT", value_parser = ["YYYY-MM-DD", "MM/DD/YYYY", "DD/MM/YYYY"])]
    date_format: Option<String>,
    /// Whose days timestamps are that carry no zone but UTC, as America/New_York.
    #[arg(long, value_name = "ZONE", value_parser = zone)]
    time_zone: Option<chrono_tz::Tz>,
    /// What separates the cells of text files, or tab [default: what the header shows].
    #[arg(long, value_name = "CHARACTER", value_parser = separator)]
    delimiter: Option<u8>,
    /// What stands between the thousands of a number: 1,234.50.
    #[arg(long, value_name = "CHARACTER")]
    thousands: Option<char>,
    /// What stands before the fraction of a number.
    #[arg(long, value_name = "CHARACTER", default_value = ".")]
    decimal: char,
    /// What becomes of bars that nothing can have traded like: refuse the files, or skip and count such bars.
    #[arg(long, value_name = "WHAT", value_parser = ["refuse", "skip"], default_value = "refuse")]
    on_impossible_price: String,
    /// Add rows, and refuse those of a date and symbol that are there already. The default.
    #[arg(long, group = "mode")]
    append: bool,
    /// Add rows; of the same date and symbol the new one counts.
    #[arg(long, group = "mode")]
    upsert: bool,
    /// Replace everything that the table holds.
    #[arg(long, group = "mode")]
    replace: bool,
}

/// `close=Last`
fn pair(text: &str) -> Result<(String, String), String> {
    let (column, name) = text.split_once('=').ok_or("must be COLUMN=NAME")?;
    Ok((column.trim().to_owned(), name.trim().to_owned()))
}

fn zone(text: &str) -> Result<chrono_tz::Tz, String> {
    text.parse().map_err(|_| "is not a zone, as America/New_York".to_owned())
}

fn separator(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        b"tab" | b"\\t" => Ok(b'\t'),
        [one] if one.is_ascii() => Ok(*one),
        _ => Err("must be one character, or tab".to_owned()),
    }
}

impl Args {
    fn asked(&self) -> Result<Asked, CliError> {
        if self.thousands == Some(self.decimal) {
            return Err(CliError::usage("--thousands and --decimal cannot be the same"));
        }
        let kind = if self.signals { Kind::Signals } else { Kind::Bars };
        let columns = [
            "date",
            "symbol",
            "open",
            "high",
            "low",
            "close",
            "adj_close",
            "volume",
            "dividend",
            "split_factor",
            "exchange",
        ];
        if let Some((column, _)) =
            self.map.iter().find(|(column, _)| !self.signals && !columns.contains(&column.as_str()))
        {
            let known = columns.join(", ");
            return Err(CliError::usage(format!("--map: bars have no column '{column}'; they have {known}")));
        }
        let date_format = match self.date_format.as_deref() {
            Some("MM/DD/YYYY") => DateFormat::MonthFirst,
            Some("DD/MM/YYYY") => DateFormat::DayFirst,
            _ => DateFormat::Iso,
        };
        Ok(Asked {
            kind,
            symbol: match &self.symbol {
                Some(symbol) => SymbolFrom::Is(symbol.trim().to_owned()),
                None if self.symbol_from_name => SymbolFrom::Name,
                None => SymbolFrom::Column,
            },
            map: self.map.clone(),
            only: self.only.clone(),
            wide: self.wide.clone(),
            dates: DateReading { time_zone: self.time_zone, order: Order::of(date_format) },
            numbers: Spelling { thousands: self.thousands, decimal: self.decimal },
            separator: self.delimiter,
            on_impossible_price: match self.on_impossible_price.as_str() {
                "skip" => ImpossiblePrice::Skip,
                _ => ImpossiblePrice::Refuse,
            },
        })
    }
}

pub(super) async fn run(
    args: Args,
    root: &Location,
    options: &StorageOptions,
    output: Output,
) -> Result<(), CliError> {
    let asked = args.asked()?;
    let table = match (&args.table, args.signals) {
        (Some(table), _) => table.clone(),
        (None, false) => PRICE_TABLE.to_owned(),
        (None, true) => {
            return Err(CliError::usage(
                "name the table of the signals with --table, as platinum/signals/mine, and in configs with \
                 data.signal_path",
            ));
        }
    };
    let mode = match (args.upsert, args.replace) {
        (true, _) => Mode::Upsert,
        (_, true) => Mode::Replace,
        _ => Mode::Append,
    };
    let imported = import(&args.files, &asked, &root.join(&table), options, mode).await?;
    match output {
        Output::Json => {
            let mut document = serde_json::json!(imported);
            document["table"] = serde_json::json!(table);
            say(document);
        }
        Output::Table => {
            for note in &imported.notes {
                line("note", note);
            }
            match &imported.changes {
                Some(changes) if changes.is_nothing() => line("changes", "none"),
                Some(changes) => print_difference(changes),
                None => line("rows added", &imported.rows.to_string()),
            }
            print(&table, &imported.contents);
        }
    }
    Ok(())
}

/// Puts a file of bars that comes with this program into a table that is not there.
pub(crate) async fn sample(
    file: &Path,
    table: &Location,
    options: &StorageOptions,
) -> Result<Contents, CliError> {
    let files = [file.display().to_string()];
    let imported = import(&files, &Asked::nothing(Kind::Bars), table, options, Mode::Append).await?;
    Ok(imported.contents)
}

/// Imports with a progress bar.
async fn import(
    files: &[String],
    asked: &Asked,
    table: &Location,
    options: &StorageOptions,
    mode: Mode,
) -> Result<Imported, CliError> {
    let name = match files {
        [one] => one.clone(),
        files => format!("{} places", files.len()),
    };
    let mut progress = Progress::start(format!("import {name}"));
    let mut on_rows = |rows: usize| progress.at(rows as u64, 0, &format!("{rows} rows"));
    let imported =
        import::import(files, asked, table, options, mode, &mut on_rows).await.map_err(|error| {
            let exit = if matches!(error, ImportError::Usage(_)) { CliError::USAGE } else { CliError::DATA };
            CliError::because(format!("import {name}"), error).with_exit(exit)
        })?;
    progress.finish(&format!("imported {name}"));
    Ok(imported)
}
