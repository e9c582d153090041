//! One announcer instance on a thread of its own: events in, effects out through the guard, swap in between.
//! Must not know why an address is desired; it carries out what the desk says.
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use outrigger_core::guard::{Granted, Reason, Refusal};
use outrigger_net::{Groups, Keys, Owner, ResponderHandle, StreamsHandle, now};
use outrigger_runtime::{Delivered, Factory, Incident, Phase, Supervised};
use outrigger_sdk::report::MetricValue;
use outrigger_sdk::{CloseReason, Closed, Context, Denied, Effect, Endpoint, Event, Report};

use crate::desk::{Command, Desk, Inner, Swap, Turn};
use crate::keyring::Keyring;

mod endpoints;

use endpoints::opens;

/// A wake that is asked for sooner than this comes this late: a plugin that asks for zero each time does not spin.
const SHORTEST_WAKE_US: u64 = 1_000;

/// A running instance.
pub struct Instance {
    /// Where everybody else puts its work.
    pub desk: Arc<Desk>,
    thread: JoinHandle<()>,
}

/// What an instance acts with.
#[derive(Clone)]
pub struct Ports {
    /// Frames and offloads.
    pub responder: ResponderHandle,
    /// Streams, sockets and their offloads.
    pub streams: StreamsHandle,
    /// Multicast groups.
    pub groups: Arc<Groups>,
    /// Keys that plugins name.
    pub keyring: Arc<Keyring>,
    /// How long offloads go on without a plugin.
    pub hold_last_for: Duration,
}

impl Instance {
    /// Starts the thread. It serves once a factory that works has been handed over with [`Command::Swap`].
    pub fn start(
        context: Context,
        owner: Owner,
        desk: Arc<Desk>,
        ports: Ports,
    ) -> std::io::Result<Self> {
        let name = format!("announcer-{}", context.instance);
        let worker = Worker {
            context,
            owner,
            desk: desk.clone(),
            ports,
            machine: None,
            wake: None,
            held_since: None,
        };
        let thread = std::thread::Builder::new().name(name).spawn(move || worker.run())?;
        Ok(Self { desk, thread })
    }

    /// Ends the thread and everything the instance still had in force.
    pub fn end(self) {
        self.desk.command(Command::End);
        if self.thread.join().is_err() {
            tracing::error!("an announcer thread ended by itself: please report this as a bug");
        }
    }
}

struct Worker {
    context: Context,
    owner: Owner,
    desk: Arc<Desk>,
    ports: Ports,
    /// `None` until the first plugin has started.
    machine: Option<Supervised>,
    /// When to wake it (monotonic microseconds), and the reason it gave.
    wake: Option<(u64, String)>,
    /// Since when no instance runs (monotonic microseconds).
    held_since: Option<u64>,
}

impl Worker {
    fn run(mut self) {
        loop {
            let Turn { mut events, command } = self.desk.wait(self.patience());
            self.ports.streams.resume(self.owner);
            events.extend(self.due());
            self.deliver(events);
            match command {
                Some(Command::Swap(swap)) => self.swap(swap),
                Some(Command::End) => break,
                None => self.drop_what_nobody_speaks_for(),
            }
        }
        self.ports.responder.end_owner(self.owner);
        self.ports.streams.end_owner(self.owner);
        self.ports.groups.end_owner(self.owner);
    }

    fn patience(&self) -> Duration {
        let now = now().monotonic_us;
        let wake = self.wake.as_ref().map_or(u64::MAX, |(at, _)| *at);
        Duration::from_micros(wake.saturating_sub(now).min(3_600_000_000))
    }

    /// The wake event, when its time has come.
    fn due(&mut self) -> Option<Event> {
        let now = now().monotonic_us;
        let (_, reason) = self.wake.take_if(|(at, _)| *at <= now)?;
        Some(Event::Wake(reason))
    }

