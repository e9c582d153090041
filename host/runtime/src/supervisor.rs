//! An announcer that outlives its instances. State = last snapshot + journal of the calls since, because `handle` is
//! deterministic; both belong to one build. A fault voids its call: a new instance replays the journal with its effects
//! suppressed and receives the call's events one at a time, and an event that faults again is quarantined. When
//! restarts do not help, the last build that worked takes over. If there is none, no instance runs during a backoff and
//! then the same state is tried again; after that the first build starts without state, and if that fails too, no
//! instance runs until the next retry. Knows nothing of wasm, of sockets or of the clock.
use std::sync::Arc;

use outrigger_sdk::{Context, Event, Origin, Reply, StartError, Time, Wake};

use crate::plugin_instance::{Factory, Fault, PluginInstance, checked_reply, checked_snapshot};

mod budget;
mod journal;
mod quarantine;
mod report;
mod swap;

use budget::Budget;
use journal::{Journal, chunks};
use quarantine::{Quarantine, pieces};
pub use report::{Delivered, Incident, Phase, State, SwapError, SwapStep};

/// One announcer that survives the faults of its instances.
pub struct Supervisor {
    context: Context,
    /// The build that it was first started with.
    first: Arc<dyn Factory>,
    current: Arc<dyn Factory>,
    /// The build that ran before the last swap, to fall back to.
    previous: Option<LastGood>,
    /// The running instance. `None` if held: no instance runs until `retry_at`.
    machine: Option<Box<dyn PluginInstance>>,
    retry_at: u64,
    rung: FallbackLevel,
    /// The state that the running instance was started from.
    base: Origin,
    /// The events delivered since.
    journal: Journal,
    /// The entries that are not delivered because they would fault.
    quarantine: Quarantine,
    budget: Budget,
    wake: Option<(u64, String)>,
    restarts: u64,
    quarantined: u64,
    last_fault: Option<Fault>,
    /// The next answer, collected so far.
    out: Delivered,
}

/// A build with the configuration and the state that it last worked with.
struct LastGood {
    factory: Arc<dyn Factory>,
    context: Context,
    origin: Origin,
}

/// The stage of the fallback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum FallbackLevel {
    Own,
    Previous,
    Fresh,
}

impl Supervisor {
    /// Starts the first instance without any state.
    ///
    /// # Errors
    /// Returns a [`SwapError`] if the instance cannot be created or does not start with this configuration.
    pub fn start(factory: Arc<dyn Factory>, context: Context) -> Result<Self, SwapError> {
        let (machine, base) = raise(factory.as_ref(), &context, Origin::Fresh)?;
        Ok(Self {
            context,
            first: Arc::clone(&factory),
            current: factory,
            previous: None,
            machine: Some(machine),
            retry_at: 0,
            rung: FallbackLevel::Own,
            base,
            journal: Journal::default(),
            quarantine: Quarantine::default(),
            budget: Budget::default(),
            wake: None,
            restarts: 0,
            quarantined: 0,
            last_fault: None,
            out: Delivered::default(),
        })
    }

    /// Delivers events to the plugin, oldest first, and returns the resulting effects. While held, events are neither
    /// delivered nor kept: `needs_full` requests the full lists once an instance runs again.
    pub fn deliver(&mut self, now: Time, mut events: Vec<Event>) -> Delivered {
        if self.machine.is_some() && self.budget.observe(now.monotonic_us) {
            self.forgive();
        }
        if self.machine.is_none() {
            self.revive(now);
            // A wake that was set before belongs to a state that is gone.
            events.retain(|event| !matches!(event, Event::Wake(_)));
        }
        let events = events.into_iter().map(|event| self.quarantine.strip(event)).collect();
        for chunk in chunks(events) {
            if self.machine.is_none() {
                break;
            }
            self.call(now, chunk);
        }
        self.answer()
    }

    /// Returns the current state of the announcer.
    pub fn state(&self) -> State {
        State {
            digest: self.current.digest().to_owned(),
            phase: if self.machine.is_some() { Phase::Running } else { Phase::Held },
            restarts: self.restarts,
            quarantined: self.quarantined,
            last_fault: self.last_fault.as_ref().map(ToString::to_string),
        }
    }

    /// Returns the digest of the build that runs, or that ran last.
    pub fn digest(&self) -> &str {
        self.current.digest()
    }

    fn answer(&mut self) -> Delivered {
        let mut out = std::mem::take(&mut self.out);
        out.wake = match self.machine {
            Some(_) => self.wake.clone(),
            None => Some((self.retry_at, "restart".into())),
        };
        out
    }

