//! What several tests need.

pub(crate) mod app;
pub(crate) mod azurite;
pub(crate) mod browser;
pub(crate) mod html;
pub(crate) mod http_proxy;
pub(crate) mod pg_proxy;
pub(crate) mod pgbouncer;
pub(crate) mod postgres;
pub(crate) mod relay;
pub(crate) mod service;
pub(crate) mod signals;
pub(crate) mod studies;
pub(crate) mod submission;
pub(crate) mod tables;
pub(crate) mod toy;
