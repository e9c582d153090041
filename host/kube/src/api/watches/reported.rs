//! Collects what nodes report about announcers: those that do not run as configured, and the conditions that their plugins
//! report. This module must not know how the reports are used.
use std::collections::{BTreeMap, BTreeSet};

use super::rollout_feed::RawObject;
use crate::crd::{AnnouncerReport, ConditionReport, NodeReportStatus};

/// Maximum length of a plugin's message in characters: a longer one would not help its reader, and the length of a
/// condition is limited.
const LONGEST: usize = 500;

/// Reason why an announcer does not run as configured on one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Machine-readable reason in CamelCase.
    pub reason: &'static str,
    /// Human-readable message in the plugin's own words.
    pub message: String,
}

/// The report of one node about an announcer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reported {
    /// Reason why the announcer does not run as configured; `None` if it does.
    pub failure: Option<Failure>,
    /// Conditions that its plugin reports.
    pub conditions: Vec<ConditionReport>,
}

/// The reports of one node, by announcer.
type OfNode = BTreeMap<String, Reported>;

/// The reports of all nodes.
#[derive(Default)]
pub(super) struct AllReported {
    by_node: BTreeMap<String, BTreeSet<String>>,
    by_announcer: BTreeMap<String, BTreeMap<String, Reported>>,
}

impl AllReported {
    /// Records the new content of a NodeReport.
    pub fn hear(&mut self, node: &str, whole: &RawObject) {
        if let RawObject::Report(report) = whole {
            self.replace(node, reported(report));
        }
    }

    /// Replaces the reports of a node.
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

    /// Removes the reports of a node whose NodeReport was deleted.
    pub fn gone(&mut self, node: &str) {
        self.replace(node, OfNode::new());
    }

    /// Returns the noteworthy reports about an announcer, by node.
    pub fn of(&self, announcer: &str) -> &BTreeMap<String, Reported> {
        static NOWHERE: BTreeMap<String, Reported> = BTreeMap::new();
        self.by_announcer.get(announcer).unwrap_or(&NOWHERE)
    }
}

/// Returns the noteworthy reports about announcers in a node's status.
fn reported(status: &NodeReportStatus) -> OfNode {
    let of_one = |announcer: &AnnouncerReport| {
        let failure = failure(announcer);
        let conditions = announcer.conditions.clone();
        let says = failure.is_some() || !conditions.is_empty();
        says.then(|| (announcer.name.clone(), Reported { failure, conditions }))
    };
    status.announcers.iter().filter_map(of_one).collect()
}

/// Returns the failure of an announcer. A plugin that faulted once and runs again has not failed.
fn failure(announcer: &AnnouncerReport) -> Option<Failure> {
    let (reason, message) = match (announcer.refused.as_str(), announcer.phase.as_str()) {
        ("", "Held") => ("Failing", &announcer.last_fault),
        ("", _) => return None,
        (_, _) => ("Refused", &announcer.refused),
    };
    let message = message.chars().filter(|it| !it.is_control()).take(LONGEST).collect();
    Some(Failure { reason, message })
}
