//! What one node knows of all: who is alive and who answers for what. Knows nothing of how it came to know.
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use crate::facts::NodeName;
use crate::readiness::NodeReadiness;

/// "I answer for this address."
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    /// Of two claims the higher term is right. One that was made among a majority is even and above every one known before it; one
    /// that was made without is odd and below that of the node whose address it takes over.
    pub term: u32,
    /// The network has been told.
    pub announced: bool,
}

/// Claims by address; `None` takes one back.
pub type ClaimChanges = BTreeMap<IpAddr, Option<Claim>>;

/// The way in which an alive node is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hearing {
    /// By its own datagrams.
    Itself,
    /// Others say that it is alive; what it claims may not come through.
    ThroughOthers,
    /// No gossip comes through: it is parted. It answers on the segment, or its datagrams come and ours do not; what is known of it is what
    /// it said last.
    Parted,
}

/// An alive node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// It answers for what it has and takes nothing new.
    pub leaving: bool,
    /// The way in which this node hears it.
    pub hearing: Hearing,
    /// Where it receives datagrams.
    pub address: SocketAddr,
}

/// What one node knows of all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// Alive nodes, this one among them.
    pub members: BTreeMap<NodeName, Member>,
    /// Their claims, by address and node. Never one without its member.
    pub claims: BTreeMap<(IpAddr, NodeName), Claim>,
    /// What their announcers can do, where they said it.
    pub readiness: BTreeMap<NodeName, NodeReadiness>,
    /// Nodes that send datagrams which cannot be read.
    pub unreadable: BTreeMap<NodeName, Unreadable>,
}

/// Why a node's datagrams cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreadable {
    /// They are sealed with another key.
    OtherKey,
    /// They are of another version of the protocol.
    OtherVersion,
}

/// What is no longer as it was in the [`View`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ViewChange {
    /// A member came, went, is leaving, another node cannot be read, or this node may decide from now on.
    pub members: bool,
    /// Addresses whose claims changed.
    pub addresses: BTreeSet<IpAddr>,
    /// Addresses of which the network may have been told otherwise while this node and others did not hear each other.
    pub ended: BTreeSet<IpAddr>,
    /// Of these the claim ended because its node does not answer for the address, though it lives: another may.
    pub lapsed: BTreeSet<IpAddr>,
    /// The company in which this node decides is another.
    pub outlook: bool,
    /// What an announcer can do on some node is another.
    pub readiness: bool,
    /// The node was frozen, and now knows what became of its addresses meanwhile. For [`super::Membership::resume`].
    pub caught_up: Option<u64>,
}

impl ViewChange {
    /// Adds a later change.
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
    /// The claims on an address.
    pub fn claims_on(&self, address: IpAddr) -> impl Iterator<Item = (&str, Claim)> {
        let claims = self.claims.range((address, NodeName::new())..);
        let claims = claims.take_while(move |((on, _), _)| *on == address);
        claims.map(|((_, node), claim)| (node.as_str(), *claim))
    }

    /// Takes in what all nodes but `me` claim of an address.
    pub fn set_others(&mut self, me: &str, address: IpAddr, claims: Vec<(NodeName, Claim)>) {
        let before: Vec<_> = self.claims_on(address).map(|(node, _)| node.to_owned()).collect();
        for node in before.iter().filter(|node| *node != me) {
            self.set(address, node, None);
        }
        for (node, claim) in claims.into_iter().filter(|(node, _)| node != me) {
            self.set(address, &node, Some(claim));
        }
    }

    /// Takes in what one node claims otherwise than before.
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
