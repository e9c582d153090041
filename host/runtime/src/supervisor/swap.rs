//! The takeover by another build, or by the same one with another configuration. The old instance serves until the last
//! step.
use std::sync::Arc;

use outrigger_sdk::{Context, Effect, Event, Origin, Time};

use super::journal::{Journal, chunks};
use super::quarantine::Quarantine;
use super::report::{Delivered, Incident, SwapError, SwapStep};
use super::{FallbackLevel, LastGood, Raised, Supervisor, alarm, ignite};
use crate::plugin_instance::{Factory, PluginInstance, checked_reply, checked_snapshot};

impl Supervisor {
    /// Swaps the instance. `catch_up` holds the first events of the new instance: [`Event::Resumed`] and the full
    /// lists. Its effects are in the answer and contain only the difference.
    ///
    /// # Errors
    /// Returns a [`SwapError`] if the new instance fails: the old instance continues to serve, and none of the new
    /// one's effects must be carried out.
    pub fn swap(
        &mut self,
        now: Time,
        factory: Arc<dyn Factory>,
        context: Context,
        catch_up: Vec<Event>,
    ) -> Result<Delivered, SwapError> {
        let (open, next) = checked(factory.as_ref(), &context)?;
        let origin = self.saved(now);
        let taken = take(now, next, open, &context, origin.clone(), catch_up)?;
        self.remember(now, origin);
        Ok(self.put(now, factory, context, taken))
    }

    /// Rolls back from a build that did harm: the previous build takes over with the state that it had then, since the
    /// state of the harmful one is not to be trusted. Any other build starts without state.
    ///
    /// # Errors
    /// Returns the same errors as [`Self::swap`].
    pub fn go_back(
        &mut self,
        now: Time,
        factory: Arc<dyn Factory>,
        context: Context,
        catch_up: Vec<Event>,
    ) -> Result<Delivered, SwapError> {
        let (open, next) = checked(factory.as_ref(), &context)?;
        let before =
            self.previous.as_ref().filter(|good| good.factory.digest() == factory.digest());
        let origin = before.map_or(Origin::Fresh, |good| good.origin.clone());
        let taken = take(now, next, open, &context, origin, catch_up)?;
        self.previous = None;
        Ok(self.put(now, factory, context, taken))
    }

    /// Installs the instance that has taken over.
    fn put(
        &mut self,
        now: Time,
        factory: Arc<dyn Factory>,
        context: Context,
        taken: Taken,
    ) -> Delivered {
        self.out.incidents.push(Incident::Swapped {
            from: self.current.digest().to_owned(),
            to: factory.digest().to_owned(),
            fresh: taken.fresh,
        });
        self.install(now, factory, taken.raised);
        self.context = context;
        self.quarantine = Quarantine::default();
        self.journal = taken.journal;
        self.wake = taken.wake;
        self.rung = FallbackLevel::Own;
        self.budget.renew(now.monotonic_us);
        self.out.effects.extend(taken.effects);
        // The new instance has just received everything.
        self.out.needs_full = false;
        self.answer()
    }

    /// Returns the state to hand over. An instance that faults while taking the snapshot is rebuilt and asked once
    /// more; if that does not help, the state that it was started from is used, because the swap may be the cure.
    fn saved(&mut self, now: Time) -> Origin {
        for _ in 0..2 {
            let Some(machine) = &mut self.machine else { break };
            match machine.snapshot().and_then(checked_snapshot) {
                Ok(state) => return Origin::Restored(state),
                Err(fault) => self.restart(now, fault),
            }
        }
        self.base.clone()
    }

    /// Keeps the outgoing build to fall back to, unless it has not yet proven that it works and an earlier one had.
    fn remember(&mut self, now: Time, origin: Origin) {
        let proven = self.budget.is_healthy(now.monotonic_us);
        let keep = self
            .previous
            .as_ref()
            .is_some_and(|good| !proven && good.factory.digest() != self.current.digest());
        if !keep {
            let (factory, context) = (Arc::clone(&self.current), self.context.clone());
            self.previous = Some(LastGood { factory, context, origin });
        }
    }
}

/// An instance that is caught up, and its effects.
struct Taken {
    raised: Raised,
    fresh: bool,
    journal: Journal,
    effects: Vec<Effect>,
    wake: Option<(u64, String)>,
}

/// Returns an instance that accepts the configuration, and a function that makes another one.
#[expect(clippy::type_complexity, reason = "a closure and what it makes, for the caller below")]
fn checked<'a>(
    factory: &'a dyn Factory,
    context: &Context,
) -> Result<
    (impl Fn() -> Result<Box<dyn PluginInstance>, SwapError> + 'a, Box<dyn PluginInstance>),
    SwapError,
> {
    let open =
        || factory.instantiate().map_err(|fault| SwapError::faulted(SwapStep::Instantiate, fault));
    let mut next = open()?;
    let faulted = |fault| SwapError::faulted(SwapStep::Validate, fault);
    next.validate(&context.config).map_err(faulted)?.map_err(|errors| {
        let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
        SwapError::refused(SwapStep::Validate, errors.join("; "))
    })?;
    Ok((open, next))
}

/// Starts the instance and delivers everything to it.
fn take(
    now: Time,
    next: Box<dyn PluginInstance>,
    open: impl Fn() -> Result<Box<dyn PluginInstance>, SwapError>,
    context: &Context,
    origin: Origin,
    catch_up: Vec<Event>,
) -> Result<Taken, SwapError> {
    let known = origin != Origin::Fresh;
    let (mut next, base) = ignite(next, open, context, origin)?;
    let fresh = known && base == Origin::Fresh;
    let (mut journal, mut effects, mut wake) = (Journal::default(), Vec::new(), None);
    for events in chunks(catch_up) {
        let reply = next.handle(now, &events).and_then(checked_reply);
        let reply = reply.map_err(|fault| SwapError::faulted(SwapStep::CatchUp, fault))?;
        effects.extend(reply.effects);
        wake = alarm(now, reply.wake);
        journal.push(now, events);
    }
    Ok(Taken { raised: (next, base), fresh, journal, effects, wake })
}
