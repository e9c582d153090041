//! `cargo xtask test`: runs every test, ordered so that failures appear early, or one group.
use anyhow::{Context, Result};
use clap::Args;
use outrigger_tests::clock;

use crate::{check, image, run, setup, tidy};

mod groups;
mod lane;
mod soak;
mod summary;

use groups::Group;
use summary::Summary;

/// Arguments of `cargo xtask test`.
#[derive(Debug, Args)]
pub struct TestArgs {
    /// Run only this group (default: all groups and the checks of `cargo xtask check`).
    group: Option<Group>,
    /// Run only trials of the group with this text in their name.
    name: Option<String>,
    /// Repeat what depends on chance: properties with many cases, namespace tests and demonstration many times; 5,000 Services;
    /// and the upgrade from the previous version, built from its own source.
    #[arg(long, conflicts_with = "group")]
    soak: bool,
}

/// Runs the tests and prints how long each part took.
pub fn test(what: &TestArgs) -> Result<()> {
    match what.group {
        Some(group) => alone(group, what.name.as_deref()),
        None => all(what.soak),
    }
}

/// Runs one group, after its prerequisites.
fn alone(group: Group, name: Option<&str>) -> Result<()> {
    group.needs()?;
    let mut summary = Summary::default();
    let run = lane::run(&[group], name, lane::Output::Plain);
    summary.add(run);
    summary.print()
}

type Step = (&'static str, &'static str, fn() -> Result<()>);

/// Steps, each with its usual time on two processors when nothing is built or installed yet.
const STEPS: [Step; 10] = [
    ("format", "seconds", check::format),
    ("house rules", "a second", tidy::tidy),
    ("set-up", "it prints its own estimate", setup::all),
    ("dependencies", "seconds", check::dependencies),
    ("daemon", "6 to 15 minutes", run::build_outrigger),
    ("image", "seconds", image::of_what_is_built),
    ("guests", "a minute or two", || setup::guests().map(drop)),
    ("tests", "4 to 8 minutes", groups::build),
    ("clippy", "2 to 5 minutes", check::clippy),
    ("documentation", "a minute", check::documentation),
];

fn all(soak: bool) -> Result<()> {
    let mut summary = Summary::default();
    for (number, (name, takes, step)) in STEPS.iter().enumerate() {
        run::phase(&format!("{}/{}", number + 1, STEPS.len() + 1), name, takes);
        let start = clock::now();
        let result = step();
        summary.step(name, clock::since(start), result.is_ok());
        if result.is_err() {
            summary.print().ok();
        }
        result.with_context(|| format!("step {name} failed"))?;
    }
    run::phase(&format!("{0}/{0}", STEPS.len() + 1), "trials", "15 minutes");
    lane::side_by_side(&mut summary);
    if soak && summary.is_well() {
        soak::soak(&mut summary);
    }
    summary.print()
}
