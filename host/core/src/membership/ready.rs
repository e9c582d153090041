//! Exchanges the readiness of announcers with every member. A node repeats its readiness instead of waiting for an
//! acknowledgement, because the message is small and the last one is complete.
use super::claims::Peer;
use super::exchange::member;
use super::message::{Message, Sender};
use super::{DropReason, Membership};
use crate::readiness::{NodeReadiness, Readiness};

/// Delays before the repetitions that follow a change, so that a lost datagram costs little.
const AGAIN_US: [u64; 3] = [30_000, 100_000, 300_000];
/// Interval of repetitions at rest: at least this, and at least [`REPEAT_EACH_US`] for each member, so that the rate at
/// which a node sends at rest does not grow with the cluster.
const REPEAT_US: u64 = 1_000_000;
const REPEAT_EACH_US: u64 = 30_000;
/// Maximum number of announcers stored for one node, so that a node cannot make others use memory without limit.
const ANNOUNCERS: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Repetition {
    /// Time of the last change, which is the message number: a message with a lower number, from the same machine, is
    /// older.
    changed_us: u64,
    told: usize,
    again_at: Option<u64>,
}

impl Repetition {
    pub fn again_at(&self) -> Option<u64> {
        self.again_at
    }

    fn schedule(&mut self, now_us: u64, members: usize) {
        let repeat_us = REPEAT_US.max(REPEAT_EACH_US * members as u64);
        let pause_us = AGAIN_US.get(self.told).copied().unwrap_or(repeat_us);
        self.told += 1;
        self.again_at = Some(now_us.saturating_add(pause_us));
    }
}

impl Membership {
    /// Sets the readiness of this node's announcers, each [`Readiness::bounded`]; an announcer that is not named is
    /// unknown.
    pub fn set_readiness(&mut self, now_us: u64, readiness: NodeReadiness) {
        let me = self.swim.me().name.clone();
        if self.view.readiness.get(&me) == Some(&readiness) {
            return;
        }
        self.view.readiness.insert(me, readiness);
        self.change.readiness = true;
        self.ready = Repetition { changed_us: now_us, ..Repetition::default() };
        self.tell_all_readiness(now_us);
    }

    pub(super) fn tell_readiness_again(&mut self, now_us: u64) {
        if self.ready.again_at.is_some_and(|at| at <= now_us) {
            self.tell_all_readiness(now_us);
        }
    }

    fn tell_all_readiness(&mut self, now_us: u64) {
        self.ready.again_at = None;
        let names: Vec<_> = self.peers.keys().cloned().collect();
        if !names.is_empty() {
            self.ready.schedule(now_us, names.len());
        }
        for name in names {
            self.tell_readiness(&name);
        }
    }

    /// Sends the readiness to a member that has just joined, and schedules a repetition.
    pub(super) fn greet_with_readiness(&mut self, now_us: u64, name: &str) {
        self.tell_readiness(name);
        self.ready.again_at.get_or_insert(now_us.saturating_add(AGAIN_US[0]));
    }

    fn tell_readiness(&mut self, name: &str) {
        let Some(to) = self.peers.get(name).map(|peer| peer.address) else { return };
        let me = self.swim.me().clone();
        let from = Sender { name: &me.name, generation: me.generation };
        let number = self.ready.changed_us;
        for (announcer, readiness) in self.view.readiness.get(&me.name).cloned().unwrap_or_default()
        {
            self.send(to, &Message::Readiness { from, number, announcer: &announcer, readiness });
        }
    }

    pub(super) fn hear_readiness(
        &mut self,
        from: Sender<'_>,
        number: u64,
        announcer: &str,
        readiness: Readiness,
    ) -> Result<(), DropReason> {
        let Peer { readiness: numbers, .. } = member(&mut self.peers, from)?;
        let known = numbers.get(announcer).copied();
        if known.is_some_and(|known| known >= number)
            || (known.is_none() && numbers.len() >= ANNOUNCERS)
        {
            return Ok(());
        }
        numbers.insert(announcer.to_owned(), number);
        let of_node = self.view.readiness.entry(from.name.to_owned()).or_default();
        self.change.readiness |= of_node.get(announcer) != Some(&readiness);
        of_node.insert(announcer.to_owned(), readiness);
        Ok(())
    }
}
