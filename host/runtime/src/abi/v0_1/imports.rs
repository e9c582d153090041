//! The functions that a guest may call: `log` for every plugin, `pool` for allocators. The type-only interfaces have no
//! functions.
use outrigger_sdk as sdk;

use super::allocator::outrigger::plugin::types::{IpAddress, IpFamily, IpPrefix, Pair};
use super::allocator::outrigger::plugin::{http, log, pool, types};
use super::announcer::outrigger::plugin::{dns, effects, events, network, status};
use super::convert::each;
use crate::abi::Host;

impl types::Host for Host {}
impl http::Host for Host {}
impl dns::Host for Host {}
impl effects::Host for Host {}
impl events::Host for Host {}
impl network::Host for Host {}
impl status::Host for Host {}

impl log::Host for Host {
    fn log(&mut self, level: log::Level, message: String, fields: Vec<Pair>) {
        let level = match level {
            log::Level::Error => sdk::log::Level::Error,
            log::Level::Warn => sdk::log::Level::Warn,
            log::Level::Info => sdk::log::Level::Info,
            log::Level::Debug => sdk::log::Level::Debug,
            log::Level::Trace => sdk::log::Level::Trace,
        };
        self.log.write(level, &message, &fields);
    }
}

/// Largest number of addresses in one answer: the guest can ask for any limit.
const MOST: u32 = 4096;

impl Host {
    /// Queries the pool. Outside of decisions every list is empty and every number 0.
    fn ask<T: Default>(&self, question: impl FnOnce(&dyn sdk::Pool) -> T) -> T {
        self.pool.as_deref().map(|pool| question(pool)).unwrap_or_default()
    }
}

impl pool::Host for Host {
    fn name(&mut self) -> String {
        self.ask(|pool| pool.name())
    }

    fn labels(&mut self) -> Vec<Pair> {
        self.ask(|pool| pool.labels())
    }

    fn prefixes(&mut self) -> Vec<IpPrefix> {
        self.ask(|pool| each(pool.prefixes()))
    }

    fn count(&mut self, family: IpFamily) -> pool::PoolCount {
        let sdk::PoolCount { total, free, held } = self.ask(|pool| pool.count(family.into()));
        pool::PoolCount { total, free, held }
    }

    fn state(&mut self, address: IpAddress) -> pool::AddressState {
        match self.ask(|pool| Some(pool.state(address.into()))) {
            Some(sdk::AddressState::Free) => pool::AddressState::Free,
            Some(sdk::AddressState::Shareable) => pool::AddressState::Shareable,
            Some(sdk::AddressState::Taken) => pool::AddressState::Taken,
            Some(sdk::AddressState::Excluded) => pool::AddressState::Excluded,
            Some(sdk::AddressState::Outside) | None => pool::AddressState::Outside,
        }
    }

    fn lowest_free(&mut self, family: IpFamily, limit: u32) -> Vec<IpAddress> {
        self.ask(|pool| each(pool.lowest_free(family.into(), limit.min(MOST))))
    }

    fn free_after(&mut self, after: IpAddress, limit: u32) -> Vec<IpAddress> {
        self.ask(|pool| each(pool.free_after(after.into(), limit.min(MOST))))
    }

    fn nth_free(&mut self, family: IpFamily, n: u32) -> Vec<IpAddress> {
        self.ask(|pool| each(pool.nth_free(family.into(), n)))
    }

    fn shareable(&mut self, family: IpFamily, limit: u32) -> Vec<IpAddress> {
        self.ask(|pool| each(pool.shareable(family.into(), limit.min(MOST))))
    }

    fn holders(&mut self, address: IpAddress) -> Vec<pool::Holder> {
        self.ask(|pool| each(pool.holders(address.into())))
    }

    fn held_after(&mut self, after: IpAddress, limit: u32) -> Vec<pool::HeldAddress> {
        self.ask(|pool| each(pool.held_after(after.into(), limit.min(MOST))))
    }

    fn held_by_namespace(&mut self, namespace: String) -> u32 {
        self.ask(|pool| pool.held_by_namespace(&namespace))
    }

    fn released_ago(&mut self, address: IpAddress) -> u32 {
        self.ask(|pool| Some(pool.released_ago(address.into()))).unwrap_or(u32::MAX)
    }
}

impl From<sdk::Holder> for pool::Holder {
    fn from(holder: sdk::Holder) -> Self {
        Self { service: (&holder.service).into(), sharing_key: holder.sharing_key }
    }
}

impl From<sdk::HeldAddress> for pool::HeldAddress {
    fn from(held: sdk::HeldAddress) -> Self {
        Self { address: held.address.into(), holders: each(held.holders) }
    }
}
