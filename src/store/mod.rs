//! Everything that remembers: runs, the lake, artifacts. The only floor that speaks to files, databases and the
//! network; it knows what is stored, not what it is for.

pub mod artifacts;
pub mod blob;
pub mod delta;
pub mod identity;
pub mod lake;
pub mod migrations;
pub mod parquet;
pub mod pg;
pub mod prices;
pub mod psql;
pub mod published;
pub mod roles;
mod rows;
pub mod runs;
pub mod signals;
