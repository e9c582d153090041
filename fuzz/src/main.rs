//! Single program for all targets: `outrigger-fuzz` runs the target named by OUTRIGGER_FUZZ_TARGET under libFuzzer.
#![no_main]

use std::sync::LazyLock;

mod targets;

static TARGET: LazyLock<targets::Target> = LazyLock::new(|| {
    let name = std::env::var("OUTRIGGER_FUZZ_TARGET").unwrap_or_default();
    let names: Vec<&str> = targets::TARGETS.iter().map(|(name, _)| *name).collect();
    let found = targets::TARGETS.iter().find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("OUTRIGGER_FUZZ_TARGET={name:?} is none of {names:?}")).1
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| (TARGET)(data));
