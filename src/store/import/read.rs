//! From the files of an import to its rows: batch by batch under the names and types of the table, with every cell and
//! row counted that does not count. Whether that is refused is decided by the one who asked.

use std::cell::Cell;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use deltalake::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, RecordBatch, StringArray, new_null_array,
};
use deltalake::arrow::compute::{cast, filter_record_batch};
use deltalake::arrow::datatypes::{DataType, Date32Type, Field, Float64Type, Schema};

use super::shape::{self, EVENTS, EXCHANGE, Shape, Symbol};
use super::{Asked, ImportError, Kind, Nonsense};
use crate::engine::config::ImpossiblePrice;
use crate::store::columns::{ADJUSTED_CLOSE, DIVIDEND, SPLIT_FACTOR};
use crate::store::dates;
use crate::store::files::{Found, Keys};
use crate::store::load_error::LoadError;
use crate::store::numbers::{self, NotANumber};
use crate::store::parquet::{self, ParquetFile, Selection};
use crate::store::rows::PriceRow;
use crate::store::text::{self, Text};

/// What was found of an import, beside its rows.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Rows that were read.
    pub(super) rows: usize,
    /// What was told by headers and cells, with the number of files in which it was.
    pub(super) notes: Vec<(String, usize)>,
    /// Rows that cannot be taken, by what is wrong with them.
    pub(super) nonsense: Vec<Nonsense>,
    /// Bars that are left out because they cannot be, where that was asked for.
    pub(super) left_out: Nonsense,
    /// Cells without a value, by column.
    pub(super) no_value: Vec<(String, usize)>,
    /// Rows that the option `only` leaves out.
    pub(super) others: usize,
    /// Cells with a sign of a currency, and volumes in thousands and millions.
    signs: usize,
    units: usize,
}

impl Findings {
    fn note(&mut self, note: String) {
        match self.notes.iter_mut().find(|(known, _)| *known == note) {
            Some((_, files)) => *files += 1,
            None => self.notes.push((note, 1)),
        }
    }

    fn wrong(&mut self, what: &'static str, count: usize, examples: impl IntoIterator<Item = String>) {
        if count == 0 {
            return;
        }
        let kind = match self.nonsense.iter().position(|kind| kind.what == what) {
            Some(at) => &mut self.nonsense[at],
            None => {
                self.nonsense.push(Nonsense { what, ..Nonsense::default() });
                let last = self.nonsense.len() - 1;
                &mut self.nonsense[last]
            }
        };
        kind.add(count, examples);
    }

    fn empty(&mut self, column: &str, count: usize) {
        if count == 0 {
            return;
        }
        match self.no_value.iter_mut().find(|(known, _)| known == column) {
            Some((_, cells)) => *cells += count,
            None => self.no_value.push((column.to_owned(), count)),
        }
    }

    /// Everything that is to be said in the end, one line each.
    pub(super) fn lines(&self, files: usize) -> Vec<String> {
        let mut lines = Vec::new();
        for (note, count) in &self.notes {
            lines.push(match (*count, files) {
                (_, 1) => note.clone(),
                (count, files) if count == files => format!("{note} (in each of the {files} files)"),
                (count, files) => format!("{note} (in {count} of {files} files)"),
            });
        }
        if self.signs > 0 {
            lines.push(format!("{} cells have the sign of a currency, which is passed over", self.signs));
        }
        if self.units > 0 {
            lines.push(format!("{} volumes are in thousands, millions or billions (K, M, B)", self.units));
        }
        if self.others > 0 {
            lines.push(format!("{} rows are left out by --only", self.others));
        }
        if self.left_out.count > 0 {
            lines.push(format!(
                "{} bars cannot be and are left out ({})",
                self.left_out.count,
                self.left_out.shown()
            ));
        }
        if !self.no_value.is_empty() {
            let cells = self.no_value.iter().map(|(name, count)| format!("{name} {count}"));
            lines.push(format!("cells without a value: {}", cells.collect::<Vec<_>>().join(", ")));
        }
        lines
    }
}

/// One file of an import.
struct Reading<'a> {
    asked: &'a Asked,
    /// Its name, for messages.
    name: String,
    shape: Shape,
    /// Number of its first row: the line of a text file.
    first: usize,
    /// Columns of signals that turned out to hold no numbers.
    texts: BTreeSet<String>,
    /// Rows of the batches before.
    rows: usize,
}

