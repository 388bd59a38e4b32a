//! Pages and reports as people see them.

/// The pages of the service in a real browser, as people use them.
mod pages;
/// The page that a run leaves behind, also in a browser where there is one.
mod report;
