//! The node role: takes in facts, links, membership and reports of plugins, and sends each instance of this node the
//! addresses it is to announce. Synchronous: only [`crate::daemon`] waits.
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use outrigger_core::desired::Desired;
use outrigger_core::facts::{self, Change, Cluster, Election, Fact, FactKey, NodeName};
use outrigger_core::membership::{Hearing, ViewChange};
use outrigger_core::plan::{Planned, Planner, announcers};
use outrigger_kube::Problem;
use outrigger_net::Links;
use outrigger_sdk::{Duty, IpNet, LinkIndex, MacAddr, StopReason, Stopping};

use crate::mailbox::{Mailbox, Reported};
use crate::trial::TrialFailure;

mod announcer;
mod dispatch;
mod gossip;
mod kernel;
mod links;
mod node_info;
mod probes;
mod proxy;
mod ready;
mod segments;

pub use announcer::Announcers;
pub use dispatch::EventDispatcher;
pub use gossip::{Gossip, Wire};

use kernel::Kernel;
use probes::Probes;
use proxy::Proxy;
use ready::{Around, Ready};
use segments::Segments;

/// State of the node role.
pub struct Node {
    /// Name of this node.
    pub name: NodeName,
    /// Facts about the cluster.
    pub cluster: Cluster,
    /// Decides from the facts which addresses this node announces.
    pub planner: Planner,
    /// Announcer instances of this node.
    pub announcers: Announcers,
    /// Membership of this node and the others.
    pub gossip: Gossip,
    /// Problem of this node's place in the cluster, if any.
    pub gossip_problem: Option<Problem>,
    /// Links as the kernel reports them.
    pub links: Arc<Links>,
    /// Problems of links on which no frame can be sent or received.
    pub link_problems: Vec<Problem>,
    /// Monotonic microseconds after which a stopping node waits no longer.
    stopping: Option<u64>,
    /// Monotonic microseconds at which the host withdraws what a plugin has not withdrawn.
    pub overdue: Option<u64>,
    ready: Ready,
    segments: Segments,
    proxy: Proxy,
    kernel: Kernel,
    /// Links on which addresses are announced by announcers that elect one node.
    usable: BTreeSet<LinkIndex>,
    probes: Probes,
    /// True if links, members or the neighbours that are heard may have changed.
    segments_changed: bool,
    /// True if labels, links or routes may have changed.
    about_changed: bool,
}

/// Work that [`Node::apply`] leaves for the daemon.
#[derive(Default)]
pub struct ToDo {
    /// Plugins to load, which is slow.
    pub deliveries: Vec<Arc<outrigger_core::facts::Plugin>>,
    /// Plugins whose delivery was withdrawn.
    pub withdrawn: Vec<String>,
    /// True if nodes may have changed, so that the peers must be updated.
    pub peers: bool,
}

impl Node {
    /// Creates a node without any facts. Must be called within a runtime.
    pub fn new(gossip: Gossip, announcers: Announcers, planner: Planner, name: NodeName) -> Self {
        Self {
            segments: announcers.segments(),
            proxy: announcers.proxy(),
            kernel: announcers.kernel(),
            usable: BTreeSet::new(),
            probes: announcers.probes(),
            segments_changed: true,
            planner,
            announcers,
            name,
            cluster: Cluster::default(),
            gossip,
            gossip_problem: None,
            links: Arc::default(),
            link_problems: Vec::new(),
            stopping: None,
            overdue: None,
            ready: Ready::default(),
            about_changed: true,
        }
    }

    /// Applies changes of facts. Call [`Node::settle`] once all are applied.
    pub fn apply(&mut self, changes: Vec<Change>) -> ToDo {
        let mut todo = ToDo::default();
        for change in changes {
            match &change {
                Change::Upsert(Fact::Plugin(plugin)) => todo.deliveries.push(plugin.clone()),
                Change::Remove(FactKey::Plugin(name)) => todo.withdrawn.push(name.clone()),
                Change::Upsert(Fact::Node(_))
                | Change::Remove(FactKey::Node(_))
                | Change::Synced => {
                    todo.peers = true;
                    self.about_changed = true;
                }
                _ => {}
            }
            if let Some(difference) = self.cluster.apply(change) {
                self.planner.facts_changed(&self.cluster, &difference);
            }
        }
        todo
    }

