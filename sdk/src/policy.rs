//! The trait behind the WIT world `allocator`, and the pool it reads. WIT: `policy`, `pool`.
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::{Pair, Service};

/// An address allocation policy: one pure function.
pub trait Policy {
    /// Decides on the addresses of a Service. The result must depend only on `request` and on `pool`, which does not
    /// change during the call.
    fn allocate(request: &Request, pool: &impl Pool) -> Outcome;
}

/// A Service's request for addresses. WIT: `policy.request`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Request {
    /// The Service that needs addresses.
    pub service: Service,
    /// Families still to be assigned, preferred one first.
    pub families: Vec<Family>,
    /// True if every family must be assigned or the request refused; if false, at least the first possible family is
    /// enough.
    pub all_families: bool,
    /// Addresses the Service requests explicitly. Empty = any.
    pub wanted: Vec<IpAddr>,
    /// Addresses the Service holds and keeps, while a second family is being added.
    pub holds: Vec<IpAddr>,
    /// Addresses that a Service of this namespace and name held last.
    pub previous: Vec<IpAddr>,
    /// Sharing key of the Service; "" = the Service does not share its addresses.
    pub sharing_key: String,
    /// The pool's `allocator.config` as JSON text; "{}" when absent.
    pub config: String,
    /// 32 random bytes, the only source of randomness.
    pub seed: Vec<u8>,
    /// Name and value pairs added by a newer host; unknown names must be ignored.
    pub ext: Vec<Pair>,
}

/// An IP address family. WIT: `types.ip-family`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl Family {
    /// Returns the family of an address.
    pub fn of(address: &IpAddr) -> Self {
        if address.is_ipv4() { Self::Ipv4 } else { Self::Ipv6 }
    }
}

impl std::fmt::Display for Family {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        })
    }
}

/// The decision of a policy. WIT: `policy.outcome`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Assigns one address per family.
    Assign(Vec<IpAddr>),
    /// Assigns nothing; the host continues with the next suitable pool.
    Refuse(Refusal),
    /// Requests HTTP exchanges with these URLs. The host does not carry them out.
    Ask(Vec<String>),
}

/// The reason a pool assigns no address. WIT: `policy.refusal`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// CamelCase reason of the resulting condition, such as "PoolExhausted".
    pub reason: String,
    /// One sentence for a human reader.
    pub message: String,
    /// Delay before the host asks again, in milliseconds; 0 = when the Service or the pool changes.
    pub retry_after_ms: u32,
}

/// Read-only view of the address pool of the current request, as recorded in the ledger. Searches take O(log n);
/// lists are in address order and end at the end of the pool. WIT: `pool`.
pub trait Pool {
    /// Returns the name of the pool.
    fn name(&self) -> String;
    /// Returns the labels of the pool.
    fn labels(&self) -> Vec<Pair>;
    /// Returns the prefixes as written in `addresses`, in that order, with ranges split into CIDRs, before
    /// exclusions.
    fn prefixes(&self) -> Vec<IpNet>;
    /// Returns the number of addresses of a family. The counts saturate at 2^32-1.
    fn count(&self, family: Family) -> PoolCount;
    /// Returns the state of an address as seen by this request.
    fn state(&self, address: IpAddr) -> AddressState;
    /// Returns the lowest free addresses, at most `limit`.
    fn lowest_free(&self, family: Family, limit: u32) -> Vec<IpAddr>;
    /// Returns the free addresses after `after`, at most `limit`. `after` need not be in the pool.
    fn free_after(&self, after: IpAddr, limit: u32) -> Vec<IpAddr>;
    /// Returns the free address that has `n` free addresses below it; `None` if there are not that many.
    fn nth_free(&self, family: Family, n: u32) -> Option<IpAddr>;
    /// Returns addresses in use that this request may share, lowest first, at most `limit`.
    fn shareable(&self, family: Family, limit: u32) -> Vec<IpAddr>;
    /// Returns the holders of an address; empty if it is free or outside the pool.
    fn holders(&self, address: IpAddr) -> Vec<Holder>;
    /// Returns the held addresses after `after`, at most `limit`.
    fn held_after(&self, after: IpAddr, limit: u32) -> Vec<HeldAddress>;
    /// Returns the number of addresses of this pool held by Services of a namespace.
    fn held_by_namespace(&self, namespace: &str) -> u32;
    /// Returns the seconds since the address was last released; `u32::MAX` = never or no longer recorded.
    fn released_ago(&self, address: IpAddr) -> u32;
}

/// Address counts of a pool, each saturating at 2^32-1. WIT: `pool.pool-count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PoolCount {
    /// Number of addresses that may be assigned.
    pub total: u32,
    /// Number of these that are free.
    pub free: u32,
    /// Number of these that are held.
    pub held: u32,
}

/// The state of an address as seen by a request. WIT: `pool.address-state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressState {
    /// No Service holds it.
    Free,
    /// Held, and this request may join under the sharing rules.
    Shareable,
    /// Held, and this request may not join.
    Taken,
    /// In the pool's prefixes but never assigned.
    Excluded,
    /// Not in this pool.
    Outside,
}

/// A Service that holds an address. WIT: `pool.holder`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The Service.
    pub service: Service,
    /// Sharing key of the Service; "" = it does not share its addresses.
    pub sharing_key: String,
}

/// A held address and its holders. WIT: `pool.held-address`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldAddress {
    /// The address.
    pub address: IpAddr,
    /// The holders, at least one.
    pub holders: Vec<Holder>,
}
