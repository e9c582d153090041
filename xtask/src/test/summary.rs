//! Summary of a run: every part with its time, the slowest trials, and the numbers of passed and failed trials.
use std::time::Duration;

use anyhow::{Result, bail};

use crate::run::readable;

/// Number of slowest trials that are shown.
const SLOWEST: usize = 10;
/// Number of output lines shown per failed trial, and characters of each: the full output is further up.
const WORDS: usize = 3;
const WIDTH: usize = 400;

/// Group that ran.
#[derive(Debug, Default)]
pub struct Ran {
    pub name: String,
    pub time: Duration,
    pub passed: u64,
    pub failed: u64,
    pub ignored: u64,
    pub trials: Vec<(Duration, String)>,
    pub failures: Vec<Failure>,
    pub error: Option<String>,
}

/// Failed trial, with the first lines of its output.
#[derive(Debug, Default)]
pub struct Failure {
    trial: String,
    words: Vec<String>,
    is_whole: bool,
}

impl Failure {
    fn read(&mut self, line: &str) {
        // libtest prints an empty line before the output as well.
        self.is_whole |= self.words.len() == WORDS || (line.is_empty() && !self.words.is_empty());
        if !self.is_whole && !line.is_empty() {
            self.words.push(line.chars().take(WIDTH).collect());
        }
    }
}

impl Ran {
    /// Reads a line of libtest or libtest-mimic.
    pub fn read(&mut self, line: &str) {
        self.count(line);
        // "---- a_trial ----", with "stdout" in it where libtest wrote it, followed by the trial's output.
        if let Some(trial) = line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" ----"))
        {
            let trial = trial.trim_end_matches(" stdout").to_owned();
            self.failures.push(Failure { trial, ..Failure::default() });
        } else if let Some(failure) = self.failures.last_mut() {
            failure.read(line);
        }
    }

    /// Reads a closing line of libtest or libtest-mimic: "test result: ok. 12 passed; 0 failed; 1 ignored; …".
    fn count(&mut self, line: &str) {
        let Some(result) = line.trim_start().strip_prefix("test result: ") else { return };
        for part in result.split([';', '.']) {
            let mut words = part.split_whitespace();
            let (Some(number), Some(what)) = (words.next(), words.next()) else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

/// Results of a whole run.
#[derive(Debug, Default)]
pub struct Summary {
    steps: Vec<(String, Duration, bool)>,
    groups: Vec<Ran>,
}

impl Summary {
    /// Adds a step.
    pub fn step(&mut self, name: &str, time: Duration, is_well: bool) {
        self.steps.push((name.to_owned(), time, is_well));
    }

    /// Adds groups.
    pub fn add(&mut self, groups: Vec<Ran>) {
        self.groups.extend(groups);
    }

    /// Returns true if nothing failed.
    pub fn is_well(&self) -> bool {
        self.steps.iter().all(|(_, _, well)| *well)
            && self.groups.iter().all(|group| group.error.is_none())
    }

    /// Prints the summary.
    ///
    /// # Errors
    /// Returns an error that names the failed parts, if any.
    pub fn print(&self) -> Result<()> {
        println!();
        for (name, time, well) in &self.steps {
            println!("{name:16} {:8} {}", if *well { "ok" } else { "FAILED" }, readable(*time));
        }
        for group in &self.groups {
            let outcome = if group.error.is_none() { "ok" } else { "FAILED" };
            println!("{:16} {outcome:8} {}", group.name, readable(group.time));
        }
        let mut trials: Vec<_> = self.groups.iter().flat_map(|group| &group.trials).collect();
        trials.sort_by(|left, right| right.cmp(left));
        if !trials.is_empty() {
            println!("\nslowest trials:");
        }
        for (time, name) in trials.iter().take(SLOWEST) {
            println!("{:>12}  {name}", readable(*time));
        }
        for group in &self.groups {
            for failure in &group.failures {
                println!("\n{} failed: {}", group.name, failure.trial);
                failure.words.iter().for_each(|line| println!("    {line}"));
            }
        }
        let sum = |of: fn(&Ran) -> u64| self.groups.iter().map(of).sum::<u64>();
        println!(
            "\n{} passed, {} failed, {} skipped",
            sum(|group| group.passed),
            sum(|group| group.failed),
            sum(|group| group.ignored)
        );
        let failures = self.groups.iter().filter_map(|group| group.error.as_deref());
        let steps =
            self.steps.iter().filter(|(_, _, well)| !well).map(|(name, _, _)| name.as_str());
        let failures: Vec<&str> = steps.chain(failures).collect();
        if !failures.is_empty() {
            bail!("failed: {}", failures.join("; "));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_trial_is_read_with_its_first_words() {
        let mut ran = Ran::default();
        let printed = [
            "test a_route_is_withdrawn ... FAILED",
            "---- a_route_is_withdrawn ----",
            "timeout after 10s: the route is gone",
            "",
            "---- codec::an_open_is_read stdout ----",
            "",
            "thread 'codec::an_open_is_read' panicked at core/src/codec.rs:7:5:",
            "two",
            "three",
            "four",
            "",
            "failures:",
            "    a_route_is_withdrawn",
            "test result: FAILED. 3 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out",
        ];
        printed.iter().for_each(|line| ran.read(line));
        assert_eq!((ran.passed, ran.failed, ran.ignored), (3, 2, 1));
        let trials: Vec<&str> = ran.failures.iter().map(|it| it.trial.as_str()).collect();
        assert_eq!(trials, ["a_route_is_withdrawn", "codec::an_open_is_read"]);
        assert_eq!(ran.failures[0].words, ["timeout after 10s: the route is gone"]);
        assert_eq!(ran.failures[1].words.len(), WORDS);
        assert_eq!(ran.failures[1].words[1], "two");
    }
}
