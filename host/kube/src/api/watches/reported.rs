//! What the nodes report of announcers: those that do not run as they are written, and what plugins say of themselves. Must not
//! know what is made of it.
use std::collections::{BTreeMap, BTreeSet};

use super::told::Whole;
use crate::crd::{AnnouncerReport, ConditionReport, NodeReportStatus};

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

/// What one node reports of an announcer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reported {
    /// Why it does not run as it is written.
    pub failure: Option<Failure>,
    /// What its plugin says of itself.
    pub conditions: Vec<ConditionReport>,
}

/// Of one node, by announcer.
type OfNode = BTreeMap<String, Reported>;

/// Of all nodes.
#[derive(Default)]
pub(super) struct AllReported {
    by_node: BTreeMap<String, BTreeSet<String>>,
    by_announcer: BTreeMap<String, BTreeMap<String, Reported>>,
}

impl AllReported {
    /// What a NodeReport says from now on.
    pub fn hear(&mut self, node: &str, whole: &Whole) {
        if let Whole::Report(report) = whole {
            self.replace(node, reported(report));
        }
    }

    /// What is true of a node from now on.
    fn replace(&mut self, node: &str, new: OfNode) {
        for announcer in self.by_node.remove(node).into_iter().flatten() {
            let Some(nodes) = self.by_announcer.get_mut(&announcer) else { continue };
            nodes.remove(node);
            if nodes.is_empty() {
                self.by_announcer.remove(&announcer);
            }
        }
        if !new.is_empty() {
            self.by_node.insert(node.to_owned(), new.keys().cloned().collect());
        }
        for (announcer, reported) in new {
            self.by_announcer.entry(announcer).or_default().insert(node.to_owned(), reported);
        }
    }

    /// A node has no report any more.
    pub fn gone(&mut self, node: &str) {
        self.replace(node, OfNode::new());
    }

    /// What is worth saying of an announcer, by node.
    pub fn of(&self, announcer: &str) -> &BTreeMap<String, Reported> {
        static NOWHERE: BTreeMap<String, Reported> = BTreeMap::new();
        self.by_announcer.get(announcer).unwrap_or(&NOWHERE)
    }
}

/// What a report says of them, where it says anything.
fn reported(status: &NodeReportStatus) -> OfNode {
    let of_one = |announcer: &AnnouncerReport| {
        let failure = failure(announcer);
        let conditions = announcer.conditions.clone();
        let says = failure.is_some() || !conditions.is_empty();
        says.then(|| (announcer.name.clone(), Reported { failure, conditions }))
    };
    status.announcers.iter().filter_map(of_one).collect()
}

/// That a plugin once faulted and runs again is no failure.
fn failure(announcer: &AnnouncerReport) -> Option<Failure> {
    let (reason, message) = match (announcer.refused.as_str(), announcer.phase.as_str()) {
        ("", "Held") => ("Failing", &announcer.last_fault),
        ("", _) => return None,
        (_, _) => ("Refused", &announcer.refused),
    };
    let message = message.chars().filter(|it| !it.is_control()).take(LONGEST).collect();
    Some(Failure { reason, message })
}
