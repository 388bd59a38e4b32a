//! What several tests need.

pub(crate) mod postgres;
pub(crate) mod proxy;
pub(crate) mod relay;
pub(crate) mod service;
pub(crate) mod signals;
pub(crate) mod tables;
pub(crate) mod toy;
