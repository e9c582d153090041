//! State shared by one announcer instance and the rest of the host: its guard, pending events and last reports.
//!
//! One lock covers everything, so that "no longer desired" revokes the grant, ends the offloads and queues the event in
//! one step that no effect can interleave with. Nothing slow happens under it.
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use outrigger_core::desired::Desired;
use outrigger_core::guard::budget::OCTETS_WAITING;
use outrigger_core::guard::{Guard, Reason, Refusal};
use outrigger_core::outbox::{Outbox, PendingChange, events, full_lists};
use outrigger_net::{Owner, ResponderHandle, StreamsHandle, now};
use outrigger_runtime::Factory;
use outrigger_sdk::{
    AddressReport, AnnouncementState, Closed, Denied, Endpoint, Event, LinksChanged, Pair, Resumed,
    Stopping,
};
use tokio::sync::Notify;

use crate::trial::TrialFailure;

mod address_reports;
mod peers;

pub use address_reports::AddressReports;

/// Delay before refusals are reported to the plugin, so that a plugin that insists does not spin.
const DENIED_DELAY: Duration = Duration::from_millis(100);
/// Weight of an event besides its data, in bytes.
const EVENT_OCTETS: usize = 64;
/// Largest number of refusals that wait; more are only counted.
const DENIED_WAITING: usize = 100;

/// The shared state of one instance, with the handles it acts through.
pub struct Mailbox {
    owner: Owner,
    responder: ResponderHandle,
    streams: StreamsHandle,
    inner: Mutex<Inner>,
    /// Bytes of streams and datagrams in the outbox. Outside the lock, because the streams' thread reads it with its
    /// own lock held.
    waiting: AtomicUsize,
    /// True while an instance runs.
    running: AtomicBool,
    work: Condvar,
    /// Notified whenever the standing of the instance has changed.
    changed: Arc<Notify>,
}

/// The state under the lock.
#[derive(Default)]
pub struct Inner {
    /// Judges the effects of the instance.
    pub guard: Guard,
    /// Last reports of the instance.
    pub standing: InstanceStatus,
    /// Names of Secrets, by the names that the plugin uses for them.
    pub secrets: BTreeMap<String, String>,
    outbox: Outbox,
    denied: Vec<Denied>,
    /// Addresses whose report changed since [`Mailbox::take_reported`], with the current state of each.
    reported: BTreeMap<IpAddr, Reported>,
    /// Sent again to an instance that takes over in the meantime.
    stopping: Option<Stopping>,
    commands: VecDeque<InstanceCommand>,
}

/// State that a plugin reports for an address, as far as the election depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reported {
    /// The address is announced to the network.
    Announced,
    /// The plugin cannot announce it.
    Failed,
    /// Any other state.
    Otherwise,
}

/// Commands of the host to an instance, besides events.
pub enum InstanceCommand {
    /// Replaces the plugin or its configuration.
    Swap(Swap),
    /// Ends the thread; its offloads end with it.
    End,
}

/// A plugin and its configuration, which take over while traffic flows.
pub struct Swap {
    /// Instantiates the plugin.
    pub factory: Arc<dyn Factory>,
    /// `spec.config` as JSON text.
    pub config: String,
    /// Properties of the node that are passed to the plugin.
    pub ext: Vec<Pair>,
    /// True if the plugin is a candidate, whose effects are reviewed before they are carried out.
    pub on_trial: bool,
}

/// Reports of an instance about itself. Each is a level: the last one about a subject applies.
#[derive(Debug, Clone, Default)]
pub struct InstanceStatus {
    /// Last report about each address.
    pub addresses: AddressReports,
    /// Digest of the active plugin, "" if none has started yet.
    pub digest: String,
    /// "Running", "Held" or "NotStarted".
    pub phase: &'static str,
    /// Number of restarts after a fault.
    pub restarts: u64,
    /// Number of events set aside.
    pub quarantined: u64,
    /// Last fault or failed swap, "" if there was none.
    pub last_fault: String,
    /// Reason why the last swap failed, "" if it succeeded.
    pub refused: String,
    /// True if the plugin has answered `stopping`.
    pub drained: bool,
    /// Digest of the candidate that failed here last, and the verdict.
    pub failed_trial: Option<(String, TrialFailure)>,
}

