//! One announcer instance on a thread of its own: events in, effects out through the guard, swap in between.
//! Must not know why an address is desired; it carries out what the desk says.
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use outrigger_core::guard::{Reason, Share};
use outrigger_net::{Groups, Owner, ResponderHandle, StreamsHandle, now, thread_us};
use outrigger_runtime::{Incident, Phase, Supervised};
use outrigger_sdk::{Context, Event};

use crate::desk::{Command, Desk, Turn};
use crate::keyring::Keyring;
use crate::trial::{Answers, Trial};

mod effects;
mod endpoints;
mod takeover;

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
            sweep: None,
            share: Share::default(),
            answers: Answers::new(),
            trial: None,
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
    /// When what only an earlier instance reported goes (monotonic microseconds).
    sweep: Option<u64>,
    share: Share,
    /// What it answers for.
    answers: Answers,
    /// What runs is a candidate. One that has failed is told nothing more and does nothing more, until another build takes
    /// over, which is told everything.
    trial: Option<Trial>,
}

impl Worker {
    fn run(mut self) {
        loop {
            let Turn { mut events, command } = self.desk.wait(self.patience());
            self.ports.streams.resume(self.owner);
            events.extend(self.due());
            let before = thread_us();
            self.deliver(events);
            self.sweep = self.desk.sweep(now().monotonic_us);
            match command {
                Some(Command::Swap(swap)) => self.swap(swap),
                Some(Command::End) => break,
                None => self.drop_what_nobody_speaks_for(),
            }
            let wait = self.share.used(now().monotonic_us, thread_us().saturating_sub(before));
            if wait > 0 {
                self.desk.lock().guard.refuse(Reason::ProcessorShare);
                self.desk.pause(Duration::from_micros(wait));
            }
        }
        self.ports.responder.end_owner(self.owner);
        self.ports.streams.end_owner(self.owner);
        self.ports.groups.end_owner(self.owner);
    }

    fn patience(&self) -> Duration {
        let now = now().monotonic_us;
        let wake = self.wake.as_ref().map_or(u64::MAX, |(at, _)| *at);
        let wake = self.sweep.map_or(wake, |sweep| sweep.min(wake));
        Duration::from_micros(wake.saturating_sub(now).min(3_600_000_000))
    }

    /// The wake event, when its time has come.
    fn due(&mut self) -> Option<Event> {
        let now = now().monotonic_us;
        let (_, reason) = self.wake.take_if(|(at, _)| *at <= now)?;
        Some(Event::Wake(reason))
    }

    fn has_failed(&self) -> bool {
        self.trial.as_ref().and_then(Trial::failed).is_some()
    }

    fn deliver(&mut self, events: Vec<Event>) {
        if events.is_empty() || self.has_failed() {
            return;
        }
        let Some(machine) = &mut self.machine else { return };
        let mut delivered = machine.deliver(now(), events);
        while delivered.needs_full {
            // A plugin that took over from one that failed starts from an older state: tell it everything.
            self.carry_out(delivered);
            if self.has_failed() {
                return;
            }
            self.desk.lock().guard.begin(now().monotonic_us);
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

    /// Invariant 6: offloads go on without a plugin for `holdLastFor` at most.
    fn drop_what_nobody_speaks_for(&mut self) {
        let now = now().monotonic_us;
        let runs = |machine: &Supervised| machine.state().phase == Phase::Running;
        if !self.has_failed() && self.machine.as_ref().is_none_or(runs) {
            self.held_since = None;
            return;
        }
        let held = Duration::from_micros(now.saturating_sub(*self.held_since.get_or_insert(now)));
        if held >= self.ports.hold_last_for {
            for id in self.ports.responder.end_owner(self.owner) {
                self.desk.tell(Event::Ended(id));
            }
            // Closing alone would have peers keep the routes where graceful restart was agreed (RFC 4724 section 4.2).
            self.desk.end_sessions();
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

fn is_change(event: &Event) -> bool {
    matches!(event, Event::DesiredChanged(_) | Event::LinksChanged(_))
}
