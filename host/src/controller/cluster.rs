//! The controller role over the API server: a Lease elects one process, which allocates from what it watches and writes
//! Service status. Every write is bound to the version it was decided on, and to the Lease.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kube::Client;
use outrigger_core::allocation::{AllocationResult, Allocations, Condition, PoolStatus};
use outrigger_core::facts::{Change, Fact, FactKey, ServiceKey};
use outrigger_kube::Allocated;
use outrigger_kube::api::{
    CONTROLLER, Events, Lead, Lease, ObjectStatus, Observed, PluginWriter, Reader, Told, Wanted,
    Watches, WriteError, Writer, create_gossip_key,
};
use outrigger_kube::convert::ServiceClasses;
use outrigger_net::now;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tracing::Instrument as _;

use super::{Policies, Problems, events, rollouts, statuses, tell};
use crate::delivery::Deliveries;
use crate::plugins::Plugins;

/// Largest number of concurrent writes.
const IN_FLIGHT: usize = 32;
/// Delay before a write that the API server refused is retried.
const RETRY: Duration = Duration::from_secs(1);
/// Delay from a change to the conditions that follow from it.
const REPORT_DELAY: Duration = Duration::from_millis(200);

/// Dependencies of the controller role.
pub struct ClusterController {
    /// Client of the API server.
    pub client: Client,
    /// Classes of Services that Outrigger serves.
    pub classes: ServiceClasses,
    /// Identity of this process, unique among all.
    pub identity: String,
    /// Plugins, including the allocators.
    pub plugins: Arc<Plugins>,
    /// Thread that runs the allocators.
    pub policies: Policies,
    /// Notified when another plugin becomes active.
    pub plugins_changed: Arc<Notify>,
    /// Loads plugins; `None` if the node role in the same process does.
    pub deliveries: Mutex<Option<Deliveries>>,
    /// Receives problems of pools that are not applied as written, for the report.
    pub problems: Problems,
    /// Publishes the state of this role.
    pub standing: watch::Sender<ControllerStatus>,
}

/// State of the controller role, for health and metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ControllerStatus {
    /// Kinds of objects that have not been listed yet.
    pub missing: Vec<String>,
    /// True if this process leads.
    pub leads: bool,
    /// Number of Services that it knows.
    pub services: usize,
    /// Number of Services that wait for an address.
    pub pending: usize,
    /// Number of status writes so far.
    pub writes: u64,
    /// Number of status writes refused because another client wrote first.
    pub conflicts: u64,
    /// Status of every pool; empty while another process leads.
    pub pools: BTreeMap<String, PoolStatus>,
}

impl ClusterController {
    /// Runs until `stop` is true, then releases leadership.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut watches = Watches::start(&self.client, &self.classes, Reader::Controller);
        let mut lease = Lease::new(self.client.clone(), self.identity.clone());
        loop {
            let lead = tokio::select! {
                lead = lease.acquire() => lead,
                () = self.keep_up(&mut watches) => continue,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            tracing::info!(
                identity = self.identity,
                "this process is the leader: it allocates addresses"
            );
            let mut term = LeaderTerm::new(&self, lead);
            let span = tracing::error_span!("term", identity = self.identity);
            let stopped = term.run(&mut watches, &mut stop).instrument(span).await;
            let lead = term.end().await;
            self.standing.send_modify(|standing| {
                standing.leads = false;
                standing.pools.clear();
            });
            if stopped {
                return lead.resign(self.client.clone()).await;
            }
        }
    }

    /// Keeps facts up to date while another process leads, so that nothing needs to be listed when this one takes over.
    async fn keep_up(&self, watches: &mut Watches) {
        loop {
            for change in watches.read() {
                self.load(&change);
            }
            watches.touched();
            self.say(watches);
            watches.changed().await;
        }
    }

    fn load(&self, change: &Change) {
        let mut deliveries =
            self.deliveries.lock().expect("nothing panics while it holds the deliveries");
        if let Some(deliveries) = &mut *deliveries {
            deliveries.follow(change);
        }
    }

    fn say(&self, watches: &Watches) {
        let missing: Vec<_> = watches.missing().map(|kind| kind.plural().to_owned()).collect();
        self.standing.send_if_modified(|standing| {
            let differs = standing.missing != missing;
            standing.missing = missing;
            differs
        });
    }
}

