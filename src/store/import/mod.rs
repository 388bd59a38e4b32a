//! Files of the wild into tables: bars or signals from files, folders and patterns, of any vendor. All or nothing,
//! after everything that cannot be was refused. `shape` reads headers, `read` cells, `keep` writes the table.

mod keep;
mod read;
mod shape;

use std::sync::Arc;

use chrono::NaiveDate;
use deltalake::arrow::array::{Array, AsArray, RecordBatch, new_null_array};
use deltalake::arrow::compute::{self, SortColumn, concat_batches};
use deltalake::arrow::datatypes::{Date32Type, Field, Schema, SchemaRef};
use deltalake::arrow::error::ArrowError;

use self::read::Findings;
use super::contents::{self, Contents, ContentsError};
use super::dates::DateReading;
use super::delta::{Location, StorageOptions, TableError};
use super::difference::{Difference, DifferenceError};
use super::files::{self, Found};
use super::load_error::LoadError;
use super::numbers::Spelling;
use super::parquet::ReadError;
use super::signals::lake::{COMPOSITES, RANKING_SIGNALS, RANKINGS};
use crate::engine::config::ImpossiblePrice;

/// Examples that a refusal shows of each kind of nonsense.
const EXAMPLES: usize = 3;

/// What is imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A date, a symbol, open, close and what else a bar may have.
    Bars,
    /// A date, a symbol and any columns of numbers.
    Signals,
}

/// What becomes of what the table holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It stays; a row that is there already is refused.
    Append,
    /// It stays, but for rows of the same date and symbol.
    Upsert,
    /// It goes.
    Replace,
}

/// Whose rows they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SymbolFrom {
    /// A column says it, or the header.
    Column,
    /// The name of the file is the symbol.
    Name,
    /// All of this one.
    Is(String),
}

/// What the files alone do not say, and what is wanted of them.
#[derive(Debug, Clone)]
pub struct Asked {
    /// What is imported.
    pub kind: Kind,
    /// Whose rows they are.
    pub symbol: SymbolFrom,
    /// What a column is called in the files; an empty name leaves it out.
    pub map: Vec<(String, String)>,
    /// Rows are taken only if these columns hold these texts.
    pub only: Vec<(String, String)>,
    /// What the cells of a table are that has a column for each symbol.
    pub wide: Option<String>,
    /// How dates are read.
    pub dates: DateReading,
    /// How numbers are spelled.
    pub numbers: Spelling,
    /// What separates the cells of text files; the header tells without it.
    pub separator: Option<u8>,
    /// What becomes of bars that nothing can have traded like.
    pub on_impossible_price: ImpossiblePrice,
}

impl Asked {
    /// What is read without being told anything.
    pub fn nothing(kind: Kind) -> Self {
        Self {
            kind,
            symbol: SymbolFrom::Column,
            map: Vec::new(),
            only: Vec::new(),
            wide: None,
            dates: DateReading::default(),
            numbers: Spelling::default(),
            separator: None,
            on_impossible_price: ImpossiblePrice::Refuse,
        }
    }
}

/// An import that was done.
#[derive(Debug, serde::Serialize)]
pub struct Imported {
    /// Files that were read.
    pub files: usize,
    /// Rows that were taken of them.
    pub rows: usize,
    /// What was told by headers and cells, one line each.
    pub notes: Vec<String>,
    /// What changed in the table, where rows were put in the place of others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<Difference>,
    /// What the table holds now.
    pub contents: Contents,
}

/// One kind of nonsense in the files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Nonsense {
    /// What is wrong.
    pub what: &'static str,
    /// How many rows or cells have it.
    pub count: usize,
    /// Some of them.
    pub examples: Vec<String>,
}

impl Nonsense {
    fn add(&mut self, count: usize, examples: impl IntoIterator<Item = String>) {
        self.count += count;
        let room = EXAMPLES.saturating_sub(self.examples.len());
        self.examples.extend(examples.into_iter().take(room));
    }

