//! Why an address is answered for by the node that does, or by nobody: every node, with what it does or why it was passed
//! over, and what to change. The eligibility table and what the nodes said; decides nothing.
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use outrigger_sdk::Duty;

use super::cover::Home;
use super::heard::{Heard, NodeWord};
use super::{Planner, announcers};
use crate::facts::{Announcer, Cluster, NodeName, Service};
use crate::membership::Outlook;

mod failure;
mod node;
mod uncovered;

/// The label that keeps a node from answering.
const EXCLUDE: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
/// The plugins that have a build in the daemon.
pub const SHIPPED: [&str; 3] = ["bgp", "layer2", "lowest-free"];
/// Where to look when nothing is known to be wrong.
const SEE_THE_NODES: &str = "to see what the nodes say: kubectl get nodereports -o wide, and kubectl -n outrigger-system logs -l app.kubernetes.io/component=node --prefix";

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
    /// The last error of a plugin that failed, "" when none did.
    pub error: String,
    /// What to change so that it answers, one alternative each; empty when nothing need be.
    pub fixes: Vec<String>,
}

impl NodeWhy {
    /// Nothing need be changed.
    fn plain(role: NodeRole, message: String) -> Self {
        Self { role, message, error: String::new(), fixes: Vec::new() }
    }
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
            Some((_, fixes)) => fixes,
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
        planner.plan(self.cluster, &view, Outlook::UNDISTURBED);
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
            "{node} answers for {} on {names}, but clients probably cannot reach it: {names} has no address of the network of {} (it is on {on}), so that neighbours do not ask for it there.",
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
                    "have the router send {} to {node}: a route on the router by way of an address of {node} (to see it: kubectl get node {node} -o wide)",
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
            return format!("Nobody answers for {address}{}.", self.nobody(nodes));
        }
        let names = answering.join(" and ");
        let verb = if answering.len() == 1 { "answers" } else { "answer" };
        if self.is_computed() {
            return format!(
                "Whether anybody answers for {address} is not known, because no node could be asked: {}. {names} should be the one that answers.",
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
                    "{names} {verb} for {address}, though not for long{on}: {}. {node} goes on with what it announced for at most 5 minutes after the failure (or what OUTRIGGER_HOLD_LAST_FOR_SECONDS is set to there), and a node that can announce it takes over where there is one.",
                    failure.why
                )
            }
            None => format!("{names} {verb} for {address}.{}", self.absent(nodes)),
        }
    }

    /// The nodes on which nothing runs, said behind who answers.
    fn absent(&self, nodes: &BTreeMap<NodeName, NodeWhy>) -> String {
        let runs = |node: &NodeName| self.word(node).is_some_and(|word| word.alive);
        let absent: Vec<&str> =
            nodes.keys().filter(|node| !runs(node)).map(String::as_str).collect();
        match absent.as_slice() {
            [] => String::new(),
            names => format!(
                " On {} Outrigger does not run, or cannot be reached, so that no address can move there.",
                names.join(", ")
            ),
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
            nodes.get(*name).is_some_and(|why| why.role == role && !why.fixes.is_empty())
        };
        if let Some(node) = self.due().into_iter().find(is_lame)
            && nodes.values().any(|why| why.role == NodeRole::Stands)
        {
            all.push(format!(
                "until that is done, let another node answer: kubectl label node {node} {EXCLUDE}= (this helps only if another node is without this fault; {node} then answers for no address at all; to undo it: kubectl label node {node} {EXCLUDE}-)"
            ));
        }
        all
    }
}

/// Each once.
fn fixes<'a>(nodes: impl Iterator<Item = &'a NodeWhy>) -> Vec<String> {
    let mut times: BTreeMap<&String, usize> = BTreeMap::new();
    let mut fixes: Vec<String> = Vec::new();
    for fix in nodes.flat_map(|why| &why.fixes) {
        *times.entry(fix).or_default() += 1;
        if times[fix] == 1 {
            fixes.push(fix.clone());
        }
    }
    // What helps several nodes alike comes behind what is to be done on one.
    fixes.sort_by_key(|fix| times[fix] > 1);
    fixes
}
