//! The lease on answering: a node holds it while it runs without interruption. A node that was frozen or stuck has
//! missed changes to its addresses, and is silent until the others have reported them (invariant 11). Must not know
//! which node answers for which address.
use std::collections::BTreeMap;

use super::{Membership, NodeName};

/// Time for which the node may answer after its last activity.
const LEASE_US: u64 = 200_000;
/// Maximum time between two activities, so that a lease ends only if something is wrong.
const RENEW_US: u64 = LEASE_US / 4;
/// Time after which the answers received so far are enough, because a node that receives only some of the members is no
/// worse off than before.
const PATIENCE_US: u64 = 1_000_000;

#[derive(Debug)]
pub(super) struct Lease {
    /// Time of the last activity.
    awake_us: u64,
    state: LeaseState,
    /// Time at which the lease was found to have run out.
    lapsed_us: u64,
    /// Number of times that the node caught up after a lapse.
    caught_up: u64,
}

#[derive(Debug)]
enum LeaseState {
    /// The node may answer.
    Held,
    /// The lease ran out, and no member has been asked yet: datagrams that arrived meanwhile are handled first.
    Lapsed,
    /// These members have not answered completely yet.
    Asking { unheard: BTreeMap<NodeName, Answer>, until_us: u64 },
    /// All answers have arrived. The planner has yet to act on them.
    CaughtUp,
}

/// The answer of a member so far.
#[derive(Debug, Default)]
struct Answer {
    /// True if it knows the claims of this node's generation: it does not consider the node dead, and yields where it
    /// must.
    acknowledged: bool,
    /// True if the last of its claims have arrived.
    claims: bool,
}

impl Lease {
    /// Creates a lease that is held from now on.
    pub fn new(now_us: u64) -> Self {
        Self { awake_us: now_us, state: LeaseState::Held, lapsed_us: 0, caught_up: 0 }
    }

    /// Records an activity.
    fn wake(&mut self, now_us: u64) {
        if self.ends_us() <= now_us {
            self.state = LeaseState::Lapsed;
            self.lapsed_us = now_us;
        }
        self.awake_us = now_us;
    }

    /// Extends the lease even if it ran out, because until now no other node could take over an address.
    pub fn begin(&mut self, now_us: u64) {
        self.awake_us = now_us;
    }

    fn ends_us(&self) -> u64 {
        self.awake_us.saturating_add(LEASE_US)
    }

    /// Records that a member acknowledged all claims of this generation.
    pub fn acknowledged(&mut self, name: &str) {
        self.hear(name, |heard| heard.acknowledged = true);
    }

    /// Records that a member sent the last of its claims.
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

    /// Stops waiting for a node that is no longer a member.
    pub fn went(&mut self, name: &str) {
        if let LeaseState::Asking { unheard, .. } = &mut self.state {
            unheard.remove(name);
        }
    }

    /// Waits for a member that joined, too, because it may know more.
    pub fn came(&mut self, name: &str) {
        if let LeaseState::Asking { unheard, .. } = &mut self.state {
            unheard.insert(name.to_owned(), Answer::default());
        }
    }

    /// Starts again after this node was declared down and has a new generation, because the answers to the previous
    /// generation no longer count.
    pub fn reborn(&mut self) {
        if matches!(self.state, LeaseState::Asking { .. } | LeaseState::CaughtUp) {
            self.state = LeaseState::Lapsed;
        }
    }

    /// Returns the members that are to be asked again.
    pub fn unheard(&self) -> impl Iterator<Item = &NodeName> {
        let unheard = match &self.state {
            LeaseState::Asking { unheard, .. } => Some(unheard),
            _ => None,
        };
        unheard.into_iter().flat_map(BTreeMap::keys)
    }
}

impl Membership {
    /// Returns the time in monotonic microseconds until which this node may answer for its addresses, unless it is
    /// active before that; `None` if it may not answer now. Without other nodes the lease does not end, because no node
    /// could take over an address.
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

    /// Returns the time at which the lease is to be renewed.
    pub(super) fn renew_at(&self) -> Option<u64> {
        self.has_others().then(|| self.lease.awake_us.saturating_add(RENEW_US))
    }

    pub(super) fn has_others(&self) -> bool {
        self.configured.as_ref().is_none_or(|others| !others.is_empty()) || !self.peers.is_empty()
    }

    /// Lets this node answer again, after the changes from [`super::ViewChange::caught_up`] were acted on. The number
    /// distinguishes a lapse from a later one.
    pub fn resume(&mut self, caught_up: u64) {
        if matches!(self.lease.state, LeaseState::CaughtUp) && self.lease.caught_up == caught_up {
            self.lease.state = LeaseState::Held;
        }
    }

    /// Asks the other members after a lapse. Must be called after everything that arrived meanwhile was handled,
    /// because that may be older than the answers.
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

    /// Reports that the node has caught up, once the last of the members has answered or the wait has ended.
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
