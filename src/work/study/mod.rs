//! Studies: many trials of one config, and how far the best of them can be believed. Read from top to bottom: what is
//! asked for (`config`), its trials and parts (`trials`), what a part computes (`evaluate`) and leaves (`tables`), the
//! parts as one (`join`), and what is said of the whole (`judge`, `validate`, `report`; `complete` calls them). Nothing here waits or stores;
//! how parts reach instances is the run store's business.

pub mod complete;
pub mod config;
pub mod evaluate;
pub mod figures;
pub mod join;
pub mod judge;
pub mod report;
pub mod surface;
pub mod tables;
pub mod trials;
pub mod validate;
mod values;

pub use self::config::Study;
