//! The run protocol, and what runs leave.

/// Blob storage: the client, artifacts, runs as documents, and the service on top of them when storage misbehaves.
mod blob;
/// What is observable after processes, connections and the database failed.
mod failures;
/// Leases between real processes, and what a kill leaves behind.
mod leases;
/// Random commands on a store and on a model of it.
mod model;
/// Order among runs: names, tags, archive, delete, and the address that is told.
mod order;
/// Pieces of published tables, and what they cost.
mod published;
/// Configs that are run whenever their tables have a new day.
mod schedules;
/// The rules of the run protocol, on every store.
mod store;
/// What lost executors leave behind is swept, and nothing else.
mod sweep;