    fn deliver(&mut self, events: Vec<Event>) {
        let Some(machine) = &mut self.machine else { return };
        if events.is_empty() {
            return;
        }
        let mut delivered = machine.deliver(now(), events);
        while delivered.needs_full {
            // A plugin that took over from one that failed starts from an older state: tell it everything.
            self.carry_out(delivered);
            let (waiting, lists) = self.desk.full();
            let others = waiting.into_iter().filter(|event| !is_change(event));
            let events = [self.desk.resumed()].into_iter().chain(lists).chain(others).collect();
            let Some(machine) = &mut self.machine else { return };
            delivered = machine.deliver(now(), events);
            if machine.state().phase == Phase::Held {
                delivered.needs_full = false;
            }
        }
        self.carry_out(delivered);
    }

    fn swap(&mut self, Swap { factory, config, ext }: Swap) {
        let (waiting, lists) = self.desk.full();
        self.deliver(waiting);
        let digest = factory.digest().to_owned();
        self.context.config = config;
        self.context.ext = ext;
        let swapped = match &mut self.machine {
            Some(machine) => {
                let catch_up = [self.desk.resumed()].into_iter().chain(lists).collect();
                machine.swap(now(), factory, self.context.clone(), catch_up)
            }
            None => self.first(factory, lists),
        };
        match swapped {
            Ok(delivered) => {
                tracing::debug!(announcer = self.context.instance, digest, "plugin in force");
                self.desk.lock().standing.last_fault.clear();
                self.carry_out(delivered);
            }
            Err(message) => {
                tracing::warn!(
                    announcer = self.context.instance,
                    digest,
                    "plugin not taken over: {message}"
                );
                self.desk.lock().standing.last_fault = format!("{digest:.12}: {message}");
                self.publish();
            }
        }
    }

    fn first(
        &mut self,
        factory: Arc<dyn Factory>,
        lists: Vec<Event>,
    ) -> Result<Delivered, outrigger_runtime::SwapError> {
        let mut machine = Supervised::start(factory, self.context.clone())?;
        let delivered = machine.deliver(now(), lists);
        self.machine = Some(machine);
        Ok(delivered)
    }

    fn carry_out(&mut self, delivered: Delivered) {
        let now = now().monotonic_us;
        self.wake = delivered.wake.map(|(at, reason)| (at.max(now + SHORTEST_WAKE_US), reason));
        for incident in &delivered.incidents {
            self.say(incident);
        }
        let desk = self.desk.clone();
        for effect in delivered.effects {
            // Looked up without the lock, which the streams' thread waits for.
            let keys = self.keys(&effect);
            self.carry_out_one(&mut desk.lock(), now, effect, &keys);
        }
        self.publish();
    }

    fn carry_out_one(&self, inner: &mut Inner, now: u64, effect: Effect, keys: &Keys) {
        let opens = opens(&effect);
        match inner.guard.check(now, effect) {
            Ok(granted) => granted.into_iter().for_each(|granted| self.act(inner, granted, keys)),
            Err(refusal) => self.refused(inner, opens, &refusal),
        }
    }

    fn refused(&self, inner: &mut Inner, opens: Option<Endpoint>, refusal: &Refusal) {
        tracing::debug!(announcer = self.context.instance, "{refusal}");
        match opens {
            Some(id) if !matches!(refusal.reason, Reason::NumberInUse | Reason::NumberReserved) => {
                let reason = CloseReason::Denied(refusal.reason.name().to_owned());
                inner.not_opened(Closed { id, reason });
            }
            _ => inner.deny(refusal.to_event()),
        }
    }

