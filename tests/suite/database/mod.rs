//! Postgres: schema, logins, connections, plans.

/// How many connections a handler has, and what happens when there are few.
mod connections;
/// The Postgres schema, and how a database is reached.
mod migrations;
/// What Postgres has to do for the run store.
mod plans;
/// Logins and the matrix of grants.
pub(crate) mod roles;
