//! Backtest Functions: the map in code. Modules stand in reading order, floor by floor; a module uses only
//! modules of the floors below it. `ARCHITECTURE.md` tells the same with three requests followed end to end.
//!
//! | floor | modules | what lives there |
//! | --- | --- | --- |
//! | 0 | [`engine`], [`run`], [`signal`], [`clock`], [`digest`], [`ncrontab`], [`statistics`], [`telemetry`] | arithmetic, protocol, names of what is measured: no files, no network, no waiting |
//! | 1 | [`store`] | everything that remembers |
//! | 2 | [`work`] | the verbs of the service: submit, execute, reconcile, schedules, sync |
//! | 3 | [`functions`] | the doors as the Functions host sees them |
//! | 4 | [`cli`] | the commands of the one program |
//! | – | [`devhost`] | a local Functions host, which shares nothing with the rest but [`ncrontab`] |

pub mod clock;
pub mod digest;
pub mod engine;
pub mod ncrontab;
pub mod run;
pub mod signal;
pub mod statistics;
pub mod telemetry;

pub mod store;

pub mod work;

pub mod functions;

pub mod cli;

pub mod devhost;
