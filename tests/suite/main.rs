//! The one test program; its list of modules is the table of contents.
#![cfg(test)]

#[path = "../support/mod.rs"]
mod support;

mod golden;
