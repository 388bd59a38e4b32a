//! From decoded batches to rows as the engine takes them. Files are decoded side by side, and the rows are made on
//! the same threads, piece by piece; a column of which every row is wanted is handed on without being copied. Which
//! files are read is decided in `prices`.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::NaiveDate;
use deltalake::arrow::array::{Array, ArrayData, ArrayRef, AsArray, RecordBatch};
use deltalake::arrow::compute::cast;
use deltalake::arrow::datatypes::{DataType, Int32Type};
use deltalake::arrow::error::ArrowError;

use super::columns::{self, ADJUSTED_CLOSE, DIVIDEND, SPLIT_FACTOR};
use super::dates::{self, DateReading, Order};
use super::load_error::LoadError;
use super::numbers;
use super::parquet::{self, DateRange};
use crate::engine::config::{BacktestConfig, DataConfig, ImpossiblePrice, PriceColumns};
use crate::engine::market::{PriceChunk, PriceDays, PriceRows, SignalRows};

/// Examples of a fault that are shown.
const EXAMPLES: usize = 3;

/// The rows a config needs, and how it has them read.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) first: NaiveDate,
    pub(super) last: NaiveDate,
    /// Symbols in question; empty means all of them.
    pub(super) symbols: Vec<String>,
    pub(super) reading: DateReading,
    pub(super) on_impossible_price: ImpossiblePrice,
}

impl Window {
    /// The rows of the universe and the benchmark, from the warm-up on.
    pub(super) fn of(config: &BacktestConfig) -> Self {
        // A bar is a trading day: 252 of them take 365 calendar days, and holidays cluster.
        let warmup = u64::try_from(config.warmup_bars()).unwrap_or(u64::MAX);
        let days = if warmup == 0 { 0 } else { warmup.saturating_mul(365).div_ceil(250).saturating_add(10) };
        let first = config.start_date.checked_sub_days(chrono::Days::new(days)).unwrap_or(NaiveDate::MIN);
        let symbols = config.price_symbols().unwrap_or_default();
        let on_impossible_price = config.data.on_impossible_price;
        Self { first, last: config.end_date, symbols, reading: reading_of(&config.data), on_impossible_price }
    }

    /// Every symbol from a day on, or from the first to the last day that a text of a date can name.
    pub(super) fn since(first: Option<NaiveDate>) -> Self {
        let [beginning, end] = [(1, 1, 1), (9999, 12, 31)].map(|(y, m, d)| NaiveDate::from_ymd_opt(y, m, d));
        Self {
            first: first.or(beginning).unwrap_or(NaiveDate::MIN),
            last: end.unwrap_or(NaiveDate::MAX),
            symbols: Vec::new(),
            reading: DateReading::default(),
            on_impossible_price: ImpossiblePrice::Refuse,
        }
    }

    pub(super) fn dates(&self) -> DateRange {
        DateRange { first: self.first, last: self.last, reading: self.reading }
    }
}

/// How a config has its dates read.
fn reading_of(data: &DataConfig) -> DateReading {
    DateReading {
        // The config knows the zones.
        time_zone: data.time_zone.as_deref().and_then(|name| name.parse().ok()),
        order: Order::of(data.date_format),
    }
}

/// Where rows come from.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    /// The table or file, for messages.
    pub(super) place: String,
    /// Symbol of every row, for files that hold only one and have no such column.
    pub(super) symbol: Option<String>,
    /// Line of the first row of a text file, in which numbers are texts, too; `None` where columns have types.
    pub(super) first_line: Option<usize>,
}

/// What is common to all pieces of one load.
#[derive(Debug, Clone)]
pub(super) struct Context {
    window: Arc<Window>,
    names: Arc<Mutex<Names>>,
}

