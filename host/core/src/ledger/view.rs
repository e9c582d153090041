//! A policy call's view of one pool: a frozen ledger from the perspective of the Service that asks.
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use outrigger_sdk::{AddressState, Family, HeldAddress, Holder, Pair, Pool, PoolCount, Time};

use super::{Blocked, Ledger, Stock, sharing};
use crate::facts::{AddressRange, Service, ServiceKey};

/// Maximum length of a list, regardless of the limit that a policy asks for: an IPv6 pool would fill the memory.
/// Policies that want more ask again, starting from the last address.
const LONGEST_LIST: u32 = 4096;

/// The pool of one request. Cheap to create and to clone; it should be dropped before the ledger is changed, or the
/// ledger is copied.
#[derive(Debug, Clone)]
pub struct PoolView {
    ledger: Arc<Ledger>,
    pool: String,
    service: Arc<Service>,
    now: Time,
}

impl PoolView {
    /// Creates the view of the pool of this name for `service`. A pool that is not in the ledger is empty.
    pub fn new(ledger: Arc<Ledger>, pool: String, service: Arc<Service>, now: Time) -> Self {
        Self { ledger, pool, service, now }
    }

    /// Returns the reason why an address without a holder may not be given to the asking Service; `None` if it may.
    pub fn blocked(&self, address: IpAddr) -> Option<Blocked> {
        self.ledger.blocked(address, &self.service.key)
    }

    /// Returns true if an address of this family that the asking Service released is free for it.
    pub fn may_return(&self, family: Family) -> bool {
        let previous = self.ledger.previous(&self.service.key).iter();
        let mut previous = previous.filter(|address| Family::of(address) == family);
        previous.any(|address| self.state(*address) == AddressState::Free)
    }

    /// Returns the holder of an address that the asking Service may not share, and the reasons why it may not.
    pub fn in_the_way(&self, address: IpAddr) -> Option<(ServiceKey, Vec<String>)> {
        let holder = self.ledger.may_hold(&self.service, address).err()?;
        let why = sharing::why_not(&self.service, self.ledger.holder(holder)?)?;
        Some((holder.clone(), why))
    }

    fn stock(&self) -> Option<&Stock> {
        self.ledger.pool(&self.pool)
    }

    fn free_from(&self, family: Family, n: u128, limit: u32) -> Vec<IpAddr> {
        let Some(stock) = self.stock() else { return Vec::new() };
        (0..limit.min(LONGEST_LIST).into())
            .map_while(|i| stock.nth_free(family, n.checked_add(i)?))
            .collect()
    }

    fn held(&self, address: IpAddr) -> HeldAddress {
        HeldAddress { address, holders: self.holders(address) }
    }
}

impl Pool for PoolView {
    fn name(&self) -> String {
        self.pool.clone()
    }

    fn labels(&self) -> Vec<Pair> {
        let labels = self.stock().map(|stock| &stock.pool().labels);
        labels.into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect()
    }

    fn prefixes(&self) -> Vec<IpNet> {
        let ranges = self.stock().map(|stock| &stock.pool().addresses);
        ranges.into_iter().flatten().flat_map(AddressRange::prefixes).collect()
    }

    fn count(&self, family: Family) -> PoolCount {
        self.stock().map(|stock| stock.count(family)).unwrap_or_default()
    }

    fn state(&self, address: IpAddr) -> AddressState {
        let Some(stock) = self.stock().filter(|stock| stock.covers(address)) else {
            return AddressState::Outside;
        };
        if !stock.offers(address) {
            return AddressState::Excluded;
        }
        match self.blocked(address) {
            Some(Blocked::Node(_)) => return AddressState::Excluded,
            Some(Blocked::Resting) => return AddressState::Taken,
            None => {}
        }
        match self.ledger.may_hold(&self.service, address) {
            Err(_) => AddressState::Taken,
            Ok(()) if stock.has(address) => AddressState::Shareable,
            Ok(()) => AddressState::Free,
        }
    }

    fn lowest_free(&self, family: Family, limit: u32) -> Vec<IpAddr> {
        self.free_from(family, 0, limit)
    }

    /// Lists addresses of the family of `after`.
    fn free_after(&self, after: IpAddr, limit: u32) -> Vec<IpAddr> {
        let n = self.stock().map_or(0, |stock| stock.free_up_to(after));
        self.free_from(Family::of(&after), n, limit)
    }

    fn nth_free(&self, family: Family, n: u32) -> Option<IpAddr> {
        self.stock()?.nth_free(family, n.into())
    }

    fn shareable(&self, family: Family, limit: u32) -> Vec<IpAddr> {
        let group = sharing::group(&self.service).and_then(|group| self.ledger.groups.get(&group));
        let of_family = group.into_iter().flatten().filter(|at| Family::of(at) == family);
        let open = of_family.filter(|at| self.state(**at) == AddressState::Shareable);
        open.copied().take(limit.min(LONGEST_LIST) as usize).collect()
    }

    fn holders(&self, address: IpAddr) -> Vec<Holder> {
        if !self.stock().is_some_and(|stock| stock.has(address)) {
            return Vec::new();
        }
        let entry = self.ledger.addresses.get(&address);
        let keys = entry.into_iter().flat_map(|entry| &entry.holders);
        let claims = keys.filter_map(|key| self.ledger.claims.get(key));
        let holder = |service: &Service| Holder {
            service: service.to_sdk(),
            sharing_key: service.sharing_key.clone(),
        };
        claims.map(|claim| holder(&claim.service)).collect()
    }

    /// Lists addresses of the family of `after`.
    fn held_after(&self, after: IpAddr, limit: u32) -> Vec<HeldAddress> {
        let stock = self.stock().into_iter();
        let held = stock.flat_map(|stock| stock.held_after(after));
        held.take(limit.min(LONGEST_LIST) as usize).map(|address| self.held(address)).collect()
    }

    fn held_by_namespace(&self, namespace: &str) -> u32 {
        self.stock().map_or(0, |stock| stock.held_by(namespace))
    }

    fn released_ago(&self, address: IpAddr) -> u32 {
        let Some(at) = self.ledger.history.released(address) else { return u32::MAX };
        let ago = self.now.monotonic_us.saturating_sub(at.monotonic_us) / 1_000_000;
        u32::try_from(ago).unwrap_or(u32::MAX)
    }
}
