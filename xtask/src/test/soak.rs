//! Soak tests, which take hours: repeats of what depends on chance, full sizes, the upgrade from the previous version, fuzzing.
use anyhow::Result;
use outrigger_tests::clock;

use super::summary::Summary;
use crate::{demo, fuzz, previous, run};

/// Number of repetitions of the namespace tests and the demonstration.
const ROUNDS: u32 = 10;
/// Cases per property; proptest's default is 256.
const CASES: &str = "10000";
/// Number of Services in the cluster tests.
const SERVICES: &str = "5000";

type Step = (&'static str, fn() -> Result<()>);

const STEPS: [Step; 6] = [
    ("properties", || {
        run::show(run::cargo(["test", "--workspace", "--lib"]).env("PROPTEST_CASES", CASES))
    }),
    ("simulation", || {
        let tests = ["test", "--release", "--package", "outrigger-core", "--lib", "simulation"];
        let sizes = [
            ("OUTRIGGER_SCHEDULES", "10000"),
            ("OUTRIGGER_ADDRESSES", "10000"),
            ("OUTRIGGER_ROLLED", "100"),
        ];
        run::show(run::cargo(tests).envs(sizes).args(["--", "--nocapture"]))
    }),
    ("namespaces", || {
        let tests = ["test", "--package", "outrigger-tests", "--test", "netns", "--test", "bgp"];
        (0..ROUNDS).try_for_each(|_| {
            let mut cargo = run::cargo(tests);
            run::show(cargo.env("OUTRIGGER_SOAK", "1").args(["--", "--include-ignored"]))
        })
    }),
    ("clusters", || {
        run::show(
            run::cargo([
                "test",
                "--package",
                "outrigger-tests",
                "--test",
                "cluster",
                "--test",
                "apiserver",
            ])
            .env("OUTRIGGER_TEST_SERVICES", SERVICES)
            .env("OUTRIGGER_PREVIOUS", previous::build()?),
        )
    }),
    ("fuzz", fuzz::an_hour_each),
    ("demonstrations", || (0..ROUNDS).try_for_each(|_| demo::in_a_process_of_its_own())),
];

/// Runs all soak steps; the first failure ends the run.
pub fn soak(summary: &mut Summary) {
    for (name, step) in STEPS {
        println!("\n== soak: {name}");
        let start = clock::now();
        let result = step();
        summary.step(name, clock::since(start), result.is_ok());
        if let Err(error) = result {
            eprintln!("soak: {name} failed: {error:#}");
            return;
        }
    }
}
