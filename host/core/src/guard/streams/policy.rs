//! The permissions of a session at present: the grant, the desired addresses, and this node's own addresses.
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use outrigger_sdk::wire::bgp;
use outrigger_sdk::{Link, LinkIndex};

use super::super::Reason;
use super::super::grant::Grant;
use super::super::session::RoutePolicy;
use crate::desired::Desired;

/// The state that decides which announcements an instance may make at present.
pub(super) struct CurrentPolicy<'a> {
    pub(super) grant: &'a Grant,
    pub(super) desired: &'a BTreeMap<IpAddr, Arc<Desired>>,
    pub(super) links: &'a BTreeMap<LinkIndex, Link>,
}

impl RoutePolicy for CurrentPolicy<'_> {
    fn prefix(&self, prefix: &IpNet) -> Result<(), Reason> {
        if prefix.prefix_len() == prefix.max_prefix_len() {
            let entry = self.desired.get(&prefix.addr()).ok_or(Reason::PrefixNotDesired)?;
            return if entry.duty.speaks() { Ok(()) } else { Err(Reason::NotThisNodesDuty) };
        }
        if prefix.prefix_len() == 0
            || !self.grant.aggregates.iter().any(|aggregate| aggregate.contains(prefix))
        {
            return Err(Reason::PrefixNotDesired);
        }
        let inside = self.desired.range(prefix.network()..=prefix.broadcast());
        let mut spoken = inside.filter(|(_, entry)| entry.duty.speaks());
        spoken.next().map(drop).ok_or(Reason::PrefixNotDesired)
    }

    fn is_own(&self, address: IpAddr) -> bool {
        let mut addresses = self.links.values().flat_map(|link| &link.addresses);
        addresses.any(|own| own.addr() == address)
    }

    fn capability(&self, capability: &bgp::Capability) -> bool {
        self.grant.has_capability(capability)
    }

    fn attributes(&self, attributes: &bgp::Attributes) -> Result<(), Reason> {
        match self.grant.has_communities(attributes) {
            true => Ok(()),
            false => Err(Reason::CommunityNotAllowed),
        }
    }
}
