//! Rows that were written again: what a run read beside what is there today, and what tables hold beside what they said first.
//! Which files these are is told by their logs (`changes`, `provenance`); what differs is found in `difference`.

use std::sync::Arc;

use deltalake::arrow::array::RecordBatch;
use deltalake::arrow::compute::concat_batches;
use deltalake::arrow::datatypes::Schema;
use deltalake::arrow::error::ArrowError;

use super::difference::{Difference, Keyed};
use super::kept::{self, KeptError};
use super::load_error::LoadError;
use super::parquet::ParquetFile;
use super::prices::{Inputs, MarketData, SignalInput};
use super::provenance::FirstFiles;
use super::rows::Window;
use super::sources::{Opened, Source, SourceKind};
use super::versions::Pins;
use crate::engine::config::BacktestConfig;
use crate::engine::market::{PriceRows, SignalRows};

/// What differs in the tables of a run since; `None` where it read no table.
#[derive(Debug)]
pub struct Restatements {
    /// In its prices.
    pub prices: Option<Difference>,
    /// In its signals.
    pub signals: Option<Difference>,
}

/// What the tables of a config said first of its days; `None` where it reads no table.
#[derive(Debug, Default)]
pub struct FirstRows {
    /// Of its prices.
    pub prices: Option<First<PriceRows>>,
    /// Of its signals.
    pub signals: Option<First<SignalRows>>,
}

/// What a table said first of some days.
#[derive(Debug)]
pub enum First<T> {
    /// What it says now: none of the files was written again.
    Same,
    /// These rows.
    Rows(T),
    /// It cannot be known any more, and why.
    Unknown(String),
}

impl MarketData {
    /// What differs between the rows that a run read and those that are newest, of its days and symbols. Only files that one
    /// of the versions has are read.
    ///
    /// # Errors
    /// One for which [`LoadError::is_gone`] holds when what the run read is not there any more.
    pub async fn restated_since(
        &self,
        config: &BacktestConfig,
        used: &Pins,
    ) -> Result<Restatements, LoadError> {
        let newest = config.of_newest_data();
        let then = self.inputs(config, used).await?;
        let now = self.inputs(&newest, &Pins::default()).await?;
        let window = &then.window;
        let prices = match apart(&then.prices, &now.prices, window).await? {
            None => None,
            Some([before, after]) => {
                let wanted = config.price_columns();
                let before = before.bars(window, &wanted).await?.0;
                let after = after.bars(window, &wanted).await?.0;
                Some(blocking(&then.prices, move || of_prices(&before, &after)).await?)
            }
        };
        let signals = match (&then.signals, &now.signals) {
            (SignalInput::Opened { opened: then, columns }, SignalInput::Opened { opened: now, .. }) => {
                match apart(then, now, window).await? {
                    None => None,
                    Some([before, after]) => {
                        let before = before.signals(window, columns.as_deref()).await?.0;
                        let after = after.signals(window, columns.as_deref()).await?.0;
                        Some(blocking(then, move || of_signals(&before, &after)).await?)
                    }
                }
            }
            _ => None,
        };
        Ok(Restatements { prices, signals })
    }

    /// What the tables of a config said first of its days, up to the versions that it reads. Of each day the first commit
    /// counts that had rows of it. It never fails: what cannot be told is said.
    pub async fn first_rows(&self, config: &BacktestConfig, pins: &Pins) -> FirstRows {
        let inputs = match self.inputs(config, pins).await {
            Ok(inputs) => inputs,
            Err(error) => {
                let why = error.to_string();
                return FirstRows {
                    prices: Some(First::Unknown(why.clone())),
                    signals: Some(First::Unknown(why)),
                };
            }
        };
        let Inputs { window, prices, signals, .. } = &inputs;
        let first_prices = match first(prices, window).await {
            First::Same => First::Same,
            First::Unknown(why) => First::Unknown(why),
            First::Rows(first) => match first.bars(window, &config.price_columns()).await {
                Ok((rows, _)) => First::Rows(rows),
                Err(error) => First::Unknown(lost(&error)),
            },
        };
        let first_signals = match signals {
            SignalInput::Computed => None,
            SignalInput::Served { .. } => {
                Some(First::Unknown("rows of the database have no history".to_owned()))
            }
            SignalInput::Opened { opened, columns } => Some(match first(opened, window).await {
                First::Same => First::Same,
                First::Unknown(why) => First::Unknown(why),
                First::Rows(first) => match first.signals(window, columns.as_deref()).await {
                    Ok((rows, ..)) => First::Rows(rows),
                    Err(error) => First::Unknown(lost(&error)),
                },
            }),
        };
        FirstRows { prices: Some(first_prices), signals: first_signals }
    }
}