    /// Clears the fallback stage and the quarantine after a healthy period: the faults may have been chance.
    fn forgive(&mut self) {
        self.rung = FallbackLevel::Own;
        if !self.quarantine.is_empty() {
            self.quarantine = Quarantine::default();
            self.out.needs_full = true;
        }
    }

    fn call(&mut self, now: Time, events: Vec<Event>) {
        match self.handle(now, &events) {
            Ok(reply) => self.accept(now, events, reply),
            Err(fault) => self.recover(now, events, fault),
        }
    }

    fn handle(&mut self, now: Time, events: &[Event]) -> Result<Reply, Fault> {
        let Some(machine) = &mut self.machine else {
            return Err(Fault::Trap { message: "no instance runs".into() });
        };
        // The timer has fired, whatever the result of the call.
        if events.iter().any(|event| matches!(event, Event::Wake(_))) {
            self.wake = None;
        }
        machine.handle(now, events).and_then(checked_reply)
    }

    fn accept(&mut self, now: Time, events: Vec<Event>, reply: Reply) {
        self.out.effects.extend(reply.effects);
        self.wake = alarm(now, reply.wake);
        self.journal.push(now, events);
        if self.journal.is_full() {
            self.compact(now);
        }
    }

    /// Replaces the journal by a snapshot.
    fn compact(&mut self, now: Time) {
        let Some(machine) = &mut self.machine else { return };
        match machine.snapshot().and_then(checked_snapshot) {
            Ok(state) => {
                self.base = Origin::Restored(state);
                self.journal = Journal::default();
            }
            Err(fault) => {
                self.restart(now, fault);
            }
        }
    }

    /// Restarts after a fault in a call, and delivers the same events one at a time.
    fn recover(&mut self, now: Time, events: Vec<Event>, fault: Fault) {
        self.restart(now, fault);
        for event in events.into_iter().flat_map(pieces) {
            if self.machine.is_none() {
                return;
            }
            match self.handle(now, std::slice::from_ref(&event)) {
                Ok(reply) => self.accept(now, vec![event], reply),
                Err(fault) => {
                    self.quarantined += 1;
                    let summary = report::summary(&event);
                    let why = fault.clone();
                    self.out.incidents.push(Incident::Quarantined { event: summary, why });
                    self.quarantine.add(event);
                    self.restart(now, fault);
                }
            }
        }
    }

    /// Starts a new instance in the same state, and falls back to another build when that does not help.
    fn restart(&mut self, now: Time, fault: Fault) {
        self.out.needs_full = true;
        let mut why = fault;
        while self.note(now, &why) {
            match self.rebuild() {
                Ok(machine) => {
                    self.out.incidents.push(Incident::Restarted { why });
                    self.machine = Some(machine);
                    return;
                }
                Err(fault) => why = fault,
            }
        }
        self.fall_back(now, &why);
    }

    /// Counts a fault. Returns false when restarts no longer help.
    fn note(&mut self, now: Time, fault: &Fault) -> bool {
        self.machine = None;
        self.restarts += 1;
        self.last_fault = Some(fault.clone());
        self.budget.spend(now.monotonic_us)
    }

    /// Returns a new instance in the same state. The journal's effects have already happened and are dropped.
    fn rebuild(&self) -> Result<Box<dyn PluginInstance>, Fault> {
        let mut machine = self.current.instantiate()?;
        machine.start(&self.context, &self.base)?.map_err(|error| {
            Fault::Garbage(format!("it cannot start from its own snapshot: {error}"))
        })?;
        for call in self.journal.calls() {
            machine.handle(call.now, &call.events)?;
        }
        Ok(machine)
    }

    fn fall_back(&mut self, now: Time, why: &Fault) {
        if self.rung == FallbackLevel::Own
            && let Some(good) = self.previous.take()
            && let Ok(raised) = raise(good.factory.as_ref(), &good.context, good.origin)
        {
            self.context = good.context;
            return self.fallen(now, FallbackLevel::Previous, good.factory, raised, why);
        }
        // The same build without its state is the last resort: information that only the state holds, like sessions
        // that the host keeps up meanwhile, would be lost with it.
        if self.rung < FallbackLevel::Fresh
            && self.current.digest() == self.first.digest()
            && self.budget.has_patience()
        {
            return self.wait(now, why.to_string());
        }
        if self.rung < FallbackLevel::Fresh
            && let Ok(raised) = raise(self.first.as_ref(), &self.context, Origin::Fresh)
        {
            return self.fallen(now, FallbackLevel::Fresh, Arc::clone(&self.first), raised, why);
        }
        self.hold(now, why.to_string());
    }

