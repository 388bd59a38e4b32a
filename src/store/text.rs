//! Text files of tables: how they are compressed, separated and headed. Every column comes as text; what a column means
//! and what a text is worth is decided elsewhere.

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read};
use std::path::Path;
use std::sync::Arc;

use deltalake::arrow::array::RecordBatch;
use deltalake::arrow::csv;
use deltalake::arrow::csv::reader::{BufReader as Batches, Format};
use deltalake::arrow::datatypes::{DataType, Field, Schema};
use deltalake::arrow::error::ArrowError;
use flate2::read::MultiGzDecoder;

use super::columns;
use super::dates;
use super::load_error::LoadError;
use super::numbers;

/// Ends of the names of text files; each may have `.gz` behind it.
const ENDS: [&str; 3] = ["csv", "txt", "tsv"];

/// What may separate two cells, the usual one first.
const SEPARATORS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// Rows of a batch: the columns that are wanted of as many rows lie in the cache.
const BATCH_ROWS: usize = 8 * 1024;

/// Whether a file with this name is a text file of a table.
pub(super) fn is_text(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    name.rsplit_once('.').is_some_and(|(_, end)| ENDS.contains(&end))
}

/// What the header says of one column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) name: String,
    /// Whose values it has, where a second line of the header says so.
    pub(super) symbol: Option<String>,
}

/// A text file whose header was read.
pub(super) struct Text {
    place: String,
    reader: Box<dyn BufRead + Send>,
    /// Its columns, in their order.
    pub(super) heads: Vec<Head>,
    /// What separates its cells.
    pub(super) separator: u8,
    /// Lines of its header.
    pub(super) header_lines: usize,
}

/// Opens a text file of this machine. Without a separator its header tells which one it has.
pub(super) fn open(path: &Path, separator: Option<u8>) -> Result<Text, LoadError> {
    let place = path.display().to_string();
    let file = File::open(path).map_err(|source| LoadError::Open { place: place.clone(), source })?;
    read(place, file, separator)
}

/// Begins to read a text file whose name is the end of `place`.
pub(super) fn read(
    place: String,
    file: impl Read + Send + 'static,
    separator: Option<u8>,
) -> Result<Text, LoadError> {
    let packed = place.to_ascii_lowercase().ends_with(".gz");
    let reader: Box<dyn BufRead + Send> = if packed {
        Box::new(BufReader::new(MultiGzDecoder::new(file)))
    } else {
        Box::new(BufReader::new(file))
    };
    head(place.clone(), reader, separator).map_err(|source| LoadError::Open { place, source })
}

/// Reads the lines that may be a header, and puts back those that are needed again.
fn head(place: String, mut reader: Box<dyn BufRead + Send>, separator: Option<u8>) -> std::io::Result<Text> {
    let mut lines: Vec<String> = Vec::new();
    while lines.len() < 3
        && let Some(line) = logical_line(&mut reader)?
    {
        lines.push(line);
    }
    if let Some(first) = lines.first_mut() {
        *first = first.trim_start_matches('\u{feff}').to_owned();
    }
    let first = lines.first().map_or("", String::as_str);
    let separator = separator.unwrap_or_else(|| separator_of(first));
    let rows: Vec<Vec<String>> = lines.iter().map(|line| cells(line, separator)).collect();
    let (heads, header_lines) = heads(&rows);
    // The last line of the header is passed over by the reader of the rows.
    let again: String = lines[(header_lines - 1).min(lines.len())..].concat();
    let reader = Box::new(Cursor::new(again.into_bytes()).chain(reader));
    Ok(Text { place, reader, heads, separator, header_lines })
}

/// A line with its end; one whose quotes are open goes on.
fn logical_line(reader: &mut dyn BufRead) -> std::io::Result<Option<String>> {
    let mut line = String::new();
    while reader.read_line(&mut line)? > 0 && line.matches('"').count() % 2 == 1 {}
    Ok(Some(line).filter(|line| !line.is_empty()))
}

/// What separates the cells of a header: whatever stands in it most often outside of quotes.
fn separator_of(header: &str) -> u8 {
    let mut quoted = false;
    let mut counts = [0_usize; SEPARATORS.len()];
    for byte in header.bytes() {
        quoted ^= byte == b'"';
        if let (false, Some(at)) = (quoted, SEPARATORS.iter().position(|known| *known == byte)) {
            counts[at] += 1;
        }
    }
    // The first of several equal ones.
    let most = (0..SEPARATORS.len()).rev().max_by_key(|&at| counts[at]).unwrap_or_default();
    SEPARATORS[most]
}

/// The cells of a line without the blanks around them.
fn cells(line: &str, separator: u8) -> Vec<String> {
    let mut reader = ::csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(separator)
        .from_reader(line.as_bytes());
    let record = reader.records().next().and_then(Result::ok).unwrap_or_default();
    record.iter().map(|cell| cell.trim().to_owned()).collect()
}

/// The columns, and how many lines say what they are. Tables of several symbols beside each other, as yfinance writes
/// them, have a line of fields, a line of symbols (in either order) and often one that only names the dates.
fn heads(lines: &[Vec<String>]) -> (Vec<Head>, usize) {
    let plain = |names: &[String]| -> Vec<Head> {
        names.iter().map(|name| Head { name: name.clone(), symbol: None }).collect()
    };
    let [first, second, rest @ ..] = lines else {
        return (lines.first().map_or_else(Vec::new, |names| plain(names)), 1);
    };
    let names_fields = |line: &[String]| line.iter().skip(1).any(|cell| columns::means(cell, "close"));
    let is_name = |cell: &String| {
        cell.chars().any(char::is_alphabetic)
            && numbers::parse(cell).is_err()
            && dates::day_of_text(cell, None).is_none()
    };
    let names =
        |line: &[String]| line.len() == first.len() && line.len() > 1 && line[1..].iter().all(is_name);
    let (fields, symbols) = match (names_fields(first), names_fields(second)) {
        (true, false) if names(second) => (first, second),
        (false, true) if names(first) && names(second) => (second, first),
        _ => return (plain(first), 1),
    };
    let only_dates = rest.first().is_some_and(|line| {
        line.iter().skip(1).all(String::is_empty)
            && line.first().is_some_and(|cell| columns::means(cell, "date"))
    });
    let mut heads = vec![Head { name: "date".to_owned(), symbol: None }];
    let pairs = fields.iter().zip(symbols).skip(1);
    heads.extend(pairs.map(|(field, symbol)| Head { name: field.clone(), symbol: Some(symbol.clone()) }));
    (heads, if only_dates { 3 } else { 2 })
}

impl Text {
    /// The rows, every column as text; only these columns, if some are named.
    pub(super) fn batches(
        self,
        columns: Option<Vec<usize>>,
    ) -> Result<impl Iterator<Item = Result<RecordBatch, LoadError>>, LoadError> {
        let Self { place, reader, heads, separator, .. } = self;
        let field = |head: Head| Field::new(head.name, DataType::Utf8, true);
        let schema = Arc::new(Schema::new(heads.into_iter().map(field).collect::<Vec<_>>()));
        let format = Format::default().with_header(true).with_delimiter(separator);
        let mut builder = csv::ReaderBuilder::new(schema).with_format(format).with_batch_size(BATCH_ROWS);
        if let Some(columns) = columns {
            builder = builder.with_projection(columns);
        }
        let fault = move |source: ArrowError| LoadError::Unreadable { place: place.clone(), source };
        let batches: Batches<_> = builder.build_buffered(reader).map_err(&fault)?;
        Ok(batches.map(move |batch| batch.map_err(&fault)))
    }
}
