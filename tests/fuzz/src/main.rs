//! The program that looks for bytes which break something: libFuzzer around one of the targets, which `FUZZ_TARGET` names.
#![no_main]

#[path = "../../support/html.rs"]
mod html;
mod targets;
#[path = "../../support/toy.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod toy;

use std::sync::LazyLock;

/// The target, found once.
static TARGET: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let asked = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let known = targets::TARGETS.iter().find(|(name, _)| *name == asked);
    let (name, target) = known.unwrap_or_else(|| panic!("FUZZ_TARGET is '{asked}', which is not a target"));
    if ["delta_log", "csv", "parquet", "envelope"].contains(name) {
        // A library that panics on a thread of its own is an error there, as in the service. What reaches us ends the process.
        std::panic::set_hook(Box::new(|_| {}));
    }
    *target
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| TARGET(bytes));
