//! Tests the speaker against the differential oracle as native code: every input is answered as its RFC demands, and none makes
//! it panic, hang, or break the next session. FRR, BIRD and the daemon itself are tested the same way in namespaces.
#![forbid(unsafe_code)]
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use outrigger_tests::bgp::oracle::{Answer, Case, Prober, ROUTE, Received, Wire, cases, generated};

#[path = "../vectors/bgp_host.rs"]
mod bgp_host;

use bgp_host::{Host, THEM, US};

/// Seed of the thousand cases that are the same every time.
const SEED: u64 = 0x0b67_0179;

struct Native {
    host: Host,
    /// True if the last UPDATE left the route in place, to a reader that imports.
    route: bool,
}

impl Wire for Native {
    fn connect(&mut self) -> Result<()> {
        self.host.hang_up();
        self.host.connect();
        self.route = false;
        Ok(())
    }

    fn connect_second(&mut self) -> Result<()> {
        self.host.connect();
        Ok(())
    }

    fn send(&mut self, octets: &[u8]) -> Result<()> {
        ensure!(self.host.is_open(), "the connection is closed");
        if octets.get(18) == Some(&2) {
            self.route = Host::announces(octets, ROUTE);
        }
        self.host.deliver(octets);
        Ok(())
    }

    fn receive(&mut self, patience: Duration) -> Result<Received> {
        let mut left = u64::try_from(patience.as_micros())?;
        // Time passes only when nothing else can happen, and never more than a second at once.
        while self.host.written.is_empty() && self.host.is_open() && left > 0 {
            let step = left.min(1_000_000);
            self.host.pass(step);
            left -= step;
        }
        Ok(match self.host.written.pop_front() {
            Some(message) => Received::Message(message),
            None if self.host.is_open() => Received::Silence,
            None => Received::Closed,
        })
    }

    fn route(&mut self) -> Result<Option<bool>> {
        Ok(Some(self.route))
    }
}

fn prober() -> Prober<Native> {
    Prober::new(Native { host: Host::new(), route: false }, US, THEM)
}

/// Runs all cases, and reports all that were answered otherwise.
fn check(cases: &[Case]) {
    let mut prober = prober();
    let mut wrong = Vec::new();
    for case in cases {
        match prober.ask(case) {
            Ok(answer) if case.allows(&answer) => {}
            Ok(answer) => {
                let allowed: Vec<String> = case.answers.iter().map(ToString::to_string).collect();
                let (allowed, clause) = (allowed.join(" or "), &case.clause);
                wrong.push(format!("{}: {answer}, not {allowed} ({clause})", case.name));
            }
            Err(error) => wrong.push(format!("{}: {error:#}", case.name)),
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn every_input_of_the_table_is_answered_as_its_clause_demands() {
    let cases = cases().expect("the table can be read");
    assert!(cases.len() >= 51, "{} cases", cases.len());
    check(&cases);
}

#[test]
fn a_thousand_generated_inputs_are_answered_as_their_clauses_demand() {
    check(&generated(SEED, 1000));
}

#[test]
fn the_first_answer_of_each_case_is_ours() {
    for mut case in cases().expect("the table can be read") {
        case.answers.truncate(1);
        check(&[case]);
    }
}

#[test]
fn the_same_seed_gives_the_same_inputs_and_another_others() {
    assert_eq!(generated(7, 50), generated(7, 50));
    assert_ne!(generated(7, 50), generated(8, 50));
    let names: std::collections::BTreeSet<String> = generated(SEED, 1000)
        .iter()
        .map(|case| format!("{:?} {:?} {}", case.at, case.answers, case.clause))
        .collect();
    assert!(names.len() > 60, "{} kinds", names.len());
}

#[test]
fn a_session_that_ended_badly_does_not_spoil_the_next() {
    let mut prober = prober();
    let table = cases().expect("the table can be read");
    let well = &table[0];
    for case in &table {
        prober.ask(case).with_context(|| case.name.clone()).expect("an answer");
        let answer = prober.ask(well).expect("an answer");
        assert_eq!(answer, Answer::Up(Some(true)), "after {}", case.name);
    }
}
