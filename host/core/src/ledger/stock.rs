//! One pool and its held addresses. Does not know Services beyond their namespace.
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use outrigger_sdk::{Family, PoolCount};

use crate::facts::Pool;
use crate::pool::{Held, PoolSpace};

/// A pool and its held addresses.
#[derive(Debug, Clone)]
pub struct Stock {
    pool: Arc<Pool>,
    space: PoolSpace,
    ipv4: Held,
    ipv6: Held,
    /// Held addresses that the pool would no longer assign: it was shrunk, or excludes them now.
    strays: BTreeSet<IpAddr>,
    /// Addresses without a holder that are not assigned for now. Counted among the held ones, so that searches skip
    /// them.
    blocked: BTreeSet<IpAddr>,
    by_namespace: BTreeMap<String, u32>,
    pub(super) standing: PoolPhase,
}

/// The life cycle state of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PoolPhase {
    /// The pool is active and assigns addresses.
    InForce,
    /// The pool is being deleted: it assigns nothing new, and waits for its last address.
    Draining,
    /// The pool was deleted; it stays in the ledger until its last address is released.
    Gone,
}

impl Stock {
    pub(super) fn new(pool: Arc<Pool>) -> Self {
        Self {
            space: PoolSpace::new(&pool),
            pool,
            ipv4: Held::default(),
            ipv6: Held::default(),
            strays: BTreeSet::new(),
            blocked: BTreeSet::new(),
            by_namespace: BTreeMap::new(),
            standing: PoolPhase::InForce,
        }
    }

    /// Returns the pool as last accepted.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Returns the life cycle state of the pool.
    pub fn standing(&self) -> PoolPhase {
        self.standing
    }

    /// Returns true if an address lies in the ranges as written, before exclusions.
    pub fn covers(&self, address: IpAddr) -> bool {
        self.pool.addresses.iter().any(|range| range.contains(address))
    }

    /// Returns true if this pool would assign the address, were it free.
    pub fn offers(&self, address: IpAddr) -> bool {
        self.standing == PoolPhase::InForce && self.space.index(address).is_some()
    }

    /// Returns true if the address is among those that the pool assigns, or assigned until it began to drain.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.standing != PoolPhase::Gone && self.space.index(address).is_some()
    }

    /// Returns the counts of one address family; each saturates at 2^32-1.
    pub fn count(&self, family: Family) -> PoolCount {
        let saturate = |n: u128| u32::try_from(n).unwrap_or(u32::MAX);
        PoolCount {
            total: saturate(self.space.total(family)),
            free: saturate(self.free(family)),
            held: saturate(self.given(family)),
        }
    }

    /// Returns the number of addresses that the pool can assign.
    pub fn total(&self, family: Family) -> u128 {
        self.space.total(family)
    }

    /// Returns the number of these addresses that are held.
    pub fn given(&self, family: Family) -> u128 {
        let blocked = self.blocked.iter().filter(|at| Family::of(at) == family).count();
        (self.held(family).len() - blocked) as u128
    }

    /// Returns the held addresses that the pool would no longer assign.
    pub fn strays(&self) -> &BTreeSet<IpAddr> {
        &self.strays
    }

    /// Returns the number of addresses that can be assigned now.
    pub fn free(&self, family: Family) -> u128 {
        self.space.total(family).saturating_sub(self.held(family).len() as u128)
    }

    /// Returns the number of addresses that are held by Services of a namespace, including strays.
    pub fn held_by(&self, namespace: &str) -> u32 {
        self.by_namespace.get(namespace).copied().unwrap_or(0)
    }

    /// Returns true if an address is held and belongs to this pool.
    pub fn has(&self, address: IpAddr) -> bool {
        let held = || self.held(Family::of(&address));
        let is_held = || self.space.index(address).is_some_and(|index| held().contains(index));
        self.strays.contains(&address) || (!self.blocked.contains(&address) && is_held())
    }

    /// Returns the free address that has `n` free ones below it.
    pub fn nth_free(&self, family: Family, n: u128) -> Option<IpAddr> {
        self.space.address(family, self.held(family).nth_free(n))
    }

    /// Returns the number of free addresses that are not above this one.
    pub fn free_up_to(&self, address: IpAddr) -> u128 {
        self.held(Family::of(&address)).free_below(self.space.up_to(address))
    }

    /// Returns the held addresses of the same family above this one, lowest first, without strays.
    pub fn held_after(&self, after: IpAddr) -> impl Iterator<Item = IpAddr> + '_ {
        let family = Family::of(&after);
        let held = self.held(family).from(self.space.up_to(after));
        let address = held.filter_map(move |index| self.space.address(family, index));
        address.filter(|address| !self.blocked.contains(address))
    }

    /// Returns every held address of this pool.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let of = |family| {
            self.held(family).from(0).filter_map(move |index| self.space.address(family, index))
        };
        let given = of(Family::Ipv4).chain(of(Family::Ipv6));
        let given = given.filter(|address| !self.blocked.contains(address));
        given.chain(self.strays.iter().copied())
    }

    pub(super) fn take(&mut self, address: IpAddr, namespace: &str) {
        self.unblock(address);
        let is_new = match self.space.index(address) {
            Some(index) => self.held_mut(Family::of(&address)).insert(index),
            None => self.strays.insert(address),
        };
        if is_new {
            *self.by_namespace.entry(namespace.to_owned()).or_default() += 1;
        }
    }

    pub(super) fn give_back(&mut self, address: IpAddr, namespace: &str) {
        let was_held = match self.space.index(address) {
            Some(index) => self.held_mut(Family::of(&address)).remove(index),
            None => self.strays.remove(&address),
        };
        if was_held && let Some(count) = self.by_namespace.get_mut(namespace) {
            *count -= 1;
            if *count == 0 {
                self.by_namespace.remove(namespace);
            }
        }
    }

    /// Prevents an address without a holder from being assigned.
    pub(super) fn block(&mut self, address: IpAddr) {
        let Some(index) = self.space.index(address) else { return };
        if self.held_mut(Family::of(&address)).insert(index) {
            self.blocked.insert(address);
        }
    }

    pub(super) fn unblock(&mut self, address: IpAddr) {
        if self.blocked.remove(&address)
            && let Some(index) = self.space.index(address)
        {
            self.held_mut(Family::of(&address)).remove(index);
        }
    }

    /// Returns true if any Service holds an address of the pool.
    pub fn is_used(&self) -> bool {
        !self.by_namespace.is_empty()
    }

    pub(super) fn is_spent(&self) -> bool {
        self.standing == PoolPhase::Gone && !self.is_used()
    }

    fn held(&self, family: Family) -> &Held {
        match family {
            Family::Ipv4 => &self.ipv4,
            Family::Ipv6 => &self.ipv6,
        }
    }

    fn held_mut(&mut self, family: Family) -> &mut Held {
        match family {
            Family::Ipv4 => &mut self.ipv4,
            Family::Ipv6 => &mut self.ipv6,
        }
    }
}
