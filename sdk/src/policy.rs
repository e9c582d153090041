//! The trait behind the world `allocator`. WIT: `policy`, `pool`.
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::{Pair, Service};

/// An allocation policy: one pure function.
pub trait Policy {
    /// The answer depends on `request` and on what `pool` says, which does not change during the call.
    fn allocate(request: &Request, pool: &impl Pool) -> Outcome;
}

/// What is asked of a policy. WIT: `policy.request`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Request {
    /// Who asks.
    pub service: Service,
    /// Families still to be assigned, preferred first.
    pub families: Vec<Family>,
    /// True: every family or refuse. False: at least the first that is possible.
    pub all_families: bool,
    /// Addresses the Service asks for by name. Empty = any.
    pub wanted: Vec<IpAddr>,
    /// Addresses the Service holds and keeps: a second family is being added.
    pub holds: Vec<IpAddr>,
    /// Addresses a Service of this namespace and name held last.
    pub previous: Vec<IpAddr>,
    /// "" = does not share.
    pub sharing_key: String,
    /// The pool's `allocator.config`, JSON text, "{}" when absent.
    pub config: String,
    /// 32 octets, the only randomness there is.
    pub seed: Vec<u8>,
    /// What a newer host adds.
    pub ext: Vec<Pair>,
}

/// An IP family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl Family {
    /// The family of an address.
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

/// What a policy answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// One address per family.
    Assign(Vec<IpAddr>),
    /// The host goes on to the next pool that suits.
    Refuse(Refusal),
    /// Asks for HTTP requests, which this host does not carry out: their URLs.
    Ask(Vec<String>),
}

/// Why a pool gives nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// CamelCase, becomes the condition's reason: "PoolExhausted".
    pub reason: String,
    /// One sentence for a person.
    pub message: String,
    /// 0 = ask again when the Service or the pool changes.
    pub retry_after_ms: u32,
}

/// The address pool of the request at hand, read only, as the ledger stands. Searches take O(log n); lists are in
/// address order and end where the pool ends. WIT: `pool`.
pub trait Pool {
    /// Its name.
    fn name(&self) -> String;
    /// Its labels.
    fn labels(&self) -> Vec<Pair>;
    /// As written in `addresses`, in that order, ranges cut into CIDRs, before exclusions.
    fn prefixes(&self) -> Vec<IpNet>;
    /// Saturates at 2^32-1.
    fn count(&self, family: Family) -> PoolCount;
    /// How this request stands to an address.
    fn state(&self, address: IpAddr) -> AddressState;
    /// The lowest free addresses, at most `limit`.
    fn lowest_free(&self, family: Family, limit: u32) -> Vec<IpAddr>;
    /// The free addresses after `after`, which need not be in the pool.
    fn free_after(&self, after: IpAddr, limit: u32) -> Vec<IpAddr>;
    /// The free address with `n` free ones below it.
    fn nth_free(&self, family: Family, n: u32) -> Option<IpAddr>;
    /// Addresses in use that this request may share, lowest first.
    fn shareable(&self, family: Family, limit: u32) -> Vec<IpAddr>;
    /// Empty when free or outside.
    fn holders(&self, address: IpAddr) -> Vec<Holder>;
    /// Every held address after `after`.
    fn held_after(&self, after: IpAddr, limit: u32) -> Vec<HeldAddress>;
    /// Addresses of this pool held by Services of this namespace.
    fn held_by_namespace(&self, namespace: &str) -> u32;
    /// Seconds since the address was last given back, `u32::MAX` = never or forgotten.
    fn released_ago(&self, address: IpAddr) -> u32;
}

/// Saturates at 2^32-1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PoolCount {
    /// Addresses that may be given out.
    pub total: u32,
    /// Of these, held by nobody.
    pub free: u32,
    /// Of these, held.
    pub held: u32,
}

/// How a request stands to an address. WIT: `pool.address-state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressState {
    /// Held by nobody.
    Free,
    /// Held, and this request may join under the sharing rules.
    Shareable,
    /// Held, and this request may not join.
    Taken,
    /// In the pool's prefixes but never given out.
    Excluded,
    /// Not in this pool.
    Outside,
}

/// Who holds an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The Service.
    pub service: Service,
    /// "" = does not share.
    pub sharing_key: String,
}

/// A held address and its holders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldAddress {
    /// The address.
    pub address: IpAddr,
    /// At least one.
    pub holders: Vec<Holder>,
}
