//! Reports of this node about itself: the NodeReport (one object per node, bounded) and the details beside it.
use std::sync::Arc;

use outrigger_core::facts::{Announcer, FactKey};
use outrigger_core::membership::{Hearing, Member};
use outrigger_kube::Problem;
use outrigger_kube::crd::{
    AddressException, AnnouncerReport, ConditionReport, DesiredReport, MAX_EXCEPTIONS,
    MemberReport, NodeReport, NodeReportSpec, NodeReportStatus, PluginReport, ServiceEventReport,
    TrialReport,
};
use outrigger_kube::{rfc3339, utc};
use outrigger_net::{Counters, LinkFailure, Links, ResponderHandle};
use outrigger_sdk::{AnnouncementState, Condition, Duty, Link, ServiceEvent, Time};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::mailbox::Mailbox;
use crate::node::Node;
use crate::plugins::{Listed, Plugins, Progress, Tried};
use crate::snapshot::{PARTED, UNHEARD};
use crate::source::Source;
use outrigger_core::desired::Desired;

mod peers;

/// Returns the NodeReport of this node.
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
        ready: missing.is_empty() && !node.is_apart(),
        missing,
        plugins: plugins.list().into_iter().map(|listed| plugin(node, listed)).collect(),
        announcers: node
            .announcers
            .mailboxes()
            .map(|(announcer, mailbox)| announcer_report(announcer, mailbox))
            .collect(),
        desired: desired(node),
        exceptions,
        members: members(node),
        problems: problems.into_iter().map(Into::into).collect(),
    };
    NodeReport { status: Some(status), ..NodeReport::new(&node.name, NodeReportSpec {}) }
}

/// Returns a problem of an object, with the file it comes from.
pub fn object_problem(source: &Source, key: &FactKey, message: String) -> Problem {
    let object = match key {
        FactKey::Service(key) => format!("Service {key}"),
        FactKey::Endpoints(key) => format!("EndpointSlice {key}"),
        FactKey::Node(name) => format!("Node {name}"),
        FactKey::Namespace(name) => format!("Namespace {name}"),
        FactKey::Pool(name) => format!("AddressPool {name}"),
        FactKey::Announcer(name) => format!("Announcer {name}"),
        FactKey::Plugin(name) | FactKey::Published(name) => format!("plugin {name}"),
    };
    Problem { file: source.file_of(key).unwrap_or_default(), object: Some(object), message }
}

/// Details of every address that this node knows of, for `outrigger status`. Computed while it is serialized, one
/// address at a time.
#[derive(Serialize)]
pub struct Details<'a> {
    node: &'a str,
    addresses: Addresses<'a>,
    announcers: Vec<Value>,
    links: Value,
    frames: Value,
    membership: Value,
}

/// Returns the details of this node; see [`Details`].
pub fn details<'a>(node: &'a Node, links: &Links, responder: &ResponderHandle) -> Details<'a> {
    let link = |link: &Link| {
        let networks: Vec<_> = link.addresses.iter().map(ToString::to_string).collect();
        (link.name.clone(), json!(networks))
    };
    let mailboxes = node.announcers.mailboxes();
    let at = outrigger_net::now();
    let peers = mailboxes.map(|(announcer, mailbox)| peers::details(&announcer.name, mailbox, at));
    Details {
        node: &node.name,
        addresses: Addresses(node),
        announcers: peers.collect(),
        links: links.values().map(link).collect(),
        frames: frames(&responder.counters()),
        membership: json!({ "longestTurnUs": node.gossip.longest_turn_us() }),
    }
}

impl std::fmt::Display for Details<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| std::fmt::Error)?)
    }
}

struct Addresses<'a>(&'a Node);

impl Serialize for Addresses<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(node) = self;
        let of_one = |(announcer, mailbox): (&'_ Announcer, &'_ Arc<Mailbox>)| {
            let (name, mailbox) = (announcer.name.clone(), mailbox.clone());
            let desired = node.planner.desired(&name).values();
            desired.map(move |desired| address(&name, &mailbox, desired))
        };
        serializer.collect_seq(node.announcers.mailboxes().flat_map(of_one))
    }
}

