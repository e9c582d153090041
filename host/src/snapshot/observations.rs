//! Converts reports and details, as Kubernetes and the state folder hold them, to the types of `core`. Must not
//! interpret them.
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;

use outrigger_core::facts::NodeName;
use outrigger_core::plan::{
    AddressObservation, AnnouncerObservation, Details, NodeObservation, Observations, Unreachable,
};
use outrigger_kube::api::Silent;
use outrigger_kube::crd::{AnnouncerReport, NodeReportStatus};
use serde_json::Value;

/// Report of each node.
pub type Reports = BTreeMap<NodeName, NodeReportStatus>;

/// Returns the nodes that run. There are no locks in a cluster, and a report outlives its node, so a node runs if it
/// answered or another one sees it.
pub fn running(reports: &Reports, details: &BTreeMap<NodeName, Value>) -> BTreeSet<NodeName> {
    let is_seen = |node: &NodeName| {
        let others = reports.iter().filter(|(name, _)| *name != node);
        others.flat_map(|(_, report)| &report.members).any(|member| member.name == *node)
    };
    let runs = |node: &&NodeName| {
        details.contains_key(*node) || is_seen(node) || (reports.len() == 1 && reports[*node].ready)
    };
    reports.keys().filter(runs).cloned().collect()
}

/// Returns the details of nodes that answered, and the reason why each of the others did not.
pub fn answered<'a>(
    nodes: impl Iterator<Item = &'a NodeName>,
    asked: Result<BTreeMap<NodeName, Result<Value, Silent>>, Silent>,
) -> (BTreeMap<NodeName, Value>, BTreeMap<NodeName, Unreachable>) {
    let in_words = |silent: Silent| Unreachable { why: silent.to_string(), fix: silent.fix() };
    let (mut details, mut silent) = (BTreeMap::new(), BTreeMap::new());
    match asked {
        Ok(asked) => {
            let no_pod = |node: &NodeName| (node.clone(), in_words(Silent::NoPod(node.clone())));
            silent.extend(nodes.filter(|node| !asked.contains_key(*node)).map(no_pod));
            for (node, answer) in asked {
                match answer {
                    Ok(answer) => _ = details.insert(node, answer),
                    Err(why) => _ = silent.insert(node, in_words(why)),
                }
            }
        }
        Err(why) => silent.extend(nodes.map(|node| (node.clone(), in_words(why.clone())))),
    }
    (details, silent)
}

/// Returns the reason for a running node that has left no details in the state folder.
pub fn silent_in(state: &Path) -> Unreachable {
    Unreachable {
        why: format!("its details in {} do not exist yet", state.display()),
        fix: "try again in a moment, and check the log of the node".to_owned(),
    }
}

/// Combines everything that the nodes reported.
pub fn hear(
    reports: &Reports,
    running: &BTreeSet<NodeName>,
    details: &BTreeMap<NodeName, Value>,
    silent: &BTreeMap<NodeName, Unreachable>,
) -> Observations {
    let leaving: BTreeSet<&str> = reports
        .values()
        .flat_map(|report| &report.members)
        .filter(|member| member.state == "leaving")
        .map(|member| member.name.as_str())
        .collect();
    let node = |(name, report): (&NodeName, &NodeReportStatus)| {
        let alive = running.contains(name);
        let word = NodeObservation {
            alive,
            leaving: leaving.contains(name.as_str()),
            missing: report.missing.clone(),
            announcers: report.announcers.iter().map(|one| announcer(one, report)).collect(),
            problems: report.problems.iter().map(problem).collect(),
            exceptions: report.exceptions.iter().filter_map(exception).collect(),
            details: details.get(name).filter(|_| alive).map(detail),
            silence: silent.get(name).cloned().unwrap_or_default(),
        };
        (name.clone(), word)
    };
    Observations { nodes: reports.iter().map(node).collect() }
}

fn announcer(report: &AnnouncerReport, node: &NodeReportStatus) -> (String, AnnouncerObservation) {
    let origin = node.plugins.iter().find(|plugin| plugin.name == report.plugin);
    let word = AnnouncerObservation {
        plugin: report.plugin.clone(),
        origin: origin.map(|plugin| plugin.origin.clone()).unwrap_or_default(),
        phase: report.phase.clone(),
        last_fault: report.last_fault.clone(),
    };
    (report.name.clone(), word)
}

fn problem(report: &outrigger_kube::crd::ProblemReport) -> (String, String) {
    (report.object.clone().unwrap_or_default(), report.message.clone())
}

fn exception(report: &outrigger_kube::crd::AddressException) -> Option<(IpAddr, String)> {
    let message = if report.message.is_empty() { &report.reason } else { &report.message };
    Some((report.address.parse().ok()?, message.clone()))
}

