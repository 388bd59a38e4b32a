//! From decoded batches to rows as the engine takes them. Files are decoded side by side, and the rows are made on
//! the same threads, piece by piece; a column of which every row is wanted is handed on without being copied. Which
//! files are read is decided in `prices`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::NaiveDate;
use deltalake::arrow::array::{Array, ArrayData, ArrayRef, AsArray, RecordBatch};
use deltalake::arrow::compute::cast;
use deltalake::arrow::datatypes::{DataType, Int32Type};
use deltalake::arrow::error::ArrowError;

use super::parquet;
use super::prices::LoadError;
use crate::engine::config::PriceColumns;
use crate::engine::market::{PriceChunk, PriceDays, PriceRows, SignalRows};

/// Spellings of the adjusted close.
pub(crate) const ADJUSTED_CLOSE: [&str; 4] = ["adj_close", "adjusted_close", "adjclose", "adj close"];

/// The rows a config needs.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) first: NaiveDate,
    pub(super) last: NaiveDate,
    /// Symbols in question; empty means all of them.
    pub(super) symbols: Vec<String>,
}

/// Where rows come from.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    /// The table or file, for messages.
    pub(super) place: String,
    /// Symbol of every row, for files that hold only one and have no such column.
    pub(super) symbol: Option<String>,
    /// Whether every column is text, numbers too.
    pub(super) text: bool,
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
        // A thread that panicked between two statements of `add` leaves a name too many, which nobody refers to.
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The index of a symbol; `None` if it is not in question.
    pub(super) fn id(&self, name: &str) -> Option<u32> {
        Some(self.names().id(Some(name))).filter(|&id| id != LEFT_OUT)
    }

    /// Names by index, once all rows are made.
    pub(super) fn into_names(self) -> Vec<String> {
        std::mem::take(&mut self.names().names)
    }
}

/// Gives each distinct symbol an index.
#[derive(Debug, Default)]
struct Names {
    names: Vec<String>,
    ids: HashMap<String, u32>,
    /// Whether names outside `ids` are left out.
    closed: bool,
}

/// Id of names that are left out, and of rows without one.
const LEFT_OUT: u32 = u32::MAX;

impl Names {
    fn add(&mut self, name: &str) -> u32 {
        let next = u32::try_from(self.names.len()).unwrap_or(LEFT_OUT);
        self.names.push(name.to_owned());
        *self.ids.entry(name.to_owned()).or_insert(next)
    }