fn address(announcer: &str, mailbox: &Mailbox, desired: &Desired) -> Value {
    let inner = mailbox.lock();
    let said = inner.standing.addresses.get(desired.address).cloned();
    drop(inner);
    let (state, via, message) = match said.as_ref().map(|said| &said.words) {
        Some(words) => (state(&words.state), words.via.as_slice(), words.message.as_str()),
        None => ("unknown", [].as_slice(), ""),
    };
    json!({
        "address": desired.address,
        "announcer": announcer,
        "pool": desired.pool,
        "services": desired.services.iter().map(|it| it.key.to_string()).collect::<Vec<_>>(),
        "duty": duty(&desired.duty).0,
        "node": duty(&desired.duty).1,
        "state": state,
        "via": via,
        "message": message,
        "since": said.map(|said| utc(said.since_us)).unwrap_or_default(),
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

fn plugin(node: &Node, Listed { name, in_force, failed, tried }: Listed) -> PluginReport {
    let (digest, origin) = match &in_force {
        Some(in_force) => (in_force.plugin.inspection().digest.clone(), in_force.origin.clone()),
        None => (String::new(), String::new()),
    };
    let (state, message) = match failed {
        None => ("active", String::new()),
        Some((from, why)) => ("refused", format!("{from} was refused: {why}")),
    };
    let mut report = PluginReport { name, digest, origin, message, ..PluginReport::default() };
    report.state = state.to_owned();
    let mut runs_as = Vec::new();
    for (announcer, mailbox) in node.announcers.mailboxes() {
        if announcer.plugin.plugin != report.name {
            continue;
        }
        let inner = mailbox.lock();
        runs_as.push((inner.standing.digest.clone(), inner.standing.phase));
        report.traps = report.traps.saturating_add(count(inner.standing.restarts));
        let spoken = inner.guard.desired().values().filter(|entry| entry.duty.speaks());
        for entry in spoken {
            report.wanted += 1;
            report.announced += u32::from(inner.standing.addresses.is_announced(entry.address));
        }
    }
    report.trial = tried.map(|Tried { attempt, progress }| {
        let mut trial = TrialReport { attempt, ..TrialReport::default() };
        trial.state = match progress {
            // A candidate runs once every instance runs it.
            Progress::InForce { digest }
                if runs_as.iter().all(|runs| *runs == (digest.clone(), "Running")) =>
            {
                "running".to_owned()
            }
            Progress::Loading | Progress::InForce { .. } => "loading".to_owned(),
            Progress::Failed(verdict) => {
                (trial.reason, trial.message) = (verdict.reason.to_owned(), verdict.message);
                "failed".to_owned()
            }
        };
        trial
    });
    report
}

fn count(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn announcer_report(
    announcer: &outrigger_core::facts::Announcer,
    mailbox: &Mailbox,
) -> AnnouncerReport {
    let inner = mailbox.lock();
    let standing = &inner.standing;
    AnnouncerReport {
        name: announcer.name.clone(),
        plugin: announcer.plugin.plugin.clone(),
        digest: standing.digest.clone(),
        phase: standing.phase.to_owned(),
        restarts: count(standing.restarts),
        quarantined: count(standing.quarantined),
        last_fault: standing.last_fault.clone(),
        refused: standing.refused.clone(),
        peers: peers::peers(&inner),
        conditions: inner.guard.reports().conditions().map(condition).collect(),
        events: inner.guard.reports().events().map(event).collect(),
        denied: inner
            .guard
            .denied()
            .iter()
            .map(|(reason, count)| (reason.name().to_owned(), *count))
            .collect(),
    }
}

fn condition(said: &Condition) -> ConditionReport {
    let status = match said.status {
        Some(true) => "True",
        Some(false) => "False",
        None => "Unknown",
    };
    ConditionReport {
        kind: said.kind.clone(),
        status: status.to_owned(),
        reason: said.reason.clone(),
        message: said.message.clone(),
    }
}

fn event((since, said): &(Time, ServiceEvent)) -> ServiceEventReport {
    ServiceEventReport {
        namespace: said.namespace.clone(),
        name: said.name.clone(),
        kind: if said.warning { "Warning" } else { "Normal" }.to_owned(),
        reason: said.reason.clone(),
        message: said.message.clone(),
        at: rfc3339(since.utc_us),
    }
}

/// Returns the number of desired addresses and their hash, which is equal on nodes that agree which node answers for
/// each.
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
    let well = |state: &AnnouncementState| {
        matches!(state, AnnouncementState::Announced | AnnouncementState::Standby)
    };
    for (_, mailbox) in node.announcers.mailboxes() {
        let inner = mailbox.lock();
        let reports = inner.standing.addresses.all().filter(|(_, said)| !well(&said.state));
        exceptions.extend(reports.take(MAX_EXCEPTIONS).map(|(address, said)| AddressException {
            address: address.to_string(),
            state: state(&said.state).to_owned(),
            reason: said.reason.clone(),
            message: said.message.clone(),
        }));
    }
    exceptions
}

fn members(node: &Node) -> Vec<MemberReport> {
    let members = node.gossip.view().members.iter();
    members
        .map(|(name, member)| {
            let state = match member {
                Member { leaving: true, .. } => "leaving",
                Member { hearing: Hearing::Itself, .. } => "alive",
                Member { hearing: Hearing::ThroughOthers, .. } => UNHEARD,
                Member { hearing: Hearing::Parted, .. } => PARTED,
            };
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

/// Returns the problem of a link on which no frame can be sent or received.
pub fn link_problem(failure: LinkFailure) -> Problem {
    tracing::error!("{failure}");
    Problem {
        file: String::new(),
        object: Some(format!("link {}", failure.name)),
        message: failure.to_string(),
    }
}

/// Returns the problem of a node that announces nothing because it cannot join the others.
pub fn cannot_join(node: &str, error: &anyhow::Error) -> Problem {
    tracing::error!("this node cannot join the other nodes and announces nothing: {error:#}");
    Problem {
        file: String::new(),
        object: Some(format!("Node {node}")),
        message: format!("this node cannot join the other nodes and announces nothing: {error:#}"),
    }
}
