//! Filling and looking at the lake: bars from a file into a Delta table, after everything that cannot be a bar was
//! refused; a synthetic market of any size; what a table holds.

use std::path::Path;
use std::sync::Arc;

use chrono::{Datelike, NaiveDate, Weekday};
use deltalake::arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Float64Array, Int32Array, RecordBatch, StringArray,
};
use deltalake::arrow::compute::{self, SortColumn, concat_batches};
use deltalake::arrow::datatypes::{DataType, Date32Type, Field, Float64Type, Schema, SchemaRef};
use deltalake::arrow::error::ArrowError;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::columns::ADJUSTED_CLOSE;
use super::dates::{self, DateReading};
use super::delta::{Layout, Location, StorageOptions, Table, TableError};
use super::load_error::LoadError;
use super::numbers;
use super::parquet::{self, DateRange, ParquetFile, ReadError, Selection};
use super::prices;
use super::rows;

/// Examples that a refusal shows of each kind of nonsense.
const EXAMPLES: usize = 3;

/// Price columns, required ones first.
const PRICES: [&str; 5] = ["open", "close", "high", "low", ADJUSTED_CLOSE];

/// What a table of bars holds.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Contents {
    /// Version of the table.
    pub version: u64,
    /// Bars.
    pub rows: usize,
    /// Distinct symbols.
    pub symbols: usize,
    /// Distinct dates.
    pub dates: usize,
    /// Oldest date.
    pub first: Option<NaiveDate>,
    /// Newest date.
    pub last: Option<NaiveDate>,
    /// Empty cells by column, where there are any.
    pub missing: Vec<(String, usize)>,
    /// Data files.
    pub files: usize,
    /// Bytes of the data files.
    pub bytes: u64,
    /// Column names.
    pub columns: Vec<String>,
}

/// One kind of nonsense in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nonsense {
    /// What is wrong.
    pub what: &'static str,
    /// How many rows have it.
    pub count: usize,
    /// Some of them.
    pub examples: Vec<String>,
}

/// Bars could not be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file holds rows that cannot be bars.
    #[error("{}", refusal(.0))]
    Nonsense(Vec<Nonsense>),
    /// A required column is missing.
    #[error("the file has no column '{column}'; it has {found}")]
    NoColumn {
        /// The column.
        column: &'static str,
        /// The columns that are there.
        found: String,
    },
    /// The columns of the file are not those of the table.
    #[error(
        "the file and the table have other columns ({}); import with --replace, or into another table",
        columns_of(.missing, .more)
    )]
    OtherColumns {
        /// Columns that the file lacks.
        missing: Vec<String>,
        /// Columns that the table lacks.
        more: Vec<String>,
    },
    /// The file holds no rows.
    #[error("the file holds no rows")]
    Empty,
    /// The table has bars of these dates and symbols already.
    #[error(
        "{count} of the bars are in the table already, for example {example}; import with --replace, or only what is new"
    )]
    Overlap {
        /// How many.
        count: usize,
        /// One of them.
        example: String,
    },
    /// The file could not be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The table could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The table could not be written.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The columns could not be put together.
    #[error("assemble the bars: {0}")]
    Arrow(#[from] ArrowError),
}

fn columns_of(missing: &[String], more: &[String]) -> String {
    let lists = [("only the table has", missing), ("only the file has", more)];
    let lists = lists.iter().filter(|(_, columns)| !columns.is_empty());
    lists.map(|(whose, columns)| format!("{whose} {}", columns.join(", "))).collect::<Vec<_>>().join("; ")
}

fn refusal(kinds: &[Nonsense]) -> String {
    let lines = kinds.iter().map(|kind| {
        let examples = kind.examples.join("; ");
        format!(
            "\n  {} rows: {} ({examples}{})",
            kind.count,
            kind.what,
            if kind.count > EXAMPLES { "; …" } else { "" }
        )
    });
    format!("the file holds rows that cannot be bars; nothing was imported{}", lines.collect::<String>())
}

