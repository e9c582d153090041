//! Addresses for which the host refused an effect, and the time of the next retry. A refusal can be outdated when it
//! arrives (the duty has returned, the budget was refilled), so none is final. No event reports that an effect was
//! allowed, so an address counts as announced again only after [`PATIENCE_US`] without a new refusal.
use std::collections::BTreeMap;
use std::net::IpAddr;

use outrigger_sdk::{Denied, Wake};
use serde::{Deserialize, Serialize};

use crate::address_status::AddressStatus;

/// Delay between two attempts in microseconds, and the time without a refusal after which an attempt counts as
/// successful.
const PATIENCE_US: u64 = 2_000_000;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refusals(BTreeMap<IpAddr, Refusal>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Refusal {
    effect: String,
    reason: String,
    /// True if the effect was requested again since the refusal.
    tried: bool,
    due_us: u64,
}

/// The consequence of earlier refusals for a request now.
#[derive(Debug)]
pub(crate) enum Outlook {
    /// No effect was refused.
    Clear,
    /// An effect was refused recently, or a retry is pending.
    Wait(AddressStatus),
    /// The effect must be requested again.
    TryAgain(AddressStatus),
}

impl Refusals {
    pub(crate) fn refused(&mut self, address: IpAddr, denied: &Denied, now_us: u64) {
        let Denied { effect, reason, .. } = denied.clone();
        let due_us = now_us + PATIENCE_US;
        self.0.insert(address, Refusal { effect, reason, tried: false, due_us });
    }

    pub(crate) fn forget(&mut self, address: IpAddr) {
        self.0.remove(&address);
    }

    pub(crate) fn hurry(&mut self, address: IpAddr, now_us: u64) {
        if let Some(refusal) = self.0.get_mut(&address) {
            (refusal.tried, refusal.due_us) = (false, now_us);
        }
    }

    pub(crate) fn outlook(&mut self, address: IpAddr, now_us: u64) -> Outlook {
        let Some(refusal) = self.0.get_mut(&address) else { return Outlook::Clear };
        let Refusal { effect, reason, .. } = refusal.clone();
        if now_us < refusal.due_us {
            return Outlook::Wait(AddressStatus::Refused { effect, reason });
        }
        if refusal.tried {
            self.0.remove(&address);
            return Outlook::Clear;
        }
        (refusal.tried, refusal.due_us) = (true, now_us + PATIENCE_US);
        Outlook::TryAgain(AddressStatus::Refused { effect, reason })
    }

    pub(crate) fn due(&self, now_us: u64) -> impl Iterator<Item = IpAddr> {
        self.0.iter().filter(move |(_, refusal)| refusal.due_us <= now_us).map(|(key, _)| *key)
    }

    /// Returns the wake for the next address that becomes due.
    pub(crate) fn wake(&self, now_us: u64) -> Wake {
        let Some(due_us) = self.0.values().map(|refusal| refusal.due_us).min() else {
            return Wake::Never;
        };
        let ms = due_us.saturating_sub(now_us).div_ceil(1_000);
        let ms = u32::try_from(ms).unwrap_or(u32::MAX);
        Wake::After { ms, reason: "retry".to_owned() }
    }
}
