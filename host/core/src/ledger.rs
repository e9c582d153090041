//! The ledger of held addresses: the holders of each address (invariant 3), the pool that it came from, and the last
//! holder. No sequence of calls can make two Services hold one address against the sharing rules. Must not know a
//! clock, a policy, or which addresses Services still lack.
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use outrigger_sdk::Time;

use crate::facts::{NodeName, Pool, Service, ServiceKey};

mod blocked;
mod check;
mod history;
mod sharing;
mod stock;
#[cfg(test)]
mod tests;
mod view;

pub use blocked::{Blocked, REST_US};
pub use check::Violation;
pub use sharing::{may_share, why_not};
pub use stock::{PoolPhase, Stock};
pub use view::PoolView;

use blocked::Blocks;
use history::History;

/// Every held address. Cloned only if it is changed while a [`PoolView`] still refers to it.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    pools: BTreeMap<Arc<str>, Stock>,
    addresses: BTreeMap<IpAddr, Entry>,
    claims: BTreeMap<ServiceKey, Claim>,
    /// Addresses in use by namespace and sharing key, for Services that share. All holders of an address belong to
    /// one group, by the sharing rules.
    groups: BTreeMap<(String, String), BTreeSet<IpAddr>>,
    blocks: Blocks,
    history: History,
}

/// One held address.
#[derive(Debug, Clone)]
struct Entry {
    /// The holders in order, never empty. Nearly always there is one, so a tree would be ten times as large.
    holders: Vec<ServiceKey>,
    /// The pool that the address came from; `None` if it was adopted outside of every pool.
    pool: Option<Arc<str>>,
}

/// The addresses that one Service holds. Never empty.
#[derive(Debug, Clone)]
struct Claim {
    service: Arc<Service>,
    addresses: Vec<IpAddr>,
}

impl Ledger {
    /// Adds a pool, or replaces it with its new version. Addresses that are held and now lie in it become its own;
    /// those that it no longer contains stay held. The caller must ensure that pools do not overlap.
    pub fn put_pool(&mut self, pool: Arc<Pool>) {
        let name: Arc<str> = pool.name.as_str().into();
        let old = self.pools.remove(&name);
        let mut own: BTreeSet<IpAddr> = old.iter().flat_map(Stock::addresses).collect();
        for range in &pool.addresses {
            own.extend(self.addresses.range(range.first()..=range.last()).map(|(at, _)| *at));
        }
        let mut stock = Stock::new(pool);
        for address in own {
            let Some(entry) = self.addresses.get_mut(&address) else { continue };
            let namespace = entry.namespace();
            let before = entry.pool.replace(name.clone());
            if let Some(other) = before.and_then(|before| self.pools.get_mut(&before)) {
                other.give_back(address, &namespace);
            }
            stock.take(address, &namespace);
        }
        self.blocks.addresses().for_each(|address| stock.block(address));
        self.pools.insert(name, stock);
        self.pools.retain(|_, stock| !stock.is_spent());
    }

    /// Starts to drain a pool: nothing more is assigned from it, and addresses that are held stay held (invariant 4).
    /// The pool stays in the ledger until [`Ledger::retire_pool`], even if none of its addresses is held.
    pub fn drain_pool(&mut self, pool: Arc<Pool>) {
        let name: Arc<str> = pool.name.as_str().into();
        let mut stock = self.pools.remove(&name).unwrap_or_else(|| Stock::new(pool.clone()));
        for range in &pool.addresses {
            for (address, entry) in self.addresses.range_mut(range.first()..=range.last()) {
                // A successor may have taken the address over.
                if entry.pool.is_none() {
                    entry.pool = Some(name.clone());
                    stock.take(*address, &entry.namespace());
                }
            }
        }
        stock.standing = PoolPhase::Draining;
        self.pools.insert(name, stock);
    }

    /// Retires a pool that no longer exists: addresses that are held stay held. The pool is removed with its last
    /// address.
    pub fn retire_pool(&mut self, name: &str) {
        if let Some(stock) = self.pools.get_mut(name) {
            stock.standing = PoolPhase::Gone;
        }
        self.pools.retain(|_, stock| !stock.is_spent());
    }

    /// Returns all pools: the active ones, those that drain, and deleted ones with addresses that are still held.
    pub fn pools(&self) -> impl Iterator<Item = &Stock> {
        self.pools.values()
    }

    /// Returns a pool by name, with any standing; `None` if it is unknown.
    pub fn pool(&self, name: &str) -> Option<&Stock> {
        self.pools.get(name)
    }

