//! Runs groups one after the other, and lanes of groups in parallel: most groups wait more than they work.
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use outrigger_tests::{clock, times};

use super::groups::Group;
use super::summary::{Ran, Summary};

/// Lanes that run in parallel: cluster tests wait for kubelets, probes and leases, and the groups that wait for timers of
/// routers run beside them.
const LANES: [&[Group]; 2] =
    [&[Group::Cluster], &[Group::Unit, Group::Component, Group::Apiserver, Group::Net, Group::Bgp]];

/// Format of a group's output lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Unchanged.
    Plain,
    /// Prefixed with the name of the group.
    Named,
}

/// Runs every lane in parallel, and adds the results to the summary.
pub fn side_by_side(summary: &mut Summary) {
    let ran = std::thread::scope(|scope| {
        let lanes = LANES.map(|lane| scope.spawn(move || run(lane, None, Output::Named)));
        lanes.map(|lane| lane.join().expect("a lane does not panic"))
    });
    ran.into_iter().for_each(|ran| summary.add(ran));
}

/// Runs all groups one after the other, even after a failure.
pub fn run(groups: &[Group], name: Option<&str>, output: Output) -> Vec<Ran> {
    groups.iter().map(|group| one(*group, name, output)).collect()
}

fn one(group: Group, name: Option<&str>, output: Output) -> Ran {
    let start = clock::now();
    let mut ran = Ran { name: group.name().to_owned(), ..Ran::default() };
    let result = attempt(group, name, output, &mut ran);
    ran.time = clock::since(start);
    if let Err(error) = result {
        ran.error = Some(format!("{error:#}"));
    }
    ran
}

fn attempt(group: Group, name: Option<&str>, output: Output, ran: &mut Ran) -> Result<()> {
    let mut cargo = group.cargo();
    if let Some(name) = name {
        cargo.args(["--", name]);
    }
    cargo.env(times::VARIABLE, "1").stdout(Stdio::piped());
    let mut child = cargo.spawn().context("cannot run cargo")?;
    let lines = BufReader::new(child.stdout.take().context("no output")?).lines();
    for line in lines {
        let line = line.context("the output of the tests is not UTF-8")?;
        if let Some((time, name)) = times::read(&line) {
            ran.trials.push((time, name.to_owned()));
            continue;
        }
        ran.read(&line);
        match output {
            Output::Plain => println!("{line}"),
            Output::Named => println!("{:9} | {line}", group.name()),
        }
    }
    let status = child.wait()?;
    ensure!(status.success(), "{} tests failed: {status}", group.name());
    Ok(())
}
