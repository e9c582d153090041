//! Adj-RIB-Out of one session (RFC 4271 section 3.2): the routes advertised to the peer, and the changes still to be
//! sent. The queue is the difference between the two and never a list of messages, so that a route that changes twice
//! before there is credit is sent only once.
use std::collections::{BTreeMap, BTreeSet};

use outrigger_sdk::IpNet;
use outrigger_sdk::wire::bgp::{
    self, Family, Negotiated, Packed, RefreshKind, RouteRefresh, announcements, withdrawals,
};
use serde::{Deserialize, Serialize};

use crate::links::Hops;
use crate::path::{PathId, Paths, UNKNOWN};
use crate::policy::Policy;
use crate::routes::Routes;

mod sweep;

use sweep::{Marks, Sweep, union};

/// Adj-RIB-Out of one session, for both address families.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AdjRibOut {
    v4: Table,
    v6: Table,
    paths: Paths,
    /// Next hops that routes are advertised with.
    pub(crate) hops: Hops,
    /// Prefixes whose attributes do not fit into a message, with the reason.
    pub(crate) too_long: BTreeMap<IpNet, String>,
}

/// Adj-RIB-Out of one address family.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Table {
    sent: BTreeMap<IpNet, PathId>,
    /// Routes to examine again.
    changed: BTreeSet<IpNet>,
    /// Walk over all routes from a given one on, which are to be examined again.
    sweep: Option<Sweep>,
}

/// Limits on the work of one turn.
pub(crate) struct Allowance<'a> {
    /// Number of octets that may be written.
    pub(crate) credit: &'a mut u32,
    /// Number of routes that may be examined, so that a call ends in time regardless of the amount of work.
    pub(crate) work: &'a mut usize,
}

/// Messages to write, and the routes they change for the peer.
#[derive(Debug, Default)]
pub(crate) struct Flushed {
    pub(crate) messages: Vec<Vec<u8>>,
    pub(crate) routes: Vec<IpNet>,
}

impl AdjRibOut {
    /// Starts a new Established session: the peer has no routes yet, and all are advertised.
    pub(crate) fn begin(&mut self, negotiated: &Negotiated, hops: Hops) {
        *self = Self { hops, ..Self::default() };
        for family in [Family::IPV4_UNICAST, Family::IPV6_UNICAST] {
            if negotiated.carries(family) {
                self.table_mut(family).sweep = Some(Sweep::new(family, false, Marks::EndOfRib));
            }
        }
    }

    /// Marks these routes as possibly changed. A route that was removed in the meantime (`true`) is advertised again if
    /// it is back.
    pub(crate) fn changed(&mut self, prefixes: &BTreeMap<IpNet, bool>, negotiated: &Negotiated) {
        for (prefix, taken_out) in prefixes {
            self.too_long.remove(prefix);
            if !negotiated.carries(Family::of(prefix)) {
                continue;
            }
            if *taken_out {
                self.doubt(prefix);
            }
            self.table_mut(Family::of(prefix)).changed.insert(*prefix);
        }
    }

    /// Marks every route as possibly changed, after a change of policy or next hops.
    pub(crate) fn all_changed(&mut self) {
        self.too_long.clear();
        for family in [Family::IPV4_UNICAST, Family::IPV6_UNICAST] {
            let table = self.table_mut(family);
            let sweep = Sweep::new(family, false, Marks::None);
            // A pending marker stays pending: it follows the last route in either case.
            let again = table.sweep.take().unwrap_or(sweep.clone());
            table.sweep = Some(Sweep { from: sweep.from, ..again });
        }
    }

    /// Handles the peer's request for all routes of a family (RFC 2918 section 4).
    pub(crate) fn refresh(&mut self, family: Family, enhanced: bool) {
        let table = self.table_mut(family);
        if let Some(initial) = &mut table.sweep
            && initial.marks == Marks::EndOfRib
        {
            // No marker is sent before End-of-RIB (RFC 7313 section 4). Without markers the walk restarts.
            initial.refresh_next = enhanced;
            if !enhanced {
                *initial = Sweep::new(family, true, Marks::EndOfRib);
            }
            return;
        }
        let marks = if enhanced { Marks::Refresh } else { Marks::None };
        table.sweep = Some(Sweep::new(family, true, marks));
    }

    /// Forgets a route that the host has withdrawn or cut out of a message.
    pub(crate) fn not_told(&mut self, prefix: &IpNet) {
        let table = self.table_mut(Family::of(prefix));
        if let Some(path) = table.sent.remove(prefix) {
            self.paths.release(path);
        }
    }

