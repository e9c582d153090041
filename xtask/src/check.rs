//! `cargo xtask check`: all checks that need neither root nor the daemon, for use while a change is being written.
use std::process::Command;

use anyhow::Result;

use crate::{run, setup, tidy};

mod features;

/// Runs every check, ordered so that failures appear early.
pub fn check() -> Result<()> {
    format()?;
    tidy::tidy()?;
    dependencies()?;
    clippy()?;
    documentation()
}

/// Runs rustfmt in both workspaces.
pub fn format() -> Result<()> {
    run::show(&mut run::cargo(["fmt", "--all", "--check"]))?;
    run::show(&mut run::cargo([
        "fmt",
        "--all",
        "--check",
        "--manifest-path",
        "tests/guests/Cargo.toml",
    ]))
}

/// Runs Clippy with warnings denied.
pub fn clippy() -> Result<()> {
    run::show(&mut run::cargo([
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "--deny",
        "warnings",
    ]))
}

/// Runs rustdoc with warnings denied.
pub fn documentation() -> Result<()> {
    run::show(
        run::cargo(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "--deny warnings"),
    )
}

/// Checks licences, sources and bans of dependencies, which need nothing from outside; advisories, which need their database;
/// and features.
pub fn dependencies() -> Result<()> {
    features::are_one_set()?;
    let deny = setup::cargo_deny()?;
    let check = |what: &[&str]| {
        let mut command = Command::new(&deny);
        command
            .current_dir(outrigger_tests::product::root())
            .args(["--workspace", "check"])
            .args(what);
        command
    };
    run::show(&mut check(&["licenses", "bans", "sources"]))?;
    let mut fetch = Command::new(&deny);
    fetch.current_dir(outrigger_tests::product::root()).args(["fetch", "db"]);
    if run::succeeds(&mut fetch) {
        run::show(&mut check(&["advisories"]))
    } else {
        println!(
            "advisories are SKIPPED: their database (github.com/rustsec/advisory-db) is not reachable"
        );
        Ok(())
    }
}
