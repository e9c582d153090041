//! Another build, or the same one with another configuration, takes over. Up to the last step the old one serves.
use std::sync::Arc;

use outrigger_sdk::{Context, Event, Origin, Time};

use super::journal::{Journal, chunks};
use super::quarantine::Quarantine;
use super::report::{Delivered, Incident, SwapError, SwapStep};
use super::{LastGood, Rung, Supervised, alarm, ignite};
use crate::machine::{Factory, checked_reply, checked_snapshot};

impl Supervised {
    /// Swaps. `catch_up` is what the new instance is told first: [`Event::Resumed`] and the full lists; its effects are in
    /// the answer, and are only the difference.
    ///
    /// # Errors
    /// See [`SwapError`]: the old instance serves on, and none of the new one's effects are to be carried out.
    pub fn swap(
        &mut self,
        now: Time,
        factory: Arc<dyn Factory>,
        context: Context,
        catch_up: Vec<Event>,
    ) -> Result<Delivered, SwapError> {
        let open =
            || factory.instantiate().map_err(|fault| SwapError::new(SwapStep::Instantiate, fault));
        let mut next = open()?;
        let failed = |why: String| SwapError { step: SwapStep::Validate, why };
        next.validate(&context.config).map_err(|fault| failed(fault.to_string()))?.map_err(
            |errors| failed(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")),
        )?;
        let origin = self.saved(now);
        let known = origin != Origin::Fresh;
        let (mut next, base) = ignite(next, open, &context, origin.clone())?;
        let fresh = known && base == Origin::Fresh;
        let (mut journal, mut effects, mut wake) = (Journal::default(), Vec::new(), None);
        for events in chunks(catch_up) {
            let reply = next.handle(now, &events).and_then(checked_reply);
            let reply = reply.map_err(|fault| SwapError::new(SwapStep::CatchUp, fault))?;
            effects.extend(reply.effects);
            wake = alarm(now, reply.wake);
            journal.push(now, events);
        }
        self.out.incidents.push(Incident::Swapped {
            from: self.current.digest().to_owned(),
            to: factory.digest().to_owned(),
            fresh,
        });
        self.remember(now, origin);
        self.install(now, factory, (next, base));
        self.context = context;
        self.quarantine = Quarantine::default();
        self.journal = journal;
        self.wake = wake;
        self.rung = Rung::Own;
        self.budget.renew(now.monotonic_us);
        self.out.effects.extend(effects);
        // It has just been told everything.
        self.out.needs_full = false;
        Ok(self.answer())
    }

    /// The state to hand over. An instance that faults while it is asked is rebuilt and asked once more; if that does not
    /// help, what it was started from must do, because the swap may be the cure.
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

    /// The outgoing build is what to fall back to, unless it has not yet shown that it works and another one had.
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
