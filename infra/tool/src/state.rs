//! What is known of an environment between two commands: the outputs of its deployment, kept where azd keeps its own
//! (`.azure/<environment>/.env`), so that either finds what the other made. Nothing in it is secret.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::azure::{Failure, Server};

/// The facts of one environment.
#[derive(Debug, Clone, Default)]
pub struct State {
    path: PathBuf,
    values: BTreeMap<String, String>,
}

impl State {
    /// Reads what is known; nothing is an empty state.
    pub fn load(root: &Path, environment: &str) -> Self {
        let path = root.join(".azure").join(environment).join(".env");
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let values = text
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.trim().to_owned(), value.trim().trim_matches('"').to_owned()))
            .collect();
        Self { path, values }
    }

    /// A fact: from the process's environment, else from the file.
    pub fn get(&self, name: &str) -> Option<String> {
        let set = std::env::var(name).ok().filter(|value| !value.is_empty());
        set.or_else(|| self.values.get(name).cloned()).filter(|value| !value.is_empty())
    }

    /// A fact that a command cannot do without.
    pub fn require(&self, name: &str) -> Result<String, Failure> {
        self.get(name).ok_or_else(|| {
            Failure::new(format!(
                "{name} is not known; run `cargo infra provision` first, or set the variable"
            ))
        })
    }

    /// The database of the environment.
    pub fn server(&self) -> Result<Server, Failure> {
        Ok(Server { host: self.require("POSTGRES_HOST")?, database: self.require("POSTGRES_DATABASE")? })
    }

    /// Learns facts and writes them down.
    pub fn learn(&mut self, facts: impl IntoIterator<Item = (String, String)>) -> Result<(), Failure> {
        self.values.extend(facts);
        let text: String = self.values.iter().map(|(name, value)| format!("{name}=\"{value}\"\n")).collect();
        let write = || {
            if let Some(folder) = self.path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            std::fs::write(&self.path, text)
        };
        write().map_err(|error| Failure::new(format!("write {}: {error}", self.path.display())))
    }
}
