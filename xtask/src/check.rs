//! `cargo xtask check`: what needs neither root nor the daemon, for a change that is being written.
use std::process::Command;

use anyhow::Result;

use crate::{run, setup};

mod features;

/// All of it, in the order that fails soonest.
pub fn check() -> Result<()> {
    format()?;
    dependencies()?;
    clippy()?;
    documentation()
}

/// rustfmt, in both workspaces.
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

/// Clippy, with warnings denied.
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

/// rustdoc, with warnings denied.
pub fn documentation() -> Result<()> {
    run::show(
        run::cargo(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "--deny warnings"),
    )
}

/// Licences, sources and bans of dependencies, which need nothing from outside; advisories, which need their database; features.
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
            "advisories are SKIPPED: their database (github.com/rustsec/advisory-db) cannot be had from here"
        );
        Ok(())
    }
}