/// Puts the bars of a CSV or Parquet file into a table, which is made if there is none. All or nothing.
pub async fn import(
    file: &Path,
    table: &Location,
    options: &StorageOptions,
    replace: bool,
    on_rows: &mut (dyn FnMut(usize) + Send),
) -> Result<Contents, ImportError> {
    let (bars, unreadable) = read_bars(file, on_rows).await?;
    if bars.num_rows() == 0 {
        return Err(ImportError::Empty);
    }
    let bars = checked(&bars, unreadable)?;
    store(bars, table, options, replace).await
}

/// Puts a synthetic market into a table. The same arguments give the same market.
pub async fn sample(
    symbols: usize,
    days: usize,
    seed: u64,
    table: &Location,
    options: &StorageOptions,
) -> Result<Contents, ImportError> {
    store(synthetic(symbols, days, seed)?, table, options, true).await
}

/// What a table of bars holds; `None` when there is no table.
pub async fn inspect(table: &Location, options: &StorageOptions) -> Result<Option<Contents>, ImportError> {
    let Some(table) = Table::open(table, options).await? else { return Ok(None) };
    contents(&table).await.map(Some)
}

async fn store(
    bars: RecordBatch,
    location: &Location,
    options: &StorageOptions,
    replace: bool,
) -> Result<Contents, ImportError> {
    let schema = bars.schema();
    let layout = Layout { schema: &schema, partition_columns: &["year"], comment: "daily bars" };
    let mut table = match Table::open(location, options).await? {
        Some(table) => table,
        None => Table::create(location, options, layout).await?,
    };
    if replace {
        table.replace(vec![bars], layout).await?;
    } else {
        refuse_other_columns(table.schema()?.as_ref(), &schema)?;
        refuse_overlap(&table, &bars).await?;
        table.append(&[bars]).await?;
    }
    contents(&table).await
}

/// A column that only some bars have would change what they mean: prices with and without an adjusted close beside
/// each other, for example.
fn refuse_other_columns(table: &Schema, bars: &Schema) -> Result<(), ImportError> {
    let lacks = |schema: &Schema, name: &str| {
        schema.fields().iter().all(|field| !field.name().eq_ignore_ascii_case(name))
    };
    let of_bars = |name: &str| name == "exchange" || name == "volume" || PRICES.contains(&name);
    let only_in = |one: &Schema, other: &Schema| -> Vec<String> {
        let names = one.fields().iter().map(|field| field.name().to_ascii_lowercase());
        names.filter(|name| of_bars(name) && lacks(other, name)).collect()
    };
    let (missing, more) = (only_in(table, bars), only_in(bars, table));
    if missing.is_empty() && more.is_empty() {
        Ok(())
    } else {
        Err(ImportError::OtherColumns { missing, more })
    }
}

/// The rows of a file under the names of a table of bars, in the file's order.
async fn read_bars(
    file: &Path,
    on_rows: &mut (dyn FnMut(usize) + Send),
) -> Result<(RecordBatch, Nonsense), ImportError> {
    let mut batches = Vec::new();
    let mut rows = 0;
    let mut unreadable = Nonsense { what: "a number that cannot be read", count: 0, examples: Vec::new() };
    let mut push = |batch: &RecordBatch| {
        rows += batch.num_rows();
        on_rows(rows);
        named(batch, &mut unreadable).map(|batch| batches.push(batch))
    };
    let mut refused = None;
    if file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv")) {
        prices::read_csv(file, &mut |batch| {
            if refused.is_none() {
                refused = push(batch).err();
            }
            Ok(())
        })?;
    } else {
        let open = |source| LoadError::Open { place: file.display().to_string(), source };
        let mut scan = parquet::scan(vec![prices::local_parquet(file).map_err(open)?], Selection::default());
        while let (Some(batch), None) = (scan.recv().await, &refused) {
            refused = push(&batch?).err();
        }
    }
    match (refused, batches.first().map(RecordBatch::schema)) {
        (Some(refused), _) => Err(refused),
        (None, Some(schema)) => Ok((concat_batches(&schema, &batches)?, unreadable)),
        (None, None) => Err(ImportError::Empty),
    }
}