    /// Brings instances and mailboxes in line with the facts. Cheap if nothing changed.
    pub fn settle(&mut self, now_us: u64) {
        // Claims that arrived in the meantime must be applied before the deadlines that they had to meet.
        self.gossip();
        if !self.cluster.synced {
            return;
        }
        let labels = self.cluster.nodes.get(&self.name).map(|node| &node.labels);
        let wanted = announcers(&self.cluster)
            .into_iter()
            .filter(|(_, announcer)| {
                labels.is_none_or(|labels| announcer.node_selector.matches(labels))
            })
            .collect();
        if std::mem::take(&mut self.segments_changed) {
            self.usable = Ready::links(&wanted, &self.links);
            let links = self.links.values().filter(|link| self.usable.contains(&link.index));
            self.kernel.set_links(links.clone());
            self.gossip.links(links.cloned().collect());
            self.segments.ask(&self.name, &self.links, &self.usable, self.gossip.view());
        }
        self.probe(now_us);
        let Self { ready, announcers, links, segments, proxy, planner, .. } = self;
        let around = Around { links, segments, proxy, planner };
        let readiness = ready.look(now_us, &wanted, announcers, around);
        if self.gossip.ready(readiness) {
            self.view_changed(&ViewChange { readiness: true, ..ViewChange::default() });
        }
        self.planner.time(now_us);
        let mut outlook = self.gossip.outlook();
        outlook.settled &= self.gossip_problem.is_none();
        let Planned { changes, claims, ask } =
            self.planner.plan(&self.cluster, self.gossip.view(), outlook);
        self.probes.ask(ask);
        for change in changes {
            self.announcers.desire(change);
        }
        if std::mem::take(&mut self.about_changed) {
            self.announcers.set_about(node_info::about(&self.cluster, &self.name));
        }
        self.announcers.sync(wanted, &self.links, &self.planner);
        self.overdue = self.announcers.withdraw_overdue(now_us);
        for (address, claim) in &claims {
            match claim {
                Some(claim) => {
                    tracing::debug!(%address, announced = claim.announced, settled = outlook.settled, "claimed")
                }
                None => tracing::debug!(%address, "claim released"),
            }
        }
        if !claims.is_empty() {
            self.gossip.claim(claims);
        }
    }

    fn probe(&mut self, now_us: u64) {
        let Self { segments, probes, planner, gossip, name, .. } = self;
        let view = gossip.view();
        let is_heard = |node: &NodeName| {
            view.members.get(node).is_some_and(|member| member.hearing == Hearing::Itself)
        };
        // An address that one of these nodes answers for without a claim is answered by its kernel: kube-proxy in IPVS
        // mode without strictARP.
        let heard = view.readiness.iter().filter(|(node, _)| *node != name && is_heard(node));
        let hardware = heard.flat_map(|(_, announcers)| announcers.values());
        let hardware = hardware.flat_map(|one| &one.hardware).map(|mac| MacAddr::from(*mac));
        let ignored = || segments.routers().into_iter().chain(hardware).collect();
        probes.step(now_us, gossip.links_used(), ignored, planner);
    }

    /// Applies pending news of membership. Returns true if there was any.
    pub fn gossip(&mut self) -> bool {
        let Some(change) = self.gossip.take() else { return false };
        self.view_changed(&change);
        true
    }

    /// Applies a change of members, claims or readiness.
    pub fn view_changed(&mut self, change: &ViewChange) {
        self.segments_changed |= change.members || change.readiness;
        self.planner.view_changed(change);
    }

    /// Applies a change of links.
    pub fn links(&mut self, links: Arc<Links>) {
        self.announcers.links(&self.links, &links);
        self.links = links;
        self.about_changed = true;
        self.segments_changed = true;
    }

    /// Swaps the instances of a plugin to its active build, which may have changed.
    pub fn plugin_changed(&mut self, name: &str) {
        self.announcers.plugin_changed(name);
    }

