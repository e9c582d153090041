//! Solicited-node groups: up to 2^104 addresses share one, so a group is left with its last address.
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

use outrigger_sdk::{Effect, LinkIndex, wire};
use serde::{Deserialize, Serialize};

/// Who needs which group on which link.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Groups(BTreeMap<(LinkIndex, Ipv6Addr), BTreeSet<Ipv6Addr>>);

impl Groups {
    /// The effect that makes neighbours' solicitations for this address arrive, if it takes one.
    pub(crate) fn join(&mut self, link: LinkIndex, address: IpAddr) -> Option<Effect> {
        let IpAddr::V6(address) = address else { return None };
        let group = wire::solicited_node_group(address);
        let members = self.0.entry((link, group)).or_default();
        let first = members.is_empty();
        members.insert(address);
        first.then_some(Effect::JoinGroup { link, group })
    }

    pub(crate) fn leave(&mut self, link: LinkIndex, address: IpAddr) -> Option<Effect> {
        let IpAddr::V6(address) = address else { return None };
        let group = wire::solicited_node_group(address);
        let members = self.0.get_mut(&(link, group))?;
        members.remove(&address);
        let last = members.is_empty();
        if last {
            self.0.remove(&(link, group));
        }
        last.then_some(Effect::LeaveGroup { link, group })
    }
}
