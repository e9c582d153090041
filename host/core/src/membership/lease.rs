//! The lease on answering: a node holds it while it looks around. One that was frozen, or stuck, has missed what became of its addresses: it
//! is silent until the others have told it (invariant 11). Knows nothing of who answers.
use std::collections::BTreeMap;

use super::{Membership, NodeName};

/// The node may answer for so long after it did something last.
const LEASE_US: u64 = 200_000;
/// Something is done at least so often, so that a lease ends only where something is wrong.
const RENEW_US: u64 = LEASE_US / 4;
/// After so long the word of those that were heard is enough: one that hears only some of the members is no worse than before.
const PATIENCE_US: u64 = 1_000_000;

#[derive(Debug)]
pub(super) struct Lease {
    /// When something was done last.
    awake_us: u64,
    state: LeaseState,
    /// When it was found that the lease had run out.
    lapsed_us: u64,
    /// Counts the times that the others were heard after a lapse.
    caught_up: u64,
}

#[derive(Debug)]
enum LeaseState {
    /// It may answer.
    Held,
    /// It ran out, and nobody has been asked yet: first everything that came meanwhile is taken in.
    Lapsed,
    /// These members have not said all of it yet.
    Asking { unheard: BTreeMap<NodeName, Answer>, until_us: u64 },
    /// All is known. Whoever plans has yet to act on it.
    CaughtUp,
}

/// The answer of a member so far.
#[derive(Debug, Default)]
struct Answer {
    /// That it knows what this life of the node claims: it does not take the node for dead, and yields where it is to.
    acknowledged: bool,
    /// The last of its claims.
    claims: bool,
}

impl Lease {
    /// It is held from now on.
    pub fn new(now_us: u64) -> Self {
        Self { awake_us: now_us, state: LeaseState::Held, lapsed_us: 0, caught_up: 0 }
    }

    /// Something is done now.
    fn wake(&mut self, now_us: u64) {
        if self.ends_us() <= now_us {
            self.state = LeaseState::Lapsed;
            self.lapsed_us = now_us;
        }
        self.awake_us = now_us;
    }

    /// Somebody is there who could take an address over, from now on.
    pub fn begin(&mut self, now_us: u64) {
        self.awake_us = now_us;
    }

    fn ends_us(&self) -> u64 {
        self.awake_us.saturating_add(LEASE_US)
    }

    /// A member acknowledged all claims of this life.
    pub fn acknowledged(&mut self, name: &str) {
        self.hear(name, |heard| heard.acknowledged = true);
    }

    /// A member told the last of its claims.
    pub fn told(&mut self, name: &str) {
        self.hear(name, |heard| heard.claims = true);
    }

    fn hear(&mut self, name: &str, what: impl FnOnce(&mut Answer)) {
        let LeaseState::Asking { unheard, .. } = &mut self.state else { return };
        let Some(heard) = unheard.get_mut(name) else { return };
        what(heard);
        if heard.acknowledged && heard.claims {
            unheard.remove(name);
        }
    }

    /// A member is none any more.
    pub fn went(&mut self, name: &str) {
        if let LeaseState::Asking { unheard, .. } = &mut self.state {
            unheard.remove(name);
        }
    }

    /// A member came that may know better.
    pub fn came(&mut self, name: &str) {
        if let LeaseState::Asking { unheard, .. } = &mut self.state {
            unheard.insert(name.to_owned(), Answer::default());
        }
    }

    /// This node was declared down meanwhile and lives anew: what the others said of the life before counts no more.
    pub fn reborn(&mut self) {
        if matches!(self.state, LeaseState::Asking { .. } | LeaseState::CaughtUp) {
            self.state = LeaseState::Lapsed;
        }
    }

    /// Members that are to be asked again.
    pub fn unheard(&self) -> impl Iterator<Item = &NodeName> {
        let unheard = match &self.state {
            LeaseState::Asking { unheard, .. } => Some(unheard),
            _ => None,
        };
        unheard.into_iter().flat_map(BTreeMap::keys)
    }
}

impl Membership {
    /// Monotonic microseconds until which this node may answer for its addresses, unless it does something before; `None`: not now.
    /// Without others there is nobody who could take an address over.
    pub fn lease(&self) -> Option<u64> {
        let held = matches!(self.lease.state, LeaseState::Held);
        held.then(|| if self.has_others() { self.lease.ends_us() } else { u64::MAX })
    }

    pub(super) fn wake(&mut self, now_us: u64) {
        match self.has_others() {
            true => self.lease.wake(now_us),
            false => self.lease.begin(now_us),
        }
    }

    /// When the lease is to be renewed.
    pub(super) fn renew_at(&self) -> Option<u64> {
        self.has_others().then(|| self.lease.awake_us.saturating_add(RENEW_US))
    }

    pub(super) fn has_others(&self) -> bool {
        self.configured.as_ref().is_none_or(|others| !others.is_empty()) || !self.peers.is_empty()
    }

    /// After [`super::ViewChange::caught_up`]: what was heard is acted on, so this node may answer again. The number tells a lapse from
    /// a later one.
    pub fn resume(&mut self, caught_up: u64) {
        if matches!(self.lease.state, LeaseState::CaughtUp) && self.lease.caught_up == caught_up {
            self.lease.state = LeaseState::Held;
        }
    }

    /// Asks the others after a lapse. Call when all that came meanwhile is taken in: it may be older than the answers.
    pub(super) fn ask_after_lapse(&mut self, now_us: u64) {
        if !matches!(self.lease.state, LeaseState::Lapsed) {
            return;
        }
        self.miss_anew(now_us);
        let unheard: BTreeMap<_, _> =
            self.peers.keys().map(|name| (name.clone(), Answer::default())).collect();
        for name in unheard.keys() {
            self.inquire(now_us, name);
        }
        let until_us = self.lease.lapsed_us.saturating_add(PATIENCE_US);
        self.lease.state = LeaseState::Asking { unheard, until_us };
    }

    /// Says so when the last of them was heard.
    pub(super) fn catch_up(&mut self, now_us: u64) {
        let LeaseState::Asking { unheard, until_us } = &self.lease.state else { return };
        if unheard.is_empty() || *until_us <= now_us {
            self.lease.state = LeaseState::CaughtUp;
            self.lease.caught_up += 1;
            self.change.caught_up = Some(self.lease.caught_up);
            self.tell_network_again();
        }
    }
}
