//! Announcers that do not run as they are written, by what the nodes report. Must not know what is said about it.
use std::collections::BTreeMap;

use super::told::Whole;
use crate::crd::NodeReportStatus;

/// More of a plugin's words would not help whoever reads them, and a condition does not hold any number.
const LONGEST: usize = 500;

/// Why an announcer does not run on one node as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// CamelCase.
    pub reason: &'static str,
    /// In the plugin's own words.
    pub message: String,
}

/// Of one node, by announcer.
type Failures = BTreeMap<String, Failure>;

/// Of all nodes.
#[derive(Default)]
pub(super) struct AllFailures {
    by_node: BTreeMap<String, Failures>,
    by_announcer: BTreeMap<String, BTreeMap<String, Failure>>,
}

impl AllFailures {
    /// What a NodeReport says from now on.
    pub fn hear(&mut self, node: &str, whole: &Whole) {
        if let Whole::Report(report) = whole {
            self.replace(node, failures(report));
        }
    }

    /// What is true of a node from now on.
    fn replace(&mut self, node: &str, new: Failures) {
        for announcer in self.by_node.remove(node).into_iter().flatten().map(|(name, _)| name) {
            let Some(nodes) = self.by_announcer.get_mut(&announcer) else { continue };
            nodes.remove(node);
            if nodes.is_empty() {
                self.by_announcer.remove(&announcer);
            }
        }
        for (announcer, failure) in &new {
            let nodes = self.by_announcer.entry(announcer.clone()).or_default();
            nodes.insert(node.to_owned(), failure.clone());
        }
        if !new.is_empty() {
            self.by_node.insert(node.to_owned(), new);
        }
    }

    /// A node has no report any more.
    pub fn gone(&mut self, node: &str) {
        self.replace(node, Failures::new());
    }

    /// Where an announcer does not run as it is written, by node.
    pub fn of(&self, announcer: &str) -> &BTreeMap<String, Failure> {
        static NOWHERE: BTreeMap<String, Failure> = BTreeMap::new();
        self.by_announcer.get(announcer).unwrap_or(&NOWHERE)
    }
}

/// What a report says of them. That a plugin once faulted and runs again is no failure.
fn failures(status: &NodeReportStatus) -> Failures {
    let mut failures = Failures::new();
    for announcer in &status.announcers {
        let (reason, message) = match (announcer.refused.as_str(), announcer.phase.as_str()) {
            ("", "Held") => ("Failing", announcer.last_fault.clone()),
            ("", _) => continue,
            (refused, _) => ("Refused", refused.to_owned()),
        };
        let message = message.chars().filter(|it| !it.is_control()).take(LONGEST).collect();
        failures.insert(announcer.name.clone(), Failure { reason, message });
    }
    failures
}