    /// Takes in the reports of plugins: an address that one of them announces confirms the claim.
    pub fn reports(&mut self, now_us: u64) {
        self.segments_changed = true;
        for (announcer, mailbox) in self.announcers.mailboxes() {
            for (address, reported) in mailbox.take_reported() {
                let announced = reported == Reported::Announced;
                self.planner.reported(&announcer.name, address, announced);
                let failed = reported == Reported::Failed;
                self.ready.reported(&announcer.name, address, failed, now_us);
            }
        }
    }

    /// Returns the time at which to settle even if nothing happens.
    pub fn next_deadline(&self) -> Option<u64> {
        [self.planner.next_deadline(), self.ready.due, self.probes.next()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Returns the candidates that failed since the last call: plugin, digest and verdict.
    pub fn failed_trials(&self) -> Vec<(String, String, TrialFailure)> {
        let failed = |(announcer, mailbox): (&facts::Announcer, &Arc<Mailbox>)| {
            let (digest, verdict) = mailbox.lock().standing.failed_trial.take()?;
            Some((announcer.plugin.plugin.clone(), digest, verdict))
        };
        self.announcers.mailboxes().filter_map(failed).collect()
    }

    /// Begins a planned stop: other nodes take over first (invariant 7).
    pub fn stop(&mut self, now_us: u64, within_us: u64) {
        self.stopping = Some(now_us + within_us);
        let change = self.gossip.leave();
        self.view_changed(&change);
        self.settle(now_us);
        let within_ms = u32::try_from(within_us / 1_000).unwrap_or(u32::MAX);
        self.announcers.stop(Stopping { reason: self.stop_reason(), within_ms });
    }

    /// Returns the reason of the stop. A node that is cordoned, excluded or deleted is not expected back; any other
    /// stop counts as a restart.
    pub fn stop_reason(&self) -> StopReason {
        let Cluster { nodes, announcers, .. } = &self.cluster;
        let ignored = || announcers.values().any(|announcer| announcer.ignore_exclude_label);
        let leaves = match nodes.get(&self.name) {
            Some(node) => node.cordoned || (node.excluded && !ignored()),
            None => !nodes.is_empty(),
        };
        if leaves { StopReason::Leave } else { StopReason::Restart }
    }

    /// Returns the time at which a stopping node gives up waiting. `None` if it does not stop.
    pub fn stop_deadline(&self) -> Option<u64> {
        self.stopping
    }

    /// Returns true if a stopping node has nothing left to hand over, or has waited long enough.
    pub fn stopped(&self, now_us: u64) -> bool {
        let Some(deadline) = self.stopping else { return false };
        let handing_over = |(_, address): (&IpAddr, &Arc<Desired>)| {
            // A handover without a named node needs no wait: the other nodes announce already.
            matches!(&address.duty, Duty::HandOver(to) if !to.is_empty())
        };
        let left =
            self.announcers.names().any(|name| self.planner.desired(name).iter().any(handing_over));
        now_us >= deadline || (!left && self.announcers.drained())
    }

    /// Ends every instance.
    pub fn end(&mut self) {
        self.announcers.end();
    }

    /// Returns the problems of this node that do not depend on the objects.
    pub fn problems(&self) -> Vec<Problem> {
        let taken = self.probes.problem(&self.name, self.gossip.port(), &self.links);
        let elects = |announcer: &&facts::Announcer| announcer.election == Election::One;
        let electing =
            || self.announcers.mailboxes().map(|(announcer, _)| announcer).filter(elects);
        let desired = || electing().map(|announcer| self.planner.desired(&announcer.name));
        let has = |net: &IpNet| {
            let within = net.network()..=net.broadcast();
            desired().any(|addresses| addresses.range(within.clone()).next().is_some())
        };
        let of_kernel = self.kernel.problems(&self.links, has);
        let sentences = self.gossip.strangers(&self.cluster).into_iter().chain(of_kernel);
        let of_node = sentences.map(|message| Problem {
            file: String::new(),
            object: Some(format!("Node {}", self.name)),
            message,
        });
        let known = self.gossip_problem.iter().chain(&self.link_problems).cloned();
        known.chain(taken).chain(of_node).collect()
    }

    /// Returns true if this node hears no other node, and cannot with the current settings.
    pub fn is_apart(&self) -> bool {
        let view = self.gossip.view();
        self.gossip_problem.is_some() || (view.members.len() < 2 && !view.unreadable.is_empty())
    }
}
