//! Reports and details, as Kubernetes and the state folder hold them, in the words of `core`. Must not know what they mean.
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use outrigger_core::facts::NodeName;
use outrigger_core::plan::{AddressWord, AnnouncerWord, Details, Heard, NodeWord};
use outrigger_kube::crd::NodeReportStatus;
use serde_json::Value;

type Reports = BTreeMap<NodeName, NodeReportStatus>;

/// In a cluster nobody holds a lock: a node runs if it answered, or if another one sees it. A report stays when its node dies.
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

/// Everything that the nodes said.
pub fn hear(
    reports: &Reports,
    running: &BTreeSet<NodeName>,
    details: &BTreeMap<NodeName, Value>,
) -> Heard {
    let leaving: BTreeSet<&str> = reports
        .values()
        .flat_map(|report| &report.members)
        .filter(|member| member.state == "leaving")
        .map(|member| member.name.as_str())
        .collect();
    let node = |(name, report): (&NodeName, &NodeReportStatus)| {
        let alive = running.contains(name);
        let word = NodeWord {
            alive,
            leaving: leaving.contains(name.as_str()),
            missing: report.missing.clone(),
            announcers: report.announcers.iter().map(announcer).collect(),
            problems: report.problems.iter().map(problem).collect(),
            exceptions: report.exceptions.iter().filter_map(exception).collect(),
            details: details.get(name).filter(|_| alive).map(detail),
        };
        (name.clone(), word)
    };
    Heard { nodes: reports.iter().map(node).collect() }
}

fn announcer(report: &outrigger_kube::crd::AnnouncerReport) -> (String, AnnouncerWord) {
    let word = AnnouncerWord {
        plugin: report.plugin.clone(),
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
    let mut addresses: BTreeMap<IpAddr, Vec<AddressWord>> = BTreeMap::new();
    for entry in details["addresses"].as_array().into_iter().flatten() {
        let text = |field: &str| entry[field].as_str().unwrap_or_default().to_owned();
        let Ok(address) = text("address").parse() else { continue };
        let via = entry["via"].as_array().into_iter().flatten();
        let word = AddressWord {
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