    fn id(&mut self, name: Option<&str>) -> u32 {
        let Some(name) = name.map(str::trim) else { return LEFT_OUT };
        match self.ids.get(name) {
            Some(&id) => id,
            None if self.closed => LEFT_OUT,
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
}

/// The rows of a batch that are wanted.
struct Keys {
    date: Vec<i32>,
    symbol: Vec<u32>,
    /// Their positions; `None` means every row.
    rows: Option<Vec<u32>>,
    /// Rows that are left out because their date cannot be read.
    undated: usize,
}

impl Maker {
    fn new(context: Context, origin: Arc<Origin>) -> Self {
        Self { context, origin, dictionary: None }
    }

    fn keys(&mut self, batch: &mut Batch) -> Result<Keys, LoadError> {
        let symbol = self.symbols(batch)?;
        let window = &self.context.window;
        let range = parquet::days_since_epoch(window.first)..=parquet::days_since_epoch(window.last);
        let days = parquet::as_days(batch.required("date")?).map_err(|source| batch.unreadable(source))?;
        let in_time = days.null_count() == 0 && days.values().iter().all(|day| range.contains(day));
        if in_time && !symbol.contains(&LEFT_OUT) {
            return Ok(Keys { date: days.into_parts().1.into(), symbol, rows: None, undated: 0 });
        }
        let wanted = |&row: &u32| {
            let row = row as usize;
            days.is_valid(row) && range.contains(&days.value(row)) && symbol[row] != LEFT_OUT
        };
        let rows: Vec<u32> = (0..batch.rows as u32).filter(wanted).collect();
        Ok(Keys {
            date: rows.iter().map(|&row| days.value(row as usize)).collect(),
            symbol: rows.iter().map(|&row| symbol[row as usize]).collect(),
            rows: Some(rows),
            undated: days.null_count(),
        })
    }

    /// Ids of the symbols of a batch, row by row.
    fn symbols(&mut self, batch: &mut Batch) -> Result<Vec<u32>, LoadError> {
        let column = match (batch.take("symbol"), &self.origin.symbol) {
            (Some(column), _) => column,
            (None, Some(symbol)) => return Ok(vec![self.context.names().id(Some(symbol)); batch.rows]),
            (None, None) => batch.required("symbol")?,
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
        let id = |key: usize| ids.get(key).copied().unwrap_or(LEFT_OUT);
        let keys = dictionary.keys();
        Ok(match keys.null_count() {
            0 => keys.values().iter().map(|&key| id(key as usize)).collect(),
            _ => keys.iter().map(|key| key.map_or(LEFT_OUT, |key| id(key as usize))).collect(),
        })
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

    /// A column by name, without regard to case.
    fn take(&mut self, name: &str) -> Option<ArrayRef> {
        self.columns
            .iter_mut()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .and_then(|(_, c)| c.take())
    }

    fn required(&mut self, name: &str) -> Result<ArrayRef, LoadError> {
        self.take(name).ok_or_else(|| LoadError::NoColumn {
            place: self.origin.place.clone(),
            column: name.to_owned(),
            found: names_of(self.columns.iter().map(|(name, _)| name.as_str())),
        })
    }

    /// The wanted rows of a numeric column; a missing value is NaN.
    fn doubles(&self, column: ArrayRef, keys: &Keys) -> Result<Vec<f64>, LoadError> {
        let values = parquet::as_doubles(column).map_err(|source| self.unreadable(source))?;
        let number = |row: usize| if values.is_valid(row) { values.value(row) } else { f64::NAN };
        Ok(match &keys.rows {
            None if values.null_count() == 0 => values.into_parts().1.into(),
            None => (0..values.len()).map(number).collect(),
            Some(rows) => rows.iter().map(|&row| number(row as usize)).collect(),
        })
    }

    /// The same of a column that may be missing as a whole; then it is empty.
    fn optional(&mut self, name: &str, keys: &Keys) -> Result<Vec<f64>, LoadError> {
        self.take(name).map_or_else(|| Ok(Vec::new()), |column| self.doubles(column, keys))
    }

    fn unreadable(&self, source: ArrowError) -> LoadError {
        LoadError::Unreadable { place: self.origin.place.clone(), source }
    }
}

/// Names in a list for a message.
pub(super) fn names_of<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

/// The columns of a price table that are read.
pub(super) fn price_columns(wanted: PriceColumns) -> Vec<String> {
    let mut columns = vec!["date", "symbol", "open", "close"];
    columns.extend(ADJUSTED_CLOSE);
    if wanted.high_low {
        columns.extend(["high", "low"]);
    }
    if wanted.volume {
        columns.push("volume");
    }
    if wanted.exchange {
        columns.push("exchange");
    }
    columns.into_iter().map(str::to_owned).collect()
}

/// Price rows of one batch.
pub(super) struct PricePiece {
    rows: PriceDays,
    undated: usize,
    /// Rows with a close and no adjusted one, though there is such a column.
    unadjusted: usize,
    /// Whether splits and dividends were put into the prices.
    adjusted: bool,
    /// The last exchange of each symbol that has one; `None` without such a column.
    exchange: Option<HashMap<u32, String>>,
}

/// The function that makes pieces of the batches of one file.
pub(super) fn price_pieces(
    context: Context,
    origin: Arc<Origin>,
    wanted: PriceColumns,
) -> impl FnMut(RecordBatch) -> Result<PricePiece, LoadError> + Send + 'static {
    let mut maker = Maker::new(context, origin);
    move |batch| {
        let mut batch = Batch::new(batch, &maker.origin);
        let keys = maker.keys(&mut batch)?;
        let mut chunk = PriceChunk::default();
        let open = batch.required("open")?;
        chunk.open = batch.doubles(open, &keys)?;
        let close = batch.required("close")?;
        chunk.close = batch.doubles(close, &keys)?;
        if wanted.high_low {
            chunk.high = batch.optional("high", &keys)?;
            chunk.low = batch.optional("low", &keys)?;
        }
        if wanted.volume {
            chunk.volume = batch.optional("volume", &keys)?;
        }
        let adjusted = ADJUSTED_CLOSE.iter().find_map(|name| batch.take(name));
        let adjusted = adjusted.map(|column| batch.doubles(column, &keys)).transpose()?;
        let unadjusted = adjusted.as_ref().map_or(0, |adjusted| adjust(&mut chunk, adjusted));
        let exchange = batch.take("exchange").map(|column| exchanges(&batch, &column, &keys)).transpose()?;
        (chunk.date, chunk.symbol) = (keys.date, keys.symbol);
        Ok(PricePiece {
            rows: chunk.into(),
            undated: keys.undated,
            unadjusted,
            adjusted: adjusted.is_some(),
            exchange,
        })
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
    undated: usize,
    unadjusted: usize,
    pub(super) adjusted: bool,
}

impl PriceCollector {
    pub(super) fn push(&mut self, piece: PricePiece) {
        self.rows.chunks.push(piece.rows);
        self.adjusted |= piece.adjusted;
        self.undated += piece.undated;
        self.unadjusted += piece.unadjusted;
        if let Some(exchange) = piece.exchange {
            self.exchange.get_or_insert_default().extend(exchange);
        }
    }

    pub(super) fn finish(self, context: Context) -> PriceRows {
        let symbols = context.into_names();
        let exchange =
            self.exchange.map(|mut known| (0..symbols.len() as u32).map(|id| known.remove(&id)).collect());
        let faults = [
            (self.undated, "price rows have no date that can be read; they are left out"),
            (self.unadjusted, "price rows have no adjusted close; their prices stay as they are"),
        ];
        let warnings = faults.into_iter().filter(|&(count, _)| count > 0);
        let warnings = warnings.map(|(count, what)| format!("{count} {what}")).collect();
        PriceRows { symbols, exchange: exchange.unwrap_or_default(), warnings, ..self.rows }
    }
}

/// Signal rows of one batch.
pub(super) struct SignalPiece {
    date: Vec<i32>,
    symbol: Vec<u32>,
    columns: Vec<(String, Vec<f64>)>,
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
            let named =
                wanted.as_ref().is_none_or(|all| all.iter().any(|one| one.eq_ignore_ascii_case(&name)));
            if named && (parquet::is_numeric(column.data_type()) || maker.origin.text) {
                columns.push((name, batch.doubles(column, &keys)?));
            }
        }
        Ok(SignalPiece { date: keys.date, symbol: keys.symbol, columns })
    }
}

/// Puts the pieces of a signal table together.
#[derive(Default)]
pub(super) struct SignalCollector {
    rows: SignalRows,
}

impl SignalCollector {
    pub(super) fn push(&mut self, piece: SignalPiece) {
        let before = self.rows.date.len();
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

    pub(super) fn finish(self, context: Context) -> SignalRows {
        SignalRows { symbols: context.into_names(), ..self.rows }
    }
}
