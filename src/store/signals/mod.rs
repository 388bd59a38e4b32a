//! Ranking signals where they are kept: Delta tables below the lake root, which are canonical, and the tables of
//! Postgres from which they are served. Each side says what it holds of each month in digests, so that there is no need
//! to read rows in order to know that nothing changed.

pub mod copy;
pub mod factors;
pub mod lake;
mod monthly;
pub mod postgres;
pub mod writer;

macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!("../sql/postgres/", $name, ".sql"))
    };
}
use sql;