fn detail(details: &Value) -> Details {
    let mut addresses: BTreeMap<IpAddr, Vec<AddressObservation>> = BTreeMap::new();
    for entry in details["addresses"].as_array().into_iter().flatten() {
        let text = |field: &str| entry[field].as_str().unwrap_or_default().to_owned();
        let Ok(address) = text("address").parse() else { continue };
        let via = entry["via"].as_array().into_iter().flatten();
        let word = AddressObservation {
            announcer: text("announcer"),
            speaks: text("duty") != "standby",
            state: text("state"),
            via: via.filter_map(|link| link.as_str().map(str::to_owned)).collect(),
            message: text("message"),
            since: text("since"),
        };
        addresses.entry(address).or_default().push(word);
    }
    let networks = |networks: &Value| {
        let networks = networks.as_array().into_iter().flatten().filter_map(Value::as_str);
        networks.filter_map(|network| network.parse().ok()).collect()
    };
    let links = details["links"].as_object().into_iter().flatten();
    let links = links.map(|(name, list)| (name.clone(), networks(list))).collect();
    Details { addresses, links }
}

#[cfg(test)]
mod tests {
    use outrigger_kube::crd::MemberReport;
    use serde_json::json;

    use super::*;

    fn report(members: &[(&str, &str)]) -> NodeReportStatus {
        let member = |(name, state): &(&str, &str)| MemberReport {
            name: (*name).to_owned(),
            state: (*state).to_owned(),
        };
        let running = AnnouncerReport {
            name: "layer2".to_owned(),
            phase: "Running".to_owned(),
            ..AnnouncerReport::default()
        };
        NodeReportStatus {
            ready: true,
            members: members.iter().map(member).collect(),
            announcers: vec![running],
            ..NodeReportStatus::default()
        }
    }

    #[test]
    fn a_node_runs_while_it_answers_or_another_one_sees_it() {
        let seen = [("n1", "alive"), ("n2", "leaving")];
        let reports: Reports = [
            ("n1".to_owned(), report(&seen)),
            ("n2".to_owned(), report(&seen)),
            // It reports itself as ready, but has died.
            ("n3".to_owned(), report(&[("n1", "alive"), ("n2", "alive"), ("n3", "alive")])),
        ]
        .into();
        let details = BTreeMap::new();
        let runs = running(&reports, &details);
        assert_eq!(runs, ["n1", "n2"].map(str::to_owned).into());
        let heard = hear(&reports, &runs, &details, &BTreeMap::new());
        let states: Vec<_> = heard.nodes.values().map(|word| (word.alive, word.leaving)).collect();
        assert_eq!(states, [(true, false), (true, true), (false, false)]);
        let answered = [("n3".to_owned(), json!({}))].into();
        assert_eq!(running(&reports, &answered).len(), 3);
    }

    #[test]
    fn what_a_node_says_of_its_addresses_and_networks_is_heard() {
        let details = json!({
            "addresses": [
                { "address": "10.0.0.1", "announcer": "layer2", "duty": "announce", "state": "announced",
                  "via": ["eth1"], "message": "", "since": "2026-11-23 07:12:03 UTC" },
                { "address": "10.0.0.2", "announcer": "layer2", "duty": "standby", "node": "n2",
                  "state": "standby", "via": [], "message": "n2 announces it", "since": "" },
            ],
            "links": { "eth1": ["10.0.0.11/24", "fe80::1/64"] },
        });
        let details = detail(&details);
        let word = NodeObservation {
            alive: true,
            details: Some(details.clone()),
            ..NodeObservation::default()
        };
        let by: Vec<_> = word.answers("10.0.0.1".parse().expect("an address")).collect();
        assert_eq!((by.len(), by[0].via.as_slice()), (1, ["eth1".to_owned()].as_slice()));
        assert_eq!(word.answers("10.0.0.2".parse().expect("an address")).count(), 0);
        assert_eq!(details.links["eth1"].len(), 2);
    }

    #[test]
    fn a_node_that_could_not_be_asked_says_why_and_what_to_change() {
        let nodes = ["n1", "n2", "n3"].map(str::to_owned);
        let asked = [
            ("n1".to_owned(), Ok(json!({}))),
            ("n2".to_owned(), Err(Silent::Forbidden("get pods/proxy"))),
        ];
        let (details, silent) = answered(nodes.iter(), Ok(asked.into()));
        assert_eq!(details.keys().collect::<Vec<_>>(), ["n1"]);
        assert_eq!(
            silent["n2"].why,
            "your user is not allowed to get pods/proxy in namespace outrigger-system"
        );
        assert!(silent["n2"].fix.contains("kubectl auth can-i get pods/proxy -n outrigger-system"));
        assert_eq!(silent["n3"].why, "no pod of Outrigger runs on n3");
        let (details, silent) = answered(nodes.iter(), Err(Silent::Forbidden("list pods")));
        assert_eq!((details.len(), silent.len()), (0, 3));
        assert!(silent["n1"].why.contains("list pods"));
    }
}
