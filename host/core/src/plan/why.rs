//! Why an address is answered for by the node that does, or by nobody: every node, with what it does or why it was passed
//! over, and what to change. The eligibility table and what the nodes said; decides nothing.
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use outrigger_sdk::Duty;

use super::cover::Home;
use super::heard::{Heard, NodeWord};
use super::{Planner, announcers};
use crate::facts::{Announcer, Cluster, NodeName, Service};

mod failure;
mod node;
mod uncovered;

/// The label that keeps a node from answering.
const EXCLUDE: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
/// Where to look when nothing is known to be wrong.
const SEE_THE_NODES: &str = "see what the nodes say: kubectl get nodereports -o wide, and kubectl -n outrigger-system logs -l app.kubernetes.io/component=node --prefix";

/// Who answers for one address, and why not the others.
#[derive(Debug, Clone, PartialEq)]
pub struct AddressWhy {
    /// The address.
    pub address: IpAddr,
    /// All of it in one sentence.
    pub headline: String,
    /// The nodes that answer now.
    pub answered_by: Vec<NodeName>,
    /// Every node.
    pub nodes: BTreeMap<NodeName, NodeWhy>,
    /// What to change so that somebody answers; empty when somebody does.
    pub fixes: Vec<String>,
}

/// What one node has to do with an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeWhy {
    /// What it does.
    pub role: NodeRole,
    /// The same for a person.
    pub message: String,
    /// What to change so that it answers; "" when nothing need be.
    pub fix: String,
}

/// What a node does about an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeRole {
    /// It answers.
    Answers,
    /// It is to answer, and does not.
    Fails,
    /// It could.
    Stands,
    /// It may not.
    PassedOver,
}

/// The case at hand.
struct Asked<'a> {
    cluster: &'a Cluster,
    heard: &'a Heard,
    address: IpAddr,
    services: Vec<&'a Service>,
    home: Option<Home>,
    cover: Vec<Announcer>,
}

/// Explains one address that Services hold.
pub fn why(cluster: &Cluster, heard: &Heard, address: IpAddr) -> AddressWhy {
    let all = cluster.services.values().map(|service| &**service);
    let services: Vec<&Service> = all.filter(|one| one.ingress.contains(&address)).collect();
    let home = Home::find(cluster, address)
        .or_else(|| services.iter().any(|service| service.ours).then(Home::lost));
    let all = announcers(cluster);
    let cover = home.iter().flat_map(|home| home.cover(&all, &services)).cloned().collect();
    let asked = Asked { cluster, heard, address, services, home, cover };
    asked.explain()
}

