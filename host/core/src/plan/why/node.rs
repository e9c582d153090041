//! What one node has to do with an address: whether it answers, and if not, why and what to change. Knows nothing of what
//! follows for the address.
use super::super::cover::Home;
use super::super::heard::{AddressWord, NodeWord};
use super::{Asked, NodeRole, NodeWhy};
use crate::eligibility::Ineligible;
use crate::facts::{Announcer, NodeName};

impl Asked<'_> {
    pub(super) fn node(
        &self,
        name: &str,
        verdict: Result<(), Ineligible>,
        answering: &[NodeName],
    ) -> NodeWhy {
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
    pub(super) fn failure(&self, name: &str, word: &NodeWord) -> Option<(String, String)> {
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
