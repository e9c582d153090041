//! One announcer instance on a thread of its own: delivers events, carries out effects through the guard, and swaps
//! plugins. Must not know why an address is desired; it carries out what the mailbox requests.
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use outrigger_core::guard::{Reason, Share};
use outrigger_net::{Groups, Owner, ResponderHandle, StreamsHandle, now, thread_us};
use outrigger_runtime::{Incident, Phase, Supervisor};
use outrigger_sdk::{Context, Event};

use crate::mailbox::{Batch, InstanceCommand, Mailbox};
use crate::secret_store::SecretStore;
use crate::trial::{AnswerOffloads, Trial};

mod effects;
mod endpoints;
mod takeover;

/// A running instance.
pub struct Instance {
    /// Mailbox through which the rest of the host communicates with the instance.
    pub mailbox: Arc<Mailbox>,
    thread: JoinHandle<()>,
}

/// Interfaces through which an instance acts.
#[derive(Clone)]
pub struct Ports {
    /// Handle for frames and their offloads.
    pub responder: ResponderHandle,
    /// Handle for streams, sockets and their offloads.
    pub streams: StreamsHandle,
    /// Multicast groups.
    pub groups: Arc<Groups>,
    /// Keys that plugins refer to by name.
    pub secret_store: Arc<SecretStore>,
    /// Time for which offloads are kept without a plugin.
    pub hold_last_for: Duration,
}

impl Instance {
    /// Starts the thread. It serves once [`InstanceCommand::Swap`] has handed over a factory that works.
    pub fn start(
        context: Context,
        owner: Owner,
        mailbox: Arc<Mailbox>,
        ports: Ports,
    ) -> std::io::Result<Self> {
        let name = format!("announcer-{}", context.instance);
        let worker = Worker {
            context,
            owner,
            mailbox: mailbox.clone(),
            ports,
            machine: None,
            wake: None,
            held_since: None,
            sweep: None,
            share: Share::default(),
            answers: AnswerOffloads::new(),
            trial: None,
        };
        let span = tracing::error_span!("instance", announcer = worker.context.instance);
        let thread =
            std::thread::Builder::new().name(name).spawn(move || span.in_scope(|| worker.run()))?;
        Ok(Self { mailbox, thread })
    }

    /// Ends the thread and everything that the instance still had active.
    pub fn end(self) {
        self.mailbox.command(InstanceCommand::End);
        if self.thread.join().is_err() {
            tracing::error!("an announcer thread ended unexpectedly: report this as a bug");
        }
    }
}

struct Worker {
    context: Context,
    owner: Owner,
    mailbox: Arc<Mailbox>,
    ports: Ports,
    /// `None` until the first plugin has started.
    machine: Option<Supervisor>,
    /// Time of the next wake event (monotonic microseconds), and the reason the plugin gave.
    wake: Option<(u64, String)>,
    /// Time since which no instance runs (monotonic microseconds).
    held_since: Option<u64>,
    /// Time at which reports that only an earlier instance made are dropped (monotonic microseconds).
    sweep: Option<u64>,
    share: Share,
    /// Addresses that the instance answers for.
    answers: AnswerOffloads,
    /// Trial of the running candidate. One that has failed receives no events and has no effects until another build
    /// takes over, which receives the full state.
    trial: Option<Trial>,
}

impl Worker {
    fn run(mut self) {
        loop {
            let Batch { mut events, command } = self.mailbox.wait(self.patience());
            self.ports.streams.resume(self.owner);
            events.extend(self.due());
            let before = thread_us();
            self.deliver(events);
            self.sweep = self.mailbox.sweep(now().monotonic_us);
            match command {
                Some(InstanceCommand::Swap(swap)) => self.swap(swap),
                Some(InstanceCommand::End) => break,
                None => self.drop_what_nobody_speaks_for(),
            }
            let wait = self.share.used(now().monotonic_us, thread_us().saturating_sub(before));
            if wait > 0 {
                self.mailbox.lock().guard.refuse(Reason::ProcessorShare);
                self.mailbox.pause(Duration::from_micros(wait));
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

    /// Returns the wake event if it is due.
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
            // A plugin that took over from one that failed starts from an older state, so it gets the full state.
            self.carry_out(delivered);
            if self.has_failed() {
                return;
            }
            self.mailbox.lock().guard.begin(now().monotonic_us);
            let (waiting, lists) = self.mailbox.full();
            let others = waiting.into_iter().filter(|event| !is_change(event));
            let events = [self.mailbox.resumed()].into_iter().chain(lists).chain(others).collect();
            let Some(machine) = &mut self.machine else { return };
            delivered = machine.deliver(now(), events);
            if machine.state().phase == Phase::Held {
                delivered.needs_full = false;
            }
        }
        self.carry_out(delivered);
    }

    /// Ends offloads and sessions after `holdLastFor` without a plugin (invariant 6).
    fn drop_what_nobody_speaks_for(&mut self) {
        let now = now().monotonic_us;
        let runs = |machine: &Supervisor| machine.state().phase == Phase::Running;
        if !self.has_failed() && self.machine.as_ref().is_none_or(runs) {
            self.held_since = None;
            return;
        }
        let held = Duration::from_micros(now.saturating_sub(*self.held_since.get_or_insert(now)));
        if held >= self.ports.hold_last_for {
            for id in self.ports.responder.end_owner(self.owner) {
                self.mailbox.tell(Event::Ended(id));
            }
            // Peers that agreed on graceful restart would keep the routes after a mere close (RFC 4724 section 4.2).
            self.mailbox.end_sessions();
            self.ports.streams.end_owner(self.owner);
        }
    }

    fn publish(&self) {
        let mut inner = self.mailbox.lock();
        if let Some(machine) = &self.machine {
            let state = machine.state();
            let standing = &mut inner.standing;
            standing.digest = state.digest;
            self.mailbox.set_running(state.phase == Phase::Running);
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
        self.mailbox.changed();
    }

    fn say(&self, incident: &Incident) {
        match incident {
            Incident::Swapped { .. } | Incident::Revived { .. } => {
                tracing::info!("{incident}");
            }
            _ => tracing::warn!("{incident}"),
        }
    }
}

fn is_change(event: &Event) -> bool {
    matches!(event, Event::DesiredChanged(_) | Event::LinksChanged(_))
}
