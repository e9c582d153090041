//! Adj-RIB-Out of one session (RFC 4271 section 3.2): what the peer was told, and what is still to be said. The queue is the
//! difference between the two and never a list of messages, so that what changes twice before there is credit is said once.
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

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AdjRibOut {
    v4: Table,
    v6: Table,
    paths: Paths,
    /// Next hops that routes were told with.
    pub(crate) hops: Hops,
    /// Prefixes whose attributes leave no room in a message.
    pub(crate) too_long: BTreeMap<IpNet, String>,
}

/// One family of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Table {
    sent: BTreeMap<IpNet, PathId>,
    /// To be looked at again.
    changed: BTreeSet<IpNet>,
    /// All routes from this one on are to be looked at again.
    sweep: Option<Sweep>,
}

/// What one turn may still do.
pub(crate) struct Allowance<'a> {
    /// Octets that may be written.
    pub(crate) credit: &'a mut u32,
    /// Routes that may be looked at, so that a call ends in time whatever there is to do.
    pub(crate) work: &'a mut usize,
}

/// What is to be written, and which routes it changes for the peer.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) messages: Vec<Vec<u8>>,
    pub(crate) routes: Vec<IpNet>,
}

impl AdjRibOut {
    /// A session is Established: the peer knows nothing, and is told everything.
    pub(crate) fn begin(&mut self, negotiated: &Negotiated, hops: Hops) {
        *self = Self { hops, ..Self::default() };
        for family in [Family::IPV4_UNICAST, Family::IPV6_UNICAST] {
            if negotiated.carries(family) {
                self.table_mut(family).sweep = Some(Sweep::new(family, false, Marks::EndOfRib));
            }
        }
    }

    /// These routes may have changed. What was taken out meanwhile is told again if it is back.
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

    /// Every route may have changed: policy or next hops did.
    pub(crate) fn all_changed(&mut self) {
        self.too_long.clear();
        for family in [Family::IPV4_UNICAST, Family::IPV6_UNICAST] {
            let table = self.table_mut(family);
            let sweep = Sweep::new(family, false, Marks::None);
            // A mark that is owed stays owed: it comes after the last route either way.
            let again = table.sweep.take().unwrap_or(sweep.clone());
            table.sweep = Some(Sweep { from: sweep.from, ..again });
        }
    }

    /// The peer asks for everything again (RFC 2918 section 4).
    pub(crate) fn refresh(&mut self, family: Family, enhanced: bool) {
        let table = self.table_mut(family);
        if let Some(initial) = &mut table.sweep
            && initial.marks == Marks::EndOfRib
        {
            // Nothing is marked before End-of-RIB (RFC 7313 section 4). Without marks the walk begins anew.
            initial.refresh_next = enhanced;
            if !enhanced {
                *initial = Sweep::new(family, true, Marks::EndOfRib);
            }
            return;
        }
        let marks = if enhanced { Marks::Refresh } else { Marks::None };
        table.sweep = Some(Sweep::new(family, true, marks));
    }

    /// The host has withdrawn this, or cut it out of a message.
    pub(crate) fn not_told(&mut self, prefix: &IpNet) {
        let table = self.table_mut(Family::of(prefix));
        if let Some(path) = table.sent.remove(prefix) {
            self.paths.release(path);
        }
    }

    /// Looks at this route again.
    pub(crate) fn look_again(&mut self, prefix: IpNet) {
        self.table_mut(Family::of(&prefix)).changed.insert(prefix);
    }

    /// A message was not written, and nobody knows which: whatever was told may not have been.
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

    /// Routes the peer was told.
    pub(crate) fn told_count(&self) -> usize {
        self.v4.sent.len() + self.v6.sent.len()
    }

    /// Routes still to be looked at, at most.
    pub(crate) fn pending_count(&self, routes: &Routes) -> usize {
        let pending = |table: &Table| {
            let sweeping = table.sweep.as_ref().is_some_and(|sweep| sweep.from.is_some());
            table.changed.len() + if sweeping { routes.len() } else { 0 }
        };
        pending(&self.v4) + pending(&self.v6)
    }

    /// Whether nothing is left to say.
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

    /// Says as much of the difference as is allowed. `policy` is that of this session.
    pub(crate) fn flush(
        &mut self,
        routes: &Routes,
        policy: &mut Policy<'_>,
        negotiated: &Negotiated,
        allowance: &mut Allowance<'_>,
    ) -> Said {
        let mut said = Said::default();
        for family in [Family::IPV4_UNICAST, Family::IPV6_UNICAST] {
            if !negotiated.carries(family) {
                // There is nothing to say in a family that nobody listens to.
                let table = self.table_mut(family);
                (table.changed, table.sweep) = (BTreeSet::new(), None);
                continue;
            }
            // Each turn of this loop looks at some routes; the last has said the mark, or lacks something.
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

    /// Whether the routes may follow.
    fn begin_mark(
        &mut self,
        family: Family,
        negotiated: &Negotiated,
        allowance: &mut Allowance<'_>,
        said: &mut Said,
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

    /// Ends a walk. Whether another follows.
    fn end_mark(&mut self, family: Family, allowance: &mut Allowance<'_>, said: &mut Said) -> bool {
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

    /// The next routes to look at, with whether they are to be said even if the peer knows them.
    fn next_batch(
        &mut self,
        family: Family,
        routes: &Routes,
        allowance: &mut Allowance<'_>,
    ) -> Vec<(IpNet, bool)> {
        let table = self.table_mut(family);
        // A route takes two octets at the very least, and most take five or more.
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

    /// Says what is to be said of these; what finds no credit waits among the changed. Whether all found some.
    fn say(
        &mut self,
        batch: Vec<(IpNet, bool)>,
        policy: &mut Policy<'_>,
        negotiated: &Negotiated,
        allowance: &mut Allowance<'_>,
        said: &mut Said,
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
                        // What the peer knows of it is out of date: it goes.
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
        said: &mut Said,
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
            // One that the peer is to hear again although it knows it.
            if path.is_some() && self.table(Family::of(prefix)).sent.get(prefix) == path.as_ref() {
                self.doubt(prefix);
            }
            self.look_again(*prefix);
        }
        written == prefixes.len()
    }

    fn told_now(&mut self, prefix: &IpNet, path: Option<PathId>, said: &mut Said) {
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

impl Said {
    fn write(&mut self, message: Vec<u8>, allowance: &mut Allowance<'_>) -> bool {
        let length = u32::try_from(message.len()).expect("messages have 65535 octets at most");
        let Some(left) = allowance.credit.checked_sub(length) else { return false };
        *allowance.credit = left;
        self.messages.push(message);
        true
    }
}
