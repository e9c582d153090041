//! What one peer is told about a route: the advertisements that cover it and the peer, put together. Knows no messages.
use std::collections::BTreeSet;

use outrigger_sdk::IpNet;
use outrigger_sdk::wire::bgp::{Community, ExtendedCommunity};

use crate::config::Advertisement;
use crate::links::Hops;
use crate::path::{Path, PathId, Paths};
use crate::routes::{Class, Route, Routes};

/// RFC 4271 leaves the default to the speaker; every router's is this.
const LOCAL_PREF: u32 = 100;
/// Mbit/s in octets per second.
const MBIT: f32 = 125_000.0;

/// What an answer depends on, for a route with one part: class, whether it is leaving, weight if that counts, prefix length
/// and whether it is IPv4.
type Key = (Class, bool, u32, u8, bool);

/// One peer's part of the configuration, on one session.
pub(crate) struct Policy<'a> {
    routes: &'a Routes,
    advertisements: &'a [Advertisement],
    covered: Vec<bool>,
    /// Whether endpoints count.
    weighs: bool,
    local_asn: u32,
    internal: bool,
    hops: Hops,
    last_choice: bool,
    /// The last answer, and what it depends on: nearly all routes have the same.
    memory: Option<(Key, Option<PathId>)>,
}

impl<'a> Policy<'a> {
    /// For the peer of this name in the configuration. `last_choice`: the whole node is about to go.
    pub(crate) fn new(
        routes: &'a Routes,
        advertisements: &'a [Advertisement],
        peer: &str,
        (local_asn, internal): (u32, bool),
        hops: Hops,
        last_choice: bool,
    ) -> Self {
        Self {
            routes,
            advertisements,
            covered: advertisements.iter().map(|one| one.covers(peer)).collect(),
            weighs: advertisements.iter().any(|one| one.link_bandwidth.is_some()),
            local_asn,
            internal,
            hops,
            last_choice,
            memory: None,
        }
    }

    /// What the peer is to be told about this prefix, by its name in `paths`; `None` = nothing.
    pub(crate) fn path(&mut self, prefix: &IpNet, paths: &mut Paths) -> Option<PathId> {
        let route = self.routes.get(prefix)?;
        let weight = if self.weighs { route.weight() } else { 0 };
        let (first, v4) = (route.first.class, matches!(prefix, IpNet::V4(_)));
        let key = (first, route.is_leaving(), weight, prefix.prefix_len(), v4);
        match &self.memory {
            Some((known, path)) if *known == key && route.more.is_empty() => return *path,
            _ => {}
        }
        let path = self.make(prefix, route).map(|path| paths.name(path));
        self.memory = route.more.is_empty().then_some((key, path));
        path
    }

    fn make(&self, prefix: &IpNet, route: &Route) -> Option<Path> {
        let next_hop = match prefix {
            IpNet::V4(_) => self.hops.v4,
            IpNet::V6(_) => self.hops.v6,
        }?;
        let parts = route.parts().flat_map(|part| self.routes.advertisements(part.class));
        let covering: BTreeSet<usize> = parts.map(|index| usize::from(*index)).collect();
        let covering: Vec<&Advertisement> = covering
            .into_iter()
            .filter(|index| self.covered[*index])
            .map(|index| &self.advertisements[index])
            .filter(|one| one.length(prefix.addr()) == prefix.prefix_len())
            .collect();
        if covering.is_empty() {
            return None;
        }
        let leaving = self.last_choice || route.is_leaving();
        let first =
            |field: fn(&Advertisement) -> Option<u32>| covering.iter().find_map(|one| field(one));
        let mut communities: BTreeSet<Community> =
            covering.iter().flat_map(|one| one.communities.iter().copied()).collect();
        if leaving {
            communities.insert(Community::GRACEFUL_SHUTDOWN);
        }
        let mut extended: BTreeSet<ExtendedCommunity> =
            covering.iter().flat_map(|one| one.extended_communities.iter().copied()).collect();
        extended.extend(first(|one| one.link_bandwidth).map(|mbit| self.bandwidth(mbit, route)));
        let large: BTreeSet<_> =
            covering.iter().flat_map(|one| one.large_communities.iter().copied()).collect();
        let prepend = first(|one| one.prepend.map(u32::from)).unwrap_or(0) as usize;
        // RFC 8326 section 3: 0 within the AS, where the community alone need not be acted on.
        let local_pref =
            if leaving { 0 } else { first(|one| one.local_pref).unwrap_or(LOCAL_PREF) };
        Some(Path {
            next_hop,
            as_path: if self.internal { Vec::new() } else { vec![self.local_asn; 1 + prepend] },
            med: first(|one| one.med),
            local_pref: self.internal.then_some(local_pref),
            communities: communities.into_iter().map(|one| one.0).collect(),
            large_communities: large.into_iter().map(|one| one.0).collect(),
            extended_communities: extended.into_iter().map(|one| one.0).collect(),
        })
    }

    /// A node without an endpoint of its own still forwards (policy Cluster): it counts as one with one.
    fn bandwidth(&self, mbit: u32, route: &Route) -> ExtendedCommunity {
        let octets_per_second = mbit as f32 * MBIT * route.weight().max(1) as f32;
        let mut community = ExtendedCommunity::link_bandwidth(self.local_asn, octets_per_second);
        if !self.internal {
            // The non-transitive form does not cross an AS border (RFC 4360 section 6).
            community.0[0] = 0x00;
        }
        community
    }
}