    /// Returns the pool whose ranges, before exclusions, contain an address; an active one if there is one.
    pub fn locate(&self, address: IpAddr) -> Option<&Stock> {
        let containing = self.pools.values().filter(|stock| stock.covers(address));
        containing.min_by_key(|stock| stock.standing())
    }

    /// Returns the pool that a held address came from, or that has contained it since.
    pub fn pool_of(&self, address: IpAddr) -> Option<&Stock> {
        self.pools.get(self.addresses.get(&address)?.pool.as_ref()?)
    }

    /// Returns the addresses that a Service holds, in the order in which it got them.
    pub fn held(&self, service: &ServiceKey) -> &[IpAddr] {
        self.claims.get(service).map_or(&[], |claim| &claim.addresses)
    }

    /// Returns the Services that hold addresses of a pool.
    pub fn users(&self, pool: &str) -> BTreeSet<&ServiceKey> {
        let addresses = self.pools.get(pool).into_iter().flat_map(Stock::addresses);
        let entries = addresses.filter_map(|address| self.addresses.get(&address));
        entries.flat_map(|entry| &entry.holders).collect()
    }

    /// Returns the Services that hold an address.
    pub fn holders(&self, address: IpAddr) -> impl Iterator<Item = &ServiceKey> {
        self.addresses.get(&address).into_iter().flat_map(|entry| &entry.holders)
    }

    /// Returns a Service as it was when it got its addresses or changed last; `None` if it holds none.
    pub fn holder(&self, key: &ServiceKey) -> Option<&Arc<Service>> {
        self.claims.get(key).map(|claim| &claim.service)
    }

    /// Returns the addresses of the group that a Service shares with, including those that it may not join.
    pub fn group_addresses(&self, service: &Service) -> impl Iterator<Item = IpAddr> {
        let addresses = sharing::group(service).and_then(|group| self.groups.get(&group));
        addresses.into_iter().flatten().copied()
    }

    /// Returns every held address with its holders, in address order.
    pub fn addresses(&self) -> impl Iterator<Item = (IpAddr, &[ServiceKey])> {
        self.addresses.iter().map(|(address, entry)| (*address, &*entry.holders))
    }

    /// Returns the addresses that a Service of this name released last.
    pub fn previous(&self, service: &ServiceKey) -> &[IpAddr] {
        self.history.previous(service)
    }

    /// Checks that no other holder prevents a Service from holding an address; otherwise returns the first holder
    /// that does.
    pub fn may_hold(&self, service: &Service, address: IpAddr) -> Result<(), &ServiceKey> {
        let Some(entry) = self.addresses.get(&address) else { return Ok(()) };
        let others = entry.holders.iter().filter(|holder| **holder != service.key);
        for other in others {
            if !self.claims.get(other).is_some_and(|claim| may_share(service, &claim.service)) {
                return Err(other);
            }
        }
        Ok(())
    }

    /// Gives an address to a Service, unless another holder prevents it. `pool` is where the address came from.
    pub fn hold(
        &mut self,
        service: &Arc<Service>,
        pool: Option<&str>,
        address: IpAddr,
    ) -> Result<(), ServiceKey> {
        self.may_hold(service, address).map_err(Clone::clone)?;
        if !self.held(&service.key).contains(&address) {
            self.attach(service, pool, address);
        }
        Ok(())
    }

    /// Takes one address from a Service and records it in the history. An address without any holder left rests for
    /// [`REST_US`]: until then only the same Service may have it again (invariant 6).
    pub fn release(&mut self, service: &ServiceKey, address: IpAddr, now: Time) {
        if self.detach(service, address).is_some() {
            self.history.note(service, address, now);
            if !self.addresses.contains_key(&address) {
                self.blocks.rest(address, service, now);
                self.block(address);
            }
            self.pools.retain(|_, stock| !stock.is_spent());
        }
    }

    /// Returns the reason why an address without a holder may not be given to this Service; `None` if it may.
    pub fn blocked(&self, address: IpAddr, service: &ServiceKey) -> Option<Blocked> {
        self.blocks.why(address, service)
    }

    /// Ends every rest that is over. Returns the pools that can assign more addresses than before.
    pub fn end_rests(&mut self, now: Time) -> BTreeSet<String> {
        let due = self.blocks.due(now);
        due.into_iter().filter_map(|address| self.end_rest(address)).collect()
    }

    /// Returns the time at which the next rest is over, in monotonic microseconds.
    pub fn next_rest_end(&self) -> Option<u64> {
        self.blocks.next_end()
    }

    fn end_rest(&mut self, address: IpAddr) -> Option<String> {
        if !self.blocks.end_rest(address) {
            return None;
        }
        self.unblock(address)
    }

