//! The active watches and offloads and the sockets they run on. Keeps the kernel filters in step with the table.
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use outrigger_sdk::{Beacon, Endpoint, Frame, LinkIndex};

use super::lease::Lease;
use super::port::Port;
use super::table::{Emission, LinkAddress, Table, Work};
use super::{Counters, LinkFailure, OffloadError, SendError};
use crate::sys::{self, Batch, Poller};
use crate::{Links, Owner};

#[derive(Debug)]
pub(super) struct State {
    pub(super) lease: Arc<Lease>,
    pub(super) ports: BTreeMap<LinkIndex, Port>,
    pub(super) table: Table,
    pub(super) counters: Counters,
    pub(super) stopping: bool,
    /// Frames for their owners, queued until they are delivered without the lock.
    pub(super) deliveries: Vec<(Owner, Frame)>,
    /// A receive buffer, kept to reuse its allocations.
    pub(super) batch: Option<Batch>,
}

/// The shortest beacon interval: BFD's fastest common one is 3.3 ms (RFC 7419).
const SHORTEST_INTERVAL_US: u32 = 1_000;

impl State {
    pub(super) fn new(lease: Arc<Lease>) -> Self {
        Self {
            lease,
            ports: BTreeMap::new(),
            table: Table::default(),
            counters: Counters::default(),
            stopping: false,
            deliveries: Vec::new(),
            batch: None,
        }
    }

    pub(super) fn set_links(
        &mut self,
        links: &Links,
        poller: &Poller,
    ) -> (Vec<(Owner, Endpoint)>, Vec<LinkFailure>) {
        let (mut ended, mut failures) = (Vec::new(), Vec::new());
        let gone = |index: &LinkIndex| !links.get(index).is_some_and(|link| link.arp);
        for index in self.ports.keys().copied().filter(gone).collect::<Vec<_>>() {
            ended.extend(self.end(|work| work.spot().0 == index));
            self.table.unwatch_link(index);
            self.ports.remove(&index);
        }
        for link in links.values().filter(|link| link.arp) {
            if let Some(port) = self.ports.get_mut(&link.index) {
                if port.mac != link.mac {
                    port.mac = link.mac;
                    let stale = |work: &Work| {
                        matches!(work, Work::Beacon(_)) && work.spot().0 == link.index
                    };
                    ended.extend(self.end(stale));
                }
                continue;
            }
            match Port::open(link, poller) {
                Ok(port) => drop(self.ports.insert(link.index, port)),
                Err(cause) => failures.push(LinkFailure { name: link.name.clone(), cause }),
            }
        }
        (ended, failures)
    }

    pub(super) fn watch(&mut self, owner: Owner, spot: LinkAddress) -> Result<(), OffloadError> {
        self.pass(spot)?;
        self.table.watch(owner, spot);
        Ok(())
    }

    pub(super) fn unwatch(&mut self, owner: Owner, spot: LinkAddress) {
        self.table.unwatch(owner, spot);
        self.narrow(spot);
    }

    pub(super) fn answer(
        &mut self,
        owner: Owner,
        id: Endpoint,
        spot: LinkAddress,
    ) -> Result<(), OffloadError> {
        // The kernel must pass the requests before the table answers them.
        self.pass(spot)?;
        let taken = |_| OffloadError::Taken { link: spot.0, address: spot.1 };
        let before = self.table.set(owner, id, Work::Answer(spot)).map_err(taken)?;
        if let Some(before) = before {
            self.narrow(before.spot());
        }
        Ok(())
    }

    pub(super) fn beacon(
        &mut self,
        owner: Owner,
        id: Endpoint,
        address: IpAddr,
        mut beacon: Beacon,
    ) -> Result<(), OffloadError> {
        let link = beacon.frame.link;
        if !self.ports.contains_key(&link) {
            return Err(OffloadError::NoLink(link));
        }
        beacon.interval_us = beacon.interval_us.max(SHORTEST_INTERVAL_US);
        let left = (beacon.count > 0).then_some(beacon.count);
        self.close(owner, id);
        self.emit(owner, id, Emission { address, beacon, left, due: sys::boottime_us() });
        Ok(())
    }

