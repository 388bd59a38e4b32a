//! A checker of Bicep files that needs neither a network nor the compiler: syntax, names, types, modules, secrets and
//! the rules of this house. Values are followed through variables, loops, parameters and modules to where they are
//! written, so that a wrong size in a preset is found in the preset.

pub mod check;
pub mod rules;
pub mod syntax;
pub mod types;
pub(crate) mod values;

use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use syntax::{At, File};
use types::Table;

/// A finding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Diagnostic {
    /// The file, as seen from the project.
    pub path: PathBuf,
    /// Where in it.
    pub at: At,
    /// Short name of the rule.
    pub code: &'static str,
    /// What is wrong, and what may have been meant.
    pub message: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, at) = (self.path.display(), self.at);
        write!(f, "{path}:{}:{}: {}: {}", at.line, at.column, self.code, self.message)
    }
}

/// Files that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file or folder.
    #[error("read {0}")]
    Read(PathBuf, #[source] std::io::Error),
    /// The grammar.
    #[error(transparent)]
    Grammar(#[from] syntax::GrammarError),
    /// The table.
    #[error(transparent)]
    Table(#[from] types::TableError),
}

/// Every Bicep file of a folder, and the table to hold them against.
#[derive(Debug, Clone)]
pub struct Program {
    /// The files, by path.
    pub files: Vec<Arc<File>>,
    pub(crate) table: Arc<Table>,
}

impl Program {
    /// Reads `*.bicep` and `*.bicepparam` below `folder`, a path as seen from `root`.
    pub fn load(root: &Path, folder: &str) -> Result<Self, LoadError> {
        let mut program = Self { files: Vec::new(), table: Arc::new(Table::load()?) };
        for (path, text) in sources(root, folder)? {
            program.files.push(Arc::new(syntax::parse(&path, &text)?));
        }
        Ok(program)
    }

    /// The same with another text in one file.
    pub fn with(&self, path: &Path, text: &str) -> Result<Self, LoadError> {
        let mut program = self.clone();
        let parsed = Arc::new(syntax::parse(path, text)?);
        match program.files.iter_mut().find(|file| file.path == path) {
            Some(file) => *file = parsed,
            None => program.files.push(parsed),
        }
        Ok(program)
    }

    /// The file that `reference`, written in `file`, means.
    pub(crate) fn resolve(&self, file: &Path, reference: &str) -> Option<usize> {
        let mut path = PathBuf::new();
        for part in file.parent()?.join(reference).components() {
            match part {
                Component::ParentDir => {
                    path.pop();
                }
                Component::CurDir => {}
                other => path.push(other),
            }
        }
        self.files.iter().position(|file| file.path == path)
    }
}

/// Paths and texts of the Bicep files below `folder`, in order.
pub fn sources(root: &Path, folder: &str) -> Result<Vec<(PathBuf, String)>, LoadError> {
    let (mut found, mut folders) = (Vec::new(), vec![PathBuf::from(folder)]);
    while let Some(folder) = folders.pop() {
        let full = root.join(&folder);
        let entries = std::fs::read_dir(&full).map_err(|error| LoadError::Read(full.clone(), error))?;
        for entry in entries {
            let entry = entry.map_err(|error| LoadError::Read(full.clone(), error))?;
            let path = folder.join(entry.file_name());
            if entry.path().is_dir() {
                if entry.file_name() != "tool" {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|kind| kind == "bicep" || kind == "bicepparam") {
                let text = std::fs::read_to_string(entry.path())
                    .map_err(|error| LoadError::Read(entry.path(), error))?;
                found.push((path, text));
            }
        }
    }
    found.sort();
    Ok(found)
}
