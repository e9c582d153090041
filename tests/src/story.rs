//! Output of a scenario: printed with the time in the demonstration, suppressed in tests.
use std::time::Instant;

use crate::clock;

/// Narrator of a scenario.
#[derive(Debug)]
pub struct Story {
    start: Instant,
    aloud: bool,
}

impl Story {
    /// Creates a narrator that prints each line with the seconds since now.
    pub fn aloud() -> Self {
        Self { start: clock::now(), aloud: true }
    }

    /// Creates a narrator that prints nothing.
    pub fn quiet() -> Self {
        Self { start: clock::now(), aloud: false }
    }

    /// Prints a heading.
    pub fn chapter(&self, title: &str) {
        if self.aloud {
            println!("\n== {title}");
        }
    }

    /// Prints a line.
    pub fn say(&self, line: impl AsRef<str>) {
        if self.aloud {
            println!("{:8.3} s  {}", clock::since(self.start).as_secs_f64(), line.as_ref());
        }
    }
}
