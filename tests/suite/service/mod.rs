//! The service over HTTP, and those who call it.

/// The HTTP API as its document tells it.
mod api;
/// Clients that generators make of the document.
mod clients;
/// Runs side by side.
mod compare;
/// What strangers send us, as fuzzing kept it.
mod fuzz;
/// The custom handler over real HTTP, in both calling modes.
mod handler;
/// What a service counts and measures.
mod telemetry;
