//! Rows of an import into their table: added, put in the place of others by date and symbol, or in the place of all. One
//! commit each, after everything that would refuse it was looked at.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use chrono::{Datelike as _, NaiveDate};
use deltalake::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int32Array, RecordBatch, StringArray,
};
use deltalake::arrow::compute::{self, concat_batches, filter_record_batch};
use deltalake::arrow::datatypes::{Date32Type, Field, Schema};

use super::shape::{BAR_COLUMNS, EVENTS};
use super::{ImportError, Kind, Mode, date_of, day};
use crate::store::columns::{self, ADJUSTED_CLOSE};
use crate::store::dates::DateReading;
use crate::store::delta::{DataFile, Layout, Location, StorageOptions, Table};
use crate::store::difference::{Difference, Keyed};
use crate::store::numbers;
use crate::store::parquet::{self, DateRange, Selection};

/// Rows in their table.
pub(super) struct Kept {
    pub(super) table: Table,
    /// What changed in it, where rows were put in the place of others.
    pub(super) changes: Option<Difference>,
    /// Columns that were left out, since the table lacks them.
    pub(super) left_out: Vec<&'static str>,
}

/// Puts rows into a table, which is made if there is none. They are sorted by date and symbol, which are their first two
/// columns.
pub(super) async fn keep(
    rows: RecordBatch,
    kind: Kind,
    location: &Location,
    options: &StorageOptions,
    mode: Mode,
) -> Result<Kept, ImportError> {
    let comment = match kind {
        Kind::Bars => "daily bars",
        Kind::Signals => "signals",
    };
    let known = Table::open(location, options).await?;
    let mut table = match (known, mode) {
        (Some(table), Mode::Append | Mode::Upsert) => table,
        (known, _) => {
            let rows = with_parts(&rows, &[YEAR.to_owned()])?;
            let schema = rows.schema();
            let layout = Layout { schema: &schema, partition_columns: &[YEAR], comment };
            let mut table = match known {
                Some(table) => table,
                None => Table::create(location, options, layout).await?,
            };
            table.replace(vec![rows], layout).await?;
            return Ok(Kept { table, changes: None, left_out: Vec::new() });
        }
    };
    let (rows, left_out) = match kind {
        Kind::Bars => without_new_events(&table, rows)?,
        Kind::Signals => (rows, Vec::new()),
    };
    refuse_other_columns(&table, &rows, kind)?;
    let rows = with_parts(&rows, &table.partition_columns()?)?;
    if mode == Mode::Append {
        refuse_overlap(&table, &rows).await?;
        table.append(&[rows]).await?;
        return Ok(Kept { table, changes: None, left_out });
    }
    let changes = Some(upsert(&mut table, rows, kind).await?);
    Ok(Kept { table, changes, left_out })
}

/// Leaves out dividends and splits where the table has none: those of a part of its rows would say that the others had none.
fn without_new_events(
    table: &Table,
    mut rows: RecordBatch,
) -> Result<(RecordBatch, Vec<&'static str>), ImportError> {
    let schema = table.schema()?;
    let mut left_out = Vec::new();
    for event in EVENTS {
        let in_table = schema.fields().iter().any(|field| columns::means(field.name(), event));
        if let (false, Ok(at)) = (in_table, rows.schema().index_of(event)) {
            rows.remove_column(at);
            left_out.push(event);
        }
    }
    Ok((rows, left_out))
}

/// The column that our tables are partitioned by.
const YEAR: &str = "year";