/// Input of one turn of the instance.
pub struct Batch {
    /// Events, oldest first.
    pub events: Vec<Event>,
    /// At most one command; it is executed after the events.
    pub command: Option<InstanceCommand>,
}

impl Mailbox {
    /// Creates an empty mailbox.
    pub fn new(
        owner: Owner,
        responder: ResponderHandle,
        streams: StreamsHandle,
        changed: Arc<Notify>,
    ) -> Arc<Self> {
        let inner = Mutex::new(Inner {
            standing: InstanceStatus { phase: "NotStarted", ..Default::default() },
            ..Default::default()
        });
        Arc::new(Self {
            owner,
            responder,
            streams,
            inner,
            waiting: AtomicUsize::new(0),
            running: AtomicBool::new(false),
            work: Condvar::new(),
            changed,
        })
    }

    /// Queues an event of an endpoint, which the guard takes in too.
    pub fn hear(&self, event: Event) {
        let octets = match &event {
            Event::Data(bytes) => bytes.data.len(),
            Event::Datagram(datagram) => datagram.data.len(),
            _ => 0,
        };
        self.waiting.fetch_add(octets + EVENT_OCTETS, Ordering::SeqCst);
        let mut inner = self.lock();
        if inner.guard.hear(&event)
            && let Event::Data(bytes) = &event
        {
            self.streams.extend(self.owner, bytes.id);
        }
        inner.outbox.push(event);
        self.work.notify_one();
    }

    /// Returns true if the outbox accepts more data.
    pub fn has_room(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) < OCTETS_WAITING
    }

    /// Returns true if an instance runs.
    pub fn is_running(&self) -> bool {
        self.running.load(Ordering::SeqCst)
    }

    /// Records whether an instance runs.
    pub fn set_running(&self, running: bool) {
        self.running.store(running, Ordering::SeqCst);
    }

    /// Applies changes to the addresses that the instance is to announce. An address that it must no longer announce is
    /// withdrawn before this returns, with or without the plugin (invariant 6).
    pub fn desire(&self, remove: Vec<IpAddr>, upsert: &[Arc<Desired>]) {
        let mut inner = self.lock();
        let upserted = upsert.iter().map(|entry| entry.address);
        let touched: Vec<IpAddr> = remove.iter().copied().chain(upserted).collect();
        inner.guard.desire(&remove, upsert);
        self.withdraw_undesired(&mut inner, touched);
        inner.outbox.change(PendingChange { reset: false, remove, upsert: upsert.to_vec() });
        self.work.notify_one();
    }

    /// Replaces all addresses that the instance is to announce; all others are withdrawn.
    pub fn desire_only(&self, all: &[Arc<Desired>]) {
        let mut inner = self.lock();
        let before: Vec<IpAddr> = inner.guard.desired().keys().copied().collect();
        inner.guard.reset_desired();
        inner.guard.desire(&[], all);
        self.withdraw_undesired(&mut inner, before);
        inner.outbox.change(PendingChange {
            reset: true,
            remove: Vec::new(),
            upsert: all.to_vec(),
        });
        self.work.notify_one();
    }

    fn end_offloads(&self, inner: &mut Inner, address: IpAddr) {
        for id in self.responder.withdraw(self.owner, address) {
            inner.guard.ended(id);
            inner.outbox.push(Event::Ended(id));
        }
    }

    fn withdraw_undesired(&self, inner: &mut Inner, touched: Vec<IpAddr>) {
        for address in touched {
            let entry = inner.guard.desired().get(&address);
            let (speaks, known) = (entry.is_some_and(|entry| entry.duty.speaks()), entry.is_some());
            if !speaks {
                self.end_offloads(inner, address);
            }
            if !known {
                inner.standing.addresses.remove(address);
            }
        }
    }

    /// Applies a change of links. The responder has already ended what used links that are gone.
    pub fn link(&self, change: LinksChanged) {
        let mut inner = self.lock();
        inner.guard.link(&change);
        inner.outbox.push(Event::LinksChanged(change));
        self.work.notify_one();
    }

    /// Notifies the instance that it will end.
    pub fn stop(&self, stopping: Stopping) {
        let mut inner = self.lock();
        inner.standing.drained = false;
        inner.stopping = Some(stopping);
        inner.outbox.push(Event::Stopping(stopping));
        self.work.notify_one();
    }

    /// Queues one event, such as a frame or an offload that ended.
    pub fn tell(&self, event: Event) {
        let mut inner = self.lock();
        inner.guard.hear(&event);
        inner.outbox.push(event);
        self.work.notify_one();
    }

    /// Queues a command.
    pub fn command(&self, command: InstanceCommand) {
        self.lock().commands.push_back(command);
        self.work.notify_one();
    }

    /// Returns the addresses whose report changed since the last call, with the current state of each.
    pub fn take_reported(&self) -> BTreeMap<IpAddr, Reported> {
        std::mem::take(&mut self.lock().reported)
    }

    /// Locks the state, to read several things at once or to carry out effects.
    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nothing panics while it holds the desk")
    }

    /// Notifies the host that the standing has changed.
    pub fn changed(&self) {
        self.changed.notify_one();
    }

    /// Waits for events or a command, for `at_most` at the longest.
    pub fn wait(&self, at_most: Duration) -> Batch {
        let mut inner = self.lock();
        if inner.outbox.is_empty() && inner.commands.is_empty() {
            let patience =
                if inner.denied.is_empty() { at_most } else { at_most.min(DENIED_DELAY) };
            inner = self
                .work
                .wait_timeout_while(inner, patience, |inner| {
                    inner.outbox.is_empty() && inner.commands.is_empty()
                })
                .expect("nothing panics while it holds the desk")
                .0;
        }
        let waiting = inner.outbox.take();
        self.waiting.store(0, Ordering::SeqCst);
        let denied = std::mem::take(&mut inner.denied);
        let command = inner.commands.pop_front();
        drop(inner);
        let mut events = events(waiting);
        events.extend(denied.into_iter().map(Event::Denied));
        Batch { events, command }
    }

    /// Drops reports that only earlier instances made, once their time is up. Returns the time of the next sweep.
    pub fn sweep(&self, now_us: u64) -> Option<u64> {
        self.lock().guard.sweep(now_us)
    }

    /// Waits for this time, or until there is a command.
    pub fn pause(&self, time: Duration) {
        if !time.is_zero() {
            let waited =
                self.work.wait_timeout_while(self.lock(), time, |inner| inner.commands.is_empty());
            drop(waited.expect("nothing panics while it holds the desk"));
        }
    }

    /// Returns the waiting events and the current full lists in one step, so that no waiting event is newer than the
    /// lists.
    pub fn full(&self) -> (Vec<Event>, Vec<Event>) {
        let mut inner = self.lock();
        let waiting = inner.outbox.take();
        self.waiting.store(0, Ordering::SeqCst);
        let lists = full_lists(inner.guard.links(), inner.guard.desired());
        let stopping = inner.stopping.map(Event::Stopping);
        drop(inner);
        let mut lists = events(lists);
        lists.extend(stopping);
        (events(waiting), lists)
    }

    /// Returns the event that lists the endpoints and offloads that the host holds for this instance now.
    pub fn resumed(&self) -> Event {
        Event::Resumed(Resumed {
            open: self.streams.open(self.owner),
            offloads: [self.responder.offloads(self.owner), self.streams.offloads(self.owner)]
                .concat(),
        })
    }
}

