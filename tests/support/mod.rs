//! What several tests need.

pub(crate) mod tables;
pub(crate) mod toy;