/// What differs between two sets of price rows.
pub fn of_prices(before: &PriceRows, after: &PriceRows) -> Result<Difference, KeptError> {
    difference(
        &keyed(|push| kept::price_batches(before, push))?,
        &keyed(|push| kept::price_batches(after, push))?,
    )
}

/// What differs between two sets of signal rows.
pub fn of_signals(before: &SignalRows, after: &SignalRows) -> Result<Difference, KeptError> {
    difference(
        &keyed(|push| kept::signal_batches(before, push))?,
        &keyed(|push| kept::signal_batches(after, push))?,
    )
}

fn difference(before: &Keyed, after: &Keyed) -> Result<Difference, KeptError> {
    let pairs = before.pairs(after);
    Ok(Difference::of(before, after, &pairs).map_err(|error| KeptError::Unknown(error.to_string()))?.0)
}

/// Rows by date and symbol; of several the last one counts, as in a market.
fn keyed(batches: impl FnOnce(kept::Push<'_>) -> Result<(), KeptError>) -> Result<Keyed, KeptError> {
    let mut all = Vec::new();
    batches(&mut |batch| {
        all.push(batch);
        Ok(())
    })?;
    let schema = all.first().map_or_else(|| Arc::new(Schema::empty()), RecordBatch::schema);
    let rows = concat_batches(&schema, &all)?;
    let keyed = Keyed::new(rows).map_err(|error| KeptError::Unknown(error.to_string()))?;
    keyed.last_of_each().map_err(|error| KeptError::Unknown(error.to_string()))
}

/// Compares rows beside the threads that answer.
async fn blocking(
    opened: &Opened,
    work: impl FnOnce() -> Result<Difference, KeptError> + Send + 'static,
) -> Result<Difference, LoadError> {
    let failed = |error: String| LoadError::Unreadable {
        place: opened.name.clone(),
        source: ArrowError::ComputeError(error),
    };
    let done = tokio::task::spawn_blocking(work).await.map_err(|error| failed(error.to_string()))?;
    done.map_err(|error| failed(error.to_string()))
}

/// Both versions of the tables of a place, each without the files that the other one has too; `None` if not all are tables.
async fn apart(then: &Opened, now: &Opened, window: &Window) -> Result<Option<[Opened; 2]>, LoadError> {
    let (Some(before), Some(after)) = (files(then, window).await?, files(now, window).await?) else {
        return Ok(None);
    };
    Ok(Some([then.with_files(lacking(&before, &after)), now.with_files(lacking(&after, &before))]))
}

type Files = Vec<(Option<String>, Vec<ParquetFile>)>;

/// The files of each table of a place, by the symbol that it alone holds.
async fn files(opened: &Opened, window: &Window) -> Result<Option<Files>, LoadError> {
    let mut found = Vec::with_capacity(opened.sources.len());
    for source in &opened.sources {
        let SourceKind::Table(table) = &source.kind else { return Ok(None) };
        found.push((source.origin.symbol.clone(), table.files(Some(window.dates())).await?));
    }
    Ok(Some(found))
}

/// Those of `some` that `others` lack.
fn lacking(some: &Files, others: &Files) -> Vec<Vec<ParquetFile>> {
    let of_others = |symbol: &Option<String>| {
        let same = others.iter().find(|(known, _)| known == symbol);
        same.map(|(_, files)| files.as_slice()).unwrap_or_default()
    };
    let lacks = |files: &[ParquetFile], file: &ParquetFile| files.iter().all(|known| known.path != file.path);
    some.iter()
        .map(|(symbol, files)| files.iter().filter(|file| lacks(of_others(symbol), file)).cloned().collect())
        .collect()
}

/// A place with the files that said first what there is of a window.
async fn first(opened: &Opened, window: &Window) -> First<Opened> {
    let (mut all, mut same) = (Vec::with_capacity(opened.sources.len()), true);
    for Source { kind, .. } in &opened.sources {
        let SourceKind::Table(table) = kind else {
            return First::Unknown("plain files have no history".to_owned());
        };
        let (firsts, now) =
            match (table.first_files(window.dates()).await, table.files(Some(window.dates())).await) {
                (Ok(FirstFiles::Known(firsts)), Ok(now)) => (firsts, now),
                (Ok(FirstFiles::Unknown(why)), _) => return First::Unknown(why),
                (Err(error), _) | (_, Err(error)) => return First::Unknown(error.to_string()),
            };
        same &= firsts.len() == now.len()
            && firsts.iter().all(|file| now.iter().any(|known| known.path == file.path));
        all.push(firsts);
    }
    if same { First::Same } else { First::Rows(opened.with_files(all)) }
}

/// Why rows that were there first cannot be read.
fn lost(error: &LoadError) -> String {
    if error.is_gone() {
        "files of the first commits are gone; a longer delta.deletedFileRetentionDuration would have kept them".to_owned()
    } else {
        error.to_string()
    }
}
