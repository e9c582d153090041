//! Figures: their type, their output, and those that are derived from the times of Services alone.
use std::time::Duration;

use anyhow::{Context, Result};
use outrigger_tests::clock;
use serde_json::{Value, json};

use super::creator::Created;
use super::system::System;
use super::watch::Seen;

/// Figure of one load balancer.
#[derive(Debug)]
pub struct Figure {
    /// Name of the figure.
    pub name: String,
    /// Human-readable value.
    pub text: String,
    /// Machine-readable value: the members of a JSON object.
    pub values: Value,
}

/// All figures of a run.
pub struct Report {
    json: bool,
    figures: Vec<(System, Figure)>,
}

impl Report {
    /// Creates an empty report that prints lines of JSON as figures are added, or a table at the end.
    pub fn new(json: bool) -> Self {
        Self { json, figures: Vec::new() }
    }

    /// Adds a figure; prints it in the JSON mode.
    pub fn add(&mut self, system: System, figure: Figure) {
        if self.json {
            let mut line = json!({ "figure": figure.name, "system": system.name() });
            if let (Some(line), Some(values)) = (line.as_object_mut(), figure.values.as_object()) {
                line.extend(values.clone());
            }
            println!("{line}");
        } else {
            println!("{}: {}: {}", system.name(), figure.name, figure.text);
        }
        self.figures.push((system, figure));
    }

    /// Prints the table, unless JSON is wanted.
    pub fn end(&self) {
        if self.json {
            return;
        }
        println!();
        let mut names: Vec<&str> = Vec::new();
        for (_, figure) in &self.figures {
            if !names.contains(&figure.name.as_str()) {
                names.push(&figure.name);
            }
        }
        for name in names {
            println!("{name}");
            for (system, figure) in self.figures.iter().filter(|(_, figure)| figure.name == name) {
                println!("  {:16} {}", system.name(), figure.text);
            }
        }
    }
}

/// Time from when a Service was known to exist, by the answer to its creator or by the watch, to when the watch showed it with
/// an address.
pub fn latency(created: &Created, seen: &[Seen]) -> Result<Figure> {
    let pairs = created.answers.iter().zip(seen);
    let mut times: Vec<_> = pairs
        .filter_map(|(answer, seen)| {
            Some(seen.served?.saturating_duration_since(seen.at.min(*answer)))
        })
        .collect();
    times.sort_unstable();
    distribution("Service to address, one by one", "services", &times)
}

/// Returns the distribution of times in ascending order; `count` names what is counted.
pub fn distribution(name: &str, count: &str, times: &[Duration]) -> Result<Figure> {
    let percentile = |percent: usize| -> Result<f64> {
        let rank = (times.len() * percent).div_ceil(100).max(1);
        Ok(clock::ms(*times.get(rank - 1).context("nothing was timed")?))
    };
    let (median, p95, most) = (percentile(50)?, percentile(95)?, percentile(100)?);
    Ok(Figure {
        name: name.to_owned(),
        text: format!("median {median} ms, p95 {p95} ms, most {most} ms"),
        values: json!({ count: times.len(), "median_ms": median, "p95_ms": p95, "most_ms": most }),
    })
}

/// Time from the answer to the last creation to when the watch showed the last Service with an address, and the time that
/// creation took.
pub fn burst(created: &Created, seen: &[Seen]) -> Result<Figure> {
    let last = *created.answers.last().context("no Service was created")?;
    let served = seen.iter().filter_map(|seen| seen.served).max().context("none was served")?;
    let after = served.saturating_duration_since(last);
    let creating = last.saturating_duration_since(created.began);
    let seconds = |time: Duration| (time.as_secs_f64() * 1000.0).round() / 1000.0;
    let (after, creating) = (seconds(after), seconds(creating));
    Ok(Figure {
        name: format!("burst of {}: last create to last address", seen.len()),
        text: format!("{after} s, after {creating} s of creating"),
        values: json!({ "services": seen.len(), "after_last_create_s": after, "creating_s": creating }),
    })
}
