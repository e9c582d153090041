//! What one announcer instance and the rest of the host share: its guard, what waits to be told, what it said last.
//!
//! Everything is under one lock, so that "no longer desired" takes the grant away, ends the offloads and queues the news
//! in one step that no effect can slip into. Nothing slow happens under it.
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use outrigger_core::desired::Desired;
use outrigger_core::guard::budget::OCTETS_WAITING;
use outrigger_core::guard::{Guard, Reason, Refusal};
use outrigger_core::outbox::{Change, Outbox, events, full_lists};
use outrigger_net::{Owner, ResponderHandle, StreamsHandle, now};
use outrigger_runtime::Factory;
use outrigger_sdk::{
    AddressReport, AnnouncementState, Closed, Denied, Endpoint, Event, LinksChanged, Pair, Resumed,
    Stopping,
};
use tokio::sync::Notify;

use crate::trial::Verdict;

mod peers;
mod said;

pub use said::Said;

/// Refusals wait this long before they are told, so that a plugin that insists does not spin.
const DENIED_DELAY: Duration = Duration::from_millis(100);
/// What an event weighs besides its octets.
const EVENT_OCTETS: usize = 64;
/// Refusals that wait at most; more are counted only.
const DENIED_WAITING: usize = 100;

/// The desk of one instance.
pub struct Desk {
    owner: Owner,
    responder: ResponderHandle,
    streams: StreamsHandle,
    inner: Mutex<Inner>,
    /// Octets of streams and datagrams in the outbox. Beside the lock: the streams' thread asks with its own lock held.
    waiting: AtomicUsize,
    /// An instance runs.
    running: AtomicBool,
    work: Condvar,
    /// Told whenever what the instance says of itself has changed.
    changed: Arc<Notify>,
}

/// What is on it.
#[derive(Default)]
pub struct Inner {
    /// Judges the effects.
    pub guard: Guard,
    /// What the instance said last.
    pub standing: Standing,
    /// Names of Secrets, by the names that the plugin knows them by.
    pub secrets: BTreeMap<String, String>,
    outbox: Outbox,
    denied: Vec<Denied>,
    /// Addresses whose report changed since [`Desk::take_reported`], and what each is now.
    reported: BTreeMap<IpAddr, Reported>,
    /// Said once more to whoever takes over meanwhile.
    stopping: Option<Stopping>,
    commands: VecDeque<Command>,
}

/// What a plugin says of an address, as far as others are elected by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reported {
    /// The network was told.
    Announced,
    /// It cannot announce it.
    Failed,
    /// Anything else.
    Otherwise,
}

/// What the host wants of an instance besides telling it events.
pub enum Command {
    /// Replace plugin or configuration.
    Swap(Swap),
    /// End the thread; offloads end with it.
    End,
}

/// A plugin and its configuration, to take over while traffic flows.
pub struct Swap {
    /// What to instantiate.
    pub factory: Arc<dyn Factory>,
    /// `spec.config`, JSON text.
    pub config: String,
    /// What the plugin is told about its node.
    pub ext: Vec<Pair>,
    /// It is a candidate: what it does is looked at first.
    pub on_trial: bool,
}

/// What an instance says of itself: levels, the last one about a subject stands.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// Of addresses.
    pub addresses: Said,
    /// Digest of the plugin in force, "" while none ever started.
    pub digest: String,
    /// "Running", "Held" or "NotStarted".
    pub phase: &'static str,
    /// Restarts after a fault.
    pub restarts: u64,
    /// Events set aside.
    pub quarantined: u64,
    /// The last fault or failed swap, "" when there was none.
    pub last_fault: String,
    /// Why the last swap failed, "" when it did not.
    pub refused: String,
    /// It answered `stopping`.
    pub drained: bool,
    /// The candidate that failed here last: its digest and why.
    pub failed_trial: Option<(String, Verdict)>,
}

/// What a turn of the instance begins with.
pub struct Turn {
    /// Events, oldest first.
    pub events: Vec<Event>,
    /// At most one command; it comes after the events.
    pub command: Option<Command>,
}

