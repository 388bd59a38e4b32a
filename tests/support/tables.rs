//! Tables for tests: Parquet files as columns, columns as the rows an engine takes, and keyed tables that can be
//! compared cell by cell within tolerances.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::Path;

use backtest_functions::engine::market::{PriceChunk, PriceRows, SignalRows};
use deltalake::arrow::array::{Array, AsArray, RecordBatch};
use deltalake::arrow::compute::{cast, concat_batches};
use deltalake::arrow::datatypes::{DataType, Date32Type, Float64Type};
use deltalake::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// A Parquet file as one batch.
pub(crate) fn read_parquet(path: &Path) -> RecordBatch {
    let file = File::open(path).unwrap_or_else(|e| panic!("open {}: {e}", path.display()));
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let schema = builder.schema().clone();
    let batches: Vec<_> = builder.build().unwrap().map(Result::unwrap).collect();
    concat_batches(&schema, &batches).unwrap()
}

fn column(batch: &RecordBatch, name: &str, as_type: &DataType) -> Option<std::sync::Arc<dyn Array>> {
    let schema = batch.schema();
    let index = schema.fields().iter().position(|field| field.name().eq_ignore_ascii_case(name))?;
    Some(cast(batch.column(index), as_type).unwrap())
}

/// A numeric column, NaN where it is null. `None` if there is none of that name, whatever its case.
pub(crate) fn numbers(batch: &RecordBatch, name: &str) -> Option<Vec<f64>> {
    let column = column(batch, name, &DataType::Float64)?;
    Some(column.as_primitive::<Float64Type>().iter().map(|x| x.unwrap_or(f64::NAN)).collect())
}

/// A text column, empty where it is null.
pub(crate) fn texts(batch: &RecordBatch, name: &str) -> Option<Vec<String>> {
    let column = column(batch, name, &DataType::Utf8)?;
    Some(column.as_string::<i32>().iter().map(|x| x.unwrap_or_default().to_owned()).collect())
}

/// A date column, as days since 1970-01-01.
pub(crate) fn days(batch: &RecordBatch, name: &str) -> Option<Vec<i32>> {
    let column = column(batch, name, &DataType::Date32)?;
    Some(column.as_primitive::<Date32Type>().iter().map(Option::unwrap).collect())
}

/// Numbers symbols in the order in which they appear.
fn ids(names: &[String]) -> (Vec<String>, Vec<u32>) {
    let mut known: HashMap<&str, u32> = HashMap::new();
    let mut symbols = Vec::new();
    let ids = names.iter().map(|name| {
        *known.entry(name).or_insert_with(|| {
            symbols.push(name.clone());
            symbols.len() as u32 - 1
        })
    });
    let ids = ids.collect();
    (symbols, ids)
}

/// Price rows of a Parquet file.
pub(crate) fn price_rows(path: &Path) -> PriceRows {
    let batch = read_parquet(path);
    let (symbols, symbol) = ids(&texts(&batch, "symbol").unwrap());
    let optional = |name| numbers(&batch, name).unwrap_or_default();
    let rows = PriceChunk {
        date: days(&batch, "date").unwrap(),
        symbol,
        open: numbers(&batch, "open").unwrap(),
        high: optional("high"),
        low: optional("low"),
        close: numbers(&batch, "close").unwrap(),
        volume: optional("volume"),
        ..PriceChunk::default()
    };
    PriceRows { symbols, chunks: vec![rows.into()], ..PriceRows::default() }
}

/// Signal rows of a Parquet file: every column but date and symbol.
pub(crate) fn signal_rows(path: &Path) -> SignalRows {
    let batch = read_parquet(path);
    let (symbols, symbol) = ids(&texts(&batch, "symbol").unwrap());
    let schema = batch.schema();
    let names = schema.fields().iter().map(|field| field.name());
    let is_key = |name: &str| ["date", "symbol"].iter().any(|key| name.eq_ignore_ascii_case(key));
    let columns =
        names.filter(|name| !is_key(name)).map(|name| (name.clone(), numbers(&batch, name).unwrap()));
    SignalRows {
        symbols,
        date: days(&batch, "date").unwrap(),
        symbol,
        columns: columns.collect(),
        ..SignalRows::default()
    }
}

