//! Everything around the service that is not the service: checking the infrastructure, packing a release, provisioning
//! an environment. It drives `az` and `backtests` as child processes; a secret never becomes an argument of either.

pub mod azure;
pub mod bicep;
pub mod catalogue;
pub mod crosscheck;
pub mod dropped;
pub mod environment;
pub mod existing;
pub mod files;
pub mod firewall;
pub mod gate;
pub mod handover;
pub mod package;
pub mod provision;
pub mod rotate;
pub mod settings;
pub mod smoke;
pub mod snapshot;
pub mod state;
