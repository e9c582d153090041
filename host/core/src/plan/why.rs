//! Explains for an address the node that answers, or why none does: the role of every node or the reason why it was
//! passed over, and the possible fixes. Uses the eligibility table and the reports of the nodes; decides nothing.
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use outrigger_sdk::Duty;

use super::cover::PoolBinding;
use super::observed::{NodeObservation, Observations};
use super::{Planner, announcers};
use crate::facts::{Announcer, Cluster, NodeName, Service};
use crate::membership::Outlook;

mod failure;
mod node;
mod uncovered;

/// Label that excludes a node from answering.
const EXCLUDE: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
/// Names of the plugins that have a build embedded in the daemon.
pub const SHIPPED: [&str; 3] = ["bgp", "layer2", "lowest-free"];
/// Advice for the case that no fault is known.
const SEE_THE_NODES: &str = "to see what the nodes report: kubectl get nodereports -o wide, and kubectl -n outrigger-system logs -l app.kubernetes.io/component=node --prefix";

/// An explanation of which nodes answer for one address, and why the others do not.
#[derive(Debug, Clone, PartialEq)]
pub struct AddressWhy {
    /// The address.
    pub address: IpAddr,
    /// A summary in one sentence.
    pub headline: String,
    /// Names of the nodes that answer now.
    pub answered_by: Vec<NodeName>,
    /// The role of every node.
    pub nodes: BTreeMap<NodeName, NodeWhy>,
    /// Changes by which a node would answer, or would continue to; empty if nothing needs to be changed.
    pub fixes: Vec<String>,
}

/// The role of one node for an address, with the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeWhy {
    /// The role of the node.
    pub role: NodeRole,
    /// An explanation of the role for the operator.
    pub message: String,
    /// The last error of a plugin that failed, "" if none did.
    pub error: String,
    /// Changes by which the node would answer, each an alternative; empty if nothing needs to be changed.
    pub fixes: Vec<String>,
}

impl NodeWhy {
    /// Creates an explanation without errors and fixes.
    fn plain(role: NodeRole, message: String) -> Self {
        Self { role, message, error: String::new(), fixes: Vec::new() }
    }
}

/// The role of a node for an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeRole {
    /// The node answers.
    Answers,
    /// The node may answer, but a failure prevents it.
    Fails,
    /// The node could answer and stands by.
    Stands,
    /// The node must not answer.
    PassedOver,
}

/// The address to explain, with its facts.
struct AddressQuestion<'a> {
    cluster: &'a Cluster,
    heard: &'a Observations,
    address: IpAddr,
    services: Vec<&'a Service>,
    home: Option<PoolBinding>,
    cover: Vec<Announcer>,
}

/// Explains one address that is held by Services.
pub fn why(cluster: &Cluster, heard: &Observations, address: IpAddr) -> AddressWhy {
    let all = cluster.services.values().map(|service| &**service);
    let services: Vec<&Service> = all.filter(|one| one.ingress.contains(&address)).collect();
    let home = PoolBinding::find(cluster, address)
        .or_else(|| services.iter().any(|service| service.ours).then(PoolBinding::lost));
    let all = announcers(cluster);
    let cover = home.iter().flat_map(|home| home.cover(&all, &services)).cloned().collect();
    let asked = AddressQuestion { cluster, heard, address, services, home, cover };
    asked.explain()
}

