//! Access keys of the local host: made once, and kept in the state folder in a file that only its owner may read. Who
//! needs which key is decided in `http`.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::app::{App, Trigger};

/// The keys of one host. `Debug` shows none of them.
#[derive(Clone, Serialize, Deserialize)]
pub struct Keys {
    master: String,
    host: String,
    functions: BTreeMap<String, String>,
}

impl Keys {
    /// Reads the keys; makes those that are missing. The second value tells whether there were any.
    pub fn load(file: &Path, app: &App) -> io::Result<(Keys, bool)> {
        let known = match std::fs::read_to_string(file) {
            Ok(text) => Some(serde_json::from_str::<Keys>(&text)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let mut made = known.is_none();
        let mut keys =
            known.unwrap_or_else(|| Keys { master: fresh(), host: fresh(), functions: BTreeMap::new() });
        for function in
            app.functions.iter().filter(|function| matches!(function.trigger, Trigger::Http { .. }))
        {
            keys.functions.entry(function.name.clone()).or_insert_with(|| {
                made = true;
                fresh()
            });
        }
        if made {
            let mut new = tempfile::NamedTempFile::new_in(file.parent().unwrap_or(Path::new(".")))?;
            serde_json::to_writer_pretty(&mut new, &keys)?;
            new.persist(file).map_err(|error| error.error)?;
        }
        Ok((keys, made))
    }

    /// Whether the key opens an ordinary function: its own, the host's or the master's.
    pub fn opens_function(&self, function: &str, key: &str) -> bool {
        self.is_master(key) || key == self.host || self.functions.get(function).is_some_and(|own| own == key)
    }

    /// Whether this is the master key.
    pub fn is_master(&self, key: &str) -> bool {
        key == self.master
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys")
    }
}

fn fresh() -> String {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}
