//! `cargo xtask fuzz`: runs libFuzzer on the targets in `fuzz/`. The compiler's coverage counters are enabled by flag name,
//! which works on stable Rust; an address sanitizer would not, and nothing in these crates is unsafe. Findings stay in the
//! target folder for a person to look at: crashes under `artifacts`, new coverage under `corpus`.
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Args;
use outrigger_tests::product;

use crate::{run, setup};

/// Instrumentation that libFuzzer needs to guide its inputs: edge counters, a table of edges, and the operands of comparisons.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing";

/// Targets, each with the length of its longest input: a session's input is a script, of which every octet may cost a turn of
/// the plugin.
const TARGETS: [(&str, u32); 4] =
    [("open", 4096), ("update", 4096), ("bfd", 1024), ("session", 512)];

/// Longest time for an input in seconds, after which it counts as a hang; below, the largest memory in MiB, above which it
/// counts as an attack.
const LONGEST: u32 = 5;
const LARGEST: u32 = 512;

#[derive(Debug, Args)]
pub struct FuzzArgs {
    /// Run each target for this number of seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Run only these targets: open, update, bfd, session (default: all).
    targets: Vec<String>,
}

pub fn fuzz(what: &FuzzArgs) -> Result<()> {
    let names = TARGETS.map(|(name, _)| name);
    for target in &what.targets {
        ensure!(
            names.contains(&target.as_str()),
            "unknown target {target}: the targets are {}",
            names.join(", ")
        );
    }
    setup::compiler_for_fuzzer()?;
    let program = build()?;
    let named = |name: &str| what.targets.is_empty() || what.targets.iter().any(|it| it == name);
    let mut targets = TARGETS.into_iter().filter(|(name, _)| named(name));
    targets.try_for_each(|(target, longest)| explore(&program, target, longest, what.seconds))
}

/// Runs every target for an hour, as a soak does.
pub fn an_hour_each() -> Result<()> {
    fuzz(&FuzzArgs { seconds: 3600, targets: Vec::new() })
}

fn folder() -> Result<PathBuf> {
    Ok(product::target()?.join("fuzz"))
}

fn build() -> Result<PathBuf> {
    let target = folder()?;
    // With a named target, so that build scripts and macros are built without counters.
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    run::show(
        run::cargo(["build", "--release", "--target", triple.as_str()])
            .current_dir(product::root().join("fuzz"))
            .env("CARGO_TARGET_DIR", &target)
            .env("RUSTFLAGS", COVERAGE),
    )?;
    Ok(target.join(triple).join("release/outrigger-fuzz"))
}

fn explore(program: &Path, target: &str, longest: u32, seconds: u32) -> Result<()> {
    let found = folder()?.join("corpus").join(target);
    let artifacts = folder()?.join("artifacts");
    for folder in [&found, &artifacts] {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
    }
    run::show(
        Command::new(program)
            .env("OUTRIGGER_FUZZ_TARGET", target)
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-timeout={LONGEST}"))
            .arg(format!("-rss_limit_mb={LARGEST}"))
            .arg(format!("-artifact_prefix={}/{target}-", artifacts.display()))
            .arg(format!("-max_len={longest}"))
            .args(["-print_final_stats=1", "-verbosity=0"])
            .arg(&found)
            .arg(product::root().join("fuzz/corpus").join(target)),
    )
    .with_context(|| format!("the input is in {}", artifacts.display()))
}