/// State of one term of leadership.
struct LeaderTerm<'a> {
    role: &'a ClusterController,
    lead: Lead,
    writer: Writer,
    events: Events,
    allocations: Allocations,
    /// Services that Outrigger serves, according to the facts.
    ours: BTreeSet<ServiceKey>,
    wanted: BTreeMap<ServiceKey, Wanted>,
    /// Services whose status may differ from the wanted one.
    dirty: BTreeSet<ServiceKey>,
    /// Services with a pending write, and the version it is bound to.
    busy: BTreeMap<ServiceKey, u64>,
    writes: JoinSet<(ServiceKey, Result<Option<Observed>, WriteError>)>,
    /// Services to retry, and the monotonic time to do so in microseconds.
    retry: Option<(u64, BTreeSet<ServiceKey>)>,
    objects: watch::Sender<Vec<ObjectStatus>>,
    /// Sends NodeReports and Plugins to the roll-outs.
    told: mpsc::UnboundedSender<Told>,
    /// Publishes to the roll-outs whether each node is Ready.
    nodes: watch::Sender<rollouts::Nodes>,
    rollouts: JoinHandle<()>,
    /// Time at which [`LeaderTerm::report`] is due, in monotonic microseconds. It examines everything, so it does not run
    /// after every write.
    report_due: Option<u64>,
}

impl<'a> LeaderTerm<'a> {
    fn new(role: &'a ClusterController, lead: Lead) -> Self {
        let (objects, wanted) = watch::channel(Vec::new());
        let events = Events::new(role.client.clone(), CONTROLLER, &role.identity);
        tokio::spawn(statuses::write(role.client.clone(), lead.clone(), events.clone(), wanted));
        let (nodes, ready) = watch::channel(rollouts::Nodes::new());
        let (client, plugins) = (role.client.clone(), role.plugins.clone());
        let (told, hears) = mpsc::unbounded_channel();
        let writer = PluginWriter::new(client.clone(), lead.clone(), events.clone());
        let rollouts = rollouts::run(client, writer, plugins, hears, ready);
        let rollouts = tokio::spawn(rollouts.instrument(tracing::error_span!("rollouts")));
        Self {
            writer: Writer::new(role.client.clone(), lead.clone()),
            events,
            role,
            lead,
            allocations: Allocations::default(),
            ours: BTreeSet::new(),
            wanted: BTreeMap::new(),
            dirty: BTreeSet::new(),
            busy: BTreeMap::new(),
            writes: JoinSet::new(),
            retry: None,
            objects,
            told,
            nodes,
            rollouts,
            report_due: None,
        }
    }

    /// Runs until leadership is lost (returns false) or the process is to stop (returns true).
    async fn run(&mut self, watches: &mut Watches, stop: &mut watch::Receiver<bool>) -> bool {
        self.make_gossip_key();
        let mut changes = watches.retell();
        self.report_due = Some(now().monotonic_us);
        loop {
            for change in changes.drain(..) {
                self.apply(change);
            }
            let more = self.role.policies.decide(&mut self.allocations).await;
            self.hear_verdicts(watches);
            self.dirty.extend(watches.touched());
            // The send fails only when the roll-outs have ended, which happens only at the end of this term.
            let told: Vec<Told> = watches.told().collect();
            for told in told {
                events::publish(&self.events, watches, &told);
                drop(self.told.send(told));
            }
            self.start_writes(watches);
            let retry = self.retry.as_ref().map(|retry| retry.0);
            let at_once = more.then(|| now().monotonic_us);
            let deadline = [at_once, self.allocations.next_deadline(), retry, self.report_due];
            let mut lead = self.lead.clone();
            tokio::select! {
                biased;
                () = lead.lost() => return false,
                _ = stop.wait_for(|stop| *stop) => return true,
                Some(Ok((key, result))) = self.writes.join_next() => self.written(watches, key, result),
                () = self.role.plugins_changed.notified() => self.plugins_changed(),
                () = watches.changed() => changes = watches.read(),
                () = crate::deadline::at(deadline.into_iter().flatten().min()) => {
                    self.due(watches);
                    continue;
                }
            }
            self.report_due.get_or_insert(now().monotonic_us + REPORT_DELAY.as_micros() as u64);
        }
    }

    /// Waits for pending writes.
    async fn end(mut self) -> Lead {
        self.rollouts.abort();
        while self.writes.join_next().await.is_some() {}
        self.lead
    }

    fn apply(&mut self, change: Change) {
        self.role.load(&change);
        match &change {
            Change::Upsert(Fact::Service(service)) => drop(self.ours.insert(service.key.clone())),
            Change::Remove(FactKey::Service(key)) => {
                self.ours.remove(key);
                self.wanted.remove(key);
                self.dirty.insert(key.clone());
            }
            Change::Upsert(Fact::Node(node)) => {
                let (name, ready) = (node.name.clone(), node.ready);
                self.nodes.send_if_modified(|nodes| nodes.insert(name, ready) != Some(ready));
            }
            Change::Remove(FactKey::Node(name)) => {
                self.nodes.send_if_modified(|nodes| nodes.remove(name).is_some());
            }
            _ => {}
        }
        self.allocations.apply(&change, now());
    }