impl AddressQuestion<'_> {
    fn explain(&self) -> AddressWhy {
        // The name matters only if there are no Node objects, in which case the only node represents itself.
        let me = self.heard.nodes.keys().next().cloned().unwrap_or_default();
        let verdicts = Planner::new(me).why(self.cluster, &self.heard.view(), self.address);
        let answered_by = match self.is_computed() {
            true => self.elected().into_iter().collect(),
            false => self.answering(),
        };
        let nodes: BTreeMap<NodeName, NodeWhy> = verdicts
            .into_iter()
            .map(|(name, verdict)| {
                let why = self.node(&name, verdict, &answered_by);
                (name, why)
            })
            .collect();
        let off = self.off_its_network(&answered_by);
        let headline = match &off {
            Some((headline, _)) => headline.clone(),
            None => self.headline(&answered_by, &nodes),
        };
        let fixes = match off {
            Some((_, fixes)) => fixes,
            None if self.is_computed() && !answered_by.is_empty() => vec![self.silence().1],
            None if answered_by.is_empty() => self.fixes(&nodes),
            // Fixes for nodes that will stop answering soon.
            None => self.fixes_of(NodeRole::Answers, &nodes),
        };
        AddressWhy { address: self.address, headline, answered_by, nodes, fixes }
    }

    /// Returns the nodes that report that they answer.
    fn answering(&self) -> Vec<NodeName> {
        let answers = |word: &NodeObservation| word.answers(self.address).next().is_some();
        let nodes = self.heard.nodes.iter().filter(|(_, word)| answers(word));
        nodes.map(|(name, _)| name.clone()).collect()
    }

    /// Returns the nodes that report that they are to answer, whether or not they do.
    fn due(&self) -> Vec<&str> {
        let speaks =
            |word: &NodeObservation| word.on(self.address).iter().any(|entry| entry.speaks);
        let nodes = self.heard.nodes.iter().filter(|(_, word)| word.alive && speaks(word));
        nodes.map(|(name, _)| name.as_str()).collect()
    }

    /// Returns why the first alive node could not be asked, and the fix.
    fn silence(&self) -> (String, String) {
        let alive = self.heard.nodes.values().find(|word| word.alive);
        let why = alive.map_or("Outrigger runs on no node", node::silence).to_owned();
        let fix = alive.map(|word| word.silence.fix.clone()).filter(|fix| !fix.is_empty());
        (why, fix.unwrap_or_else(|| SEE_THE_NODES.to_owned()))
    }

    /// Returns true if no node could be asked. The answering node is then computed from the facts, which is correct
    /// unless an address stayed on another node.
    fn is_computed(&self) -> bool {
        let mut alive = self.heard.nodes.values().filter(|word| word.alive).peekable();
        alive.peek().is_some() && alive.all(|word| word.details.is_none())
    }

    /// Returns the node that would be elected if no node had answered before, unless it reports that it cannot answer.
    fn elected(&self) -> Option<NodeName> {
        let view = self.heard.view();
        let me = view.members.keys().next()?.clone();
        let mut planner = Planner::new(me.clone());
        planner.plan(self.cluster, &view, Outlook::UNDISTURBED);
        let duty = self.cover.iter().find_map(|one| planner.desired(&one.name).get(&self.address));
        let node = match &duty?.duty {
            Duty::Announce | Duty::TakeOver(_) => me,
            Duty::HandOver(other) | Duty::Standby(other) => other.clone(),
        };
        self.word(&node).filter(|word| self.failure(&node, word).is_none())?;
        Some(node)
    }

    fn word(&self, node: &str) -> Option<&NodeObservation> {
        self.heard.nodes.get(node)
    }

    /// Returns the headline and the fixes if a node answers on interfaces where clients do not ask, because none of
    /// them has an address of the network to which the address belongs.
    fn off_its_network(&self, answering: &[NodeName]) -> Option<(String, Vec<String>)> {
        let node = answering.first()?;
        let word = self.word(node)?;
        let links = &word.details.as_ref()?.links;
        let via: BTreeSet<&String> = word.answers(self.address).flat_map(|one| &one.via).collect();
        let known: Vec<_> = via.iter().filter_map(|name| links.get(*name)).collect();
        let has = |networks: &BTreeSet<ipnet::IpNet>| {
            networks.iter().any(|one| one.contains(&self.address))
        };
        if known.is_empty() || known.len() < via.len() || known.iter().any(|one| has(one)) {
            return None;
        }
        let names = via.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
        let on: BTreeSet<String> =
            known.iter().flat_map(|one| one.iter()).map(|net| net.trunc().to_string()).collect();
        let on = match on.is_empty() {
            true => "no network".to_owned(),
            false => on.into_iter().collect::<Vec<_>>().join(", "),
        };
        let elsewhere = links.iter().find(|(_, networks)| has(networks));
        let headline = format!(
            "{node} answers for {} on {names}, but clients probably cannot reach it: {names} has no address of the network of {} (it is on {on}), so neighbours do not resolve it there.",
            self.address, self.address
        );
        let fixes = match elsewhere {
            Some((link, _)) => vec![format!(
                "let the announcer use {link}, which is on that network: add it to spec.interfaces of the Announcer (to see them: kubectl get announcers)"
            )],
            None => vec![
                format!(
                    "give {names} of the nodes an address of the network of {}, on each: ip address add ADDRESS/LENGTH dev {names}",
                    self.address
                ),
                format!(
                    "have the router send {} to {node}: add a route through an address of {node} on the router (to see it: kubectl get node {node} -o wide)",
                    self.address
                ),
                format!(
                    "use a pool with addresses of a network that the nodes are in ({on}); to see the pools: kubectl get addresspools"
                ),
            ],
        };
        Some((headline, fixes))
    }

    fn headline(&self, answering: &[NodeName], nodes: &BTreeMap<NodeName, NodeWhy>) -> String {
        let address = self.address;
        if answering.is_empty() {
            return format!("No node answers for {address}{}.", self.nobody(nodes));
        }
        let names = answering.join(" and ");
        let verb = if answering.len() == 1 { "answers" } else { "answer" };
        if self.is_computed() {
            return format!(
                "It is unknown whether a node answers for {address}, because no node could be queried: {}. {names} should answer.",
                self.silence().0
            );
        }
        let ending = answering.iter().find_map(|name| {
            let failure = self.failure(name, self.word(name)?)?;
            failure.held.then_some((name, failure))
        });
        match ending {
            Some((node, failure)) => {
                let on = if answering.len() > 1 { format!(" on {node}") } else { String::new() };
                format!(
                    "{names} {verb} for {address}, but only for a limited time{on}: {}. {node} keeps its announcements for at most 5 minutes after the failure (or the time that OUTRIGGER_HOLD_LAST_FOR_SECONDS sets there), and another node that can announce it takes over, if there is one.",
                    failure.why
                )
            }
            None => format!("{names} {verb} for {address}.{}", self.absent(nodes)),
        }
    }

    /// Returns an addition to the headline that names the nodes on which the daemon does not run.
    fn absent(&self, nodes: &BTreeMap<NodeName, NodeWhy>) -> String {
        let runs = |node: &NodeName| self.word(node).is_some_and(|word| word.alive);
        let absent: Vec<&str> =
            nodes.keys().filter(|node| !runs(node)).map(String::as_str).collect();
        match absent.as_slice() {
            [] => String::new(),
            names => format!(
                " On {} Outrigger does not run, or cannot be reached, so no address can move there.",
                names.join(", ")
            ),
        }
    }

    /// Returns the reason why no node answers, as a continuation of the statement that none does.
    fn nobody(&self, nodes: &BTreeMap<NodeName, NodeWhy>) -> String {
        if self.cover.is_empty() {
            return format!(": {}", self.uncovered().0);
        }
        let of = |role| nodes.iter().filter(move |(_, why)| why.role == role);
        if let Some((_, why)) = of(NodeRole::Fails).next() {
            let alike = of(NodeRole::Fails).filter(|(_, other)| other.message == why.message);
            let names: Vec<&str> = alike.map(|(name, _)| name.as_str()).collect();
            return format!(": {} {}", names.join(", "), why.message);
        }
        if let Some((name, _)) = of(NodeRole::Stands).next() {
            return match self.due().as_slice() {
                [] => format!(", according to the reports, although {name} may"),
                due => {
                    format!(" yet: {} should, but does not report that it does", due.join(" and "))
                }
            };
        }
        let reason = |why: &NodeWhy| {
            why.message.strip_prefix("passed over: ").unwrap_or(&why.message).to_owned()
        };
        let mut reasons: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for (name, why) in nodes {
            reasons.entry(reason(why)).or_default().push(name);
        }
        let mut each: Vec<(String, String)> =
            reasons.into_iter().map(|(reason, names)| (names.join(", "), reason)).collect();
        each.sort();
        match each.as_slice() {
            [(_, only)] if only.ends_with("on any node") => format!(": {only}"),
            each => {
                let each = each.iter().map(|(names, reason)| format!("{names}: {reason}"));
                format!(": every node is passed over: {}", each.collect::<Vec<_>>().join("; "))
            }
        }
    }

    /// Returns all possible fixes. One that works is enough, but the intended one is not known.
    fn fixes(&self, nodes: &BTreeMap<NodeName, NodeWhy>) -> Vec<String> {
        let of = |role| nodes.values().filter(move |why| why.role == role);
        let mut all = match of(NodeRole::Fails).next() {
            None => fixes(nodes.values()),
            Some(_) => self.fixes_of(NodeRole::Fails, nodes),
        };
        if all.is_empty() {
            all.push(SEE_THE_NODES.to_owned());
        }
        all
    }

    /// Returns the fixes for the nodes of a role, and a workaround until they are done.
    fn fixes_of(&self, role: NodeRole, nodes: &BTreeMap<NodeName, NodeWhy>) -> Vec<String> {
        let mut all = fixes(nodes.values().filter(|why| why.role == role));
        let is_lame = |name: &&str| {
            nodes.get(*name).is_some_and(|why| why.role == role && !why.fixes.is_empty())
        };
        if let Some(node) = self.due().into_iter().find(is_lame)
            && nodes.values().any(|why| why.role == NodeRole::Stands)
        {
            all.push(format!(
                "until that is done, let another node answer: kubectl label node {node} {EXCLUDE}= (this helps only if another node does not have this fault; {node} then answers for no address at all; to undo it: kubectl label node {node} {EXCLUDE}-)"
            ));
        }
        all
    }
}

/// Collects the fixes of nodes without duplicates.
fn fixes<'a>(nodes: impl Iterator<Item = &'a NodeWhy>) -> Vec<String> {
    let mut times: BTreeMap<&String, usize> = BTreeMap::new();
    let mut fixes: Vec<String> = Vec::new();
    for fix in nodes.flat_map(|why| &why.fixes) {
        *times.entry(fix).or_default() += 1;
        if times[fix] == 1 {
            fixes.push(fix.clone());
        }
    }
    // Fixes that apply to several nodes come after those that apply to one.
    fixes.sort_by_key(|fix| times[fix] > 1);
    fixes
}
