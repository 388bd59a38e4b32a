//! How the files of a run are written: named columns once as CSV for people and once as Parquet for programs, values as
//! JSON. The same values give the same bytes. What the columns hold is not known here.

use std::sync::Arc;

use bytes::Bytes;
use chrono::NaiveDate;
use deltalake::arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray,
    StringDictionaryBuilder,
};
use deltalake::arrow::datatypes::Int32Type;
use deltalake::arrow::error::ArrowError;
use deltalake::parquet::arrow::ArrowWriter;
use deltalake::parquet::basic::Compression;
use deltalake::parquet::file::properties::WriterProperties;
use deltalake::parquet::schema::types::ColumnPath;
use serde_json::Value;

use crate::work::facts::FilesError;

/// A file in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// Name below the run's folder; `/` separates folders.
    pub name: String,
    /// Bytes of the file as they are published.
    pub content: Bytes,
}

/// A named column of a table.
pub(in crate::work) type Named<'a> = (&'a str, Column);

/// The values of a column. A missing one is `None`: an empty cell in CSV, null in Parquet.
pub(in crate::work) enum Column {
    Dates(Vec<NaiveDate>),
    Texts(Vec<String>),
    /// Texts of which some are missing.
    Words(Vec<Option<String>>),
    /// Few distinct texts: indices and names.
    Names(Vec<u32>, Vec<String>),
    Numbers(Vec<Option<f64>>),
    Integers(Vec<Option<i64>>),
    Flags(Vec<Option<bool>>),
}

impl Column {
    /// Numbers of which NaN means that there is none.
    pub(in crate::work) fn numbers(values: &[f64]) -> Self {
        Self::Numbers(values.iter().map(|value| Some(*value).filter(|value| !value.is_nan())).collect())
    }

    fn len(&self) -> usize {
        match self {
            Self::Dates(values) => values.len(),
            Self::Texts(values) => values.len(),
            Self::Words(values) => values.len(),
            Self::Names(values, _) => values.len(),
            Self::Numbers(values) => values.len(),
            Self::Integers(values) => values.len(),
            Self::Flags(values) => values.len(),
        }
    }

    /// The text of a cell; nothing for an undefined one.
    fn cell(&self, row: usize) -> String {
        fn text<T: ToString>(value: Option<&T>) -> String {
            value.map(T::to_string).unwrap_or_default()
        }
        match self {
            Self::Dates(values) => values[row].to_string(),
            Self::Texts(values) => inert(&values[row]),
            Self::Words(values) => values[row].as_deref().map(inert).unwrap_or_default(),
            Self::Names(values, names) => inert(&names[values[row] as usize]),
            Self::Numbers(values) => text(values[row].as_ref()),
            Self::Integers(values) => text(values[row].as_ref()),
            Self::Flags(values) => text(values[row].as_ref()),
        }
    }

    fn array(&self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Dates(values) => {
                Arc::new(values.iter().map(|date| Some(date.to_epoch_days())).collect::<Date32Array>())
            }
            Self::Texts(values) => Arc::new(StringArray::from_iter_values(values)),
            Self::Words(values) => Arc::new(StringArray::from_iter(values)),
            Self::Names(values, names) => {
                let mut column = StringDictionaryBuilder::<Int32Type>::new();
                for &value in values {
                    column.append(&names[value as usize])?;
                }
                Arc::new(column.finish())
            }
            Self::Numbers(values) => Arc::new(Float64Array::from(values.clone())),
            Self::Integers(values) => Arc::new(Int64Array::from(values.clone())),
            Self::Flags(values) => Arc::new(BooleanArray::from(values.clone())),
        })
    }
}

/// A text that no spreadsheet takes for a formula: names of runs and symbols come from anywhere, and CSV is what people open.
/// Parquet and JSON have it as it is.
fn inert(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if is_formula { format!("'{text}") } else { text.to_owned() }
}

/// Files that are being made.
#[derive(Default)]
pub(in crate::work) struct Files(pub(in crate::work) Vec<Artifact>);

impl Files {
    fn add(&mut self, name: &str, content: Bytes) {
        self.0.push(Artifact { name: name.to_owned(), content });
    }

    pub(in crate::work) fn text(&mut self, name: &str, text: String) {
        self.add(name, text.into());
    }

    pub(in crate::work) fn json(&mut self, name: &str, value: &Value) -> Result<(), FilesError> {
        self.add(name, pretty(value)?);
        Ok(())
    }

    pub(in crate::work) fn csv(&mut self, name: &str, columns: &[Named<'_>]) -> Result<(), FilesError> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(columns.iter().map(|(name, _)| name))?;
        for row in 0..columns.first().map_or(0, |(_, column)| column.len()) {
            writer.write_record(columns.iter().map(|(_, column)| column.cell(row)))?;
        }
        let content = writer.into_inner().map_err(|error| csv::Error::from(error.into_error()))?;
        self.add(name, content.into());
        Ok(())
    }

    pub(in crate::work) fn parquet(&mut self, name: &str, columns: &[Named<'_>]) -> Result<(), FilesError> {
        let arrays: Result<Vec<_>, ArrowError> =
            columns.iter().map(|(name, column)| Ok((*name, column.array()?, true))).collect();
        let batch = RecordBatch::try_from_iter_with_nullable(arrays?)?;
        let parquet = |source| FilesError::Parquet { name: name.to_owned(), source };
        let mut properties = WriterProperties::builder().set_compression(Compression::SNAPPY);
        // Of measured numbers hardly any comes twice, so that a dictionary only takes time and room.
        for field in batch.schema_ref().fields().iter().filter(|field| field.data_type().is_floating()) {
            let path = ColumnPath::new(vec![field.name().clone()]);
            properties = properties.set_column_dictionary_enabled(path, false);
        }
        let mut content = Vec::new();
        let mut writer =
            ArrowWriter::try_new(&mut content, batch.schema(), Some(properties.build())).map_err(parquet)?;
        writer.write(&batch).map_err(parquet)?;
        writer.close().map_err(parquet)?;
        self.add(name, content.into());
        Ok(())
    }
}

/// Indented JSON with a line break at its end.
pub(in crate::work) fn pretty(value: &Value) -> Result<Bytes, serde_json::Error> {
    let mut text = serde_json::to_vec_pretty(value)?;
    text.push(b'\n');
    Ok(text.into())
}
