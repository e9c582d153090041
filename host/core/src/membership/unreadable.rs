//! Nodes whose datagrams arrive but cannot be read. They look dead but are alive, which must be reported. The
//! datagrams are not trusted for anything else, because a sender without the key can forge them in the name of any
//! node.
use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::{DropReason, Membership, Unreadable};
use crate::facts::NodeName;

/// Number of datagrams after which a node counts as unreadable, because one or two may be damaged.
const COUNTS: u32 = 3;
/// Time after which an unreadable node is forgotten. A node sends to a peer that it considers dead every second.
const FORGOTTEN_US: u64 = 10_000_000;

/// The unreadable datagrams of a node since the last one that could be read.
#[derive(Debug)]
pub(super) struct Received {
    datagrams: u32,
    last_us: u64,
    why: Unreadable,
}

/// Unreadable nodes by name.
pub(super) type UnreadableNodes = BTreeMap<NodeName, Received>;

impl Membership {
    /// Records a datagram that was dropped.
    pub(super) fn not_read(&mut self, now_us: u64, from: SocketAddr, reason: DropReason) {
        let why = match reason {
            DropReason::WrongKey => Unreadable::OtherKey,
            DropReason::OtherVersion => Unreadable::OtherVersion,
            _ => return,
        };
        let mut nodes = self.configured.iter().flatten();
        let Some((name, _)) = nodes.find(|(_, address)| address.ip() == from.ip()) else { return };
        if self.peers.contains_key(name) {
            return;
        }
        let new = Received { datagrams: 0, last_us: now_us, why };
        let received = self.unreadable.entry(name.clone()).or_insert(new);
        (received.datagrams, received.last_us) = (received.datagrams.saturating_add(1), now_us);
        received.why = why;
        if received.datagrams == COUNTS {
            self.view.unreadable.insert(name.clone(), why);
            self.change.members = true;
        }
    }

    /// Records that an authentic datagram of this node was received.
    pub(super) fn was_read(&mut self, name: &str) {
        self.unreadable.remove(name);
        self.change.members |= self.view.unreadable.remove(name).is_some();
    }

    /// Forgets the nodes from which no more datagrams arrive.
    pub(super) fn forget_unreadable(&mut self, now_us: u64) {
        let old = self.unreadable.extract_if(.., |_, one| one.last_us + FORGOTTEN_US <= now_us);
        let old: Vec<_> = old.map(|(name, _)| name).collect();
        old.iter().for_each(|name| self.was_read(name));
    }
}