impl Context {
    pub(super) fn new(window: &Arc<Window>) -> Self {
        let mut names = Names { closed: !window.symbols.is_empty(), ..Names::default() };
        for name in &window.symbols {
            names.add(name);
        }
        Self { window: Arc::clone(window), names: Arc::new(Mutex::new(names)) }
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        // A thread that panicked between two statements of `add` leaves a name too many, which no row refers to.
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The index of a symbol; `None` if it is not in question.
    pub(super) fn id(&self, name: &str) -> Option<u32> {
        Some(self.names().id(Some(name))).filter(|&id| id < NAMELESS)
    }

    /// Names by index, once all rows are made, and those that were left out.
    pub(super) fn into_names(self) -> (Vec<String>, Vec<String>) {
        let mut names = self.names();
        let mut left_out: Vec<String> = std::mem::take(&mut names.left_out).into_iter().collect();
        left_out.sort_unstable();
        (std::mem::take(&mut names.names), left_out)
    }
}

/// Gives each distinct symbol an index.
#[derive(Debug, Default)]
struct Names {
    names: Vec<String>,
    ids: HashMap<String, u32>,
    /// Whether names outside `ids` are left out.
    closed: bool,
    /// The names that were.
    left_out: HashSet<String>,
}

/// Id of names that are left out.
const LEFT_OUT: u32 = u32::MAX;

/// Id of rows without a name.
const NAMELESS: u32 = u32::MAX - 1;

impl Names {
    fn add(&mut self, name: &str) -> u32 {
        let next = u32::try_from(self.names.len()).unwrap_or(LEFT_OUT);
        self.names.push(name.to_owned());
        *self.ids.entry(name.to_owned()).or_insert(next)
    }

    fn id(&mut self, name: Option<&str>) -> u32 {
        let Some(name) = name.map(str::trim).filter(|name| !name.is_empty()) else { return NAMELESS };
        match self.ids.get(name) {
            Some(&id) => id,
            None if self.closed => {
                if !self.left_out.contains(name) {
                    self.left_out.insert(name.to_owned());
                }
                LEFT_OUT
            }
            None => self.add(name),
        }
    }
}

/// Makes pieces of the batches of one file.
struct Maker {
    context: Context,
    origin: Arc<Origin>,
    /// Ids of the names of the dictionary that came last: the batches of a row group share theirs.
    dictionary: Option<(ArrayData, Vec<u32>)>,
    /// Rows of the batches before.
    rows: usize,
    /// Columns of a text file that turned out to hold texts.
    texts: Vec<String>,
    /// What the batch at hand lacks.
    lacks: Lacks,
}

/// Columns that a file lacks and every row must have. Other files of the same place may have them; then they are null
/// here.
#[derive(Debug, Default)]
struct Lacks {
    columns: Vec<&'static str>,
    /// The columns that are there.
    found: String,
}

/// How many pieces of a place lack a column that every row must have.
#[derive(Debug, Default)]
struct LackCount {
    pieces: usize,
    columns: HashMap<&'static str, usize>,
    found: String,
}

impl LackCount {
    fn add(&mut self, lacks: Lacks) {
        self.pieces += 1;
        for column in &lacks.columns {
            *self.columns.entry(column).or_default() += 1;
        }
        if !lacks.columns.is_empty() {
            self.found = lacks.found;
        }
    }

    /// Refuses a place of which no file has such a column.
    fn check(self, place: &str) -> Result<(), LoadError> {
        match self.columns.iter().find(|(_, count)| **count == self.pieces) {
            None => Ok(()),
            Some((column, _)) => Err(LoadError::NoColumn {
                place: place.to_owned(),
                column: (*column).to_owned(),
                found: self.found,
            }),
        }
    }
}

/// Rows of one kind, and some of them.
#[derive(Debug, Default)]
struct Tally {
    count: usize,
    examples: Vec<String>,
}

impl Tally {
    fn add(&mut self, count: usize, examples: impl IntoIterator<Item = String>) {
        self.count += count;
        let room = EXAMPLES.saturating_sub(self.examples.len());
        self.examples.extend(examples.into_iter().take(room));
    }

    fn merge(&mut self, other: Self) {
        self.add(other.count, other.examples);
    }

    /// `3 price rows have no date that can be read (row 4: 'x'); they are left out`
    fn warning(&self, rows: &str, what: &str, consequence: &str) -> Option<String> {
        let examples = match (self.examples.is_empty(), self.examples.join("; ")) {
            (true, _) => String::new(),
            (false, listed) if self.count > self.examples.len() => format!(" ({listed}; …)"),
            (false, listed) => format!(" ({listed})"),
        };
        (self.count > 0).then(|| format!("{} {rows} {what}{examples}; {consequence}", self.count))
    }
}

/// The rows of a batch that are wanted.
struct Keys {
    date: Vec<i32>,
    symbol: Vec<u32>,
    /// Their positions; `None` means every row.
    rows: Option<Vec<u32>>,
    faults: KeyFaults,
}

/// Rows that are left out because of their keys.
#[derive(Debug, Default)]
struct KeyFaults {
    /// Rows that were looked at.
    seen: usize,
    /// Those whose date cannot be read.
    undated: Tally,
    /// Those without a symbol.
    nameless: usize,
}

impl KeyFaults {
    fn merge(&mut self, other: Self) {
        self.seen += other.seen;
        self.undated.merge(other.undated);
        self.nameless += other.nameless;
    }