    fn shown(&self) -> String {
        let more = if self.count > self.examples.len() { "; …" } else { "" };
        format!("{}{more}", self.examples.join("; "))
    }
}

/// Rows could not be imported.
#[expect(missing_docs, reason = "the text of an error says what its fields are")]
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Options that do not go together.
    #[error("{0}")]
    Usage(String),
    /// There is nothing to read.
    #[error("there is no file at {0}")]
    NoFile(String),
    /// The files hold rows that cannot be.
    #[error("{}", refusal(.0))]
    Nonsense(Vec<Nonsense>),
    /// A required column is missing.
    #[error("{file} has no column '{column}'; it has {found}{hint}")]
    NoColumn {
        file: String,
        column: &'static str,
        /// The columns that are there.
        found: String,
        /// What would settle it.
        hint: String,
    },
    /// Files of signals without any.
    #[error("{file} has no signal: beside date and symbol there must be a column of numbers{notes}")]
    NoSignal {
        /// The first of the files.
        file: String,
        /// What was found in them, in parentheses; empty if that is nothing.
        notes: String,
    },
    /// A header does not say what it must.
    #[error("{file} {message}")]
    Unclear {
        file: String,
        /// What is not clear, and what would settle it.
        message: String,
    },
    /// The columns of a file are not those of the one before.
    #[error(
        "{file} has other columns than {first} ({}); import them apart, or leave a column out with --map NAME=",
        columns_of(.missing, .more, first, file)
    )]
    OtherFile {
        file: String,
        first: String,
        /// Columns that it lacks.
        missing: Vec<String>,
        /// Columns that the first one lacks.
        more: Vec<String>,
    },
    /// The columns of the file are not those of the table.
    #[error(
        "the file and the table have other columns ({}); import with --replace, or into another table",
        columns_of(.missing, .more, "the table", "the file")
    )]
    OtherColumns {
        /// Columns that the file lacks.
        missing: Vec<String>,
        /// Columns that the table lacks.
        more: Vec<String>,
    },
    /// It is not said in which part of the table rows belong.
    #[error(
        "the table is partitioned by '{column}', which the file lacks; import with --replace, or into another table"
    )]
    Partition { column: String },
    /// The table is not for imports.
    #[error(
        "{table} is kept by `backtests sync`; import into another table, and name it in data.signal_path"
    )]
    KeptBySync { table: String },
    /// There are no rows.
    #[error("the file holds no rows")]
    Empty,
    /// The table has rows of these dates and symbols already.
    #[error(
        "{count} of the rows are in the table already, for example {example}; import with --upsert (the later row \
         counts) or --replace, or only what is new"
    )]
    Overlap { count: usize, example: String },
    /// A file restates a history of which it has only a part.
    #[error(
        "the file has prices on another basis than the table (adjusted for a split or a dividend since), but lacks \
         {bars} older or other bars of {symbols} symbols ({example}): they would not go together; import the whole \
         history, or --replace the table"
    )]
    Shorter {
        symbols: usize,
        /// How many bars of them.
        bars: usize,
        /// One symbol.
        example: String,
    },
    /// A file could not be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A file could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The table could not be written.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The table could not be looked at.
    #[error(transparent)]
    Contents(#[from] ContentsError),
    /// The rows could not be compared.
    #[error(transparent)]
    Difference(#[from] DifferenceError),
    /// The columns could not be put together.
    #[error("assemble the rows: {0}")]
    Arrow(#[from] ArrowError),
}

fn columns_of(missing: &[String], more: &[String], first: &str, file: &str) -> String {
    let lists = [(first, missing), (file, more)];
    let lists = lists.iter().filter(|(_, columns)| !columns.is_empty());
    lists
        .map(|(whose, columns)| format!("only {whose} has {}", columns.join(", ")))
        .collect::<Vec<_>>()
        .join("; ")
}

fn refusal(kinds: &[Nonsense]) -> String {
    let lines = kinds.iter().map(|kind| format!("\n  {} rows: {} ({})", kind.count, kind.what, kind.shown()));
    format!("there are rows that cannot be taken; nothing was imported{}", lines.collect::<String>())
}

/// Puts the rows of files into a table, which is made if there is none. Each of `places` is a file, a folder or a
/// pattern with `*`.
///
/// # Errors
/// Whatever cannot be taken, every kind of it at once; then nothing was written.
pub async fn import(
    places: &[String],
    asked: &Asked,
    table: &Location,
    options: &StorageOptions,
    mode: Mode,
    on_rows: &mut (dyn FnMut(usize) + Send),
) -> Result<Imported, ImportError> {
    refuse_kept(table)?;
    let files = files_at(places, options).await?;
    let mut findings = Findings::default();
    let mut batches: Vec<RecordBatch> = Vec::new();
    let mut first: Option<(String, SchemaRef)> = None;
    for file in &files {
        let of_file = read::read(file, asked, &mut findings, on_rows).await?;
        if let Some(schema) = of_file.first().map(RecordBatch::schema) {
            let name = file.place.clone();
            match &first {
                None => first = Some((name, schema)),
                Some((first, known)) if asked.kind == Kind::Bars => {
                    same_columns(first, known, name, &schema)?;
                }
                Some(_) => {}
            }
        }
        batches.extend(of_file);
    }
    let rows = in_order(&together(&batches)?)?;
    drop(batches);
    findings.nonsense.extend(repeats(&rows));
    if !findings.nonsense.is_empty() {
        return Err(ImportError::Nonsense(findings.nonsense));
    }
    if rows.num_rows() == 0 {
        return Err(ImportError::Empty);
    }
    let (taken, notes) = (rows.num_rows(), findings.lines(files.len()));
    let is_key = |name: &str| ["date", "symbol"].contains(&name);
    if asked.kind == Kind::Signals && rows.schema().fields().iter().all(|field| is_key(field.name())) {
        let file = first.map_or_else(String::new, |(name, _)| name);
        let notes = if notes.is_empty() { String::new() } else { format!(" ({})", notes.join("; ")) };
        return Err(ImportError::NoSignal { file, notes });
    }
    let kept = keep::keep(rows, asked.kind, table, options, mode).await?;
    let contents = contents::of(&kept.table).await?;
    let lacks = |column: &&str| {
        format!("the table has no column {column}, so that it is not taken; --replace makes one that has it")
    };
    let notes = notes.into_iter().chain(kept.left_out.iter().map(lacks)).collect();
    Ok(Imported { files: files.len(), rows: taken, notes, changes: kept.changes, contents })
}

/// Puts bars that were made here into a table, in the place of what it holds.
pub(super) async fn replace(
    bars: RecordBatch,
    table: &Location,
    options: &StorageOptions,
) -> Result<Contents, ImportError> {
    let kept = keep::keep(bars, Kind::Bars, table, options, Mode::Replace).await?;
    Ok(contents::of(&kept.table).await?)
}

/// Tables that `backtests sync` would empty of foreign rows.
fn refuse_kept(table: &Location) -> Result<(), ImportError> {
    let name = table.to_string();
    let kept = [COMPOSITES, RANKING_SIGNALS, RANKINGS].iter().any(|kept| {
        let name = name.trim_end_matches('/');
        name == *kept || name.ends_with(&format!("/{kept}"))
    });
    if kept { Err(ImportError::KeptBySync { table: name }) } else { Ok(()) }
}

/// The files that places mean, in the order of the places and of their names.
async fn files_at(places: &[String], options: &StorageOptions) -> Result<Vec<Found>, ImportError> {
    let mut found = Vec::new();
    for place in places {
        let location = Location::parse(place).map_err(ImportError::Usage)?;
        let mut of_place = files::at(&location, options).await?;
        if of_place.is_empty()
            && let Location::Local(path) = &location
            && !path.exists()
        {
            let matches = glob::glob(place)
                .map_err(|error| ImportError::Usage(format!("'{place}' is not a pattern: {error}")))?;
            for path in matches.filter_map(Result::ok) {
                of_place.extend(files::local(&path)?);
            }
        }
        if of_place.is_empty() {
            return Err(ImportError::NoFile(place.clone()));
        }
        found.extend(of_place);
    }
    Ok(found)
}

fn same_columns(first: &str, known: &Schema, file: String, schema: &Schema) -> Result<(), ImportError> {
    let only = |one: &Schema, other: &Schema| -> Vec<String> {
        let names = one.fields().iter().map(|field| field.name());
        names.filter(|name| other.column_with_name(name).is_none()).cloned().collect()
    };
    let (missing, more) = (only(known, schema), only(schema, known));
    if missing.is_empty() && more.is_empty() {
        return Ok(());
    }
    Err(ImportError::OtherFile { file, first: first.to_owned(), missing, more })
}

/// All rows in one batch. A column that a batch lacks is null in it.
fn together(batches: &[RecordBatch]) -> Result<RecordBatch, ImportError> {
    let mut fields: Vec<Arc<Field>> = Vec::new();
    for batch in batches {
        for field in batch.schema().fields() {
            if fields.iter().all(|known| known.name() != field.name()) {
                fields.push(Arc::clone(field));
            }
        }
    }
    if fields.is_empty() {
        return Err(ImportError::Empty);
    }
    let schema = Arc::new(Schema::new(fields));
    let whole = |batch: &RecordBatch| {
        let columns = schema.fields().iter().map(|field| match batch.column_by_name(field.name()) {
            Some(column) => Arc::clone(column),
            None => new_null_array(field.data_type(), batch.num_rows()),
        });
        RecordBatch::try_new(Arc::clone(&schema), columns.collect())
    };
    let batches = batches.iter().map(whole).collect::<Result<Vec<_>, _>>()?;
    Ok(concat_batches(&schema, &batches)?)
}

/// Rows sorted by date and symbol, which are their first two columns.
fn in_order(rows: &RecordBatch) -> Result<RecordBatch, ImportError> {
    let (dates, symbols) = (rows.column(0).as_primitive::<Date32Type>(), rows.column(1).as_string::<i32>());
    let days = dates.values();
    let ordered = |row: usize| {
        let (a, b) = (days[row - 1], days[row]);
        a < b || a == b && symbols.value(row - 1) <= symbols.value(row)
    };
    let complete = dates.null_count() == 0 && symbols.null_count() == 0;
    if complete && (1..rows.num_rows()).all(ordered) {
        return Ok(rows.clone());
    }
    let keys = [rows.column(0), rows.column(1)]
        .map(|column| SortColumn { values: Arc::clone(column), options: None });
    let order = compute::lexsort_to_indices(&keys, None)?;
    Ok(compute::take_record_batch(rows, &order)?)
}

/// Rows with the date and symbol of the one before, in order.
fn repeats(rows: &RecordBatch) -> Option<Nonsense> {
    let days = rows.column(0).as_primitive::<Date32Type>();
    let symbols = rows.column(1).as_string::<i32>();
    let again = |row: &usize| {
        let is_known = days.is_valid(*row) && symbols.is_valid(*row) && symbols.is_valid(*row - 1);
        is_known && days.value(*row) == days.value(*row - 1) && symbols.value(*row) == symbols.value(*row - 1)
    };
    let mut found = Nonsense { what: "a second one of the same date and symbol", ..Nonsense::default() };
    for row in (1..rows.num_rows()).filter(again) {
        found.add(1, [format!("{} {}", day(days.value(row)), symbols.value(row))]);
    }
    (found.count > 0).then_some(found)
}

fn date_of(days: i32) -> Option<NaiveDate> {
    NaiveDate::from_epoch_days(days)
}

fn day(days: i32) -> String {
    date_of(days).map_or_else(|| format!("day {days}"), |date| date.to_string())
}
