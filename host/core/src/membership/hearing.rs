//! Members that are heard by their own datagrams, and those of which only others say that they live: what these claim may not come through.
use std::net::SocketAddr;

use super::{Hearing, Membership};

/// Between two looks at who is heard.
const LISTEN_US: u64 = 1_000_000;
/// A member that said nothing itself for so long is heard through others alone. In a large cluster it is longer, as a member is probed once in
/// as many intervals as there are members.
const UNHEARD_US: u64 = 4_000_000;

impl Membership {
    /// A genuine datagram says that this node made it. The address that it came from may be another one's: there may be a NAT between.
    pub(super) fn heard_of(&mut self, now_us: u64, name: &str) {
        if let Some(address) = self.view.members.get(name).map(|member| member.address) {
            self.heard_from(now_us, address);
        }
    }

    /// A genuine datagram came from this address.
    pub(super) fn heard_from(&mut self, now_us: u64, from: SocketAddr) {
        if let Some(at) = self.heard.get_mut(&from) {
            *at = now_us;
        }
    }

    /// Looks now and then whether members are heard by their own datagrams. One that had nothing to say is asked.
    pub(super) fn listen(&mut self, now_us: u64) {
        if now_us < self.listen_at {
            return;
        }
        self.listen_at = now_us.saturating_add(LISTEN_US);
        self.forget_unreadable(now_us);
        let probed_us = self.config.probe_interval_us * self.peers.len() as u64;
        let unheard_us = UNHEARD_US.max(2 * probed_us);
        let mut silent = Vec::new();
        for (name, peer) in &self.peers {
            let Some(member) = self.view.members.get_mut(name) else { continue };
            let heard_us = self.heard.get(&peer.address).copied().unwrap_or(0);
            let silent_us = now_us.saturating_sub(heard_us);
            if silent_us >= unheard_us / 2 {
                silent.push(name.clone());
            }
            let hearing =
                if silent_us < unheard_us { Hearing::Itself } else { Hearing::ThroughOthers };
            if member.hearing != hearing {
                self.change.members = true;
                self.company.unsettle();
            }
            member.hearing = hearing;
        }
        for name in silent {
            self.inquire(now_us, &name);
        }
    }
}