    /// Refuses a table of which no date can be read: what would follow is that there are no rows.
    fn check(&self, place: &str) -> Result<(), LoadError> {
        if self.seen == 0 || self.undated.count < self.seen {
            return Ok(());
        }
        Err(LoadError::NoDate {
            place: place.to_owned(),
            rows: self.seen,
            example: self.undated.examples.join("; "),
        })
    }

    fn warnings(&self, rows: &str) -> Vec<String> {
        let nameless = Tally { count: self.nameless, examples: Vec::new() };
        let out = "they are left out";
        let undated = self.undated.warning(rows, "have no date that can be read", out);
        undated.into_iter().chain(nameless.warning(rows, "have no symbol", out)).collect()
    }
}

impl Maker {
    fn new(context: Context, origin: Arc<Origin>) -> Self {
        Self { context, origin, dictionary: None, rows: 0, texts: Vec::new(), lacks: Lacks::default() }
    }

    fn keys(&mut self, batch: &mut Batch) -> Result<Keys, LoadError> {
        let symbol = self.symbols(batch)?;
        let window = &self.context.window;
        let range = window.first.to_epoch_days()..=window.last.to_epoch_days();
        let found = dates::read(batch.required("date")?, window.reading)
            .map_err(|source| LoadError::Dates { place: self.origin.place.clone(), source })?;
        let days = found.days;
        let mut faults = KeyFaults { seen: batch.rows, ..KeyFaults::default() };
        let in_time = days.null_count() == 0 && days.values().iter().all(|day| range.contains(day));
        if in_time && symbol.iter().all(|&id| id < NAMELESS) {
            self.rows += batch.rows;
            return Ok(Keys { date: days.into_parts().1.into(), symbol, rows: None, faults });
        }
        let examples = found.unreadable.into_iter().map(|(row, cell)| self.cell(self.rows, row, None, &cell));
        faults.undated.add(days.null_count(), examples);
        faults.nameless = symbol.iter().filter(|&&id| id == NAMELESS).count();
        let wanted = |&row: &u32| {
            let row = row as usize;
            days.is_valid(row) && range.contains(&days.value(row)) && symbol[row] < NAMELESS
        };
        let rows: Vec<u32> = (0..batch.rows as u32).filter(wanted).collect();
        self.rows += batch.rows;
        Ok(Keys {
            date: rows.iter().map(|&row| days.value(row as usize)).collect(),
            symbol: rows.iter().map(|&row| symbol[row as usize]).collect(),
            rows: Some(rows),
            faults,
        })
    }

    /// A cell of a batch behind `before` rows, for a message. Rows of text files are counted as their lines are, with
    /// the header.
    fn cell(&self, before: usize, row: usize, column: Option<&str>, cell: &str) -> String {
        let cell: String = cell.trim().chars().take(40).collect();
        let column = column.map_or_else(String::new, |column| format!("{column} "));
        let what = if cell.is_empty() { format!("{column}empty") } else { format!("{column}'{cell}'") };
        match self.origin.first_line {
            Some(first) => format!("row {}: {what}", first + before + row),
            None => what,
        }
    }

