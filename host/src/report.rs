//! What this node says of itself: the NodeReport (one object per node, bounded) and the details beside it.
use std::collections::BTreeMap;

use outrigger_core::eligibility::Ineligible;
use outrigger_core::facts::{FactKey, NodeName};
use outrigger_kube::Problem;
use outrigger_kube::crd::{
    AddressException, AnnouncerReport, DesiredReport, MAX_EXCEPTIONS, MemberReport, NodeReport,
    NodeReportSpec, NodeReportStatus, PluginReport,
};
use outrigger_net::{Counters, ResponderHandle};
use outrigger_sdk::{AnnouncementState, DesiredAddress, Duty};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::desk::Desk;

mod peers;
use crate::node::Node;
use crate::plugins::{Listed, Plugins};
use crate::source::Source;

/// The NodeReport of this node.
pub fn node_report(
    node: &Node,
    plugins: &Plugins,
    problems: Vec<Problem>,
    missing: Vec<String>,
) -> NodeReport {
    let mut exceptions = exceptions(node);
    exceptions.truncate(MAX_EXCEPTIONS);
    let status = NodeReportStatus {
        node: node.name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        observed_at: None,
        ready: missing.is_empty() && node.mesh_problem.is_none(),
        missing,
        plugins: plugins.list().into_iter().map(plugin).collect(),
        announcers: node
            .announcers
            .desks()
            .map(|(announcer, desk)| announcer_report(announcer, desk))
            .collect(),
        desired: desired(node),
        exceptions,
        members: members(node),
        problems: problems.into_iter().map(Into::into).collect(),
    };
    NodeReport { status: Some(status), ..NodeReport::new(&node.name, NodeReportSpec {}) }
}

/// A problem of an object, with the file it comes from.
pub fn object_problem(source: &Source, key: &FactKey, message: String) -> Problem {
    let object = match key {
        FactKey::Service(key) => format!("Service {key}"),
        FactKey::Endpoints(key) => format!("EndpointSlice {key}"),
        FactKey::Node(name) => format!("Node {name}"),
        FactKey::Namespace(name) => format!("Namespace {name}"),
        FactKey::Pool(name) => format!("AddressPool {name}"),
        FactKey::Announcer(name) => format!("Announcer {name}"),
        FactKey::Plugin(name) => format!("plugin {name}"),
    };
    Problem { file: source.file_of(key).unwrap_or_default(), object: Some(object), message }
}

/// Every address this node knows of, for `outrigger status`.
pub fn details(node: &Node, responder: &ResponderHandle) -> Value {
    let mut addresses = Vec::new();
    for (announcer, desk) in node.announcers.desks() {
        let standing = desk.standing();
        for (address, desired) in node.planner.desired(&announcer.name) {
            let report = standing.addresses.get(address);
            addresses.push(json!({
                "address": address,
                "announcer": announcer.name,
                "pool": desired.pool,
                "services": desired.services.iter().map(|s| format!("{}/{}", s.namespace, s.name)).collect::<Vec<_>>(),
                "duty": duty(&desired.duty).0,
                "node": duty(&desired.duty).1,
                "state": report.map_or("unknown", |report| state(&report.state)),
                "via": report.map(|report| report.via.clone()).unwrap_or_default(),
                "message": report.map(|report| report.message.clone()).unwrap_or_default(),
                "nodes": eligible(node, desired),
            }));
        }
    }
    let announcers: Vec<_> = node
        .announcers
        .desks()
        .map(|(announcer, desk)| peers::details(&announcer.name, desk))
        .collect();
    json!({
        "node": node.name,
        "addresses": addresses,
        "announcers": announcers,
        "frames": frames(&responder.counters()),
    })
}

fn frames(counters: &Counters) -> Value {
    json!({
        "received": counters.received,
        "answeredArp": counters.answered_arp,
        "answeredNdp": counters.answered_ndp,
        "delivered": counters.delivered,
        "sent": counters.sent,
        "beacons": counters.beacons,
        "overflowed": counters.overflowed,
        "dropped": counters.dropped,
    })
}

