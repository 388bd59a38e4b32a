//! Everything that remembers: runs, the lake, artifacts. The only floor that speaks to files, databases and the
//! network; it knows what is stored, not what it is for.

pub mod artifacts;
pub mod blob;
pub mod changes;
mod columns;
pub mod contents;
pub mod dates;
pub mod delta;
pub mod difference;
mod dsn;
pub mod files;
pub mod groups;
pub mod identity;
pub mod import;
pub mod kept;
pub mod kept_for_minutes;
pub mod load_error;
pub mod migrations;
pub mod numbers;
pub mod parquet;
pub mod pg;
pub mod prices;
pub mod provenance;
pub mod psql;
pub mod published;
pub mod queue;
pub mod restated;
pub mod roles;
mod rows;
pub mod runs;
pub mod sample;
pub mod signals;
mod text;
pub mod versions;
pub mod webhook;
mod without_hint;
