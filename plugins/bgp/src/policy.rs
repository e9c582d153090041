//! Export policy of one peer: the advertisements that cover a route and the peer, combined. Independent of the messages.
use std::collections::BTreeSet;

use outrigger_sdk::IpNet;
use outrigger_sdk::wire::bgp::{Community, ExtendedCommunity};

use crate::config::Advertisement;
use crate::links::Hops;
use crate::path::{Path, PathId, Paths};
use crate::routes::{Class, Route, Routes};

/// LOCAL_PREF by default. RFC 4271 leaves it to the speaker; every router uses this value.
const LOCAL_PREF: u32 = 100;
/// Octets per second in one Mbit/s.
const MBIT: f32 = 125_000.0;

/// Inputs of the result for a route with one part: class, true if it is leaving, weight if weights are used, prefix
/// length, and true if it is IPv4.
type Key = (Class, bool, u32, u8, bool);

/// Export policy of one peer on one session.
pub(crate) struct Policy<'a> {
    routes: &'a Routes,
    advertisements: &'a [Advertisement],
    covered: Vec<bool>,
    /// True if the number of endpoints affects the result.
    weighs: bool,
    local_asn: u32,
    internal: bool,
    hops: Hops,
    last_choice: bool,
    /// The last result and its inputs: nearly all routes have the same.
    memory: Option<(Key, Option<PathId>)>,
}

impl<'a> Policy<'a> {
    /// Creates the policy for the configured peer of this name. `last_choice` is true if the whole node is about to leave.
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

    /// Returns the ID in `paths` of the path to advertise for this prefix; `None` if it must not be advertised.
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
        // RFC 8326 section 3: LOCAL_PREF is 0 within the AS, where the community alone need not be acted on.
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

    /// Returns the link bandwidth community. A node without an endpoint of its own still forwards (policy Cluster), so
    /// it counts as one with a single endpoint.
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
