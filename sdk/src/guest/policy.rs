//! World `allocator`: conversions of requests and outcomes, and the pool read through the host's functions.
use std::net::IpAddr;

use ipnet::IpNet;

use super::allocator::exports::outrigger::plugin::policy as wit;
use super::allocator::outrigger::plugin::pool;
use super::service::{address, addresses, prefix, service, wit_address};
use super::wit as words;
use crate::{
    AddressState, Family, HeldAddress, Holder, Outcome, Pair, Pool, PoolCount, Refusal, Request,
};

pub fn request(request: wit::Request) -> Request {
    Request {
        service: service(request.service),
        families: request.families.into_iter().map(family).collect(),
        all_families: request.all_families,
        wanted: addresses(request.wanted),
        holds: addresses(request.holds),
        previous: addresses(request.previous),
        sharing_key: request.sharing_key,
        config: request.config,
        seed: request.seed,
        ext: request.ext,
    }
}

pub fn outcome(outcome: Outcome) -> wit::Outcome {
    match outcome {
        Outcome::Assign(addresses) => {
            wit::Outcome::Assign(addresses.into_iter().map(wit_address).collect())
        }
        Outcome::Refuse(Refusal { reason, message, retry_after_ms }) => {
            wit::Outcome::Refuse(wit::Refusal { reason, message, retry_after_ms })
        }
        // `Outcome::Ask` carries only the URLs, for the host's side; an HTTP request needs more than that.
        Outcome::Ask(_) => wit::Outcome::Refuse(wit::Refusal {
            reason: "AskUnsupported".to_owned(),
            message: "a policy built with this SDK cannot ask for HTTP requests".to_owned(),
            retry_after_ms: 0,
        }),
    }
}

fn family(family: words::IpFamily) -> Family {
    match family {
        words::IpFamily::Ipv4 => Family::Ipv4,
        words::IpFamily::Ipv6 => Family::Ipv6,
    }
}

fn wit_family(family: Family) -> words::IpFamily {
    match family {
        Family::Ipv4 => words::IpFamily::Ipv4,
        Family::Ipv6 => words::IpFamily::Ipv6,
    }
}

/// The pool of the current request; each method calls the host.
pub struct HostPool;

impl Pool for HostPool {
    fn name(&self) -> String {
        pool::name()
    }

    fn labels(&self) -> Vec<Pair> {
        pool::labels()
    }

    fn prefixes(&self) -> Vec<IpNet> {
        pool::prefixes().into_iter().filter_map(prefix).collect()
    }

    fn count(&self, family: Family) -> PoolCount {
        let pool::PoolCount { total, free, held } = pool::count(wit_family(family));
        PoolCount { total, free, held }
    }

    fn state(&self, address: IpAddr) -> AddressState {
        match pool::state(wit_address(address)) {
            pool::AddressState::Free => AddressState::Free,
            pool::AddressState::Shareable => AddressState::Shareable,
            pool::AddressState::Taken => AddressState::Taken,
            pool::AddressState::Excluded => AddressState::Excluded,
            // In a state that this version does not know, the address must not be assigned.
            pool::AddressState::Outside | pool::AddressState::Other => AddressState::Outside,
        }
    }

    fn lowest_free(&self, family: Family, limit: u32) -> Vec<IpAddr> {
        addresses(pool::lowest_free(wit_family(family), limit))
    }

    fn free_after(&self, after: IpAddr, limit: u32) -> Vec<IpAddr> {
        addresses(pool::free_after(wit_address(after), limit))
    }

    fn nth_free(&self, family: Family, n: u32) -> Option<IpAddr> {
        pool::nth_free(wit_family(family), n).into_iter().map(address).next()
    }

    fn shareable(&self, family: Family, limit: u32) -> Vec<IpAddr> {
        addresses(pool::shareable(wit_family(family), limit))
    }

    fn holders(&self, address: IpAddr) -> Vec<Holder> {
        pool::holders(wit_address(address)).into_iter().map(holder).collect()
    }

    fn held_after(&self, after: IpAddr, limit: u32) -> Vec<HeldAddress> {
        let held = pool::held_after(wit_address(after), limit).into_iter();
        held.map(|held| HeldAddress {
            address: address(held.address),
            holders: held.holders.into_iter().map(holder).collect(),
        })
        .collect()
    }

    fn held_by_namespace(&self, namespace: &str) -> u32 {
        pool::held_by_namespace(namespace)
    }

    fn released_ago(&self, address: IpAddr) -> u32 {
        pool::released_ago(wit_address(address))
    }
}

fn holder(holder: pool::Holder) -> Holder {
    Holder { service: service(holder.service), sharing_key: holder.sharing_key }
}