/// A batch with the columns of a table of bars, as far as the file has them; texts that should be numbers and are none
/// are counted.
fn named(batch: &RecordBatch, unreadable: &mut Nonsense) -> Result<RecordBatch, ImportError> {
    let found =
        || batch.schema().fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>().join(", ");
    let required = |column: &'static str| {
        parquet::column(batch, column).ok_or_else(|| ImportError::NoColumn { column, found: found() })
    };
    let mut fields =
        vec![Field::new("date", DataType::Date32, true), Field::new("symbol", DataType::Utf8, true)];
    let mut columns: Vec<ArrayRef> =
        vec![Arc::new(dates::days(Arc::clone(required("date")?))?), trimmed(required("symbol")?)?];
    for name in PRICES.into_iter().chain(["volume"]) {
        let column = if matches!(name, "open" | "close") {
            Some(required(name)?)
        } else {
            parquet::column(batch, name)
        };
        if let Some(column) = column {
            let numbers = numbers::read(Arc::clone(column))?;
            unreadable.count += numbers.unreadable.len();
            let room = EXAMPLES - unreadable.examples.len();
            let cells = numbers.unreadable.into_iter().take(room);
            unreadable.examples.extend(
                cells.map(|(_, cell)| format!("{name} '{}'", cell.chars().take(40).collect::<String>())),
            );
            fields.push(Field::new(name, DataType::Float64, true));
            columns.push(Arc::new(numbers.values));
        }
    }
    if let Some(column) = parquet::column(batch, "exchange") {
        fields.push(Field::new("exchange", DataType::Utf8, true));
        columns.push(compute::cast(column, &DataType::Utf8)?);
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// Symbols without the blanks around them, as configs name them.
fn trimmed(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let texts = compute::cast(column, &DataType::Utf8)?;
    let texts = texts.as_string::<i32>().iter().map(|text| text.map(str::trim));
    Ok(Arc::new(texts.collect::<StringArray>()))
}

/// The bars sorted by date and symbol with their year, or every kind of nonsense among them.
fn checked(bars: &RecordBatch, unreadable: Nonsense) -> Result<RecordBatch, ImportError> {
    let keys = [bars.column(0), bars.column(1)]
        .map(|column| SortColumn { values: Arc::clone(column), options: None });
    let order = compute::lexsort_to_indices(&keys, None)?;
    let sorted = compute::take_record_batch(bars, &order)?;
    let mut nonsense = nonsense(&sorted);
    if unreadable.count > 0 {
        nonsense.insert(0, unreadable);
    }
    if !nonsense.is_empty() {
        return Err(ImportError::Nonsense(nonsense));
    }
    with_year(&sorted)
}

fn nonsense(bars: &RecordBatch) -> Vec<Nonsense> {
    let dates = bars.column(0).as_primitive::<Date32Type>();
    let symbols = bars.column(1).as_string::<i32>();
    let number = |name: &str| bars.column_by_name(name).map(AsArray::as_primitive::<Float64Type>);
    let value = |column: Option<&Float64Array>, row: usize| {
        column.filter(|column| column.is_valid(row)).map(|column| column.value(row))
    };
    let prices = PRICES.map(number);
    let volume = number("volume");
    let key = |row: usize| {
        let date = if dates.is_valid(row) { day(dates.value(row)) } else { "no date".to_owned() };
        let symbol = if symbols.is_valid(row) { symbols.value(row) } else { "no symbol" };
        format!("{date} {symbol}")
    };
    let mut found = Vec::new();
    let mut look = |what: &'static str, wrong: &dyn Fn(usize) -> Option<String>| {
        let mut rows = (0..bars.num_rows()).filter_map(wrong);
        let examples: Vec<String> = rows.by_ref().take(EXAMPLES).collect();
        if !examples.is_empty() {
            found.push(Nonsense { what, count: examples.len() + rows.count(), examples });
        }
    };
    look("no date, or one that is not YYYY-MM-DD", &|row| dates.is_null(row).then(|| key(row)));
    look("no symbol", &|row| {
        (symbols.is_null(row) || symbols.value(row).trim().is_empty()).then(|| key(row))
    });
    let bar = |row: usize| {
        let price = |column| value(column, row).unwrap_or(f64::NAN);
        let [open, close, high, low, adjusted] = prices.map(price);
        rows::impossible(open, high, low, close, adjusted)
    };
    look("prices that cannot be", &|row| bar(row).map(|what| format!("{}: {what}", key(row))));
    look("a volume that is negative or infinite", &|row| {
        let wrong = value(volume, row).filter(|shares| *shares < 0.0 || shares.is_infinite());
        wrong.map(|shares| format!("{} {shares}", key(row)))
    });
    look("a second bar of the same date and symbol", &|row| {
        let again = row > 0
            && dates.is_valid(row)
            && symbols.is_valid(row)
            && symbols.is_valid(row - 1)
            && dates.value(row) == dates.value(row - 1)
            && symbols.value(row) == symbols.value(row - 1);
        again.then(|| key(row))
    });
    found
}