    /// Sets the addresses of nodes, which are never assigned to a Service. Returns the pools that can assign more
    /// addresses than before.
    pub fn set_node_addresses(&mut self, nodes: BTreeMap<IpAddr, NodeName>) -> BTreeSet<String> {
        let gone = self.blocks.set_nodes(nodes);
        let now: Vec<IpAddr> = self.blocks.nodes().keys().copied().collect();
        now.into_iter().for_each(|address| self.block(address));
        gone.into_iter().filter_map(|address| self.unblock(address)).collect()
    }

    /// Returns the addresses of nodes that lie in a pool, each with its node.
    pub fn node_addresses(&self, pool: &Stock) -> Vec<(IpAddr, &NodeName)> {
        let nodes = self.blocks.nodes().iter().map(|(at, node)| (*at, node));
        nodes.filter(|(at, _)| pool.contains(*at)).collect()
    }

    fn block(&mut self, address: IpAddr) {
        self.pools.values_mut().for_each(|stock| stock.block(address));
    }

    fn unblock(&mut self, address: IpAddr) -> Option<String> {
        if self.blocks.contains(address) {
            return None;
        }
        self.pools.values_mut().for_each(|stock| stock.unblock(address));
        self.locate(address).map(|stock| stock.pool().name.clone())
    }

    /// Applies a new version of a Service. Returns the addresses that it had to release, because the new version may
    /// not share what the old one shared.
    pub fn update(&mut self, service: &Arc<Service>, now: Time) -> Vec<IpAddr> {
        let mut lost = Vec::new();
        for address in self.held(&service.key).to_vec() {
            if self.may_hold(service, address).is_err() {
                lost.push(address);
            }
        }
        for address in &lost {
            self.release(&service.key, *address, now);
        }
        let Some(claim) = self.claims.get_mut(&service.key) else { return lost };
        let old = std::mem::replace(&mut claim.service, service.clone());
        let kept = claim.addresses.clone();
        if old.sharing_key != service.sharing_key {
            // Every address is either shared, in which case the key was not allowed to change, or held by this
            // Service alone.
            for address in kept {
                self.ungroup(&old, address);
                self.group(service, address);
            }
        }
        lost
    }

    fn attach(&mut self, service: &Arc<Service>, pool: Option<&str>, address: IpAddr) {
        let named = |pool: &str| match self.pools.get_key_value(pool) {
            Some((name, _)) => name.clone(),
            None => pool.into(),
        };
        let vacant = || Entry { holders: Vec::new(), pool: pool.map(named) };
        let entry = self.addresses.entry(address).or_insert_with(vacant);
        let is_first = entry.holders.is_empty();
        self.blocks.end_rest(address);
        if let Err(at) = entry.holders.binary_search(&service.key) {
            entry.holders.reserve_exact(1);
            entry.holders.insert(at, service.key.clone());
        }
        if is_first {
            if let Some(stock) = entry.pool.as_ref().and_then(|pool| self.pools.get_mut(pool)) {
                stock.take(address, service.key.namespace());
            }
            self.group(service, address);
        }
        let new = || Claim { service: service.clone(), addresses: Vec::with_capacity(1) };
        self.claims.entry(service.key.clone()).or_insert_with(new).addresses.push(address);
    }

    fn detach(&mut self, service: &ServiceKey, address: IpAddr) -> Option<()> {
        let claim = self.claims.get_mut(service)?;
        let at = claim.addresses.iter().position(|held| *held == address)?;
        claim.addresses.remove(at);
        let holder = claim.service.clone();
        if claim.addresses.is_empty() {
            self.claims.remove(service);
        }
        let entry = self.addresses.get_mut(&address)?;
        entry.holders.retain(|holder| holder != service);
        if entry.holders.is_empty() {
            if let Some(stock) = entry.pool.as_ref().and_then(|pool| self.pools.get_mut(pool)) {
                stock.give_back(address, service.namespace());
            }
            self.addresses.remove(&address);
            self.ungroup(&holder, address);
        }
        Some(())
    }

    fn group(&mut self, service: &Service, address: IpAddr) {
        if let Some(group) = sharing::group(service) {
            self.groups.entry(group).or_default().insert(address);
        }
    }

    fn ungroup(&mut self, service: &Service, address: IpAddr) {
        let Some(group) = sharing::group(service) else { return };
        if let Some(addresses) = self.groups.get_mut(&group) {
            addresses.remove(&address);
            if addresses.is_empty() {
                self.groups.remove(&group);
            }
        }
    }
}

impl Entry {
    /// Returns the namespace of the holders, which is one by the sharing rules.
    fn namespace(&self) -> String {
        self.holders.first().map(|holder| holder.namespace().to_owned()).unwrap_or_default()
    }
}