    /// Ids of the symbols of a batch, row by row.
    fn symbols(&mut self, batch: &mut Batch) -> Result<Vec<u32>, LoadError> {
        let column = match (batch.take("symbol"), &self.origin.symbol) {
            (Some(column), _) => column,
            (None, Some(symbol)) => return Ok(vec![self.context.names().id(Some(symbol)); batch.rows]),
            (None, None) => {
                self.lack(batch, "symbol");
                return Ok(vec![NAMELESS; batch.rows]);
            }
        };
        let texts =
            |array: &ArrayRef| cast(array, &DataType::Utf8).map_err(|source| batch.unreadable(source));
        let Some(dictionary) = column.as_dictionary_opt::<Int32Type>() else {
            let names = texts(&column)?;
            let mut known = self.context.names();
            return Ok(names.as_string::<i32>().iter().map(|name| known.id(name)).collect());
        };
        let data = dictionary.values().to_data();
        if !self.dictionary.as_ref().is_some_and(|(known, _)| known.ptr_eq(&data)) {
            let names = texts(dictionary.values())?;
            let mut known = self.context.names();
            let ids = names.as_string::<i32>().iter().map(|name| known.id(name)).collect();
            self.dictionary = Some((data, ids));
        }
        let ids = self.dictionary.as_ref().map_or(&[][..], |(_, ids)| ids);
        let id = |key: usize| ids.get(key).copied().unwrap_or(NAMELESS);
        let keys = dictionary.keys();
        Ok(match keys.null_count() {
            0 => keys.values().iter().map(|&key| id(key as usize)).collect(),
            _ => keys.iter().map(|key| key.map_or(NAMELESS, |key| id(key as usize))).collect(),
        })
    }
}

impl Maker {
    /// The wanted rows of a numeric column; a missing value is NaN. A text that is not a number is refused.
    fn doubles(
        &self,
        batch: &Batch,
        name: &str,
        column: ArrayRef,
        keys: &Keys,
    ) -> Result<Vec<f64>, LoadError> {
        let found = numbers::read(column).map_err(|source| batch.unreadable(source))?;
        let values = found.values;
        let number = |row: usize| if values.is_valid(row) { values.value(row) } else { f64::NAN };
        let wanted =
            |row: usize| keys.rows.as_ref().is_none_or(|rows| rows.binary_search(&(row as u32)).is_ok());
        if let Some((row, cell)) = found.unreadable.into_iter().find(|(row, _)| wanted(*row)) {
            // The rows of this batch are counted already.
            let cell = self.cell(self.rows - batch.rows, row, Some(name), &cell);
            return Err(LoadError::NoNumber { place: self.origin.place.clone(), cell });
        }
        Ok(match &keys.rows {
            None if values.null_count() == 0 => values.into_parts().1.into(),
            None => (0..values.len()).map(number).collect(),
            Some(rows) => rows.iter().map(|&row| number(row as usize)).collect(),
        })
    }

    /// The same of a column by its name that every row must have.
    fn required(
        &mut self,
        batch: &mut Batch,
        name: &'static str,
        keys: &Keys,
    ) -> Result<Vec<f64>, LoadError> {
        match batch.take(name) {
            Some(column) => self.doubles(batch, name, column, keys),
            None => {
                self.lack(batch, name);
                Ok(vec![f64::NAN; keys.date.len()])
            }
        }
    }

    fn lack(&mut self, batch: &Batch, name: &'static str) {
        self.lacks.columns.push(name);
        self.lacks.found = names_of(batch.columns.iter().map(|(name, _)| name.as_str()));
    }

    /// The same of a column that may be missing as a whole; then it is empty.
    fn optional(&self, batch: &mut Batch, name: &str, keys: &Keys) -> Result<Vec<f64>, LoadError> {
        match batch.take(name) {
            Some(column) => self.doubles(batch, name, column, keys),
            None => Ok(Vec::new()),
        }
    }
}

/// A batch whose columns are taken one by one, so that each can be handed on.
struct Batch {
    origin: Arc<Origin>,
    rows: usize,
    columns: Vec<(String, Option<ArrayRef>)>,
}

impl Batch {
    fn new(batch: RecordBatch, origin: &Arc<Origin>) -> Self {
        let (schema, columns, rows) = batch.into_parts();
        let names = schema.fields().iter().map(|field| field.name().clone());
        let columns = names.zip(columns.into_iter().map(Some)).collect();
        Self { origin: Arc::clone(origin), rows, columns }
    }

    /// A column by its own name in any case; it stays where it is.
    fn find(&self, name: &str) -> Option<ArrayRef> {
        let mut columns = self.columns.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        columns.next()?.1.clone()
    }

    /// A column by its name, or by another usual one.
    fn take(&mut self, name: &str) -> Option<ArrayRef> {
        let at = columns::position(self.columns.iter().map(|(known, _)| known.as_str()), name)?;
        self.columns[at].1.take()
    }

    fn required(&mut self, name: &str) -> Result<ArrayRef, LoadError> {
        self.take(name).ok_or_else(|| LoadError::NoColumn {
            place: self.origin.place.clone(),
            column: name.to_owned(),
            found: names_of(self.columns.iter().map(|(name, _)| name.as_str())),
        })
    }