/// Adds the column that the table is partitioned by.
fn with_year(bars: &RecordBatch) -> Result<RecordBatch, ImportError> {
    let dates = bars.column(0).as_primitive::<Date32Type>();
    let years: Int32Array = dates.iter().map(|date| Some(date_of(date?)?.year())).collect();
    let (mut fields, mut columns) = (bars.schema().fields().to_vec(), bars.columns().to_vec());
    fields.push(Arc::new(Field::new("year", DataType::Int32, true)));
    columns.push(Arc::new(years));
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

async fn refuse_overlap(table: &Table, bars: &RecordBatch) -> Result<(), ImportError> {
    let dates = bars.column(0).as_primitive::<Date32Type>();
    let symbols = bars.column(1).as_string::<i32>();
    let range = compute::min(dates).and_then(date_of).zip(compute::max(dates).and_then(date_of));
    let Some((first, last)) = range else { return Ok(()) };
    let range = DateRange { first, last, reading: DateReading::default() };
    let files = table.files(Some(range)).await?;
    if files.is_empty() {
        return Ok(());
    }
    let new: std::collections::HashSet<(i32, &str)> =
        (0..bars.num_rows()).map(|row| (dates.value(row), symbols.value(row))).collect();
    let selection =
        Selection { columns: Some(vec!["date".to_owned(), "symbol".to_owned()]), dates: Some(range) };
    let mut scan = parquet::scan(files, selection);
    let (mut count, mut example) = (0, String::new());
    while let Some(batch) = scan.recv().await {
        let (dates, symbols) = keys(&batch?)?;
        for row in 0..dates.len() {
            if new.contains(&(dates.value(row), symbols.value(row))) {
                count += 1;
                example = format!("{} {}", day(dates.value(row)), symbols.value(row));
            }
        }
    }
    if count == 0 { Ok(()) } else { Err(ImportError::Overlap { count, example }) }
}

async fn contents(table: &Table) -> Result<Contents, ImportError> {
    let schema: SchemaRef = table.schema()?;
    let files: Vec<ParquetFile> = table.files(None).await?;
    let bytes = files.iter().map(|file| file.size).sum();
    let mut found = Contents {
        version: table.version(),
        rows: 0,
        symbols: 0,
        dates: 0,
        first: None,
        last: None,
        missing: Vec::new(),
        files: files.len(),
        bytes,
        columns: schema.fields().iter().map(|field| field.name().clone()).collect(),
    };
    let mut dates = std::collections::BTreeSet::new();
    let mut symbols = std::collections::HashSet::new();
    let mut scan = parquet::scan(files, Selection::default());
    while let Some(batch) = scan.recv().await {
        let batch = batch?;
        found.rows += batch.num_rows();
        for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
            if column.null_count() > 0 {
                match found.missing.iter_mut().find(|(name, _)| name == field.name()) {
                    Some((_, count)) => *count += column.null_count(),
                    None => found.missing.push((field.name().clone(), column.null_count())),
                }
            }
        }
        if parquet::column(&batch, "date").is_some() && parquet::column(&batch, "symbol").is_some() {
            let (days, names) = keys(&batch)?;
            dates.extend(days.iter().flatten());
            for name in names.iter().flatten() {
                if !symbols.contains(name) {
                    symbols.insert(name.to_owned());
                }
            }
        }
    }
    (found.symbols, found.dates) = (symbols.len(), dates.len());
    (found.first, found.last) =
        (dates.first().copied().and_then(date_of), dates.last().copied().and_then(date_of));
    Ok(found)
}

