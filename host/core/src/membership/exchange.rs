//! The exchange between members: received datagrams, the decisions of SWIM, and the delivery of claims. Decides nothing
//! about time except when to repeat a message.
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use foca::OwnedNotification;

use super::claims::Peer;
use super::identity::Identity;
use super::message::{Ack, Chunk, Message, Sender};
use super::swim::SwimOutput;
use super::{DropReason, Hearing, Member, Membership, NodeName};

impl Membership {
    pub(super) fn receive(
        &mut self,
        now_us: u64,
        from: SocketAddr,
        bytes: &[u8],
    ) -> Result<(), DropReason> {
        if self.left {
            return Err(DropReason::Left);
        }
        let plaintext = self.seal.open(bytes)?;
        self.company.heard(now_us, &self.config);
        self.heard_from(now_us, from);
        let message = Message::decode(&plaintext)?;
        if let Some(from) = message.sender() {
            self.heard_of(now_us, from.name);
            self.was_read(from.name);
        }
        match message {
            Message::Swim(data) => {
                let turn = self.swim.handle_data(now_us, data);
                let refused = turn.refused;
                self.absorb(now_us, turn);
                if refused { Err(DropReason::Refused) } else { Ok(()) }
            }
            Message::Claims { from, chunk } => self.learn(from, &chunk),
            Message::Ack { from, ack } => self.acknowledge(now_us, from, ack),
            Message::Readiness { from, number, announcer, readiness } => {
                self.hear_readiness(from, number, announcer, readiness)
            }
        }
    }

    fn learn(&mut self, from: Sender<'_>, chunk: &Chunk) -> Result<(), DropReason> {
        let peer = member(&mut self.peers, from)?;
        let was_complete = peer.complete;
        let learned = peer.learn(chunk);
        if peer.complete != was_complete {
            self.company.unsettle();
        }
        if peer.has_all(chunk) {
            self.lease.told(from.name);
        }
        if learned.leaving {
            let known = self.view.members.get_mut(from.name);
            known.into_iter().for_each(|member| member.leaving = peer.leaving);
        }
        for address in &learned.addresses {
            self.view.set(*address, from.name, peer.claims.get(address).copied());
        }
        self.change.members |= learned.leaving;
        self.rivals_ended(&learned.addresses);
        self.change.addresses.extend(learned.addresses);
        self.change.ended.extend(learned.ended);
        self.send_ack(from.name);
        Ok(())
    }

    fn acknowledge(&mut self, now_us: u64, from: Sender<'_>, ack: Ack) -> Result<(), DropReason> {
        let of_this_life = ack.of == self.swim.me().generation;
        let peer = member(&mut self.peers, from)?;
        if of_this_life {
            peer.acknowledge(&self.log, ack);
            if peer.knows_all(&self.log) {
                self.lease.acknowledged(from.name);
            }
            self.tell(now_us, from.name);
            self.accepted(now_us);
        }
        Ok(())
    }

    /// Handles the first acknowledgement of this generation. Unless it came faster than a missing member is removed,
    /// other nodes may have taken over this node's addresses, announced them to the network, and even failed since.
    fn accepted(&mut self, now_us: u64) {
        let Some(reborn_us) = self.reborn.take() else { return };
        if now_us < reborn_us.saturating_add(self.config.probe_rtt_us / 2) {
            return;
        }
        self.tell_network_again();
    }

    /// Marks those of the changed addresses that only this node claims now, because a rival may have announced them to
    /// the network, and the planner may see neither that the rival's claim began nor that it ended.
    fn rivals_ended(&mut self, addresses: &BTreeSet<IpAddr>) {
        let me = &self.swim.me().name;
        let alone = |address: &&IpAddr| {
            let mut claims = self.view.claims_on(**address);
            claims.next().is_some_and(|(node, _)| node == me) && claims.next().is_none()
        };
        let ended: Vec<_> = addresses.iter().filter(alone).copied().collect();
        self.change.ended.extend(ended);
    }

    /// Marks every address of this node, because another node that is gone now may have announced it to the network.
    pub(super) fn tell_network_again(&mut self) {
        let me = &self.swim.me().name;
        let mine = self.view.claims.keys().filter(|(_, node)| node == me);
        self.change.ended.extend(mine.map(|(address, _)| *address));
    }