    fn unreadable(&self, source: ArrowError) -> LoadError {
        LoadError::Unreadable { place: self.origin.place.clone(), source }
    }
}

/// Names in a list for a message.
pub(super) fn names_of<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

/// The columns of a price table that are read: an adjusted close, or dividends and splits.
pub(super) fn price_columns(wanted: &PriceColumns, unadjusted: bool) -> Vec<String> {
    let mut columns = vec!["date", "symbol", "open", "close"];
    columns.extend_from_slice(if unadjusted { &[DIVIDEND, SPLIT_FACTOR][..] } else { &[ADJUSTED_CLOSE] });
    if wanted.high_low {
        columns.extend(["high", "low"]);
    }
    if wanted.volume {
        columns.push("volume");
    }
    if wanted.exchange {
        columns.push("exchange");
    }
    columns.into_iter().chain(wanted.others.iter().map(String::as_str)).map(str::to_owned).collect()
}

/// Price rows of one batch.
pub(super) struct PricePiece {
    rows: PriceDays,
    keys: KeyFaults,
    /// Bars that are left out because nothing can have traded like that.
    impossible: Tally,
    /// Rows without an open or a close.
    incomplete: usize,
    /// Rows with a close and no adjusted one.
    unadjusted: usize,
    /// Whether splits and dividends were put into the prices.
    adjusted: bool,
    /// Rows with a split of 0, which is none.
    zero_splits: usize,
    /// Columns that look like an adjusted close and are not used.
    unused: Vec<String>,
    /// The last exchange of each symbol that has one; `None` without such a column.
    exchange: Option<HashMap<u32, String>>,
    lacks: Lacks,
}

/// The function that makes pieces of the batches of one file; `unadjusted` prices come with their dividends and splits.
pub(super) fn price_pieces(
    context: Context,
    origin: Arc<Origin>,
    wanted: PriceColumns,
    unadjusted: bool,
) -> impl FnMut(RecordBatch) -> Result<PricePiece, LoadError> + Send + 'static {
    let mut maker = Maker::new(context, origin);
    move |batch| {
        let mut batch = Batch::new(batch, &maker.origin);
        let mut keys = maker.keys(&mut batch)?;
        // Before any is taken: one may be named by both names.
        let others: Vec<Option<ArrayRef>> = wanted.others.iter().map(|name| batch.find(name)).collect();
        let mut chunk = PriceChunk {
            open: maker.required(&mut batch, "open", &keys)?,
            close: maker.required(&mut batch, "close", &keys)?,
            ..PriceChunk::default()
        };
        if wanted.high_low {
            chunk.high = maker.optional(&mut batch, "high", &keys)?;
            chunk.low = maker.optional(&mut batch, "low", &keys)?;
        }
        if wanted.volume {
            chunk.volume = maker.optional(&mut batch, "volume", &keys)?;
        }
        for (name, column) in wanted.others.iter().zip(others) {
            let values = column.map(|column| maker.doubles(&batch, name, column, &keys)).transpose()?;
            chunk.others.push(values.unwrap_or_default());
        }
        if unadjusted {
            chunk.dividend = maker.optional(&mut batch, DIVIDEND, &keys)?;
            chunk.split_factor = maker.optional(&mut batch, SPLIT_FACTOR, &keys)?;
        }
        let zero_splits = chunk.split_factor.iter().filter(|split| **split == 0.0).count();
        let adjusted = batch.take(ADJUSTED_CLOSE).filter(|_| !unadjusted);
        let adjusted =
            adjusted.map(|column| maker.doubles(&batch, ADJUSTED_CLOSE, column, &keys)).transpose()?;
        let incomplete =
            chunk.open.iter().zip(&chunk.close).map(|(a, b)| usize::from(a.is_nan() | b.is_nan()));
        let incomplete = incomplete.sum();
        let impossible = maker.possible(&mut chunk, adjusted.as_deref().unwrap_or_default(), &keys)?;
        let unadjusted = match &adjusted {
            Some(adjusted) => adjust(&mut chunk, adjusted),
            None => chunk.close.iter().map(|close| usize::from(!close.is_nan())).sum(),
        };
        let exchange = batch.take("exchange").map(|column| exchanges(&batch, &column, &keys)).transpose()?;
        let unused =
            batch.columns.iter().filter(|(name, column)| column.is_some() && is_unused(name, &wanted));
        let unused = unused.map(|(name, _)| name.clone()).collect();
        (chunk.date, chunk.symbol) = (keys.date, keys.symbol);
        Ok(PricePiece {
            rows: chunk.into(),
            keys: std::mem::take(&mut keys.faults),
            impossible,
            incomplete,
            unadjusted,
            adjusted: adjusted.is_some(),
            zero_splits,
            unused,
            exchange,
            lacks: std::mem::take(&mut maker.lacks),
        })
    }
}

