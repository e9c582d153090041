//! Explains the role of one node for an address: that it answers, or the reason why it does not and the fixes. Must not
//! know what follows for the address.
use std::iter;
use std::sync::Arc;

use outrigger_sdk::{Family, TrafficPolicy};

use super::super::observed::{AddressObservation, NodeObservation};
use super::failure::Failure;
use super::{AddressQuestion, EXCLUDE, NodeRole, NodeWhy};
use crate::eligibility::Ineligible;
use crate::facts::{Announcer, Endpoints, NodeName, Service, ServiceKey};

impl AddressQuestion<'_> {
    pub(super) fn node(
        &self,
        name: &str,
        verdict: Result<(), Ineligible>,
        answering: &[NodeName],
    ) -> NodeWhy {
        let passed_over = |message: String, fixes: Vec<String>| NodeWhy {
            role: NodeRole::PassedOver,
            message: format!("passed over: {message}"),
            error: String::new(),
            fixes,
        };
        let word = self.word(name);
        let said: Vec<&AddressObservation> =
            word.into_iter().flat_map(|word| word.answers(self.address)).collect();
        if !said.is_empty() {
            return self.answers(name, &said);
        }
        if self.is_computed() && answering.iter().any(|one| one == name) {
            let message = "should answer; it could not be queried".to_owned();
            return NodeWhy::plain(NodeRole::Answers, message);
        }
        let last_resort = verdict.is_err_and(Ineligible::is_last_resort);
        if let Err(reason) = verdict
            && !(last_resort && answering.is_empty())
        {
            let (message, fixes) = self.ineligible(name, reason);
            return passed_over(message, fixes);
        }
        if let Some(failure) = word.and_then(|word| self.failure(name, word)) {
            let message = format!("cannot answer: {}", failure.why);
            let Failure { error, fixes, .. } = failure;
            return NodeWhy { role: NodeRole::Fails, message, error, fixes };
        }
        NodeWhy::plain(NodeRole::Stands, self.stands(name, answering))
    }

    fn answers(&self, name: &str, said: &[&AddressObservation]) -> NodeWhy {
        let by = said.iter().map(|one| through(one)).collect::<Vec<_>>().join(", and ");
        let mut message = format!("answers: announced {by}");
        let failure = self.word(name).and_then(|word| self.failure(name, word));
        let held = failure.as_ref().is_some_and(|failure| failure.held);
        let (error, fixes) = match failure {
            Some(failure) if held => {
                message.push_str(&format!("; this ends soon: {}", failure.why));
                (failure.error, failure.fixes)
            }
            Some(failure) => {
                message.push_str(&format!("; this continues, although {}", failure.why));
                (failure.error, Vec::new())
            }
            None => Default::default(),
        };
        NodeWhy { role: NodeRole::Answers, message, error, fixes }
    }

    /// Returns why a node that could answer does not.
    fn stands(&self, name: &str, answering: &[NodeName]) -> String {
        let due = self.due();
        match answering {
            [] if due.contains(&name) => {
                "should answer, but does not report that it does".to_owned()
            }
            [] if !due.is_empty() => format!(
                "standby: {0} was chosen to answer; another node is chosen only when {0} is down, cannot announce it, is cordoned or has the label {EXCLUDE}",
                due.join(" and ")
            ),
            [] => match self.word(name).filter(|word| word.details.is_none()) {
                Some(word) => format!("could answer; it could not be queried: {}", silence(word)),
                None => "could answer, but does not report that it does".to_owned(),
            },
            others if self.is_computed() => {
                format!("standby: {} should answer", others.join(" and "))
            }
            others => format!(
                "standby: {} answers, and an address stays on its node while that node can serve it",
                others.join(" and ")
            ),
        }
    }

    /// Returns the fix for a node that cannot announce the address.
    fn inability_fix(&self, node: &str, reason: Ineligible) -> String {
        match reason {
            Ineligible::NotInSubnet => format!(
                "give an interface of {node} an address of the network of {}, or name the interface that has one in spec.interfaces of the announcer",
                self.address
            ),
            Ineligible::NoInterface => format!(
                "name an interface that {node} has in spec.interfaces of the announcer (to see them: ip link, on {node})"
            ),
            Ineligible::ProxyUnhealthy => format!(
                "fix kube-proxy on {node} (to see its status: curl http://127.0.0.1:10256/healthz, on {node})"
            ),
            Ineligible::SegmentSilent => format!(
                "fix the port, the cable or the switch between {node} and its neighbours (to see which of them answer: ip neigh, on {node})"
            ),
            Ineligible::NoCarrier => {
                format!("plug in the cable, or set the interface up, on {node} (ip link)")
            }
            _ => format!("fix what its report states: kubectl get nodereport {node} -o yaml"),
        }
    }

    fn ineligible(&self, node: &str, reason: Ineligible) -> (String, Vec<String>) {
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
                format!("start Outrigger on {node}; to see why it does not run: {pods}")
            }
            Ineligible::Leaving => {
                format!("wait until Outrigger on {node} runs again; to see its pod: {pods}")
            }
            Ineligible::NoNode => {
                format!("{node} has left the cluster: join it again, or ignore it")
            }
            Ineligible::Excluded => {
                let local = |one: &&Service| one.traffic_policy == TrafficPolicy::Local;
                let too = match self.services.iter().any(local) {
                    true => format!(" ({node} also needs a ready pod of the Service)"),
                    false => String::new(),
                };
                let fix = format!(
                    "remove the label from {node}: kubectl label node {node} {EXCLUDE}-{too}"
                );
                return (explained(reason), iter::once(fix).chain(self.ignore_fix()).collect());
            }
            Ineligible::NetworkUnavailable => {
                format!("fix the network of {node} (kubectl describe node {node})")
            }
            Ineligible::NoAnnouncer => return (self.no_announcer(), self.uncovered().1),
            Ineligible::NotSelected => format!(
                "label {node} so that a nodeSelector matches, or change the nodeSelector of announcer {}",
                selectors()
            ),
            Ineligible::NoEndpoint | Ineligible::NoLocalEndpoint | Ineligible::OnlyTerminating => {
                return (explained(reason), self.endpoints_fixes(node, reason));
            }
            Ineligible::NotReady => format!("make {node} Ready (kubectl describe node {node})"),
            Ineligible::Cordoned => format!("return it to service: kubectl uncordon {node}"),
            other => self.inability_fix(node, other),
        };
        let message = match reason {
            Ineligible::NotAlive => "Outrigger does not run there, or cannot be reached; to see its pods: kubectl -n outrigger-system get pods -o wide".to_owned(),
            Ineligible::NotSelected => {
                format!("no nodeSelector matches it: announcer {}", selectors())
            }
            other => explained(other),
        };
        (message, vec![fix])
    }

    /// Returns the fix that ignores the label. Only an Announcer that exists as an object can be edited.
    fn ignore_fix(&self) -> Option<String> {
        let written = |one: &&Announcer| self.cluster.announcers.contains_key(&one.name);
        let name = &self.cover.iter().find(written)?.name;
        Some(format!(
            "also announce from nodes with that label: kubectl patch announcer {name} --type merge -p '{{\"spec\":{{\"ignoreExcludeLabel\":true}}}}'"
        ))
    }

    fn no_announcer(&self) -> String {
        match self.home {
            None => "no AddressPool contains the address".to_owned(),
            Some(_) => "no announcer is for this address".to_owned(),
        }
    }

    fn has_other_family(&self, key: &ServiceKey) -> bool {
        let other = |slice: &&Arc<Endpoints>| {
            slice.service == *key && slice.family != Family::of(&self.address)
        };
        let endpoints = self.cluster.endpoints.values().filter(other);
        endpoints.flat_map(|slice| &slice.endpoints).any(|one| one.ready)
    }

    fn endpoints_fixes(&self, node: &str, reason: Ineligible) -> Vec<String> {
        let first = self.services.first().map(|one| one.key.clone());
        let Some(key) = first else { return Vec::new() };
        let slices = format!(
            "kubectl -n {} get endpointslices -l kubernetes.io/service-name={}",
            key.namespace(),
            key.name()
        );
        match reason {
            Ineligible::NoEndpoint if self.has_other_family(&key) => vec![format!(
                "give the pods of Service {key} an {} address, or remove the family from its spec.ipFamilies: it has endpoints of the other family only; to see them: {slices}",
                Family::of(&self.address)
            )],
            Ineligible::NoEndpoint => {
                vec![format!("make a pod of Service {key} ready; to see its pods: {slices}")]
            }
            _ => vec![
                format!(
                    "run a ready pod of Service {key} on {node}; to see where its pods are: {slices}"
                ),
                format!(
                    "let every node serve it: kubectl -n {} patch service {} -p '{{\"spec\":{{\"externalTrafficPolicy\":\"Cluster\"}}}}'",
                    key.namespace(),
                    key.name()
                ),
            ],
        }
    }
}

/// Returns the reason, worded to follow the node's name.
fn explained(reason: Ineligible) -> String {
    match reason {
        Ineligible::Excluded => format!("has the label {EXCLUDE}"),
        Ineligible::NoLocalEndpoint => {
            "no pod there can serve, and externalTrafficPolicy is Local".to_owned()
        }
        other => other.to_string(),
    }
}

/// Returns why a node could not be asked.
pub(super) fn silence(word: &NodeObservation) -> &str {
    match word.silence.why.as_str() {
        "" => "the reason is unknown",
        why => why,
    }
}

fn through(word: &AddressObservation) -> String {
    let mut text = format!("by {}", word.announcer);
    if !word.via.is_empty() {
        text.push_str(&format!(" on {}", word.via.join(", ")));
    }
    if !word.since.is_empty() {
        text.push_str(&format!(" since {}", word.since));
    }
    text
}
