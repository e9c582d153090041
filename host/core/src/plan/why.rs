//! Why an address is answered for by the node that does, or by nobody: every node, with what it does or why it was passed
//! over, and what to change. The eligibility table and what the nodes said; decides nothing.
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use outrigger_sdk::Duty;

use super::cover::Home;
use super::heard::{Heard, NodeWord};
use super::{Planner, announcers};
use crate::facts::{Announcer, Cluster, NodeName, Service};

mod node;

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
    cover: Vec<Announcer>,
}

/// Explains one address that Services hold.
pub fn why(cluster: &Cluster, heard: &Heard, address: IpAddr) -> AddressWhy {
    let all = cluster.services.values().map(|service| &**service);
    let services: Vec<&Service> = all.filter(|one| one.ingress.contains(&address)).collect();
    let home = Home::find(cluster, address)
        .or_else(|| services.iter().any(|service| service.ours).then(Home::lost));
    let all = announcers(cluster);
    let cover = home.map(|home| home.cover(&all, &services).into_iter().cloned().collect());
    let asked = Asked { cluster, heard, address, services, cover: cover.unwrap_or_default() };
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
            None if answered_by.is_empty() => self.fixes(&nodes),
            None => Vec::new(),
        };
        AddressWhy { address: self.address, headline, answered_by, nodes, fixes }
    }

    /// The nodes that say so.
    fn answering(&self) -> Vec<NodeName> {
        let answers = |word: &NodeWord| word.answers(self.address).next().is_some();
        let nodes = self.heard.nodes.iter().filter(|(_, word)| answers(word));
        nodes.map(|(name, _)| name.clone()).collect()
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
        if self.is_computed() && !answering.is_empty() {
            return format!(
                "{} is to answer for {address}, as far as can be computed: no node could be asked.",
                answering.join(" and ")
            );
        }
        if !answering.is_empty() {
            let verb = if answering.len() == 1 { "answers" } else { "answer" };
            return format!("{} {verb} for {address}.", answering.join(" and "));
        }
        if self.cover.is_empty() {
            let why = match Home::find(self.cluster, address) {
                Some(home) => {
                    format!("no announcer covers it: see spec.announcers of pool {:?}", home.pool)
                }
                None => "no AddressPool contains it".to_owned(),
            };
            return format!("Nobody answers for {address}: {why}.");
        }
        if let Some((name, why)) = nodes.iter().find(|(_, why)| why.role == NodeRole::Fails) {
            return format!("Nobody answers for {address}: {name} {}.", why.message);
        }
        let undecided = nodes.iter().find(|(_, why)| why.role == NodeRole::Stands);
        if let Some((name, _)) = undecided {
            return format!("Nobody is known to answer for {address}, though {name} may.");
        }
        let reasons: BTreeSet<&str> = nodes.values().map(|why| why.message.as_str()).collect();
        match reasons.into_iter().collect::<Vec<_>>().as_slice() {
            [only] => {
                let reason = only.strip_prefix("passed over: ").unwrap_or(only);
                match reason.ends_with("on any node") {
                    true => format!("Nobody answers for {address}: {reason}."),
                    false => format!(
                        "Nobody answers for {address}: every node is passed over: {reason}."
                    ),
                }
            }
            reasons => {
                let reason =
                    |one: &&str| one.strip_prefix("passed over: ").unwrap_or(one).to_owned();
                let reasons: Vec<String> = reasons.iter().map(reason).collect();
                format!(
                    "Nobody answers for {address}: every node is passed over ({}).",
                    reasons.join("; ")
                )
            }
        }
    }

    /// One that helps is enough, but nobody knows which is meant to.
    fn fixes(&self, nodes: &BTreeMap<NodeName, NodeWhy>) -> Vec<String> {
        let failing = nodes.values().filter(|why| why.role == NodeRole::Fails);
        let failing: Vec<String> = failing.map(|why| why.fix.clone()).collect();
        let mut fixes = match failing.is_empty() {
            true => nodes.values().map(|why| why.fix.clone()).collect(),
            false => failing,
        };
        fixes.retain(|fix| !fix.is_empty());
        let mut seen = BTreeSet::new();
        fixes.retain(|fix| seen.insert(fix.clone()));
        if fixes.is_empty() {
            fixes.push("see what the nodes say: kubectl get nodereports -o wide, and kubectl -n outrigger-system logs -l app.kubernetes.io/component=node --prefix".to_owned());
        }
        fixes
    }
}