/// Whether a column that is not the adjusted close looks like one and is not asked for by its name.
pub(super) fn is_unused(name: &str, wanted: &PriceColumns) -> bool {
    columns::resembles_adjusted_close(name)
        && !wanted.others.iter().any(|used| used.eq_ignore_ascii_case(name))
}

/// What is said of such a column.
pub(super) fn unused_warning(name: &str) -> String {
    format!("the column '{name}' of the prices looks like an adjusted close and is not used")
}

/// The numbers of a row of prices; NaN where there is none.
#[derive(Debug, Clone, Copy)]
pub(super) struct PriceRow {
    pub(super) open: f64,
    pub(super) high: f64,
    pub(super) low: f64,
    pub(super) close: f64,
    pub(super) adjusted_close: f64,
    pub(super) volume: f64,
    pub(super) dividend: f64,
    pub(super) split_factor: f64,
}

impl PriceRow {
    /// What is wrong with it, if nothing can have traded, paid or split like that.
    pub(super) fn impossible(&self) -> Option<String> {
        let Self { open, high, low, close, adjusted_close, volume, dividend, split_factor } = *self;
        let prices = [
            ("open", open),
            ("high", high),
            ("low", low),
            ("close", close),
            (ADJUSTED_CLOSE, adjusted_close),
        ];
        if let Some((name, price)) =
            prices.into_iter().find(|(_, price)| *price <= 0.0 || price.is_infinite())
        {
            return Some(format!("{name} {price}"));
        }
        let others = [("volume", volume), (DIVIDEND, dividend), (SPLIT_FACTOR, split_factor)];
        if let Some((name, number)) = others.into_iter().find(|(_, number)| !is_amount(*number)) {
            return Some(format!("{name} {number}"));
        }
        if high < low {
            return Some(format!("high {high} below low {low}"));
        }
        // Beyond what rounding does.
        let outside = open > high * (1.0 + 1e-6) || open < low * (1.0 - 1e-6);
        outside.then(|| format!("open {open} outside {low} to {high}"))
    }
}

/// Whether a number may be of shares or of cash; NaN says nothing.
fn is_amount(number: f64) -> bool {
    !(number < 0.0 || number.is_infinite())
}

impl Maker {
    /// Refuses bars that cannot be, or takes their close away and counts them.
    fn possible(&self, chunk: &mut PriceChunk, adjusted: &[f64], keys: &Keys) -> Result<Tally, LoadError> {
        let mut left_out = Tally::default();
        // Without a branch for each row: of nearly every table all of this holds for all rows.
        fn all_finite(values: &[f64], is_enough: impl Fn(f64) -> bool) -> bool {
            let fits = |value: f64| value.is_nan() | (is_enough(value) & (value < f64::INFINITY));
            values.iter().fold(true, |all, &value| all & fits(value))
        }
        let columns = [&chunk.open, &chunk.close, &chunk.high, &chunk.low].map(Vec::as_slice);
        let in_range = chunk.high.is_empty() || chunk.low.is_empty() || {
            let bars = chunk.open.iter().zip(&chunk.high).zip(&chunk.low);
            bars.into_iter()
                .fold(true, |all, ((open, high), low)| all & !((open > high) | (open < low) | (high < low)))
        };
        let amounts = [&chunk.volume, &chunk.dividend, &chunk.split_factor];
        if in_range
            && columns.into_iter().chain([adjusted]).all(|prices| all_finite(prices, |price| price > 0.0))
            && amounts.into_iter().all(|amounts| all_finite(amounts, |amount| amount >= 0.0))
        {
            return Ok(left_out);
        }
        for row in 0..keys.date.len() {
            let of = |column: &[f64]| column.get(row).copied().unwrap_or(f64::NAN);
            let numbers = PriceRow {
                open: of(&chunk.open),
                high: of(&chunk.high),
                low: of(&chunk.low),
                close: of(&chunk.close),
                adjusted_close: of(adjusted),
                volume: of(&chunk.volume),
                dividend: of(&chunk.dividend),
                split_factor: of(&chunk.split_factor),
            };
            let Some(what) = numbers.impossible() else { continue };
            let symbol = self.context.names().names.get(keys.symbol[row] as usize).cloned();
            let date = NaiveDate::from_epoch_days(keys.date[row]).unwrap_or_default();
            let bar = format!("{} on {date}: {what}", symbol.unwrap_or_default());
            if self.context.window.on_impossible_price == ImpossiblePrice::Refuse {
                return Err(LoadError::Impossible { place: self.origin.place.clone(), bar });
            }
            // A row without a close is not a bar.
            chunk.close[row] = f64::NAN;
            for column in [&mut chunk.dividend, &mut chunk.split_factor] {
                if let Some(number) = column.get_mut(row) {
                    *number = f64::NAN;
                }
            }
            left_out.add(1, [bar]);
        }
        Ok(left_out)
    }
}