fn keys(batch: &RecordBatch) -> Result<(Date32Array, StringArray), ArrowError> {
    let column = |name: &str| {
        parquet::column(batch, name)
            .ok_or_else(|| ArrowError::SchemaError(format!("there is no column '{name}'")))
    };
    let symbols = compute::cast(column("symbol")?, &DataType::Utf8)?;
    Ok((dates::days(Arc::clone(column("date")?))?, symbols.as_string::<i32>().clone()))
}

fn date_of(days: i32) -> Option<NaiveDate> {
    NaiveDate::from_epoch_days(days)
}

fn day(days: i32) -> String {
    date_of(days).map_or_else(|| format!("day {days}"), |date| date.to_string())
}

/// How the symbols of a synthetic market begin; five digits or more follow.
const SYNTHETIC: &str = "SYN";

/// Whether a symbol is named as those of a synthetic market are.
pub fn is_synthetic(symbol: &str) -> bool {
    let number = symbol.strip_prefix(SYNTHETIC);
    number.is_some_and(|number| number.len() >= 5 && number.bytes().all(|digit| digit.is_ascii_digit()))
}

/// A market of geometric random walks that share a common factor: `symbols` names `SYN00001…`, `days` weekdays
/// from 2000-01-03. No real prices, and no cross-section to be found in it.
fn synthetic(symbols: usize, days: usize, seed: u64) -> Result<RecordBatch, ArrowError> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    // The sum of twelve uniforms is close to normal and, unlike a library's normal, the same in every version.
    let mut normal = move || (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0;
    let start = NaiveDate::from_ymd_opt(2000, 1, 3).unwrap_or_default();
    let weekdays = start.iter_days().filter(|date| !matches!(date.weekday(), Weekday::Sat | Weekday::Sun));
    let names: Vec<String> = (1..=symbols).map(|number| format!("{SYNTHETIC}{number:05}")).collect();
    let mut last: Vec<f64> =
        (0..symbols).map(|_| (50.0 * (0.5 * normal()).exp()).clamp(5.0, 500.0)).collect();
    let rows = symbols * days;
    let mut dates = Vec::with_capacity(rows);
    let mut columns: [Vec<f64>; 5] = std::array::from_fn(|_| Vec::with_capacity(rows));
    for date in weekdays.take(days) {
        let common = 0.0002 + 0.008 * normal();
        for close in &mut last {
            let open = *close * (0.004 * normal()).exp();
            *close = (open * (common + 0.015 * normal()).exp()).max(0.01);
            let spread = 1.0 + 0.004 * normal().abs();
            let volume = (1e6 * (0.4 * normal()).exp()).round();
            for (column, value) in columns.iter_mut().zip([
                open,
                open.max(*close) * spread,
                open.min(*close) / spread,
                *close,
                volume,
            ]) {
                column.push(value);
            }
            dates.push(date.to_epoch_days());
        }
    }
    let symbol: StringArray = (0..days).flat_map(|_| names.iter().map(Some)).collect();
    let [open, high, low, close, volume] =
        columns.map(|column| Arc::new(Float64Array::from(column)) as ArrayRef);
    let bars = RecordBatch::try_from_iter([
        ("date", Arc::new(Date32Array::from(dates)) as ArrayRef),
        ("symbol", Arc::new(symbol) as ArrayRef),
        ("open", open),
        ("high", high),
        ("low", low),
        ("close", close),
        ("volume", volume),
    ])?;
    with_year(&bars).map_err(|error| ArrowError::ExternalError(Box::new(error)))
}