    /// Marks this route to be examined again.
    pub(crate) fn look_again(&mut self, prefix: IpNet) {
        self.table_mut(Family::of(&prefix)).changed.insert(prefix);
    }

    /// Marks all advertised routes as unknown, because a message was not written and it is not known which one.
    pub(crate) fn doubt_all(&mut self) {
        let Self { v4, v6, paths, .. } = self;
        for path in v4.sent.values_mut().chain(v6.sent.values_mut()) {
            paths.release(std::mem::replace(path, UNKNOWN));
        }
    }

    fn doubt(&mut self, prefix: &IpNet) {
        if let Some(path) = self.table_mut(Family::of(prefix)).sent.get_mut(prefix) {
            let before = std::mem::replace(path, UNKNOWN);
            self.paths.release(before);
        }
    }

    pub(crate) fn is_told(&self, prefix: &IpNet) -> bool {
        let told = self.table(Family::of(prefix)).sent.get(prefix);
        told.is_some_and(|path| *path != UNKNOWN)
    }

    /// Returns the number of routes advertised to the peer.
    pub(crate) fn told_count(&self) -> usize {
        self.v4.sent.len() + self.v6.sent.len()
    }

    /// Returns an upper bound on the routes still to be examined.
    pub(crate) fn pending_count(&self, routes: &Routes) -> usize {
        let pending = |table: &Table| {
            let sweeping = table.sweep.as_ref().is_some_and(|sweep| sweep.from.is_some());
            table.changed.len() + if sweeping { routes.len() } else { 0 }
        };
        pending(&self.v4) + pending(&self.v6)
    }

    /// Returns true if no change is left to send.
    pub(crate) fn is_quiet(&self) -> bool {
        let quiet = |table: &Table| table.changed.is_empty() && table.sweep.is_none();
        quiet(&self.v4) && quiet(&self.v6)
    }

    fn table(&self, family: Family) -> &Table {
        if family == Family::IPV4_UNICAST { &self.v4 } else { &self.v6 }
    }

    fn table_mut(&mut self, family: Family) -> &mut Table {
        if family == Family::IPV4_UNICAST { &mut self.v4 } else { &mut self.v6 }
    }

    /// Sends as much of the difference as the allowance permits. `policy` is that of this session.
    pub(crate) fn flush(
        &mut self,
        routes: &Routes,
        policy: &mut Policy<'_>,
        negotiated: &Negotiated,
        allowance: &mut Allowance<'_>,
    ) -> Flushed {
        let mut said = Flushed::default();
        for family in [Family::IPV4_UNICAST, Family::IPV6_UNICAST] {
            if !negotiated.carries(family) {
                // No route is sent in a family that was not negotiated.
                let table = self.table_mut(family);
                (table.changed, table.sweep) = (BTreeSet::new(), None);
                continue;
            }
            // Each iteration examines some routes; the last one has sent the marker, or lacks credit or work.
            while self.begin_mark(family, negotiated, allowance, &mut said) {
                let batch = self.next_batch(family, routes, allowance);
                if batch.is_empty() {
                    if self.end_mark(family, allowance, &mut said) {
                        continue;
                    }
                    break;
                }
                if !self.say(batch, policy, negotiated, allowance, &mut said) {
                    break;
                }
            }
        }
        self.paths.sweep();
        said
    }

    /// Sends the opening marker if one is due. Returns true if routes may follow.
    fn begin_mark(
        &mut self,
        family: Family,
        negotiated: &Negotiated,
        allowance: &mut Allowance<'_>,
        said: &mut Flushed,
    ) -> bool {
        if *allowance.work == 0 || *allowance.credit == 0 {
            return false;
        }
        let Some(sweep) = &mut self.table_mut(family).sweep else { return true };
        if sweep.begun || sweep.marks != Marks::Refresh || !negotiated.enhanced_route_refresh {
            return true;
        }
        let kind = RefreshKind::Begin;
        sweep.begun = said.write(RouteRefresh { family, kind }.encode(), allowance);
        sweep.begun
    }

    /// Ends a walk. Returns true if another walk follows.
    fn end_mark(
        &mut self,
        family: Family,
        allowance: &mut Allowance<'_>,
        said: &mut Flushed,
    ) -> bool {
        let table = self.table_mut(family);
        let Some(sweep) = &table.sweep else { return false };
        let kind = RefreshKind::End;
        let through = match sweep.marks {
            Marks::None => true,
            Marks::EndOfRib => said.write(bgp::end_of_rib(family), allowance),
            Marks::Refresh => said.write(RouteRefresh { family, kind }.encode(), allowance),
        };
        if through {
            let next = sweep.refresh_next.then(|| Sweep::new(family, true, Marks::Refresh));
            table.sweep = next;
        }
        through && table.sweep.is_some()
    }