/// Rows of numbers by key. A missing number is NaN.
#[derive(Debug, Clone, Default)]
pub(crate) struct Keyed {
    /// Names of the columns, the same for each row.
    pub(crate) columns: Vec<&'static str>,
    /// Rows by key.
    pub(crate) rows: BTreeMap<Vec<String>, Vec<f64>>,
}

/// How far two numbers may be apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tolerance {
    /// Against 1, and against the larger magnitude.
    pub(crate) relative: f64,
    /// Against 0.
    pub(crate) absolute: f64,
    /// Money is measured against at least this much.
    pub(crate) money: f64,
}

/// Columns in units of money.
const MONEY: [&str; 9] = [
    "portfolio_value",
    "cash",
    "cash_after",
    "notional",
    "commission",
    "slippage_cost",
    "final_equity",
    "commission_sum",
    "slippage_cost_sum",
];

impl Tolerance {
    /// Whether two numbers of a column agree; missing agrees with missing.
    pub(crate) fn agree(&self, column: &str, a: f64, b: f64) -> bool {
        if a.is_nan() || b.is_nan() {
            return a.is_nan() && b.is_nan();
        }
        let least = if MONEY.contains(&column) { self.money } else { 1.0 };
        (a - b).abs() <= self.absolute + self.relative * a.abs().max(b.abs()).max(least)
    }
}

impl Keyed {
    /// An empty table with these columns.
    pub(crate) fn new(columns: &[&'static str]) -> Self {
        Self { columns: columns.to_vec(), rows: BTreeMap::new() }
    }

    /// The rows of a Parquet file; dates in keys are written `YYYY-MM-DD`.
    pub(crate) fn read(path: &Path, keys: &[&str], columns: &[&'static str]) -> Self {
        let batch = read_parquet(path);
        let keys: Vec<Vec<String>> = keys.iter().map(|key| texts(&batch, key).unwrap()).collect();
        let cells: Vec<Vec<f64>> = columns.iter().map(|name| numbers(&batch, name).unwrap()).collect();
        let mut table = Self::new(columns);
        for row in 0..batch.num_rows() {
            let key = keys.iter().map(|key| key[row].clone()).collect();
            table.push(key, cells.iter().map(|column| column[row]).collect());
        }
        table
    }

    /// Adds a row, whose key must be new.
    pub(crate) fn push(&mut self, key: Vec<String>, row: Vec<f64>) {
        assert_eq!(row.len(), self.columns.len());
        let description = format!("two rows {key:?}");
        assert!(self.rows.insert(key, row).is_none(), "{description}");
    }

    /// The rows whose first key is before `day`; all of them without one.
    pub(crate) fn before(&self, day: Option<&str>) -> Self {
        let mut rows = self.rows.clone();
        rows.retain(|key, _| day.is_none_or(|day| key[0].as_str() < day));
        Self { columns: self.columns.clone(), rows }
    }

    /// The first difference, in the order of the keys.
    pub(crate) fn difference(&self, got: &Self, tolerance: Tolerance) -> Option<String> {
        assert_eq!(self.columns, got.columns);
        let mut keys: Vec<_> = self.rows.keys().chain(got.rows.keys()).collect();
        keys.sort();
        keys.dedup();
        for key in keys {
            let (want, have) = match (self.rows.get(key), got.rows.get(key)) {
                (Some(want), Some(have)) => (want, have),
                (Some(want), None) => return Some(format!("{key:?}: missing, expected {want:?}")),
                (None, have) => return Some(format!("{key:?}: not expected, got {have:?}")),
            };
            for ((column, &want), &have) in self.columns.iter().zip(want).zip(have) {
                if !tolerance.agree(column, want, have) {
                    return Some(format!("{key:?} {column}: expected {want}, got {have}"));
                }
            }
        }
        None
    }
}
