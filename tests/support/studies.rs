//! Stored figures of studies: small ones travel with the project, long series lie beside it in `../shared`. Their
//! absence is an error only where CI says that they must be there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::tables::{numbers, read_parquet};

fn home() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A file that travels with the project.
pub(crate) fn committed(name: &str) -> PathBuf {
    home().join("tests/golden/studies").join(name)
}

/// A file beside the project. `None`, said in one line, if it is not there and need not be.
pub(crate) fn beside(name: &str) -> Option<PathBuf> {
    let path = home().join("../shared/golden/studies").join(name);
    if path.is_file() {
        return Some(path);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{} is missing", path.display());
    println!("skipped: {} is not there", path.display());
    None
}

/// A document.
pub(crate) fn json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("read {}: {e}", path.display()));
    serde_json::from_str(&text).unwrap()
}

/// The numeric columns of a CSV or Parquet file, by name.
pub(crate) fn columns(path: &Path) -> BTreeMap<String, Vec<f64>> {
    if path.extension().is_some_and(|extension| extension == "parquet") {
        let batch = read_parquet(path);
        let schema = batch.schema();
        let fields = schema.fields().iter().filter(|field| field.data_type().is_numeric());
        return fields.map(|field| (field.name().clone(), numbers(&batch, field.name()).unwrap())).collect();
    }
    let mut reader = csv::Reader::from_path(path).unwrap();
    let names: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    let mut columns: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for row in reader.records() {
        for (name, cell) in names.iter().zip(&row.unwrap()) {
            if let Ok(number) = cell.parse() {
                columns.entry(name.clone()).or_default().push(number);
            }
        }
    }
    columns
}

/// Adjusted prices of five symbols, day by day: the number of symbols, opens and closes, NaN where there are none.
pub(crate) fn market() -> Option<(usize, Vec<f64>, Vec<f64>)> {
    let path = home().join("examples/data/wiki5_ohlcv_daily.parquet");
    let batch = read_parquet(&path);
    let (dates, symbols) = (super::tables::days(&batch, "date")?, super::tables::texts(&batch, "symbol")?);
    let of = |name| numbers(&batch, name);
    let (open, close, adjusted) = (of("open")?, of("close")?, of("adj_close")?);
    let index =
        |values: std::collections::BTreeSet<_>| values.into_iter().zip(0..).collect::<BTreeMap<_, usize>>();
    let days: BTreeMap<i32, usize> =
        dates.iter().copied().collect::<std::collections::BTreeSet<_>>().into_iter().zip(0..).collect();
    let columns: BTreeMap<String, usize> = index(symbols.iter().cloned().collect());
    let mut tables = [vec![f64::NAN; days.len() * columns.len()], vec![f64::NAN; days.len() * columns.len()]];
    for row in 0..dates.len() {
        let cell = days[&dates[row]] * columns.len() + columns[&symbols[row]];
        tables[0][cell] = open[row] * adjusted[row] / close[row];
        tables[1][cell] = adjusted[row];
    }
    let [open, close] = tables;
    Some((columns.len(), open, close))
}
