//! What several tests need.

pub(crate) mod azurite;
pub(crate) mod postgres;
pub(crate) mod proxy;
pub(crate) mod service;
pub(crate) mod tables;
pub(crate) mod toy;
