//! What a scenario says as it goes: printed with the time in the demonstration, kept back in tests.
use std::time::Instant;

use crate::clock;

/// A narrator.
#[derive(Debug)]
pub struct Story {
    start: Instant,
    aloud: bool,
}

impl Story {
    /// Prints each line with the seconds since now.
    pub fn aloud() -> Self {
        Self { start: clock::now(), aloud: true }
    }

    /// Says nothing.
    pub fn quiet() -> Self {
        Self { start: clock::now(), aloud: false }
    }

    /// A heading.
    pub fn chapter(&self, title: &str) {
        if self.aloud {
            println!("\n== {title}");
        }
    }

    /// A line.
    pub fn say(&self, line: impl AsRef<str>) {
        if self.aloud {
            println!("{:8.3} s  {}", clock::since(self.start).as_secs_f64(), line.as_ref());
        }
    }
}