/// Puts splits and dividends into all prices of a bar, and keeps its dollar volume. Counts the bars for which they are
/// not known.
fn adjust(chunk: &mut PriceChunk, adjusted_close: &[f64]) -> usize {
    let mut unknown = 0;
    for (row, adjusted) in adjusted_close.iter().enumerate() {
        unknown += usize::from(adjusted.is_nan() && !chunk.close[row].is_nan());
        let factor = adjusted / chunk.close[row];
        if factor.is_finite() && factor > 0.0 {
            chunk.open[row] *= factor;
            chunk.close[row] = *adjusted;
            // Columns that are not wanted are empty.
            for (prices, factor) in
                [(&mut chunk.high, factor), (&mut chunk.low, factor), (&mut chunk.volume, 1.0 / factor)]
            {
                if let Some(price) = prices.get_mut(row) {
                    *price *= factor;
                }
            }
        }
    }
    unknown
}

fn exchanges(batch: &Batch, column: &ArrayRef, keys: &Keys) -> Result<HashMap<u32, String>, LoadError> {
    let texts = cast(column, &DataType::Utf8).map_err(|source| batch.unreadable(source))?;
    let texts = texts.as_string::<i32>();
    let mut last: HashMap<u32, String> = HashMap::new();
    for (at, &symbol) in keys.symbol.iter().enumerate() {
        let row = keys.rows.as_ref().map_or(at, |rows| rows[at] as usize);
        if texts.is_valid(row) && last.get(&symbol).is_none_or(|known| known != texts.value(row)) {
            last.insert(symbol, texts.value(row).to_owned());
        }
    }
    Ok(last)
}

/// Puts the pieces of a price table together.
#[derive(Default)]
pub(super) struct PriceCollector {
    rows: PriceRows,
    exchange: Option<HashMap<u32, String>>,
    keys: KeyFaults,
    impossible: Tally,
    incomplete: usize,
    unadjusted: usize,
    zero_splits: usize,
    unused: BTreeSet<String>,
    lacks: LackCount,
    pub(super) adjusted: bool,
}

impl PriceCollector {
    pub(super) fn push(&mut self, piece: PricePiece) {
        self.rows.chunks.push(piece.rows);
        self.adjusted |= piece.adjusted;
        self.keys.merge(piece.keys);
        self.impossible.merge(piece.impossible);
        self.incomplete += piece.incomplete;
        self.unadjusted += piece.unadjusted;
        self.zero_splits += piece.zero_splits;
        self.unused.extend(piece.unused);
        self.lacks.add(piece.lacks);
        if let Some(exchange) = piece.exchange {
            self.exchange.get_or_insert_default().extend(exchange);
        }
    }

    /// All rows, with what is to be said of them.
    pub(super) fn finish(self, context: Context, place: &str) -> Result<PriceRows, LoadError> {
        self.lacks.check(place)?;
        self.keys.check(place)?;
        let (symbols, left_out) = context.into_names();
        let exchange =
            self.exchange.map(|mut known| (0..symbols.len() as u32).map(|id| known.remove(&id)).collect());
        let mut warnings = self.keys.warnings("price rows");
        warnings.extend(self.impossible.warning("price rows", "cannot be", "they are left out"));
        let incomplete = Tally { count: self.incomplete, examples: Vec::new() };
        warnings.extend(incomplete.warning("price rows", "have no open or no close", "they are no bars"));
        // Where no row has one, none is missing.
        let unadjusted = if self.adjusted { self.unadjusted } else { 0 };
        let unadjusted = Tally { count: unadjusted, examples: Vec::new() };
        let stay = "their prices stay as they are";
        warnings.extend(unadjusted.warning("price rows", "have no adjusted close", stay));
        let zero_splits = Tally { count: self.zero_splits, examples: Vec::new() };
        warnings.extend(zero_splits.warning(
            "price rows",
            "have a split_factor of 0",
            "it is read as no split",
        ));
        warnings.extend(self.unused.iter().map(|name| unused_warning(name)));
        let (exchange, left_out) = (exchange.unwrap_or_default(), left_out);
        Ok(PriceRows { symbols, exchange, left_out, warnings, ..self.rows })
    }
}