    pub(super) fn announce(&mut self, now_us: u64) {
        let configured = self.configured.iter().flatten();
        let missing: Vec<_> = configured
            .filter(|(name, _)| !self.peers.contains_key(*name) || self.missing.contains_key(*name))
            .map(|(name, address)| (name.clone(), *address))
            .collect();
        let pause_us = match self.company.lost_lately(now_us) {
            true => self.config.announce_again_us,
            false => self.config.announce_us,
        };
        self.announce_at = (!missing.is_empty()).then(|| now_us.saturating_add(pause_us));
        for (name, address) in missing {
            let turn = self.swim.announce(now_us, &name, address);
            self.absorb(now_us, turn);
        }
    }

    /// Announces this node's new generation to every node, before they remove the previous one.
    fn show_up(&mut self, now_us: u64) {
        self.announce(now_us);
        let members: Vec<_> =
            self.peers.iter().map(|(name, peer)| (name.clone(), peer.address)).collect();
        for (name, address) in members {
            let turn = self.swim.announce(now_us, &name, address);
            self.absorb(now_us, turn);
        }
    }

    pub(super) fn resend(&mut self, now_us: u64) {
        self.resend_at = None;
        let unheard: Vec<_> = self.lease.unheard().cloned().collect();
        for name in unheard {
            self.inquire(now_us, &name);
        }
        let behind = self.peers.iter_mut().filter(|(_, peer)| peer.behind(&self.log));
        let names: Vec<_> = behind
            .map(|(name, peer)| {
                peer.rewind();
                name.clone()
            })
            .collect();
        for name in names {
            self.greet(now_us, &name);
        }
    }

    pub(super) fn tell_all(&mut self, now_us: u64) {
        let names: Vec<_> = self.peers.keys().cloned().collect();
        for name in names {
            self.tell(now_us, &name);
        }
    }

    /// Sends a member the claims of ours that it lacks.
    fn tell(&mut self, now_us: u64, name: &str) {
        let Some(peer) = self.peers.get_mut(name) else { return };
        let (to, chunks) = (peer.address, peer.chunks(&self.log));
        if peer.behind(&self.log) {
            self.resend_at.get_or_insert(now_us.saturating_add(self.config.resend_us));
        }
        let me = self.swim.me().clone();
        let from = Sender { name: &me.name, generation: me.generation };
        for chunk in chunks {
            self.send(to, &Message::Claims { from, chunk });
        }
    }

    /// Sends a member our claims, and requests its own if some are missing.
    fn greet(&mut self, now_us: u64, name: &str) {
        if self.peers.get(name).is_some_and(|peer| !peer.complete) {
            self.send_ack(name);
        }
        self.tell(now_us, name);
        self.greet_with_readiness(now_us, name);
    }

    /// Makes a member confirm that it knows the claims of this generation, and send its own. A member that learns that
    /// its last claims did not arrive sends them again, and one that receives our last claims again acknowledges them.
    pub(super) fn inquire(&mut self, now_us: u64, name: &str) {
        self.resend_at.get_or_insert(now_us.saturating_add(self.config.resend_us));
        let Some(peer) = self.peers.get(name) else { return };
        let (to, all) = (peer.address, peer.ack());
        let me = self.swim.me().clone();
        let from = Sender { name: &me.name, generation: me.generation };
        self.send(to, &Message::Claims { from, chunk: self.log.end() });
        let ack = Ack { known: all.known.saturating_sub(1), ..all };
        self.send(to, &Message::Ack { from, ack });
    }

    fn send_ack(&mut self, name: &str) {
        let Some(peer) = self.peers.get(name) else { return };
        let (to, ack) = (peer.address, peer.ack());
        let me = self.swim.me().clone();
        let from = Sender { name: &me.name, generation: me.generation };
        self.send(to, &Message::Ack { from, ack });
    }

    pub(super) fn send(&mut self, to: SocketAddr, message: &Message<'_>) {
        let sealed = self.seal.close(&message.encode());
        self.sends.extend(sealed.map(|data| (to, data)));
    }

