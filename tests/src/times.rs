//! Duration of each trial: a line for `cargo xtask test`, which shows the slowest.
use std::time::Duration;

use anyhow::Result;

use crate::clock;

/// Environment variable that enables these lines.
pub const VARIABLE: &str = "OUTRIGGER_TEST_TIMES";
const MARK: &str = "::took ";

/// Runs a trial and prints its duration, if that is enabled.
///
/// # Errors
/// Returns the error of the trial.
pub fn taken<T>(name: &str, trial: impl FnOnce() -> Result<T>) -> Result<T> {
    let start = clock::now();
    let result = trial();
    if std::env::var_os(VARIABLE).is_some() {
        println!("\n{MARK}{} {name}", clock::since(start).as_millis());
    }
    result
}

/// Parses the duration and the name of a trial from a line, if it has them.
pub fn read(line: &str) -> Option<(Duration, &str)> {
    let (time, name) = line.strip_prefix(MARK)?.split_once(' ')?;
    Some((Duration::from_millis(time.parse().ok()?), name))
}
