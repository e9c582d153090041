//! Events about Services: a few at a time, for ten minutes, each once.
use outrigger_sdk::{ServiceEvent, Time};

use super::super::Reason;
use super::super::budget::{ASKED_FOR_EVENTS, EVENTS};
use super::super::churn::Churn;
use super::{camel_case, text};

/// Long enough for the controller to take note of it, whoever leads.
const STANDS_US: u64 = 600_000_000;

/// Those that stand, oldest first, and since when.
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

    /// An event that may be kept. `is_told` says whether the instance was told about a Service, which may take long.
    ///
    /// # Errors
    /// Why not.
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

    /// Keeps one that was admitted, unless it stands already.
    ///
    /// # Errors
    /// When there is no room by now.
    pub(super) fn keep(&mut self, event: ServiceEvent, now: Time) -> Result<(), Reason> {
        self.has_room(&event)?;
        if !self.stands(&event) {
            self.standing.push((now, event));
        }
        Ok(())
    }

    /// Lets go those whose time is over. When the next one's is.
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
