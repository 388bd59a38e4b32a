//! The groups of the database that migrations make and grant to. Logins are members of them (`roles`); a login that may
//! not is told which one it should be a member of (`pg`).

/// May submit, list, cancel and execute runs, and read signals.
pub const API: &str = "backtest_api";

/// May execute runs that were submitted, and read signals.
pub const EXECUTOR: &str = "backtest_executor";

/// May write signals, and nothing else.
pub const SIGNAL_SYNC: &str = "ranking_sync";

/// Every group that migrations grant to.
pub const ALL: [&str; 3] = [API, EXECUTOR, SIGNAL_SYNC];
