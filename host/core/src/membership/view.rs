//! The state of the cluster as one node knows it: the alive nodes and their claims. Must not know how the state is
//! obtained.
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use crate::facts::NodeName;
use crate::readiness::NodeReadiness;

/// The statement that a node answers for an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    /// Of two claims the one with the higher term wins. A claim made among a majority has an even term, above every
    /// term known before it; a claim made without a majority has an odd term, below that of the node whose address it
    /// takes over.
    pub term: u32,
    /// True if the address has been announced to the network.
    pub announced: bool,
}

/// Changes of claims by address; `None` withdraws a claim.
pub type ClaimChanges = BTreeMap<IpAddr, Option<Claim>>;

/// The way in which this node receives an alive node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hearing {
    /// Its own datagrams arrive.
    Itself,
    /// Other nodes report that it is alive; its claims may not arrive.
    ThroughOthers,
    /// Its gossip does not arrive: it is partitioned. It answers on the segment, or its datagrams arrive and ours do
    /// not reach it; the state known of it is the last that it sent.
    Parted,
}

/// An alive node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// True if it answers for its addresses but takes over nothing new.
    pub leaving: bool,
    /// The way in which this node receives it.
    pub hearing: Hearing,
    /// The address at which it receives datagrams.
    pub address: SocketAddr,
}

/// The state of the cluster as one node knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// The alive nodes, including this one.
    pub members: BTreeMap<NodeName, Member>,
    /// Their claims, by address and node. A claim never exists without its member.
    pub claims: BTreeMap<(IpAddr, NodeName), Claim>,
    /// The readiness of their announcers, where they have reported it.
    pub readiness: BTreeMap<NodeName, NodeReadiness>,
    /// Nodes whose datagrams cannot be read.
    pub unreadable: BTreeMap<NodeName, Unreadable>,
}

/// The reason why a node's datagrams cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreadable {
    /// The datagrams are sealed with another key.
    OtherKey,
    /// The datagrams are of another version of the protocol.
    OtherVersion,
}

/// The parts of the [`View`] that have changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ViewChange {
    /// A member joined, went, started to leave, or is received in another way; a node became unreadable or readable; or
    /// this node may decide from now on.
    pub members: bool,
    /// Addresses whose claims changed.
    pub addresses: BTreeSet<IpAddr>,
    /// Addresses that another node may have announced to the network while this node and others were partitioned.
    pub ended: BTreeSet<IpAddr>,
    /// Addresses whose claim ended because its node no longer answers for them although it is alive; another node may
    /// answer.
    pub lapsed: BTreeSet<IpAddr>,
    /// The [`super::Outlook`] of this node has changed.
    pub outlook: bool,
    /// The readiness of an announcer on some node has changed.
    pub readiness: bool,
    /// Set if this node was frozen and now knows the state of its addresses again. Pass it to
    /// [`super::Membership::resume`].
    pub caught_up: Option<u64>,
}

impl ViewChange {
    /// Merges a later change into this one.
    pub fn merge(&mut self, later: Self) {
        self.members |= later.members;
        self.addresses.extend(later.addresses);
        self.ended.extend(later.ended);
        self.lapsed.extend(later.lapsed);
        self.outlook |= later.outlook;
        self.readiness |= later.readiness;
        self.caught_up = later.caught_up.or(self.caught_up);
    }
}

impl View {
    /// Returns the claims on an address.
    pub fn claims_on(&self, address: IpAddr) -> impl Iterator<Item = (&str, Claim)> {
        let claims = self.claims.range((address, NodeName::new())..);
        let claims = claims.take_while(move |((on, _), _)| *on == address);
        claims.map(|((_, node), claim)| (node.as_str(), *claim))
    }

    /// Replaces the claims of all nodes except `me` on an address.
    pub fn set_others(&mut self, me: &str, address: IpAddr, claims: Vec<(NodeName, Claim)>) {
        let before: Vec<_> = self.claims_on(address).map(|(node, _)| node.to_owned()).collect();
        for node in before.iter().filter(|node| *node != me) {
            self.set(address, node, None);
        }
        for (node, claim) in claims.into_iter().filter(|(node, _)| node != me) {
            self.set(address, &node, Some(claim));
        }
    }

    /// Applies the changes of one node's claims.
    pub fn change(&mut self, node: &str, changes: &ClaimChanges) {
        for (address, claim) in changes {
            self.set(*address, node, *claim);
        }
    }

    pub(super) fn set(&mut self, address: IpAddr, node: &str, claim: Option<Claim>) {
        let key = (address, node.to_owned());
        match claim {
            Some(claim) => self.claims.insert(key, claim),
            None => self.claims.remove(&key),
        };
    }
}