    fn plugins_changed(&mut self) {
        for plugin in self.role.plugins.list() {
            self.allocations.plugin_changed(&plugin.name);
        }
    }

    fn hear_verdicts(&mut self, watches: &Watches) {
        for verdict in self.allocations.verdicts() {
            let AllocationResult { service, addresses, writes_ingress, condition, .. } = verdict;
            if condition.warns() {
                events::warn(&self.events, watches, &service, &condition);
            }
            let allocated = Allocated {
                status: condition.status,
                reason: condition.reason,
                message: condition.message,
            };
            self.wanted.insert(service.clone(), Wanted { addresses, writes_ingress, allocated });
            self.dirty.insert(service);
        }
    }

    fn start_writes(&mut self, watches: &Watches) {
        let ready: Vec<ServiceKey> =
            self.dirty.iter().filter(|key| !self.busy.contains_key(*key)).cloned().collect();
        for key in ready {
            if self.writes.len() >= IN_FLIGHT {
                return;
            }
            self.dirty.remove(&key);
            let Some(observed) = watches.observed(&key) else { continue };
            let wanted = self.wanted.get(&key);
            if wanted.is_none() && self.ours.contains(&key) {
                continue; // not decided yet
            }
            let Some(status) = observed.status(wanted, now()) else { continue };
            self.busy.insert(key.clone(), observed.version);
            let (writer, observed) = (self.writer.clone(), observed.clone());
            let wanted = wanted.cloned();
            self.writes.spawn(async move {
                let result = writer.write(&key, &observed, status).await;
                if let (Ok(_), Some(Wanted { addresses, allocated, .. })) = (&result, wanted) {
                    let Allocated { status, reason, message } = allocated;
                    tell(&key, &addresses, &Condition { status, reason, message });
                }
                (key, result)
            });
        }
    }

    fn written(
        &mut self,
        watches: &mut Watches,
        key: ServiceKey,
        result: Result<Option<Observed>, WriteError>,
    ) {
        let decided_on = self.busy.remove(&key).unwrap_or(0);
        let mut conflicts = 0;
        match result {
            Ok(Some(observed)) => watches.observe(&key, observed),
            Ok(None) | Err(WriteError::Gone | WriteError::NotLeading) => {}
            Err(WriteError::Conflict) => {
                conflicts = 1;
                // If the watch has not delivered the other client's write yet, it will, and that marks the Service
                // dirty.
                if watches.observed(&key).is_some_and(|now| now.version > decided_on) {
                    self.dirty.insert(key);
                }
            }
            Err(error) => {
                tracing::warn!(service = %key, "its status could not be written: {error}");
                let at = now().monotonic_us + RETRY.as_micros() as u64;
                self.retry.get_or_insert_with(|| (at, BTreeSet::new())).1.insert(key);
            }
        }
        self.role.standing.send_modify(|standing| {
            standing.writes += 1;
            standing.conflicts += conflicts;
        });
    }

    fn due(&mut self, watches: &Watches) {
        let now = now().monotonic_us;
        if let Some((_, keys)) = self.retry.take_if(|retry| retry.0 <= now) {
            self.dirty.extend(keys);
        }
        if self.report_due.take_if(|due| *due <= now).is_some() {
            self.report(watches);
        }
    }

    fn report(&mut self, watches: &Watches) {
        let wrong = self.role.plugins.wrong(&statuses::cluster(watches));
        let objects = statuses::objects(&self.allocations, watches, &wrong);
        self.objects.send_if_modified(|known| {
            let differs = *known != objects;
            *known = objects;
            differs
        });
        *self.role.problems.lock().expect("nothing panics while it holds the problems") =
            self.allocations.problems();
        let pending = self.wanted.values().filter(|wanted| !wanted.allocated.status).count();
        let services = self.ours.len();
        let pools = self.allocations.pool_statuses();
        self.role.standing.send_if_modified(|standing| {
            let before = standing.clone();
            let (leads, missing) = (true, Vec::new());
            let (writes, conflicts) = (before.writes, before.conflicts);
            *standing =
                ControllerStatus { missing, leads, services, pending, writes, conflicts, pools };
            *standing != before
        });
        self.role.say(watches);
    }

    fn make_gossip_key(&self) {
        let mut random = [0; 32];
        if let Err(error) = getrandom::fill(&mut random) {
            tracing::error!("the kernel returned no random numbers: {error}");
            return;
        }
        let client = self.role.client.clone();
        tokio::spawn(async move {
            while let Err(error) = create_gossip_key(&client, random).await {
                tracing::warn!("the gossip key could not be created: {error}");
                tokio::time::sleep(RETRY).await;
            }
        });
    }
}
