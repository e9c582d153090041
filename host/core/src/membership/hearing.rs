//! Distinguishes members whose own datagrams arrive from those that only other nodes report as alive, whose claims may
//! not arrive.
use std::net::SocketAddr;

use super::{Hearing, Membership};

/// Interval between two checks.
const LISTEN_US: u64 = 1_000_000;
/// Time without a datagram of its own after which a member counts as received only through others. It is longer in a
/// large cluster, because a member is probed once in as many intervals as there are members.
const UNHEARD_US: u64 = 4_000_000;

impl Membership {
    /// Records an authentic datagram that names its sender. Its source address may belong to another host, because
    /// there may be a NAT in between.
    pub(super) fn heard_of(&mut self, now_us: u64, name: &str) {
        if let Some(address) = self.view.members.get(name).map(|member| member.address) {
            self.heard_from(now_us, address);
        }
    }

    /// Records an authentic datagram from this address.
    pub(super) fn heard_from(&mut self, now_us: u64, from: SocketAddr) {
        if let Some(at) = self.heard.get_mut(&from) {
            *at = now_us;
        }
    }

    /// Checks at intervals whether the members' own datagrams arrive. A member that has been silent is asked.
    pub(super) fn listen(&mut self, now_us: u64) {
        if now_us < self.listen_at {
            return;
        }
        self.listen_at = now_us.saturating_add(LISTEN_US);
        self.forget_unreadable(now_us);
        self.remind(now_us);
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