    /// Sends one frame of a beacon and schedules the remaining ones.
    pub(super) fn emit(&mut self, owner: Owner, id: Endpoint, mut emission: Emission) {
        if !self.lease.holds() {
            return self.place(owner, id, emission);
        }
        let frame = &emission.beacon.frame;
        match self.ports.get(&frame.link).map(|port| port.send(&frame.data)) {
            Some(Ok(())) => self.counters.beacons += 1,
            _ => self.drop_frame("send-failed"),
        }
        emission.left = emission.left.map(|left| left - 1);
        if emission.left == Some(0) {
            return;
        }
        // Keeps the interval from the last due time, unless the thread was delayed by more than an interval: no bursts.
        let next = emission.due + interval(&emission.beacon);
        emission.due = next.max(sys::boottime_us());
        self.place(owner, id, emission);
    }

    fn place(&mut self, owner: Owner, id: Endpoint, emission: Emission) {
        let placed = self.table.set(owner, id, Work::Beacon(emission));
        debug_assert!(placed.is_ok(), "only answers are taken");
    }

    pub(super) fn close(&mut self, owner: Owner, id: Endpoint) -> bool {
        let Some(work) = self.table.close(owner, id) else { return false };
        self.narrow(work.spot());
        true
    }

    pub(super) fn send(&mut self, frame: &Frame) -> Result<(), SendError> {
        let link = frame.link;
        let port = self.ports.get(&link).ok_or(SendError::NoLink(link))?;
        if !self.lease.holds() {
            // Dropped like any lost frame. Only beacons must not be lost.
            self.drop_frame("lease-ended");
            return Ok(());
        }
        port.send(&frame.data).map_err(|cause| SendError::Io { link, cause })?;
        self.counters.sent += 1;
        Ok(())
    }

    pub(super) fn withdraw(&mut self, owner: Owner, address: IpAddr) -> Vec<Endpoint> {
        let ids = self.table.offloads_for(owner, address);
        for &id in &ids {
            self.close(owner, id);
        }
        ids
    }

    pub(super) fn end_owner(&mut self, owner: Owner) -> Vec<Endpoint> {
        for spot in self.table.watched_by(owner) {
            self.unwatch(owner, spot);
        }
        let ids = self.table.offloads(owner);
        for &id in &ids {
            self.close(owner, id);
        }
        ids
    }

    pub(super) fn counters(&mut self) -> Counters {
        self.counters.overflowed += self.ports.values().map(Port::overflowed).sum::<u64>();
        self.counters.clone()
    }

    pub(super) fn drop_frame(&mut self, reason: &'static str) {
        *self.counters.dropped.entry(reason).or_default() += 1;
    }

    fn end(&mut self, which: impl Fn(&Work) -> bool) -> Vec<(Owner, Endpoint)> {
        let ended = self.table.offloads_where(which);
        for &(owner, id) in &ended {
            self.close(owner, id);
        }
        ended
    }

    /// Makes the kernel pass frames about a spot.
    fn pass(&mut self, (link, address): LinkAddress) -> Result<(), OffloadError> {
        let port = self.ports.get_mut(&link).ok_or(OffloadError::NoLink(link))?;
        port.set_wanted(address, true).map_err(|cause| OffloadError::Filter { link, cause })
    }

    /// Makes the kernel drop frames about a spot when no owner needs them any more.
    fn narrow(&mut self, spot: LinkAddress) {
        if self.table.wants(spot) {
            return;
        }
        let Some(port) = self.ports.get_mut(&spot.0) else { return };
        if let Err(error) = port.set_wanted(spot.1, false) {
            tracing::debug!(%error, link = spot.0, "cannot remove an address from the kernel filter; more frames than needed are read");
        }
    }
}

/// Returns the interval minus a random part of at most `jitter_percent` (RFC 5880 section 6.8.7).
fn interval(beacon: &Beacon) -> u64 {
    let full = u64::from(beacon.interval_us);
    let most = full * u64::from(beacon.jitter_percent.min(100)) / 100;
    full - getrandom::u64().map_or(0, |random| random % (most + 1))
}
