//! Names as indices: a column of texts has few distinct ones.

use std::collections::HashMap;

use deltalake::arrow::array::{ArrayRef, AsArray as _};
use deltalake::arrow::compute::cast;
use deltalake::arrow::datatypes::{DataType, Int32Type};
use deltalake::arrow::error::ArrowError;

/// Gives each distinct name an index.
#[derive(Default)]
pub(super) struct Names {
    /// Each once, in the order in which they came.
    pub(super) names: Vec<String>,
    ids: HashMap<String, u32>,
}

impl Names {
    /// The index of a name.
    pub(super) fn id(&mut self, name: &str) -> u32 {
        match self.ids.get(name) {
            Some(&id) => id,
            None => {
                let id = self.names.len() as u32;
                self.names.push(name.to_owned());
                self.ids.insert(name.to_owned(), id);
                id
            }
        }
    }

    /// Indices of a column of texts; a dictionary is looked up once per distinct name.
    pub(super) fn of(&mut self, column: &ArrayRef) -> Result<Vec<Option<u32>>, ArrowError> {
        if let Some(dictionary) = column.as_dictionary_opt::<Int32Type>() {
            let texts = cast(dictionary.values(), &DataType::Utf8)?;
            let ids: Vec<Option<u32>> =
                texts.as_string::<i32>().iter().map(|name| name.map(|name| self.id(name))).collect();
            return Ok(dictionary.keys_iter().map(|key| key.and_then(|key| *ids.get(key)?)).collect());
        }
        let texts = cast(column, &DataType::Utf8)?;
        Ok(texts.as_string::<i32>().iter().map(|name| name.map(|name| self.id(name))).collect())
    }
}