/// Why each node may or may not announce the address.
fn eligible(node: &Node, desired: &DesiredAddress) -> BTreeMap<NodeName, String> {
    let said = |(name, verdict): (NodeName, Result<(), _>)| match verdict {
        Ok(()) => (name, "eligible".to_owned()),
        Err(reason) => (name, Ineligible::to_string(&reason)),
    };
    node.planner
        .why(&node.cluster, node.mesh.view(), desired.address)
        .into_iter()
        .map(said)
        .collect()
}

fn plugin(Listed { name, in_force, failed }: Listed) -> PluginReport {
    let (digest, origin) = match &in_force {
        Some(in_force) => (in_force.plugin.inspection().digest.clone(), in_force.origin.clone()),
        None => (String::new(), String::new()),
    };
    match failed {
        None => PluginReport {
            name,
            digest,
            origin,
            state: "active".to_owned(),
            message: String::new(),
        },
        Some((from, why)) => {
            let message = format!("{from} was refused: {why}");
            PluginReport { name, digest, origin, state: "refused".to_owned(), message }
        }
    }
}

fn announcer_report(announcer: &outrigger_core::facts::Announcer, desk: &Desk) -> AnnouncerReport {
    let inner = desk.lock();
    let standing = &inner.standing;
    AnnouncerReport {
        name: announcer.name.clone(),
        plugin: announcer.plugin.plugin.clone(),
        digest: standing.digest.clone(),
        phase: standing.phase.to_owned(),
        restarts: u32::try_from(standing.restarts).unwrap_or(u32::MAX),
        quarantined: u32::try_from(standing.quarantined).unwrap_or(u32::MAX),
        last_fault: standing.last_fault.clone(),
        peers: peers::peers(&inner),
        denied: inner
            .guard
            .denied()
            .iter()
            .map(|(reason, count)| (reason.name().to_owned(), *count))
            .collect(),
    }
}

/// Equal on nodes that agree who answers for what.
fn desired(node: &Node) -> DesiredReport {
    let mut hash = Sha256::new();
    let mut addresses = 0;
    for announcer in node.announcers.names() {
        for (address, desired) in node.planner.desired(announcer) {
            let speaker = match &desired.duty {
                Duty::Announce | Duty::TakeOver(_) => &node.name,
                Duty::HandOver(other) | Duty::Standby(other) => other,
            };
            hash.update(format!("{announcer} {address} {speaker}\n"));
            addresses += 1;
        }
    }
    DesiredReport { addresses, hash: format!("{:x}", hash.finalize()) }
}

fn exceptions(node: &Node) -> Vec<AddressException> {
    let mut exceptions = Vec::new();
    for (_, standing) in node.announcers.standings() {
        for (address, report) in standing.addresses {
            if !matches!(report.state, AnnouncementState::Announced | AnnouncementState::Standby) {
                exceptions.push(AddressException {
                    address: address.to_string(),
                    state: state(&report.state).to_owned(),
                    reason: report.reason,
                    message: report.message,
                });
            }
        }
    }
    exceptions
}

fn members(node: &Node) -> Vec<MemberReport> {
    let members = node.mesh.view().members.iter();
    members
        .map(|(name, member)| {
            let state = if member.leaving { "leaving" } else { "alive" };
            MemberReport { name: name.clone(), state: state.to_owned() }
        })
        .collect()
}

fn duty(duty: &Duty) -> (&'static str, &str) {
    match duty {
        Duty::Announce => ("announce", ""),
        Duty::TakeOver(other) => ("take-over", other),
        Duty::HandOver(other) => ("hand-over", other),
        Duty::Standby(other) => ("standby", other),
    }
}

fn state(state: &AnnouncementState) -> &str {
    match state {
        AnnouncementState::Pending => "pending",
        AnnouncementState::Announced => "announced",
        AnnouncementState::Standby => "standby",
        AnnouncementState::Withdrawn => "withdrawn",
        AnnouncementState::Conflict => "conflict",
        AnnouncementState::Failed => "failed",
        AnnouncementState::Other(name) => name,
    }
}