    /// Carries out the decisions of SWIM.
    pub(super) fn absorb(&mut self, now_us: u64, turn: SwimOutput) {
        for (to, data) in turn.sends {
            self.send(to, &Message::Swim(&data));
        }
        let (mut died, mut reborn) = (false, false);
        for notice in turn.notices {
            match notice {
                OwnedNotification::MemberUp(identity) => self.came(now_us, &identity),
                OwnedNotification::Rename(_, identity) => self.renewed(now_us, &identity),
                OwnedNotification::MemberDown(identity) => {
                    died = true;
                    self.missed(now_us, &identity.name);
                }
                OwnedNotification::Rejoin(_) => reborn = true,
                _ => {}
            }
        }
        if died {
            let turn = self.swim.spread(now_us);
            self.absorb(now_us, turn);
        }
        if reborn {
            self.lease.reborn();
            self.reborn.get_or_insert(now_us);
            self.show_up(now_us);
        }
    }

    fn came(&mut self, now_us: u64, identity: &Identity) {
        let name = &identity.name;
        self.was_read(name);
        let known = self.found(name);
        let goes_on = known.is_some();
        let mut peer = known.unwrap_or_else(|| Peer::new(identity.address, identity.generation));
        if goes_on {
            peer.renew(identity.address, identity.generation);
        }
        self.peers.insert(name.clone(), peer);
        self.heard.insert(identity.address, now_us);
        let member = Member { leaving: false, hearing: Hearing::Itself, address: identity.address };
        let before = self.view.members.insert(name.clone(), member);
        if goes_on || before.is_none_or(|before| before.hearing == Hearing::Parted) {
            self.company.came(name);
            self.lease.came(name);
            self.change.members = true;
        }
        self.greet(now_us, name);
    }

    fn renewed(&mut self, now_us: u64, identity: &Identity) {
        let Some(peer) = self.peers.get_mut(&identity.name) else { return };
        peer.renew(identity.address, identity.generation);
        self.company.unsettle();
        let known = self.view.members.get_mut(&identity.name);
        known.into_iter().for_each(|member| member.address = identity.address);
        self.heard.insert(identity.address, now_us);
        self.greet(now_us, &identity.name);
    }

    /// Returns true if a node other than this one and `name` is not heard by its own datagrams.
    fn may_another_answer(&self, name: &str) -> bool {
        let heard = |other: &NodeName| {
            self.view.members.get(other).is_some_and(|member| member.hearing == Hearing::Itself)
        };
        self.configured.iter().flatten().any(|(other, _)| other != name && !heard(other))
    }

    /// Removes a member together with its claims.
    pub(super) fn went(&mut self, now_us: u64, name: &str) {
        let Some(peer) = self.buried(name) else { return };
        let member = self.view.members.remove(name);
        if let Some(member) = &member {
            self.heard.remove(&member.address);
            // Where every other node is heard, none of them can answer unnoticed.
            if member.hearing == Hearing::Parted && self.may_another_answer(name) {
                self.change.lapsed.extend(peer.claims.keys());
            }
        }
        self.view.readiness.remove(name);
        let addresses: BTreeSet<_> = peer.claims.into_keys().collect();
        for address in &addresses {
            self.view.set(*address, name, None);
        }
        self.rivals_ended(&addresses);
        self.change.addresses.extend(addresses);
        self.lost(now_us, name, member.is_some_and(|member| member.leaving));
    }

    /// Handles the loss of a member. `in_order` is true if it had announced that it was leaving.
    pub(super) fn lost(&mut self, now_us: u64, name: &str, in_order: bool) {
        self.lease.went(name);
        self.company.went(name, in_order, now_us);
        self.change.members = true;
        self.announce_soon(now_us);
    }

    pub(super) fn announce_soon(&mut self, now_us: u64) {
        let soon = now_us.saturating_add(self.config.announce_again_us);
        self.announce_at = Some(self.announce_at.map_or(soon, |at| at.min(soon)));
    }
}

/// Returns the sender, if it is a member and the message is from its current generation.
pub(super) fn member<'a>(
    peers: &'a mut BTreeMap<NodeName, Peer>,
    from: Sender<'_>,
) -> Result<&'a mut Peer, DropReason> {
    let peer = peers.get_mut(from.name).ok_or(DropReason::NotMember)?;
    if peer.generation != from.generation {
        return Err(DropReason::NotMember);
    }
    Ok(peer)
}
