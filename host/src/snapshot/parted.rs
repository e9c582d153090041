//! Nodes that run and do not receive one another's gossip: no address is handed over between them.
use std::collections::BTreeSet;

use outrigger_core::facts::{Cluster, NodeName};
use outrigger_kube::Problem;
use outrigger_kube::crd::MemberReport;

use super::observations::Reports;

/// State of a member that is heard only through other members.
pub const UNHEARD: &str = "unheard";
/// State of a member that is alive, but whose gossip does not arrive.
pub const PARTED: &str = "parted";

/// Returns one problem for each node that does not hear another, or is not heard by it.
pub fn parted(cluster: &Cluster, reports: &Reports, running: &BTreeSet<NodeName>) -> Vec<Problem> {
    let hears = |node: &str, other: &str| {
        let is_heard = |member: &MemberReport| {
            member.name == other && ![PARTED, UNHEARD].contains(&member.state.as_str())
        };
        reports.get(node).is_some_and(|one| one.members.iter().any(is_heard))
    };
    let nodes: Vec<&str> = running
        .iter()
        .filter(|node| cluster.nodes.contains_key(*node) && reports.contains_key(*node))
        .map(String::as_str)
        .collect();
    let parted_from = |node: &str| {
        let parted = |other: &&str| *other != node && !(hears(node, other) && hears(other, node));
        nodes.iter().copied().filter(parted).collect::<Vec<_>>()
    };
    let problem = |node: &str| {
        let others = parted_from(node);
        (!others.is_empty()).then(|| Problem {
            file: String::new(),
            object: Some(format!("Node {node}")),
            message: format!(
                "gossip does not pass between {node} and {}: each keeps the addresses that it answers for, and hands none \
                 over to the other. Open UDP port 7953 (or what gossip.port is set to) between all nodes in both directions, and check that their InternalIPs \
                 reach each other",
                others.join(", ")
            ),
        })
    };
    nodes.iter().filter_map(|node| problem(node)).collect()
}

#[cfg(test)]
mod tests {
    use outrigger_core::facts::{Change, Fact, Node};
    use outrigger_kube::crd::{MemberReport, NodeReportStatus};

    use super::*;

    fn node(name: &str) -> Node {
        Node {
            name: name.to_owned(),
            labels: Default::default(),
            annotations: Default::default(),
            addresses: Vec::new(),
            network_available: true,
            ready: true,
            excluded: false,
            cordoned: false,
        }
    }

    #[test]
    fn whoever_is_not_heard_both_ways_is_named() {
        let mut cluster = Cluster::default();
        let mut reports = Reports::new();
        for (name, members) in [("a", "abc"), ("b", "abc"), ("c", "bc"), ("d", "d"), ("e", "e")] {
            if name != "e" {
                cluster.apply(Change::Upsert(Fact::from(node(name))));
            }
            let members = members
                .chars()
                .map(|name| MemberReport { name: name.to_string(), state: "alive".to_owned() });
            let report = NodeReportStatus { members: members.collect(), ..Default::default() };
            reports.insert(name.to_owned(), report);
        }
        let running = ["a", "b", "c", "e"].map(str::to_owned).into();
        let found: Vec<_> = parted(&cluster, &reports, &running)
            .into_iter()
            .map(|problem| format!("{} {}", problem.object.unwrap(), problem.message))
            .collect();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("Node a gossip does not pass between a and c:"), "{found:?}");
        assert!(found[1].contains("UDP port 7953"));
    }
}
