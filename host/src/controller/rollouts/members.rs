//! Members of a roll-out and their reports about the candidate, from Nodes and NodeReports; for a policy, which runs on
//! no node, this process alone. Must not know what is decided from them.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use outrigger_core::facts::NodeName;
use outrigger_core::rollout::{CandidateState, RolloutMember};
use outrigger_kube::crd::{NodeReportStatus, PluginReport};

use super::Nodes;
use crate::plugins::{Plugins, Progress};

/// Name of the member that tries policies: the process that allocates.
pub const MEMBER: &str = "controller";

/// Returns every node that reports. A node is up when it is Ready and another node hears it, because a report does not
/// show whether its writer is still running.
pub fn of_nodes(
    reports: &BTreeMap<NodeName, Arc<NodeReportStatus>>,
    nodes: &Nodes,
    plugin: &str,
    attempt: u32,
) -> BTreeMap<NodeName, RolloutMember> {
    let alive = |(node, report): (&NodeName, &Arc<NodeReportStatus>)| -> Vec<NodeName> {
        let others = report.members.iter().filter(|it| it.name != *node && it.state == "alive");
        others.map(|it| it.name.clone()).collect()
    };
    let heard: BTreeSet<NodeName> = reports.iter().flat_map(alive).collect();
    let heard = |node: &str| reports.len() == 1 || heard.contains(node);
    let member = |(node, report): (&NodeName, &Arc<NodeReportStatus>)| {
        let said = report.plugins.iter().find(|said| said.name == plugin);
        let up = nodes.get(node).copied().unwrap_or(false) && heard(node);
        let announces = said.map_or(0, |said| said.announced);
        let standing = said.map_or(CandidateState::Silent, |said| standing(said, attempt));
        (node.clone(), RolloutMember { up, announces, standing })
    };
    reports.iter().map(member).collect()
}

fn standing(said: &PluginReport, attempt: u32) -> CandidateState {
    let Some(trial) = said.trial.as_ref().filter(|trial| trial.attempt == attempt) else {
        return CandidateState::Silent;
    };
    match trial.state.as_str() {
        "running" => CandidateState::Running {
            wanted: said.wanted,
            missing: said.wanted.saturating_sub(said.announced),
        },
        "failed" => {
            CandidateState::Failed { reason: trial.reason.clone(), message: trial.message.clone() }
        }
        _ => CandidateState::Silent,
    }
}

/// Returns this process, which tries the policy in its own decisions.
pub fn of_policy(
    plugins: &Plugins,
    plugin: &str,
    attempt: u32,
) -> BTreeMap<NodeName, RolloutMember> {
    let tried = plugins.tried(plugin).filter(|tried| tried.attempt == attempt);
    let standing = match tried.map(|tried| tried.progress) {
        None | Some(Progress::Loading) => CandidateState::Silent,
        Some(Progress::InForce { .. }) => CandidateState::Running { wanted: 0, missing: 0 },
        Some(Progress::Failed(verdict)) => {
            CandidateState::Failed { reason: verdict.reason.to_owned(), message: verdict.message }
        }
    };
    [(MEMBER.to_owned(), RolloutMember { up: true, announces: 0, standing })].into()
}

#[cfg(test)]
mod tests {
    use outrigger_kube::crd::{MemberReport, TrialReport};

    use super::*;

    fn report(members: &[(&str, &str)], plugin: PluginReport) -> NodeReportStatus {
        let members = members.iter().map(|(name, state)| MemberReport {
            name: (*name).to_owned(),
            state: (*state).to_owned(),
        });
        let members = members.collect();
        NodeReportStatus { members, plugins: vec![plugin], ..NodeReportStatus::default() }
    }

    fn says(attempt: u32, state: &str) -> PluginReport {
        let trial = TrialReport { attempt, state: state.to_owned(), ..TrialReport::default() };
        let name = "layer2".to_owned();
        PluginReport {
            name,
            wanted: 5,
            announced: 3,
            trial: Some(trial),
            ..PluginReport::default()
        }
    }

    #[test]
    fn a_node_is_up_when_it_is_ready_and_another_hears_it() {
        let quiet = PluginReport::default;
        let reports: BTreeMap<_, _> = [
            ("n1", report(&[("n2", "alive"), ("n4", "leaving")], quiet())),
            ("n2", report(&[("n1", "alive")], quiet())),
            // Down, but its last report is still there.
            ("n3", report(&[("n1", "alive"), ("n2", "alive")], quiet())),
            ("n4", report(&[], quiet())),
        ]
        .map(|(node, report)| (node.to_owned(), Arc::new(report)))
        .into();
        let ready = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), true)).collect();
        let up = |nodes: &Nodes| -> Vec<String> {
            let members = of_nodes(&reports, nodes, "layer2", 1);
            members.into_iter().filter(|(_, it)| it.up).map(|(node, _)| node).collect()
        };
        assert_eq!(up(&ready(&["n1", "n2", "n3", "n4"])), ["n1", "n2"]);
        assert_eq!(up(&ready(&["n1"])), ["n1"]);
        let alone: BTreeMap<_, _> = [("n1".to_owned(), Arc::new(report(&[], quiet())))].into();
        assert!(of_nodes(&alone, &ready(&["n1"]), "layer2", 1)["n1"].up, "nobody else is there");
    }

    #[test]
    fn what_a_node_says_of_another_candidate_is_old() {
        let nodes: Nodes = [("n1".to_owned(), true)].into();
        for (says, expected) in [
            (says(7, "running"), CandidateState::Running { wanted: 5, missing: 2 }),
            (says(7, "loading"), CandidateState::Silent),
            (says(6, "failed"), CandidateState::Silent),
            (
                says(7, "failed"),
                CandidateState::Failed { reason: String::new(), message: String::new() },
            ),
        ] {
            let reports = [("n1".to_owned(), Arc::new(report(&[], says)))].into();
            let members = of_nodes(&reports, &nodes, "layer2", 7);
            assert_eq!(members["n1"].standing, expected);
            assert_eq!(members["n1"].announces, 3);
        }
    }
}
