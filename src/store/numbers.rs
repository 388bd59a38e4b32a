//! The one parser of numbers that stand in tables as texts, and of columns of numbers. What a missing value means, and
//! which numbers are possible, is the caller's.

use std::sync::Arc;

use deltalake::arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use deltalake::arrow::compute::cast;
use deltalake::arrow::datatypes::{DataType, Float64Type, Int32Type};
use deltalake::arrow::error::ArrowError;

/// A column as numbers.
#[derive(Debug)]
pub struct Numbers {
    /// Null where there is no value, or none that is a number.
    pub values: Float64Array,
    /// Cells that hold something, and no number: their row in the column, and what stands there.
    pub unreadable: Vec<(usize, String)>,
}

/// A text that holds something, and no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a number")]
pub struct NotANumber;

/// A text as a number: `Ok(None)` if it says that there is no value.
///
/// # Errors
/// If it says something else.
pub fn parse(text: &str) -> Result<Option<f64>, NotANumber> {
    let text = text.trim();
    match text.as_bytes() {
        [] => return Ok(None),
        // A number begins and goes on with these; words such as `inf` are left to the next arm.
        [b'0'..=b'9' | b'+' | b'-' | b'.', rest @ ..]
            if rest.iter().all(|byte| byte.is_ascii_digit() || b".eE+-".contains(byte)) =>
        {
            return text.parse().map(Some).map_err(|_| NotANumber);
        }
        _ => {}
    }
    let no_value = ["nan", "null", "na"].iter().any(|word| text.eq_ignore_ascii_case(word));
    if no_value { Ok(None) } else { Err(NotANumber) }
}

/// How numbers are spelled in a text where that is not as programs do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spelling {
    /// What stands between groups of digits.
    pub thousands: Option<char>,
    /// What stands before the fraction.
    pub decimal: char,
}

impl Default for Spelling {
    fn default() -> Self {
        Self { thousands: None, decimal: '.' }
    }
}

impl Spelling {
    /// As [`parse`], of a text that is spelled like this. A separator of thousands has two or three digits between
    /// itself and the next one, as in `12,34,567`, and three behind the last.
    ///
    /// # Errors
    /// If the text says neither a number nor that there is none.
    pub fn parse(self, text: &str) -> Result<Option<f64>, NotANumber> {
        if self == Self::default() {
            return parse(text);
        }
        let text = text.trim();
        let (whole, fraction) = text.split_once(self.decimal).unwrap_or((text, ""));
        let mut plain = String::with_capacity(text.len());
        match self.thousands {
            Some(mark) if whole.contains(mark) => {
                let (groups, unsigned) = (whole.split(mark), whole.trim_start_matches(['+', '-']));
                let widths: Vec<usize> = unsigned.split(mark).map(str::len).collect();
                let [first, middle @ .., last] = widths.as_slice() else { return Err(NotANumber) };
                if !(1..=3).contains(first)
                    || *last != 3
                    || middle.iter().any(|width| !(2..=3).contains(width))
                {
                    return Err(NotANumber);
                }
                plain.extend(groups);
            }
            _ => plain.push_str(whole),
        }
        // A point that is not the mark of the fraction is none.
        if self.decimal != '.' && (plain.contains('.') || fraction.contains('.')) {
            return Err(NotANumber);
        }
        if text.contains(self.decimal) {
            plain.push('.');
            plain.push_str(fraction);
        }
        parse(&plain)
    }
}

/// A column as numbers; one of numbers is handed on without a copy.
pub fn read(column: ArrayRef) -> Result<Numbers, ArrowError> {
    read_as(column, &parse)
}

/// As [`read`], with texts read by `parse`.
pub fn read_as(
    column: ArrayRef,
    parse: &dyn Fn(&str) -> Result<Option<f64>, NotANumber>,
) -> Result<Numbers, ArrowError> {
    match column.data_type() {
        DataType::Dictionary(key, _) if **key == DataType::Int32 => {
            let dictionary = column.as_dictionary::<Int32Type>();
            let known = read_as(Arc::clone(dictionary.values()), parse)?;
            let value =
                |key: i32| known.values.is_valid(key as usize).then(|| known.values.value(key as usize));
            let values = dictionary.keys().iter().map(|key| key.and_then(value)).collect();
            let unreadable = match known.unreadable.is_empty() {
                true => Vec::new(),
                false => {
                    let bad: std::collections::HashMap<usize, String> =
                        known.unreadable.into_iter().collect();
                    let cells = dictionary.keys().iter().enumerate();
                    cells.filter_map(|(row, key)| Some((row, bad.get(&(key? as usize))?.clone()))).collect()
                }
            };
            Ok(Numbers { values, unreadable })
        }
        DataType::Dictionary(_, values) => read_as(cast(&column, values)?, parse),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            let texts = cast(&column, &DataType::Utf8)?;
            let mut unreadable = Vec::new();
            let number = |(row, text): (usize, Option<&str>)| {
                parse(text?).unwrap_or_else(|NotANumber| {
                    unreadable.push((row, text.unwrap_or_default().trim().to_owned()));
                    None
                })
            };
            let values = texts.as_string::<i32>().iter().enumerate().map(number).collect();
            Ok(Numbers { values, unreadable })
        }
        _ => Ok(Numbers { values: owned(column)?, unreadable: Vec::new() }),
    }
}

/// A column as numbers; null where there is none.
pub fn doubles(column: ArrayRef) -> Result<Float64Array, ArrowError> {
    Ok(read(column)?.values)
}

/// Drops the reference it is given, so that numbers that need no cast have one owner and can become a vector as they are.
fn owned(column: ArrayRef) -> Result<Float64Array, ArrowError> {
    let doubles =
        if column.data_type() == &DataType::Float64 { column } else { cast(&column, &DataType::Float64)? };
    Ok(doubles.as_primitive::<Float64Type>().clone())
}
