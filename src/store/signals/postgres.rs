//! The half of Postgres.