impl Asked<'_> {
    fn explain(&self) -> AddressWhy {
        // The name matters only where there are no Node objects: then the one node there is speaks for itself.
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
            Some((_, fix)) => vec![fix],
            None if self.is_computed() && !answered_by.is_empty() => vec![self.silence().1],
            None if answered_by.is_empty() => self.fixes(&nodes),
            // Of those whose answer ends soon.
            None => self.fixes_of(NodeRole::Answers, &nodes),
        };
        AddressWhy { address: self.address, headline, answered_by, nodes, fixes }
    }

    /// The nodes that say so.
    fn answering(&self) -> Vec<NodeName> {
        let answers = |word: &NodeWord| word.answers(self.address).next().is_some();
        let nodes = self.heard.nodes.iter().filter(|(_, word)| answers(word));
        nodes.map(|(name, _)| name.clone()).collect()
    }

    /// The nodes that say that they are to, whether or not they do.
    fn due(&self) -> Vec<&str> {
        let speaks = |word: &NodeWord| word.on(self.address).iter().any(|entry| entry.speaks);
        let nodes = self.heard.nodes.iter().filter(|(_, word)| word.alive && speaks(word));
        nodes.map(|(name, _)| name.as_str()).collect()
    }

    /// Why the first of the nodes could not be asked, and what to change.
    fn silence(&self) -> (String, String) {
        let alive = self.heard.nodes.values().find(|word| word.alive);
        let why = alive.map_or("none runs", node::silence).to_owned();
        let fix = alive.map(|word| word.silence.fix.clone()).filter(|fix| !fix.is_empty());
        (why, fix.unwrap_or_else(|| SEE_THE_NODES.to_owned()))
    }

    /// No node could be asked: who answers follows from what is known to everybody, unless an address stayed somewhere.
    fn is_computed(&self) -> bool {
        let mut alive = self.heard.nodes.values().filter(|word| word.alive).peekable();
        alive.peek().is_some() && alive.all(|word| word.details.is_none())
    }

    /// The node that is to answer if nobody answered before, and that does not say that it cannot.
    fn elected(&self) -> Option<NodeName> {
        let view = self.heard.view();
        let me = view.members.keys().next()?.clone();
        let mut planner = Planner::new(me.clone());
        planner.plan(self.cluster, &view, true);
        let duty = self.cover.iter().find_map(|one| planner.desired(&one.name).get(&self.address));
        let node = match &duty?.duty {
            Duty::Announce | Duty::TakeOver(_) => me,
            Duty::HandOver(other) | Duty::Standby(other) => other.clone(),
        };
        self.word(&node).filter(|word| self.failure(&node, word).is_none())?;
        Some(node)
    }

    fn word(&self, node: &str) -> Option<&NodeWord> {
        self.heard.nodes.get(node)
    }

    /// Somebody answers, but where nobody asks: the interface has no address of the network that the address is of.
    fn off_its_network(&self, answering: &[NodeName]) -> Option<(String, String)> {
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
        let elsewhere = links.iter().find(|(_, networks)| has(networks));
        let headline = format!(
            "{node} answers for {} on {names}, but {names} has no address of the network of {}, so that neighbours do not ask for it there.",
            self.address, self.address
        );
        let fix = match elsewhere {
            Some((link, _)) => format!(
                "let the announcer use {link}, which is on that network: add it to spec.interfaces of the Announcer"
            ),
            None => format!(
                "give {names} of the nodes an address of the network of {}, or have the router send {} to {node}, or use a pool with addresses of a network that the nodes are in ({})",
                self.address,
                self.address,
                known
                    .iter()
                    .flat_map(|one| one.iter())
                    .map(|net| net.trunc().to_string())
                    .collect::<Vec<_>>()
                    .join(", "),
            ),
        };
        Some((headline, fix))
    }

    fn headline(&self, answering: &[NodeName], nodes: &BTreeMap<NodeName, NodeWhy>) -> String {
        let address = self.address;
        if answering.is_empty() {
            return format!("Nobody answers for {address}{}.", self.nobody(nodes));
        }
        let names = answering.join(" and ");
        let verb = if answering.len() == 1 { "answers" } else { "answer" };
        if self.is_computed() {
            return format!(
                "Whether anybody answers for {address} is not known, because no node could be asked: {}. If all is well, {names} does.",
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
                    "{names} {verb} for {address}, though not for long{on}: {}. What it announced stays in force for 5 minutes after that (hold_last_for_seconds), and then it answers no more.",
                    failure.why
                )
            }
            None => format!("{names} {verb} for {address}."),
        }
    }

    /// Why nobody answers, to be put behind that nobody does.
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
                [] => format!(", as far as is known, though {name} may"),
                due => format!(" yet: {} is to, and does not say that it does", due.join(" and ")),
            };
        }
        let reason = |why: &NodeWhy| {
            why.message.strip_prefix("passed over: ").unwrap_or(&why.message).to_owned()
        };
        let reasons: BTreeSet<String> = nodes.values().map(reason).collect();
        match reasons.into_iter().collect::<Vec<_>>().as_slice() {
            [only] if only.ends_with("on any node") => format!(": {only}"),
            [only] => format!(": every node is passed over: {only}"),
            reasons => format!(": every node is passed over ({})", reasons.join("; ")),
        }
    }

    /// One that helps is enough, but nobody knows which is meant to.
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

    /// What to change on the nodes of a role, and how to do without them until then.
    fn fixes_of(&self, role: NodeRole, nodes: &BTreeMap<NodeName, NodeWhy>) -> Vec<String> {
        let mut all = fixes(nodes.values().filter(|why| why.role == role));
        let is_lame = |name: &&str| {
            nodes.get(*name).is_some_and(|why| why.role == role && !why.fix.is_empty())
        };
        if let Some(node) = self.due().into_iter().find(is_lame)
            && nodes.values().any(|why| why.role == NodeRole::Stands)
        {
            all.push(format!(
                "until that is done, let another node answer: kubectl label node {node} {EXCLUDE}= ({node} then answers for no address at all; to undo it: kubectl label node {node} {EXCLUDE}-)"
            ));
        }
        all
    }
}

/// Each once.
fn fixes<'a>(nodes: impl Iterator<Item = &'a NodeWhy>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let fixes = nodes.map(|why| why.fix.clone()).filter(|fix| !fix.is_empty());
    fixes.filter(|fix| seen.insert(fix.clone())).collect()
}