impl Desk {
    /// An empty desk.
    pub fn new(
        owner: Owner,
        responder: ResponderHandle,
        streams: StreamsHandle,
        changed: Arc<Notify>,
    ) -> Arc<Self> {
        let inner = Mutex::new(Inner {
            standing: Standing { phase: "NotStarted", ..Default::default() },
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

    /// Adds what happened to an endpoint, which the guard goes along with.
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

    /// Whether more octets may come.
    pub fn has_room(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) < OCTETS_WAITING
    }

    /// Whether an instance runs.
    pub fn is_running(&self) -> bool {
        self.running.load(Ordering::SeqCst)
    }

    /// Notes whether an instance runs.
    pub fn set_running(&self, running: bool) {
        self.running.store(running, Ordering::SeqCst);
    }

    /// Takes in what the instance is to announce. What it is no longer to announce is out before this returns, with or
    /// without the plugin (invariant 6).
    pub fn desire(&self, remove: Vec<IpAddr>, upsert: &[Arc<Desired>]) {
        let mut inner = self.lock();
        let upserted = upsert.iter().map(|entry| entry.address);
        let touched: Vec<IpAddr> = remove.iter().copied().chain(upserted).collect();
        inner.guard.desire(&remove, upsert);
        self.withdraw_undesired(&mut inner, touched);
        inner.outbox.change(Change { reset: false, remove, upsert: upsert.to_vec() });
        self.work.notify_one();
    }

    /// The same for all that it is to announce: what is not among it is out.
    pub fn desire_only(&self, all: &[Arc<Desired>]) {
        let mut inner = self.lock();
        let before: Vec<IpAddr> = inner.guard.desired().keys().copied().collect();
        inner.guard.reset_desired();
        inner.guard.desire(&[], all);
        self.withdraw_undesired(&mut inner, before);
        inner.outbox.change(Change { reset: true, remove: Vec::new(), upsert: all.to_vec() });
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

    /// Takes in links. The responder has ended what used the ones that are gone.
    pub fn link(&self, change: LinksChanged) {
        let mut inner = self.lock();
        inner.guard.link(&change);
        inner.outbox.push(Event::LinksChanged(change));
        self.work.notify_one();
    }

    /// Says that the instance will end.
    pub fn stop(&self, stopping: Stopping) {
        let mut inner = self.lock();
        inner.standing.drained = false;
        inner.stopping = Some(stopping);
        inner.outbox.push(Event::Stopping(stopping));
        self.work.notify_one();
    }

    /// Adds one event: a frame, an offload that ended.
    pub fn tell(&self, event: Event) {
        let mut inner = self.lock();
        inner.guard.hear(&event);
        inner.outbox.push(event);
        self.work.notify_one();
    }

    /// Adds a command.
    pub fn command(&self, command: Command) {
        self.lock().commands.push_back(command);
        self.work.notify_one();
    }

    /// Addresses whose report changed since the last call, and what each is now.
    pub fn take_reported(&self) -> BTreeMap<IpAddr, Reported> {
        std::mem::take(&mut self.lock().reported)
    }

    /// For reading several things at once, and for carrying out effects.
    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nothing panics while it holds the desk")
    }

    /// Says that the standing has changed.
    pub fn changed(&self) {
        self.changed.notify_one();
    }

    /// Waits for something to do, at most so long.
    pub fn wait(&self, at_most: Duration) -> Turn {
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
        Turn { events, command }
    }

    /// Lets go what only earlier instances said, when its time has come. When to come back.
    pub fn sweep(&self, now_us: u64) -> Option<u64> {
        self.lock().guard.sweep(now_us)
    }

    /// Waits, unless there is a command.
    pub fn pause(&self, time: Duration) {
        if !time.is_zero() {
            let waited =
                self.work.wait_timeout_while(self.lock(), time, |inner| inner.commands.is_empty());
            drop(waited.expect("nothing panics while it holds the desk"));
        }
    }

    /// What still waits, and the full lists as they stand, in one step: nothing that waits is newer than the lists.
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

    /// What the host carries for this instance now.
    pub fn resumed(&self) -> Event {
        Event::Resumed(Resumed {
            open: self.streams.open(self.owner),
            offloads: [self.responder.offloads(self.owner), self.streams.offloads(self.owner)]
                .concat(),
        })
    }
}

impl Inner {
    /// Keeps what the plugin says of an address.
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

    /// An endpoint was not opened: whoever asked knows it by its number.
    pub fn not_opened(&mut self, closed: Closed) {
        self.outbox.push(Event::Closed(closed));
    }

    /// Counts and notes what was refused only while it was carried out.
    pub fn refuse(&mut self, effect: &'static str, subject: String, reason: Reason) {
        self.guard.refuse(reason);
        self.deny(Refusal { effect, subject, reason }.to_event());
    }

    /// An offload that could not be set is none.
    pub fn offloaded<E>(&mut self, id: Endpoint, set: &Result<(), E>) {
        if set.is_err() {
            self.guard.ended(id);
        }
    }

    /// Notes a refusal, to be told a little later.
    pub fn deny(&mut self, denied: Denied) {
        if self.denied.len() < DENIED_WAITING {
            self.denied.push(denied);
        }
    }
}
