//! Events about Services: a limited number, each stored once, for ten minutes.
use outrigger_sdk::{ServiceEvent, Time};

use super::super::Reason;
use super::super::budget::{ASKED_FOR_EVENTS, EVENTS};
use super::super::churn::Churn;
use super::{camel_case, text};

/// Time for which an event is stored: long enough for the controller to read it, even across a change of leader.
const STANDS_US: u64 = 600_000_000;

/// The stored events, oldest first, each with the time of its report.
#[derive(Debug)]
pub(super) struct Events {
    standing: Vec<(Time, ServiceEvent)>,
    asked: Churn,
}

impl Default for Events {
    fn default() -> Self {
        Self { standing: Vec::new(), asked: Churn::new(ASKED_FOR_EVENTS) }
    }
}

impl Events {
    pub(super) fn all(&self) -> impl Iterator<Item = &(Time, ServiceEvent)> {
        self.standing.iter()
    }

    /// Checks that an event may be kept, and makes its message one line. `is_told` returns true if the instance was
    /// sent the event's Service; it may be slow.
    ///
    /// # Errors
    /// Returns the reason if the event must not be kept.
    pub(super) fn admit(
        &mut self,
        now_us: u64,
        event: &mut ServiceEvent,
        is_told: impl FnOnce(&ServiceEvent) -> bool,
    ) -> Result<(), Reason> {
        text(&mut event.message);
        camel_case(&event.reason)?;
        if !self.asked.spend(now_us, 0) {
            return Err(Reason::TooMuchSaid);
        }
        if !is_told(event) {
            return Err(Reason::AddressNotDesired);
        }
        self.has_room(event)
    }

    /// Stores an event that was admitted, unless it is already stored.
    ///
    /// # Errors
    /// Returns an error if there is no longer room for the event.
    pub(super) fn keep(&mut self, event: ServiceEvent, now: Time) -> Result<(), Reason> {
        self.has_room(&event)?;
        if !self.stands(&event) {
            self.standing.push((now, event));
        }
        Ok(())
    }

    /// Removes expired events. Returns the time at which the next one expires.
    pub(super) fn sweep(&mut self, now_us: u64) -> Option<u64> {
        let ends_us = |since: &Time| since.monotonic_us + STANDS_US;
        self.standing.retain(|(since, _)| now_us < ends_us(since));
        self.standing.first().map(|(since, _)| ends_us(since))
    }

    fn has_room(&self, event: &ServiceEvent) -> Result<(), Reason> {
        match self.standing.len() < EVENTS || self.stands(event) {
            true => Ok(()),
            false => Err(Reason::TooMuchSaid),
        }
    }

    fn stands(&self, event: &ServiceEvent) -> bool {
        self.standing.iter().any(|(_, standing)| standing == event)
    }
}
