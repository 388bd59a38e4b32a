//! Why prices or signals could not be loaded. Who reads them, and from where, is told in `prices` and `rows`.

use chrono::NaiveDate;
use deltalake::arrow::error::ArrowError;

use super::dates::DateError;
use super::delta::TableError;
use super::parquet::{ReadError, may_pass};
use super::pg::PgError;
use crate::engine::config::Fault;

/// Data could not be loaded.
#[expect(missing_docs, reason = "the text of an error says what its fields are")]
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The config must not read this.
    #[error("{0}")]
    Refused(Fault),
    /// There is nothing at the place.
    #[error("{field}: there is no table or file at {place}")]
    Missing {
        /// Path of the config field.
        field: &'static str,
        /// Where it was looked for.
        place: String,
    },
    /// The files of a table, as if they were all there is to know of it.
    #[error(
        "{place} is a Delta table in a folder that is none; name the tables as …/{{symbol}}, or one of them"
    )]
    TableInFolder {
        /// The table.
        place: String,
    },
    /// A file with a table for each of several symbols beside each other.
    #[error("{place} has several symbols beside each other; `backtests lake import` makes rows of them")]
    SymbolsInHeader {
        /// The file.
        place: String,
    },
    /// A column is missing.
    #[error("{place} has no column '{column}'; it has {found}")]
    NoColumn {
        /// Where it was looked for.
        place: String,
        column: String,
        /// The columns that are there.
        found: String,
    },
    /// A text stands where a number must be.
    #[error("{place}: {cell} is not a number")]
    NoNumber {
        /// The table or file.
        place: String,
        /// Where it stands, and what it is.
        cell: String,
    },
    /// A column cannot be read as dates.
    #[error("{place}")]
    Dates {
        /// The table or file.
        place: String,
        #[source]
        source: DateError,
    },
    /// None of the rows has a date.
    #[error(
        "{place}: no date of its {rows} rows can be read ({example}); data.date_format says whether the month or the day comes first"
    )]
    NoDate {
        /// The table or file.
        place: String,
        /// Rows that were looked at.
        rows: usize,
        example: String,
    },
    /// A price that nothing can have traded at.
    #[error(
        "{place}: {bar} cannot be; correct the table, or leave such bars out with data.on_impossible_price: skip"
    )]
    Impossible {
        /// The table or file.
        place: String,
        /// Symbol, date and what is wrong.
        bar: String,
    },
    /// There is no signal to decide by.
    #[error(
        "{place} has no row of the universe between {first} and {last}; `backtests sync` brings it up to date"
    )]
    NoSignals {
        /// The table.
        place: &'static str,
        /// First day asked for.
        first: NaiveDate,
        /// Last day asked for.
        last: NaiveDate,
    },
    /// A file is not what it says.
    #[error("read {place}")]
    Unreadable {
        /// The file.
        place: String,
        #[source]
        source: ArrowError,
    },
    /// The local file system did not answer.
    #[error("open {place}")]
    Open {
        /// The file.
        place: String,
        #[source]
        source: std::io::Error,
    },
    /// A file became another one while it was read.
    #[error("{place} was changed while it was read; try again when it is not being written")]
    Changed {
        /// The file.
        place: String,
    },
    /// What was read before is not there any more.
    #[error("{place} does not have what was read before: {why}")]
    Gone {
        /// The table or file.
        place: String,
        /// What there is instead.
        why: String,
    },
    /// Storage did not answer, or not with a file.
    #[error("look into {place}")]
    Storage {
        place: String,
        #[source]
        source: object_store::Error,
    },
    /// The Delta log could not be read.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A data file could not be read.
    #[error(transparent)]
    File(#[from] ReadError),
    /// Postgres did not give its signals.
    #[error("read signals")]
    Served(#[from] PgError),
}

impl LoadError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Table(error) => error.is_retryable(),
            Self::File(error) => error.is_retryable(),
            Self::Open { source, .. } => !is_nothing(source),
            Self::Storage { source, .. } => may_pass(source),
            Self::Served(error) => error.is_retryable(),
            Self::Changed { .. } => true,
            _ => false,
        }
    }

    /// Whether a version is asked for that cannot be read any more, or lost files of it.
    pub fn is_gone(&self) -> bool {
        match self {
            Self::Gone { .. } | Self::Table(TableError::Gone { .. }) => true,
            Self::File(error) => error.is_gone(),
            _ => false,
        }
    }
}

/// Whether there is nothing at a path.
pub(super) fn is_nothing(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}