/// The rows of a file, and what was found.
pub(super) async fn read(
    file: &Found,
    asked: &Asked,
    findings: &mut Findings,
    on_rows: &mut (dyn FnMut(usize) + Send),
) -> Result<Vec<RecordBatch>, ImportError> {
    let name = file.name();
    let keys = shape::sorted(&file.keys);
    let mut batches = Vec::new();
    let shape;
    if file.is_text() {
        let text = file.text(asked.separator).await?;
        shape = Shape::of(&name, &text.heads, &keys, asked)?;
        let mut reading = Reading::new(asked, name, shape, text.header_lines + 1);
        reading.begin(separator(&text), findings);
        for batch in text.batches(None)? {
            let batch = with_keys(&batch?, &keys)?;
            batches.extend(reading.rows_of(&batch, findings)?);
            on_rows(findings.rows);
        }
        reading.end(findings);
    } else {
        // What folders say comes behind the columns of the file.
        let parquet = ParquetFile { constants: Keys::new(), ..file.parquet()? };
        let heads = parquet::columns(&parquet).await?;
        let heads: Vec<_> = heads.into_iter().map(|name| text::Head { name, symbol: None }).collect();
        shape = Shape::of(&name, &heads, &keys, asked)?;
        let mut reading = Reading::new(asked, name, shape, 1);
        reading.begin(None, findings);
        let mut scan = parquet::scan(vec![parquet], Selection::default());
        while let Some(batch) = scan.recv().await {
            let batch = with_keys(&batch?, &keys)?;
            batches.extend(reading.rows_of(&batch, findings)?);
            on_rows(findings.rows);
        }
        reading.end(findings);
    }
    Ok(batches)
}

/// What to say of a separator that is not the usual one.
fn separator(text: &Text) -> Option<String> {
    match text.separator {
        b',' => None,
        b'\t' => Some("cells are separated by tabs".to_owned()),
        other => Some(format!("cells are separated by '{}'", char::from(other))),
    }
}