    fn fallen(
        &mut self,
        now: Time,
        rung: FallbackLevel,
        factory: Arc<dyn Factory>,
        raised: Raised,
        why: &Fault,
    ) {
        self.out.incidents.push(Incident::FellBack {
            from: self.current.digest().to_owned(),
            to: factory.digest().to_owned(),
            fresh: raised.1 == Origin::Fresh,
            why: why.clone(),
        });
        self.rung = rung;
        self.install(now, factory, raised);
    }

    /// Installs a new instance with a new journal.
    fn install(&mut self, now: Time, factory: Arc<dyn Factory>, (machine, origin): Raised) {
        if factory.digest() != self.current.digest() {
            self.quarantine = Quarantine::default();
        }
        self.current = factory;
        self.machine = Some(machine);
        self.base = origin;
        self.journal = Journal::default();
        self.budget.clear(now.monotonic_us);
        self.wake = None;
        self.out.needs_full = true;
    }

    /// Holds the announcer for a backoff, after which the next instance starts without state.
    fn hold(&mut self, now: Time, why: String) {
        self.rung = FallbackLevel::Fresh;
        self.wait(now, why);
    }

    /// Holds the announcer for a backoff.
    fn wait(&mut self, now: Time, why: String) {
        self.machine = None;
        self.retry_at = now.monotonic_us.saturating_add(self.budget.back_off());
        self.out.incidents.push(Incident::Held { until_us: self.retry_at, why });
    }

    fn revive(&mut self, now: Time) {
        if now.monotonic_us < self.retry_at {
            return;
        }
        if self.rung < FallbackLevel::Fresh {
            match self.rebuild() {
                Ok(machine) => return self.resurrect(now, machine),
                Err(fault) if self.budget.has_patience() => {
                    return self.wait(now, fault.to_string());
                }
                Err(_) => {}
            }
        }
        match raise(self.first.as_ref(), &self.context, Origin::Fresh) {
            Ok(raised) => {
                let digest = self.first.digest().to_owned();
                self.out.incidents.push(Incident::Revived { digest });
                self.install(now, Arc::clone(&self.first), raised);
            }
            Err(error) => self.hold(now, error.to_string()),
        }
    }

    /// Continues in the same state; quarantined entries are delivered again.
    fn resurrect(&mut self, now: Time, machine: Box<dyn PluginInstance>) {
        let digest = self.current.digest().to_owned();
        self.out.incidents.push(Incident::Revived { digest });
        self.machine = Some(machine);
        self.quarantine = Quarantine::default();
        self.budget.clear(now.monotonic_us);
        self.wake = None;
        self.out.needs_full = true;
    }
}

/// A started instance, and the state that it was actually started from.
type Raised = (Box<dyn PluginInstance>, Origin);

/// Creates and starts an instance. A snapshot that it does not know is no reason not to start it.
fn raise(factory: &dyn Factory, context: &Context, origin: Origin) -> Result<Raised, SwapError> {
    let open =
        || factory.instantiate().map_err(|fault| SwapError::faulted(SwapStep::Instantiate, fault));
    ignite(open()?, open, context, origin)
}

fn ignite(
    mut machine: Box<dyn PluginInstance>,
    another: impl Fn() -> Result<Box<dyn PluginInstance>, SwapError>,
    context: &Context,
    origin: Origin,
) -> Result<Raised, SwapError> {
    let failed = |fault: Fault| SwapError::faulted(SwapStep::Start, fault);
    match machine.start(context, &origin).map_err(failed)? {
        Ok(()) => return Ok((machine, origin)),
        Err(StartError::UnknownSnapshot(_)) if origin != Origin::Fresh => {}
        Err(error) => return Err(SwapError::refused(SwapStep::Start, error)),
    }
    // `start` is called once on an instance.
    let mut machine = another()?;
    match machine.start(context, &Origin::Fresh).map_err(failed)? {
        Ok(()) => Ok((machine, Origin::Fresh)),
        Err(error) => Err(SwapError::refused(SwapStep::Start, error)),
    }
}

fn alarm(now: Time, wake: Wake) -> Option<(u64, String)> {
    match wake {
        Wake::Never => None,
        Wake::After { ms, reason } => {
            Some((now.monotonic_us.saturating_add(u64::from(ms) * 1000), reason))
        }
    }
}

#[cfg(test)]
mod tests;
