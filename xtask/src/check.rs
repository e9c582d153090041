//! `cargo xtask test`: all that must hold, in the order that fails soonest.
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use outrigger_tests::clock;

use crate::{demo, fuzz, image, previous, run, setup};

/// How often a soak repeats the namespace tests and the demonstration.
const SOAK_ROUNDS: u32 = 10;
/// Cases per property in a soak; proptest's default is 256.
const SOAK_CASES: &str = "10000";

/// Services of the cluster tests in a soak.
const SOAK_SERVICES: &str = "5000";

type Step = (&'static str, fn() -> Result<()>);

const STEPS: [Step; 8] = [
    ("format", || run::show(&mut run::cargo(["fmt", "--all", "--check"]))),
    ("set-up", setup::all),
    ("guests", || setup::guests().map(drop)),
    ("clippy", clippy),
    // The daemon too, which `cargo test` alone does not build: component, namespace and cluster tests run it.
    ("build", || {
        run::show(&mut run::cargo(["build", "--release", "--workspace", "--bins", "--tests"]))
    }),
    ("image", image::of_what_is_built),
    ("tests", || tests(&mut run::cargo(["test", "--release", "--workspace"]))),
    ("deny", deny),
];

const SOAK: [Step; 5] = [
    ("properties", || {
        tests(
            run::cargo(["test", "--release", "--workspace", "--lib"])
                .env("PROPTEST_CASES", SOAK_CASES),
        )
    }),
    ("namespaces", || {
        (0..SOAK_ROUNDS).try_for_each(|_| {
            tests(&mut run::cargo([
                "test",
                "--release",
                "--workspace",
                "--test",
                "netns",
                "--test",
                "bgp",
                "--",
                "--include-ignored",
            ]))
        })
    }),
    ("clusters", || {
        tests(
            run::cargo(["test", "--release", "--workspace", "--test", "cluster"])
                .env("OUTRIGGER_TEST_SERVICES", SOAK_SERVICES)
                .env("OUTRIGGER_PREVIOUS", previous::build()?),
        )
    }),
    ("fuzz", fuzz::an_hour_each),
    ("demonstrations", || (0..SOAK_ROUNDS).try_for_each(|_| demo::in_a_process_of_its_own())),
];

/// Runs every step and says how long each took.
pub fn test(soak: bool) -> Result<()> {
    let mut times = Vec::new();
    let steps = STEPS.iter().chain(SOAK.iter().filter(|_| soak));
    for (name, step) in steps {
        println!("\n== {name}");
        let start = clock::now();
        let result = step();
        let time = clock::since(start);
        times.push((*name, time));
        if result.is_err() {
            summary(&times, "FAILED");
        }
        result.with_context(|| format!("step {name} failed"))?;
    }
    summary(&times, "ok");
    Ok(())
}

fn summary(times: &[(&str, Duration)], last: &str) {
    println!();
    for (number, (name, time)) in times.iter().enumerate() {
        let outcome = if number + 1 == times.len() { last } else { "ok" };
        println!("{name:16} {outcome:8} {}", run::readable(*time));
    }
    println!("{:16} {:8} {}", "all", "", run::readable(times.iter().map(|(_, time)| *time).sum()));
}

fn clippy() -> Result<()> {
    run::show(&mut run::cargo([
        "clippy",
        "--release",
        "--workspace",
        "--all-targets",
        "--",
        "--deny",
        "warnings",
    ]))
}

fn tests(command: &mut Command) -> Result<()> {
    run::show(command)
}

/// Licences, sources and bans need nothing from outside; advisories need their database.
fn deny() -> Result<()> {
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