/// Signal rows of one batch.
pub(super) struct SignalPiece {
    date: Vec<i32>,
    symbol: Vec<u32>,
    columns: Vec<(String, Vec<f64>)>,
    keys: KeyFaults,
    lacks: Lacks,
}

/// The function that makes pieces of the batches of one file. Of `wanted`, lower-case, or of all columns it takes
/// those that are numbers.
pub(super) fn signal_pieces(
    context: Context,
    origin: Arc<Origin>,
    wanted: Option<Vec<String>>,
) -> impl FnMut(RecordBatch) -> Result<SignalPiece, LoadError> + Send + 'static {
    let mut maker = Maker::new(context, origin);
    move |batch| {
        let mut batch = Batch::new(batch, &maker.origin);
        let keys = maker.keys(&mut batch)?;
        let mut columns = Vec::new();
        for (name, column) in std::mem::take(&mut batch.columns) {
            // Date and symbol are taken already.
            let Some(column) = column else { continue };
            let named = wanted.as_ref().map(|all| all.iter().any(|one| one.eq_ignore_ascii_case(&name)));
            let numeric = parquet::is_numeric(column.data_type());
            // A column that the config names holds numbers, texts of them included. Of the others those that do.
            if named == Some(true) || named.is_none() && (numeric || maker.holds_numbers(&name, &column)) {
                let values = maker.doubles(&batch, &name, column, &keys)?;
                columns.push((name, values));
            }
        }
        let lacks = std::mem::take(&mut maker.lacks);
        Ok(SignalPiece { date: keys.date, symbol: keys.symbol, columns, keys: keys.faults, lacks })
    }
}

impl Maker {
    /// Whether a column of a text file that was not named holds numbers: its first filled cell tells.
    fn holds_numbers(&mut self, name: &str, column: &ArrayRef) -> bool {
        if self.origin.first_line.is_none() || self.texts.iter().any(|known| known == name) {
            return false;
        }
        let Ok(texts) = cast(column, &DataType::Utf8) else { return false };
        let first = texts.as_string::<i32>().iter().flatten().find(|text| !text.trim().is_empty());
        let holds = first.is_none_or(|text| numbers::parse(text).is_ok());
        // Once a number, always a number: what is none is then refused.
        if !holds && self.rows <= texts.len() {
            self.texts.push(name.to_owned());
        }
        holds || self.rows > texts.len()
    }
}

/// Puts the pieces of a signal table together.
#[derive(Default)]
pub(super) struct SignalCollector {
    rows: SignalRows,
    keys: KeyFaults,
    lacks: LackCount,
}

impl SignalCollector {
    pub(super) fn push(&mut self, piece: SignalPiece) {
        let before = self.rows.date.len();
        self.keys.merge(piece.keys);
        self.lacks.add(piece.lacks);
        for (name, values) in piece.columns {
            let at = match self.rows.columns.iter().position(|(known, _)| known.eq_ignore_ascii_case(&name)) {
                Some(at) => at,
                None => {
                    self.rows.columns.push((name, vec![f64::NAN; before]));
                    self.rows.columns.len() - 1
                }
            };
            self.rows.columns[at].1.extend(values);
        }
        self.rows.date.extend(piece.date);
        self.rows.symbol.extend(piece.symbol);
        for (_, values) in &mut self.rows.columns {
            values.resize(self.rows.date.len(), f64::NAN);
        }
    }

    /// All rows, the names of those that were left out, and what is to be said of them.
    pub(super) fn finish(
        self,
        context: Context,
        place: &str,
    ) -> Result<(SignalRows, Vec<String>, Vec<String>), LoadError> {
        self.lacks.check(place)?;
        self.keys.check(place)?;
        let warnings = self.keys.warnings("signal rows");
        let (symbols, left_out) = context.into_names();
        Ok((SignalRows { symbols, ..self.rows }, left_out, warnings))
    }
}
