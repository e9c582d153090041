//! Solicited-node groups. Up to 2^104 addresses share one, so a group is left only with its last address.
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

use outrigger_sdk::{Effect, LinkIndex, wire};
use serde::{Deserialize, Serialize};

/// The addresses that need each group on each link.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Groups {
    members: BTreeMap<(LinkIndex, Ipv6Addr), BTreeSet<Ipv6Addr>>,
    /// Groups in `members` that the host may not have joined.
    refused: BTreeSet<(LinkIndex, Ipv6Addr)>,
}

impl Groups {
    /// Returns the effect needed to receive neighbours' solicitations for this address; `None` if none is needed.
    pub(crate) fn join(&mut self, link: LinkIndex, address: IpAddr) -> Option<Effect> {
        let IpAddr::V6(address) = address else { return None };
        let group = wire::solicited_node_group(address);
        let members = self.members.entry((link, group)).or_default();
        let first = members.is_empty();
        members.insert(address);
        let again = self.refused.remove(&(link, group));
        (first || again).then_some(Effect::JoinGroup { link, group })
    }

    pub(crate) fn leave(&mut self, link: LinkIndex, address: IpAddr) -> Option<Effect> {
        let IpAddr::V6(address) = address else { return None };
        let group = wire::solicited_node_group(address);
        let members = self.members.get_mut(&(link, group))?;
        members.remove(&address);
        let last = members.is_empty();
        if last {
            self.members.remove(&(link, group));
            self.refused.remove(&(link, group));
        }
        last.then_some(Effect::LeaveGroup { link, group })
    }

    /// Records that the host did not join this group, on an unknown link. Returns the addresses whose solicitations
    /// use the group.
    pub(crate) fn refused(&mut self, group: Ipv6Addr) -> BTreeSet<IpAddr> {
        let of_group = || self.members.iter().filter(|((_, other), _)| *other == group);
        let addresses = of_group().flat_map(|(_, members)| members);
        let addresses = addresses.map(|address| IpAddr::V6(*address)).collect();
        self.refused.extend(of_group().map(|(key, _)| *key));
        addresses
    }
}
