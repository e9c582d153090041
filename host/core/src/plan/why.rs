//! Why an address is answered for by the node that does, or by nobody: every node, with what it does or why it was passed
//! over, and what to change. The eligibility table and what the nodes said; decides nothing.
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use outrigger_sdk::Duty;

use super::cover::Home;
use super::heard::{AddressWord, Heard, NodeWord};
use super::{Planner, announcers};
use crate::eligibility::Ineligible;
use crate::facts::{Announcer, Cluster, NodeName, Service};

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

    fn node(&self, name: &str, verdict: Result<(), Ineligible>, answering: &[NodeName]) -> NodeWhy {
        let passed_over = |message: String, fix: String| NodeWhy {
            role: NodeRole::PassedOver,
            message: format!("passed over: {message}"),
            fix,
        };
        let word = self.word(name);
        let said: Vec<&AddressWord> =
            word.into_iter().flat_map(|word| word.answers(self.address)).collect();
        if !said.is_empty() {
            let by = said.iter().map(|one| through(one)).collect::<Vec<_>>().join(", and ");
            let failed = word.and_then(|word| self.failure(name, word));
            let failed = failed.map_or(String::new(), |(message, _)| {
                format!("; this goes on for some minutes, though it {message}")
            });
            let (role, fix) = (NodeRole::Answers, String::new());
            return NodeWhy { role, message: format!("answers: announced {by}{failed}"), fix };
        }
        if self.is_computed() && answering.iter().any(|one| one == name) {
            let message =
                "is to answer, as far as can be computed: no node could be asked".to_owned();
            return NodeWhy { role: NodeRole::Answers, message, fix: String::new() };
        }
        let last_resort = verdict.is_err_and(Ineligible::is_last_resort);
        if let Err(reason) = verdict
            && !(last_resort && answering.is_empty())
        {
            let (message, fix) = self.ineligible(name, reason);
            return passed_over(message, fix);
        }
        if let Some((message, fix)) = word.and_then(|word| self.failure(name, word)) {
            return NodeWhy { role: NodeRole::Fails, message, fix };
        }
        let message = match answering {
            [] if word.is_some_and(|word| !word.on(self.address).is_empty()) => {
                "could answer, and stands by for another node".to_owned()
            }
            [] => "could answer, and does not say that it does".to_owned(),
            others => format!(
                "stands by: {} answers, and an address stays where it is while its node can serve it",
                others.join(" and ")
            ),
        };
        NodeWhy { role: NodeRole::Stands, message, fix: String::new() }
    }

    /// What keeps a node that may answer from doing so.
    fn failure(&self, name: &str, word: &NodeWord) -> Option<(String, String)> {
        let pods = format!(
            "kubectl -n outrigger-system logs -l app.kubernetes.io/component=node --prefix (the pod on {name})"
        );
        if !word.missing.is_empty() {
            let message = format!("is not ready: it waits for {}", word.missing.join(", "));
            return Some((message, format!("see {pods}")));
        }
        let own: Vec<&Announcer> =
            self.cover.iter().filter(|one| self.selects(one, name)).collect();
        for announcer in &own {
            let title = format!("Announcer {}", announcer.name);
            let Some(running) = word.announcers.get(&announcer.name) else {
                let said = word.problems.iter().find(|(object, _)| *object == title);
                let why = said.map_or("it has not started", |(_, message)| message.as_str());
                let message =
                    format!("cannot answer: announcer {:?} does not run: {why}", announcer.name);
                let fix = format!(
                    "mend announcer {:?} (kubectl describe announcer {})",
                    announcer.name, announcer.name
                );
                return Some((message, fix));
            };
            if running.phase != "Running" {
                let fault = match running.last_fault.as_str() {
                    "" => "it says nothing of why".to_owned(),
                    fault => fault.to_owned(),
                };
                let message = format!(
                    "cannot answer: the plugin {:?} of announcer {:?} failed ({}): {fault}",
                    running.plugin, announcer.name, running.phase
                );
                let fix = format!(
                    "mend or replace plugin {:?}: remove its ConfigMap (or file) to get the embedded one back, or correct the config of announcer {:?}",
                    running.plugin, announcer.name
                );
                return Some((message, fix));
            }
        }
        let entries = word.on(self.address).iter().filter(|entry| entry.state == "failed");
        let failed = entries.map(|entry| entry.message.clone()).next();
        let failed = failed.or_else(|| word.exceptions.get(&self.address).cloned())?;
        let names = own.iter().map(|one| format!("{:?}", one.name)).collect::<Vec<_>>().join(", ");
        let message = format!("cannot answer: announcer {names} says: {failed}");
        Some((message, format!("on {name}: {failed}")))
    }

    fn selects(&self, announcer: &Announcer, node: &str) -> bool {
        let labels = self.cluster.nodes.get(node).map(|node| &node.labels);
        labels.is_none_or(|labels| announcer.node_selector.matches(labels))
    }

    fn ineligible(&self, node: &str, reason: Ineligible) -> (String, String) {
        let selectors = || {
            let one = |announcer: &Announcer| {
                format!("{:?} ({})", announcer.name, announcer.node_selector)
            };
            self.cover.iter().map(one).collect::<Vec<_>>().join(", ")
        };
        let pods = format!(
            "kubectl -n outrigger-system get pods -o wide --field-selector spec.nodeName={node}"
        );
        let fix = match reason {
            Ineligible::NotAlive => {
                format!("start Outrigger on {node}, or see why it does not run: {pods}")
            }
            Ineligible::Leaving => format!("wait until Outrigger on {node} runs again: {pods}"),
            Ineligible::NoNode => {
                format!("{node} has left the cluster: join it again, or forget it")
            }
            Ineligible::Excluded => format!(
                "take the label off {node}: kubectl label node {node} node.kubernetes.io/exclude-from-external-load-balancers-"
            ),
            Ineligible::NetworkUnavailable => {
                format!("mend the network of {node} (kubectl describe node {node})")
            }
            Ineligible::NoAnnouncer => self.no_announcer(),
            Ineligible::NotSelected => format!(
                "label {node} so that a nodeSelector matches, or change the nodeSelector of announcer {}",
                selectors()
            ),
            Ineligible::NoEndpoint | Ineligible::NoLocalEndpoint | Ineligible::OnlyTerminating => {
                self.endpoints_fix(node, reason)
            }
            Ineligible::NotReady => format!("make {node} Ready (kubectl describe node {node})"),
            Ineligible::Cordoned => format!("take it into service again: kubectl uncordon {node}"),
        };
        let message = match reason {
            Ineligible::NotAlive => "Outrigger does not answer there".to_owned(),
            Ineligible::NotSelected => {
                format!("no nodeSelector matches it: announcer {}", selectors())
            }
            Ineligible::NoAnnouncer if Home::find(self.cluster, self.address).is_none() => {
                "no AddressPool contains the address".to_owned()
            }
            other => other.to_string(),
        };
        (message, fix)
    }

    fn no_announcer(&self) -> String {
        match Home::find(self.cluster, self.address) {
            Some(home) => format!(
                "name an Announcer in spec.announcers of pool {:?} whose serviceSelector matches the Service, or remove spec.announcers to have all of them (kubectl edit addresspool {})",
                home.pool, home.pool
            ),
            None => format!("add {} to an AddressPool", self.address),
        }
    }

    fn endpoints_fix(&self, node: &str, reason: Ineligible) -> String {
        let first = self.services.first().map(|one| one.key.clone());
        let Some(key) = first else { return String::new() };
        let slices = format!(
            "kubectl -n {} get endpointslices -l kubernetes.io/service-name={}",
            key.namespace, key.name
        );
        match reason {
            Ineligible::NoEndpoint => format!("make a pod of Service {key} ready: {slices}"),
            _ => format!(
                "run a ready pod of Service {key} on {node}, or set its externalTrafficPolicy to Cluster; where its pods are: {slices}"
            ),
        }
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
            _ => format!(
                "Nobody answers for {address}: every node is passed over, for the reasons below."
            ),
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

fn through(word: &AddressWord) -> String {
    let mut text = format!("by {}", word.announcer);
    if !word.via.is_empty() {
        text.push_str(&format!(" on {}", word.via.join(", ")));
    }
    if !word.since.is_empty() {
        text.push_str(&format!(" since {}", word.since));
    }
    text
}