/// Adds the columns that a table is partitioned by, as far as dates tell them.
fn with_parts(rows: &RecordBatch, parts: &[String]) -> Result<RecordBatch, ImportError> {
    let dates = rows.column(0).as_primitive::<Date32Type>();
    let (mut fields, mut columns) = (rows.schema().fields().to_vec(), rows.columns().to_vec());
    for part in parts.iter().filter(|part| parquet::column(rows, part).is_none()) {
        let days = dates.iter().map(|day| date_of(day?));
        let column: ArrayRef = match part.to_ascii_lowercase().as_str() {
            YEAR => Arc::new(days.map(|date| Some(date?.year())).collect::<Int32Array>()),
            "month" => Arc::new(days.map(|date| i32::try_from(date?.month()).ok()).collect::<Int32Array>()),
            "year_month" => {
                Arc::new(days.map(|date| Some(date?.format("%Y-%m").to_string())).collect::<StringArray>())
            }
            _ => return Err(ImportError::Partition { column: part.clone() }),
        };
        fields.push(Arc::new(Field::new(part, column.data_type().clone(), true)));
        columns.push(column);
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// A column that only some rows have would change what they mean: prices with and without an adjusted close beside
/// each other, for example.
fn refuse_other_columns(table: &Table, rows: &RecordBatch, kind: Kind) -> Result<(), ImportError> {
    let (schema, parts) = (table.schema()?, table.partition_columns()?);
    let names = |schema: &Schema| -> BTreeSet<String> {
        let names = schema.fields().iter().map(|field| field.name().to_ascii_lowercase());
        names
            .filter(|name| match kind {
                Kind::Bars => BAR_COLUMNS.contains(&name.as_str()),
                Kind::Signals => !parts.iter().any(|part| part.eq_ignore_ascii_case(name)),
            })
            .collect()
    };
    let (table, rows) = (names(&schema), names(&rows.schema()));
    if table == rows {
        return Ok(());
    }
    let only = |one: &BTreeSet<String>, other: &BTreeSet<String>| one.difference(other).cloned().collect();
    Err(ImportError::OtherColumns { missing: only(&table, &rows), more: only(&rows, &table) })
}

/// First and last day of rows.
fn range_of(rows: &RecordBatch) -> Option<DateRange> {
    let dates = rows.column(0).as_primitive::<Date32Type>();
    let (first, last) = compute::min(dates).and_then(date_of).zip(compute::max(dates).and_then(date_of))?;
    Some(DateRange { first, last, reading: DateReading::default() })
}

async fn refuse_overlap(table: &Table, rows: &RecordBatch) -> Result<(), ImportError> {
    let files = table.files(range_of(rows)).await?;
    if files.is_empty() {
        return Ok(());
    }
    let dates = rows.column(0).as_primitive::<Date32Type>();
    let symbols = rows.column(1).as_string::<i32>();
    let new: HashSet<(i32, &str)> =
        (0..rows.num_rows()).map(|row| (dates.value(row), symbols.value(row))).collect();
    let (mut count, mut example) = (0, String::new());
    each_key(files, &mut |date, symbol| {
        if new.contains(&(date, symbol)) {
            count += 1;
            example = format!("{} {symbol}", day(date));
        }
    })
    .await?;
    if count == 0 { Ok(()) } else { Err(ImportError::Overlap { count, example }) }
}

/// Looks at date and symbol of each row of some files.
async fn each_key(
    files: Vec<parquet::ParquetFile>,
    look: &mut (dyn FnMut(i32, &str) + Send),
) -> Result<(), ImportError> {
    let keys = ["date", "symbol"].map(str::to_owned);
    let mut scan = parquet::scan(files, Selection { columns: Some(keys.to_vec()), dates: None });
    while let Some(batch) = scan.recv().await {
        let keyed = Keyed::new(batch?)?;
        for row in 0..keyed.rows.num_rows() {
            if keyed.days.is_valid(row) && keyed.symbols.is_valid(row) {
                look(keyed.days.value(row), keyed.symbols.value(row));
            }
        }
    }
    Ok(())
}

/// Puts rows in the place of those with their date and symbol, and the rest beside them. Files in which nothing changes
/// stay as they are.
async fn upsert(table: &mut Table, rows: RecordBatch, kind: Kind) -> Result<Difference, ImportError> {
    let range = range_of(&rows);
    let new = Keyed::new(table.conform(&rows)?)?;
    let mut total = Difference::default();
    let mut fresh = vec![true; new.rows.num_rows()];
    let (mut replaced, mut kept): (Vec<DataFile>, Vec<RecordBatch>) = (Vec::new(), Vec::new());
    let mut overlaps = BTreeMap::new();
    let schema = table.schema()?;
    for file in table.data_files("date").await? {
        let outside = range
            .zip(file.dates)
            .is_some_and(|(range, (first, last))| last < range.first || first > range.last);
        if outside {
            continue;
        }
        let mut batches = Vec::new();
        let mut scan = parquet::scan(vec![file.file.clone()], Selection::default());
        while let Some(batch) = scan.recv().await {
            batches.push(table.conform(&batch?)?);
        }
        let old = Keyed::new(concat_batches(&schema, &batches)?)?;
        let pairs = old.pairs(&new);
        let (found, changed) = Difference::of(&old, &new, &pairs)?;
        if kind == Kind::Bars {
            note_overlaps(&old, &new, &pairs, &mut overlaps)?;
        }
        let rewritten = changed.contains(&true);
        for (pair, changed) in pairs.iter().zip(&changed) {
            if let Some(pair) = pair {
                // What stays as it is where it is need not come again.
                fresh[*pair] = *changed;
            }
        }
        if rewritten {
            let stays = changed.iter().map(|changed| Some(!changed)).collect::<BooleanArray>();
            kept.push(filter_record_batch(&old.rows, &stays)?);
            replaced.push(file);
            total.join_changes(found);
        }
    }
    let restated: BTreeSet<String> = overlaps
        .into_iter()
        .filter(|(_, overlap): &(String, Overlap)| overlap.is_restated())
        .map(|(symbol, _)| symbol)
        .collect();
    refuse_shorter(table, &new, &restated).await?;
    let fresh = BooleanArray::from(fresh);
    let fresh_rows = filter_record_batch(&new.rows, &fresh)?;
    total.added = fresh_rows.num_rows() - total.changed;
    total.symbols = (0..fresh.len())
        .filter(|&row| fresh.value(row))
        .map(|row| new.symbols.value(row).to_owned())
        .collect();
    let days = (0..fresh.len()).filter(|&row| fresh.value(row) && new.days.is_valid(row));
    total.first_date = days.map(|row| new.days.value(row)).min().and_then(NaiveDate::from_epoch_days);
    total.restated = restated;
    if fresh_rows.num_rows() > 0 {
        kept.push(fresh_rows);
        table.exchange(&replaced, kept).await?;
    }
    Ok(total)
}

/// What the oldest bars that table and file both have of a symbol say about the prices before them.
#[derive(Debug, Default)]
struct Overlap {
    /// Day, and how close and adjusted close changed: after / before. Oldest first, two of them.
    oldest: Vec<(i32, f64, f64)>,
}

impl Overlap {
    fn add(&mut self, bar: (i32, f64, f64)) {
        let at = self.oldest.partition_point(|known| known.0 < bar.0);
        self.oldest.insert(at, bar);
        self.oldest.truncate(2);
    }

    /// Whether the file has the history of the symbol on another basis than the table: adjusted for a split or a
    /// dividend since. Older bars of the table do not go with it any more. A single close that is corrected is not that.
    fn is_restated(&self) -> bool {
        let moved = |ratio: f64, by: f64| (ratio - 1.0).abs() > by;
        let Some(&(_, close, adjusted)) = self.oldest.first() else { return false };
        if !adjusted.is_nan() && moved(adjusted / close, 1e-5) {
            return true;
        }
        match self.oldest.get(1) {
            Some(&(_, next, _)) => moved(close, 1e-6) && !moved(next / close, 1e-4),
            None => false,
        }
    }
}

fn note_overlaps(
    old: &Keyed,
    new: &Keyed,
    pairs: &[Option<usize>],
    overlaps: &mut BTreeMap<String, Overlap>,
) -> Result<(), ImportError> {
    let column = |keyed: &Keyed, name| -> Result<Option<Float64Array>, ImportError> {
        let column = parquet::column(&keyed.rows, name).map(|column| numbers::doubles(Arc::clone(column)));
        Ok(column.transpose()?)
    };
    let ratios = |name| -> Result<Vec<f64>, ImportError> {
        let (Some(before), Some(after)) = (column(old, name)?, column(new, name)?) else {
            return Ok(vec![f64::NAN; pairs.len()]);
        };
        let value =
            |column: &Float64Array, row| if column.is_valid(row) { column.value(row) } else { f64::NAN };
        Ok(pairs
            .iter()
            .enumerate()
            .map(|(row, pair)| pair.map_or(f64::NAN, |pair| value(&after, pair) / value(&before, row)))
            .collect())
    };
    let (closes, adjusted) = (ratios("close")?, ratios(ADJUSTED_CLOSE)?);
    for row in (0..pairs.len()).filter(|&row| pairs[row].is_some() && closes[row].is_finite()) {
        let bar = (old.days.value(row), closes[row], adjusted[row]);
        match overlaps.get_mut(old.symbols.value(row)) {
            Some(overlap) => overlap.add(bar),
            None => overlaps.entry(old.symbols.value(row).to_owned()).or_default().add(bar),
        }
    }
    Ok(())
}

/// Refuses a file that has only a part of a history that it restates: the rest would be on another basis.
async fn refuse_shorter(table: &Table, new: &Keyed, restated: &BTreeSet<String>) -> Result<(), ImportError> {
    if restated.is_empty() {
        return Ok(());
    }
    let known: HashSet<(i32, &str)> =
        (0..new.rows.num_rows()).map(|row| (new.days.value(row), new.symbols.value(row))).collect();
    let mut lost: BTreeMap<String, (usize, i32, i32)> = BTreeMap::new();
    each_key(table.files(None).await?, &mut |date, symbol| {
        if restated.contains(symbol) && !known.contains(&(date, symbol)) {
            let entry = lost.entry(symbol.to_owned()).or_insert((0, date, date));
            *entry = (entry.0 + 1, entry.1.min(date), entry.2.max(date));
        }
    })
    .await?;
    let Some((symbol, &(bars, first, last))) = lost.iter().next() else { return Ok(()) };
    let example = format!("{symbol} {bars} from {} to {}", day(first), day(last));
    let bars = lost.values().map(|(bars, _, _)| bars).sum();
    Err(ImportError::Shorter { symbols: lost.len(), bars, example })
}
