//! The one test program; its list of modules is the table of contents.

#[cfg(test)]
mod devhost;
