//! Decisions depend on their input alone: no clock, no environment and no randomness of its own in `host/core` and the plugins.
use super::{Finding, Source};

const PURE: [&str; 2] = ["host/core/src", "plugins"];

/// Calls that make a decision depend on something else.
const IMPURE: [&str; 8] = [
    "Instant::now",
    "SystemTime::now",
    "env::var",
    "rand::rng()",
    "thread_rng",
    "getrandom::",
    "std::fs::",
    "std::net::TcpStream",
];

/// Checks the files of pure crates, their tests aside.
pub fn check(source: &Source) -> Vec<Finding> {
    let is_pure = PURE.iter().any(|folder| source.path.starts_with(folder));
    if !is_pure || source.is_test() {
        return Vec::new();
    }
    let impure = source.production().filter_map(|(number, line)| {
        let call = IMPURE.iter().find(|call| line.contains(**call))?;
        Some(source.finding(
            number,
            format!("{call} in a crate without I/O: pass the value as an argument"),
        ))
    });
    impure.collect()
}
