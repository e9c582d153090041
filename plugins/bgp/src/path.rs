//! Attributes of advertised routes: path attributes as this speaker builds them, and a small table of those in use.
use std::collections::BTreeMap;

use outrigger_sdk::wire::bgp::{
    AsPath, Attributes, Community, ExtendedCommunity, LargeCommunity, NextHop,
};
use serde::{Deserialize, Serialize};

use crate::links::Hop;

/// Path attributes and next hop of a route. ORIGIN is always IGP, because the route comes from this cluster's own routing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Path {
    pub(crate) next_hop: Hop,
    pub(crate) as_path: Vec<u32>,
    pub(crate) med: Option<u32>,
    pub(crate) local_pref: Option<u32>,
    pub(crate) communities: Vec<u32>,
    pub(crate) large_communities: Vec<[u32; 3]>,
    pub(crate) extended_communities: Vec<[u8; 8]>,
}

impl Path {
    pub(crate) fn next_hop(&self) -> NextHop {
        self.next_hop.into()
    }

    pub(crate) fn attributes(&self) -> Attributes {
        Attributes {
            as_path: AsPath::sequence(self.as_path.iter().copied()),
            med: self.med,
            local_pref: self.local_pref,
            communities: self.communities.iter().copied().map(Community).collect(),
            large_communities: self.large_communities.iter().copied().map(LargeCommunity).collect(),
            extended_communities: self
                .extended_communities
                .iter()
                .copied()
                .map(ExtendedCommunity)
                .collect(),
            ..Attributes::default()
        }
    }
}

/// Identifier of a path within one [`Paths`].
pub(crate) type PathId = u32;

/// Marks a route whose last advertised path is unknown: it must be advertised again if it is still wanted.
pub(crate) const UNKNOWN: PathId = 0;

/// Table of the paths that routes were advertised with, each stored once: 100,000 routes share a handful. A path that
/// no route uses any more is removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Paths {
    paths: BTreeMap<PathId, (Path, u32)>,
    last: PathId,
}

impl Paths {
    /// Returns the ID of this path, adding the path if it is new. The ID is valid while the path is held, or until
    /// [`Paths::sweep`].
    pub(crate) fn name(&mut self, path: Path) -> PathId {
        let known = self.paths.iter().find(|(_, (known, _))| *known == path);
        if let Some((id, _)) = known {
            return *id;
        }
        self.last = self.last.checked_add(1).unwrap_or(1);
        self.paths.insert(self.last, (path, 0));
        self.last
    }

    pub(crate) fn get(&self, id: PathId) -> Option<&Path> {
        self.paths.get(&id).map(|(path, _)| path)
    }

    pub(crate) fn hold(&mut self, id: PathId) {
        if let Some((_, holders)) = self.paths.get_mut(&id) {
            *holders += 1;
        }
    }

    pub(crate) fn release(&mut self, id: PathId) {
        if let Some((_, holders)) = self.paths.get_mut(&id) {
            *holders -= 1;
        }
    }

    /// Removes the paths that no route holds.
    pub(crate) fn sweep(&mut self) {
        self.paths.retain(|_, (_, holders)| *holders > 0);
    }
}