impl Inner {
    /// Stores the report of the plugin about an address.
    pub fn report(&mut self, report: AddressReport) {
        let address = report.address;
        let reported = match &report.state {
            AnnouncementState::Announced => Reported::Announced,
            AnnouncementState::Failed => Reported::Failed,
            _ => Reported::Otherwise,
        };
        if self.standing.addresses.put(report, now().utc_us) {
            self.reported.insert(address, reported);
        }
    }

    /// Queues the event that an endpoint was not opened; the plugin knows it by its number.
    pub fn not_opened(&mut self, closed: Closed) {
        self.outbox.push(Event::Closed(closed));
    }

    /// Counts and queues a refusal that occurred only while the effect was carried out.
    pub fn refuse(&mut self, effect: &'static str, subject: String, reason: Reason) {
        self.guard.refuse(reason);
        self.deny(Refusal { effect, subject, reason }.to_event());
    }

    /// Removes an offload from the guard if it could not be set.
    pub fn offloaded<E>(&mut self, id: Endpoint, set: &Result<(), E>) {
        if set.is_err() {
            self.guard.ended(id);
        }
    }

    /// Queues a refusal, which is reported to the plugin a little later.
    pub fn deny(&mut self, denied: Denied) {
        if self.denied.len() < DENIED_WAITING {
            self.denied.push(denied);
        }
    }
}