/// A batch with the columns that folders name behind its own.
fn with_keys(batch: &RecordBatch, keys: &[(&String, &Option<String>)]) -> Result<RecordBatch, ImportError> {
    if keys.is_empty() {
        return Ok(batch.clone());
    }
    let (mut fields, mut columns) = (batch.schema().fields().to_vec(), batch.columns().to_vec());
    for (name, value) in keys {
        let column = parquet::constant(value.as_deref(), batch.num_rows())?;
        fields.push(Arc::new(Field::new(*name, column.data_type().clone(), true)));
        columns.push(column);
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

impl<'a> Reading<'a> {
    fn new(asked: &'a Asked, name: String, shape: Shape, first: usize) -> Self {
        Self { asked, name, shape, first, texts: BTreeSet::new(), rows: 0 }
    }

    fn begin(&mut self, separator: Option<String>, findings: &mut Findings) {
        let mut notes: Vec<String> =
            separator.into_iter().chain(std::mem::take(&mut self.shape.notes)).collect();
        // Symbols beside each other may all have the same to be said.
        let mut seen = HashSet::new();
        notes.retain(|note| seen.insert(note.clone()));
        notes.into_iter().for_each(|note| findings.note(note));
    }

    fn end(self, findings: &mut Findings) {
        if !self.texts.is_empty() {
            let names: Vec<String> = self.texts.into_iter().collect();
            findings.note(format!("columns without numbers are not taken: {}", names.join(", ")));
        }
    }

    /// `bars.csv row 4: open 'x'`
    fn cell(&self, row: usize, column: &str, cell: &str) -> String {
        let cell: String = cell.trim().chars().take(40).collect();
        format!("{} row {}: {column} '{cell}'", self.name, self.first + self.rows + row)
    }

    fn row(&self, row: usize, what: &str) -> String {
        format!("{} row {}: {what}", self.name, self.first + self.rows + row)
    }

    /// The rows of a batch of the file, in a batch for each symbol that has columns of its own.
    fn rows_of(
        &mut self,
        batch: &RecordBatch,
        findings: &mut Findings,
    ) -> Result<Vec<RecordBatch>, ImportError> {
        let dates = dates::read(Arc::clone(batch.column(self.shape.date)), self.asked.dates);
        let dates = dates.map_err(|source| LoadError::Dates { place: self.name.clone(), source })?;
        let undated = dates.days.null_count();
        if undated > 0 {
            let either = [dates::Order::MonthFirst, dates::Order::DayFirst];
            let turned =
                |cell: &str| either.iter().any(|order| dates::day_of_text(cell, Some(*order)).is_some());
            let untold = self.asked.dates.order.is_none();
            let what = match untold && dates.unreadable.iter().any(|(_, cell)| turned(cell)) {
                true => "day first or month first cannot be told; say --date-format DD/MM/YYYY or MM/DD/YYYY",
                false => "no date, or one that is not YYYY-MM-DD",
            };
            let examples = dates.unreadable.iter().map(|(row, cell)| self.cell(*row, "date", cell));
            findings.wrong(what, undated, examples.collect::<Vec<_>>());
        }
        let days: ArrayRef = Arc::new(dates.days);
        let wanted = self.wanted(batch)?;
        let mut made = Vec::new();
        for at in 0..self.shape.groups.len() {
            let rows = self.group(batch, at, &days, wanted.as_ref(), findings)?;
            if rows.num_rows() > 0 {
                made.push(rows);
            }
        }
        let rows = batch.num_rows();
        findings.rows += rows;
        findings.others += wanted.map_or(0, |wanted| rows - wanted.true_count());
        self.rows += rows;
        Ok(made)
    }

    /// Which rows the option `only` takes; `None` takes all.
    fn wanted(&self, batch: &RecordBatch) -> Result<Option<BooleanArray>, ImportError> {
        let mut wanted: Option<Vec<bool>> = None;
        for (at, text) in &self.shape.only {
            let texts = cast(batch.column(*at), &DataType::Utf8)?;
            let texts = texts.as_string::<i32>();
            let wanted = wanted.get_or_insert_with(|| vec![true; batch.num_rows()]);
            for (wanted, cell) in wanted.iter_mut().zip(texts) {
                *wanted &= cell.is_some_and(|cell| cell.trim() == text);
            }
        }
        Ok(wanted.map(BooleanArray::from))
    }

    /// The rows of a batch that have one symbol, or the one of its column.
    fn group(
        &mut self,
        batch: &RecordBatch,
        group: usize,
        days: &ArrayRef,
        wanted: Option<&BooleanArray>,
        findings: &mut Findings,
    ) -> Result<RecordBatch, ImportError> {
        let rows = batch.num_rows();
        let symbols: ArrayRef = match &self.shape.groups[group].symbol {
            Symbol::At(at) => trimmed(batch.column(*at))?,
            Symbol::Is(symbol) => Arc::new(StringArray::from_iter_values(std::iter::repeat_n(symbol, rows))),
        };
        let counts = |row: usize| wanted.is_none_or(|wanted| wanted.value(row));
        let nameless: Vec<usize> = (0..if symbols.null_count() > 0 { rows } else { 0 })
            .filter(|&row| symbols.is_null(row) && counts(row))
            .collect();
        let examples = nameless.iter().take(super::EXAMPLES).map(|&row| self.row(row, "symbol empty"));
        findings.wrong("no symbol", nameless.len(), examples.collect::<Vec<_>>());

        let mut fields =
            vec![Field::new("date", DataType::Date32, true), Field::new("symbol", DataType::Utf8, true)];
        let mut columns = vec![Arc::clone(days), symbols];
        for (name, at) in self.shape.groups[group].columns.clone() {
            let column = batch.column(at);
            if name == EXCHANGE && self.asked.kind == Kind::Bars {
                fields.push(Field::new(name, DataType::Utf8, true));
                columns.push(cast(column, &DataType::Utf8)?);
                continue;
            }
            if self.asked.kind == Kind::Signals && !self.holds_numbers(&name, column)? {
                continue;
            }
            let values = self.numbers(&name, column, &counts, findings)?;
            fields.push(Field::new(name, DataType::Float64, true));
            columns.push(Arc::new(values));
        }
        let mut made = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
        let mut taken = wanted.cloned();
        if self.shape.groups.len() > 1 {
            taken = Some(filled(&made, taken.as_ref()));
        }
        if self.asked.kind == Kind::Bars {
            taken = self.possible(&made, taken, findings);
        }
        if let Some(taken) = taken {
            made = filter_record_batch(&made, &taken)?;
        }
        for (field, column) in made.schema().fields().iter().zip(made.columns()).skip(2) {
            let says_nothing = self.asked.kind == Kind::Bars && EVENTS.contains(&field.name().as_str());
            findings.empty(field.name(), if says_nothing { 0 } else { column.null_count() });
        }
        Ok(made)
    }

    /// A column as numbers, with what vendors write beside them.
    fn numbers(
        &self,
        name: &str,
        column: &ArrayRef,
        counts: &dyn Fn(usize) -> bool,
        findings: &mut Findings,
    ) -> Result<Float64Array, ImportError> {
        let (signs, units) = (Cell::new(0), Cell::new(0));
        let bars = self.asked.kind == Kind::Bars;
        let parse = |text: &str| {
            self.asked.numbers.parse(text).or_else(|error| match name {
                "volume" if bars => self.volume(text, &units),
                _ if bars => self.amount(text, &signs),
                _ => Err(error),
            })
        };
        let found = numbers::read_as(Arc::clone(column), &parse)?;
        findings.signs += signs.get();
        findings.units += units.get();
        let unreadable: Vec<_> = found.unreadable.into_iter().filter(|(row, _)| counts(*row)).collect();
        if let Some((_, first)) = unreadable.first() {
            let what = what_would_read(first, self.asked);
            let examples =
                unreadable.iter().take(super::EXAMPLES).map(|(row, cell)| self.cell(*row, name, cell));
            findings.wrong(what, unreadable.len(), examples.collect::<Vec<_>>());
        }
        Ok(found.values)
    }

    /// `$1.50`
    fn amount(&self, text: &str, signs: &Cell<usize>) -> Result<Option<f64>, NotANumber> {
        let amount = text.trim().strip_prefix(['$', '€', '£', '¥', '₹']).ok_or(NotANumber)?;
        let amount = self.asked.numbers.parse(amount)?.ok_or(NotANumber)?;
        signs.set(signs.get() + 1);
        Ok(Some(amount))
    }

    /// `1.2M`; a dash is not a volume.
    fn volume(&self, text: &str, units: &Cell<usize>) -> Result<Option<f64>, NotANumber> {
        let text = text.trim();
        if matches!(text, "-" | "--") {
            return Ok(None);
        }
        let (unit, shares) = match text.char_indices().last() {
            Some((at, 'K' | 'k')) => (1e3, &text[..at]),
            Some((at, 'M' | 'm')) => (1e6, &text[..at]),
            Some((at, 'B' | 'b')) => (1e9, &text[..at]),
            _ => return Err(NotANumber),
        };
        let shares = self.asked.numbers.parse(shares)?.ok_or(NotANumber)?;
        units.set(units.get() + 1);
        // Exact to the share, as the vendor rounded them.
        Ok(Some((shares * unit).round()))
    }

    /// Whether a column of signals holds numbers: its type tells, or the first filled cell of it.
    fn holds_numbers(&mut self, name: &str, column: &ArrayRef) -> Result<bool, ImportError> {
        if self.texts.contains(name) {
            return Ok(false);
        }
        if parquet::is_numeric(column.data_type()) {
            return Ok(true);
        }
        let is_text = match column.data_type() {
            DataType::Dictionary(_, values) => matches!(**values, DataType::Utf8),
            other => matches!(other, DataType::Utf8),
        };
        let first = if is_text { cast(column, &DataType::Utf8)? } else { new_null_array(&DataType::Utf8, 0) };
        let first =
            first.as_string::<i32>().iter().flatten().find(|text| !text.trim().is_empty()).map(str::to_owned);
        let holds = match first {
            Some(text) => self.asked.numbers.parse(&text).is_ok(),
            // Nothing stands in it yet.
            None => is_text,
        };
        // Once a number, always a number: what is none is then refused.
        if !holds && self.rows == 0 {
            self.texts.insert(name.to_owned());
        }
        Ok(holds || self.rows > 0)
    }

    /// Counts bars that nothing can have traded like, and leaves them out if that was asked for.
    fn possible(
        &self,
        bars: &RecordBatch,
        taken: Option<BooleanArray>,
        findings: &mut Findings,
    ) -> Option<BooleanArray> {
        let column = |name: &str| bars.column_by_name(name).map(AsArray::as_primitive::<Float64Type>);
        let [open, high, low, close, adjusted] = ["open", "high", "low", "close", ADJUSTED_CLOSE].map(column);
        let [volume, dividend, split_factor] = ["volume", DIVIDEND, SPLIT_FACTOR].map(column);
        let mut possible: Option<Vec<bool>> = None;
        for row in 0..bars.num_rows() {
            if taken.as_ref().is_some_and(|taken| !taken.value(row)) {
                continue;
            }
            let value = |column: Option<&Float64Array>| match column {
                Some(column) if column.is_valid(row) => column.value(row),
                _ => f64::NAN,
            };
            let numbers = PriceRow {
                open: value(open),
                high: value(high),
                low: value(low),
                close: value(close),
                adjusted_close: value(adjusted),
                volume: value(volume),
                dividend: value(dividend),
                split_factor: value(split_factor),
            };
            let Some(what) = numbers.impossible() else { continue };
            let days = bars.column(0).as_primitive::<Date32Type>();
            let day = if days.is_valid(row) { super::day(days.value(row)) } else { "no date".to_owned() };
            let symbols = bars.column(1).as_string::<i32>();
            let symbol = if symbols.is_valid(row) { symbols.value(row) } else { "no symbol" };
            let bar = self.row(row, &format!("{day} {symbol}: {what}"));
            if self.asked.on_impossible_price == ImpossiblePrice::Refuse {
                findings.wrong(IMPOSSIBLE, 1, [bar]);
            } else {
                findings.left_out.add(1, [bar]);
                possible.get_or_insert_with(|| vec![true; bars.num_rows()])[row] = false;
            }
        }
        match (taken, possible) {
            (taken, None) => taken,
            (None, Some(possible)) => Some(possible.into()),
            (Some(taken), Some(possible)) => Some(
                taken
                    .iter()
                    .zip(possible)
                    .map(|(taken, possible)| taken.map(|taken| taken && possible))
                    .collect(),
            ),
        }
    }
}

/// What is said of bars that nothing can have traded like.
const IMPOSSIBLE: &str = "prices or volumes that cannot be (--on-impossible-price skip leaves them out)";

/// What to say of a text that is not a number.
fn what_would_read(cell: &str, asked: &Asked) -> &'static str {
    let reads = |thousands: Option<char>, decimal: char| {
        let spelling = numbers::Spelling { thousands, decimal };
        spelling != asked.numbers && matches!(spelling.parse(cell.trim_start_matches('$')), Ok(Some(_)))
    };
    match (reads(Some(','), '.'), reads(None, ',') || reads(Some('.'), ',')) {
        (true, true) => "a number that may be two: say --thousands , or --decimal ,",
        (true, false) => "a number that cannot be read; --thousands , reads such",
        (false, true) if cell.contains('.') => {
            "a number that cannot be read; --decimal , --thousands . reads such"
        }
        (false, true) => "a number that cannot be read; --decimal , reads such",
        (false, false) => "a number that cannot be read",
    }
}

/// Symbols without the blanks around them, as configs name them; an empty one is none.
fn trimmed(column: &ArrayRef) -> Result<ArrayRef, ImportError> {
    let texts = cast(column, &DataType::Utf8)?;
    let texts =
        texts.as_string::<i32>().iter().map(|text| text.map(str::trim).filter(|text| !text.is_empty()));
    Ok(Arc::new(texts.collect::<StringArray>()))
}

/// Rows of a symbol in which anything stands: beside others it has a row on each of their days.
fn filled(rows: &RecordBatch, taken: Option<&BooleanArray>) -> BooleanArray {
    let anything = |row: usize| rows.columns().iter().skip(2).any(|column| column.is_valid(row));
    (0..rows.num_rows())
        .map(|row| Some(anything(row) && taken.is_none_or(|taken| taken.value(row))))
        .collect()
}