    /// One line per case: the guard has already said yes.
    fn act(&self, inner: &mut Inner, granted: Granted, keys: &Keys) {
        let Ports { responder, groups, .. } = &self.ports;
        match granted {
            Granted::Watch(link, topic) => {
                let watched = responder.watch(self.owner, link, topic);
                failed(inner, "watch-frames", topic.address(), watched);
            }
            Granted::Unwatch(link, topic) => responder.unwatch(self.owner, link, topic),
            Granted::Send(frame) => failed(inner, "send-frame", frame.link, responder.send(&frame)),
            Granted::Join(link, group) => {
                failed(inner, "join-group", group, groups.join(self.owner, link, group))
            }
            Granted::Leave(link, group) => groups.leave(self.owner, link, group),
            Granted::Answer { id, link, address } => {
                failed(inner, "offload", address, responder.answer(self.owner, id, link, address));
            }
            Granted::Beacon { id, address, beacon } => {
                failed(
                    inner,
                    "offload",
                    address,
                    responder.beacon(self.owner, id, address, beacon),
                );
            }
            Granted::Close(id) => {
                let _ = responder.close(self.owner, id) || self.ports.streams.close(self.owner, id);
            }
            Granted::Abort(id) => {
                let _ = responder.close(self.owner, id) || self.ports.streams.abort(self.owner, id);
            }
            Granted::Connect(_)
            | Granted::Listen(_)
            | Granted::OpenSocket(_)
            | Granted::Write(_)
            | Granted::Datagram(_)
            | Granted::Work { .. } => self.act_on_endpoint(inner, granted, keys),
            Granted::Refused(refusal) => inner.deny(refusal.to_event()),
            Granted::Report(Report::Address(report)) => inner.report(report),
            Granted::Report(Report::Peer(peer)) => {
                let key = (peer.protocol.clone(), peer.peer.clone());
                inner.standing.peers.insert(key, peer);
            }
            Granted::Report(Report::Condition(condition)) => {
                inner.standing.conditions.insert(condition.kind.clone(), condition);
            }
            Granted::Report(Report::Metric { name, value }) => {
                let metric = inner.standing.metrics.entry(name).or_default();
                match value {
                    MetricValue::Add(more) => *metric += more,
                    MetricValue::Set(now) => *metric = now,
                }
            }
            // The guard grants none of these.
            Granted::Report(Report::Other(_)) => {}
            Granted::Drained => inner.standing.drained = true,
        }
    }

    /// Invariant 6: offloads go on without a plugin for `holdLastFor` at most.
    fn drop_what_nobody_speaks_for(&mut self) {
        let now = now().monotonic_us;
        if self.machine.as_ref().is_none_or(|machine| machine.state().phase == Phase::Running) {
            self.held_since = None;
            return;
        }
        let held = Duration::from_micros(now.saturating_sub(*self.held_since.get_or_insert(now)));
        if held >= self.ports.hold_last_for {
            for id in self.ports.responder.end_owner(self.owner) {
                self.desk.tell(Event::Ended(id));
            }
            self.ports.streams.end_owner(self.owner);
        }
    }

    fn publish(&self) {
        let mut inner = self.desk.lock();
        if let Some(machine) = &self.machine {
            let state = machine.state();
            let standing = &mut inner.standing;
            standing.digest = state.digest;
            self.desk.set_running(state.phase == Phase::Running);
            standing.phase = match state.phase {
                Phase::Running => "Running",
                Phase::Held => "Held",
            };
            // A swap that failed since the machine's own last fault is the later news.
            let faulted =
                (standing.restarts, standing.quarantined) != (state.restarts, state.quarantined);
            if let Some(fault) = state.last_fault.filter(|_| faulted) {
                standing.last_fault = fault;
            }
            standing.restarts = state.restarts;
            standing.quarantined = state.quarantined;
        }
        drop(inner);
        self.desk.changed();
    }

    fn say(&self, incident: &Incident) {
        match incident {
            Incident::Swapped { .. } | Incident::Revived { .. } => {
                tracing::info!(announcer = self.context.instance, "{incident}");
            }
            _ => tracing::warn!(announcer = self.context.instance, "{incident}"),
        }
    }
}

/// What was granted and could not be done comes back like what was not granted.
fn failed<E: std::fmt::Display>(
    inner: &mut Inner,
    effect: &str,
    subject: impl ToString,
    done: Result<(), E>,
) {
    if let Err(error) = done {
        inner.deny(Denied {
            effect: effect.to_owned(),
            subject: subject.to_string(),
            reason: error.to_string(),
        });
    }
}

fn is_change(event: &Event) -> bool {
    matches!(event, Event::DesiredChanged(_) | Event::LinksChanged(_))
}