    /// Returns the next routes to examine, each with a flag that is true if it must be sent even if the peer knows it.
    fn next_batch(
        &mut self,
        family: Family,
        routes: &Routes,
        allowance: &mut Allowance<'_>,
    ) -> Vec<(IpNet, bool)> {
        let table = self.table_mut(family);
        // A route takes at least two octets, and most take five or more.
        let most = (*allowance.work).min(*allowance.credit as usize / 4 + 1);
        let mut batch: Vec<(IpNet, bool)> = Vec::with_capacity(most.min(4096));
        while batch.len() < most
            && let Some(prefix) = table.changed.pop_first()
        {
            batch.push((prefix, false));
        }
        if batch.is_empty()
            && let Some(Sweep { from: Some(from), again, .. }) = &table.sweep
        {
            let (next, prefixes) = union(&table.sent, routes, *from, most);
            batch.extend(prefixes.into_iter().map(|prefix| (prefix, *again)));
            table.sweep.as_mut().expect("it was just looked at").from = next;
        }
        *allowance.work -= batch.len();
        batch
    }

    /// Sends the changes of these routes; routes without credit stay in the changed set. Returns true if all changes
    /// were written.
    fn say(
        &mut self,
        batch: Vec<(IpNet, bool)>,
        policy: &mut Policy<'_>,
        negotiated: &Negotiated,
        allowance: &mut Allowance<'_>,
        said: &mut Flushed,
    ) -> bool {
        let mut gone = Vec::new();
        let mut ways: BTreeMap<PathId, Vec<IpNet>> = BTreeMap::new();
        for (prefix, again) in batch {
            let wanted = policy.path(&prefix, &mut self.paths);
            let wanted = wanted.filter(|_| !self.too_long.contains_key(&prefix));
            match (self.table(Family::of(&prefix)).sent.get(&prefix), wanted) {
                (None, None) => {}
                (Some(_), None) => gone.push(prefix),
                (Some(known), Some(wanted)) if *known == wanted && !again => {}
                (_, Some(wanted)) => ways.entry(wanted).or_default().push(prefix),
            }
        }
        let mut all = true;
        let packed = withdrawals(&gone, negotiated);
        all &= self.write_all(packed, &gone, None, allowance, said);
        for (id, prefixes) in ways {
            let path = self.paths.get(id).expect("it was named in this call");
            match announcements(&path.attributes(), path.next_hop(), &prefixes, negotiated) {
                Ok(packed) => {
                    all &= self.write_all(packed, &prefixes, Some(id), allowance, said);
                }
                Err(wrong) => {
                    let words = wrong.to_string();
                    said.routes.extend(&prefixes);
                    for prefix in &prefixes {
                        // The peer's copy of this route is out of date, so it is withdrawn.
                        self.too_long.insert(*prefix, words.clone());
                        self.look_again(*prefix);
                    }
                }
            }
        }
        all
    }

    fn write_all<'a>(
        &mut self,
        packed: impl Iterator<Item = Packed<'a>>,
        prefixes: &[IpNet],
        path: Option<PathId>,
        allowance: &mut Allowance<'_>,
        said: &mut Flushed,
    ) -> bool {
        let mut written = 0;
        for Packed { message, prefixes } in packed {
            if !said.write(message, allowance) {
                break;
            }
            written += prefixes.len();
            for prefix in prefixes {
                self.told_now(prefix, path, said);
            }
        }
        for prefix in &prefixes[written..] {
            // A route that must be sent again although the peer knows it.
            if path.is_some() && self.table(Family::of(prefix)).sent.get(prefix) == path.as_ref() {
                self.doubt(prefix);
            }
            self.look_again(*prefix);
        }
        written == prefixes.len()
    }

    fn told_now(&mut self, prefix: &IpNet, path: Option<PathId>, said: &mut Flushed) {
        let sent = &mut self.table_mut(Family::of(prefix)).sent;
        let before = match path {
            Some(path) => sent.insert(*prefix, path),
            None => sent.remove(prefix),
        };
        if let Some(path) = path {
            self.paths.hold(path);
        }
        if let Some(before) = before {
            self.paths.release(before);
        }
        if before.is_some_and(|before| before != UNKNOWN) != path.is_some() {
            said.routes.push(*prefix);
        }
    }
}

impl Flushed {
    fn write(&mut self, message: Vec<u8>, allowance: &mut Allowance<'_>) -> bool {
        let length = u32::try_from(message.len()).expect("messages have 65535 octets at most");
        let Some(left) = allowance.credit.checked_sub(length) else { return false };
        *allowance.credit = left;
        self.messages.push(message);
        true
    }
}
