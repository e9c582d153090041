//! Cluster membership and address claims: SWIM gossip and the claims of every node, in authenticated datagrams. Must
//! not know Services or pools, elect, open a socket or read a clock.
//!
//! A claim means "this node answers for this address". Each node sends its own claims to every other node; [`View`] is
//! the combined state that a node knows, and on which `plan` elects. A node that is declared down loses its claims; one
//! that was declared down wrongly rejoins by itself with a new generation.
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use rand::SeedableRng;
use rand::rngs::ChaCha12Rng;

use crate::facts::NodeName;

mod claims;
mod exchange;
mod hearing;
mod identity;
mod lease;
mod message;
mod missing;
mod outlook;
mod ready;
mod rivals;
mod seal;
mod swim;
#[cfg(test)]
mod tests;
mod unreadable;
mod view;

pub use outlook::Outlook;
pub use seal::MAGIC;
pub use view::{Claim, ClaimChanges, Hearing, Member, Unreadable, View, ViewChange};

use claims::{Log, Peer};
use identity::Identity;
use lease::Lease;
use message::Message;
use missing::MissingMembers;
use outlook::RecentMembers;
use ready::Repetition;
use rivals::Rivals;
use seal::Seal;
use swim::Swim;
use unreadable::UnreadableNodes;

/// Timing of the membership protocol, in microseconds. The defaults declare a killed node down after about 260 ms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MembershipConfig {
    /// Interval of probes; one member is probed per interval.
    pub probe_interval_us: u64,
    /// Time without an answer after which other members are asked to probe the member. Must be less than half of the
    /// interval.
    pub probe_rtt_us: u64,
    /// Time that a member which did not answer has to object before it is declared down.
    pub suspect_us: u64,
    /// Interval between announcements to configured peers that are not members.
    pub announce_us: u64,
    /// Interval between these announcements while a member has been lost within the last minute.
    pub announce_again_us: u64,
    /// Interval between repetitions of claims that were not acknowledged.
    pub resend_us: u64,
    /// Time that a node which has received from some of its peers waits for the first datagram of the others.
    pub silent_us: u64,
    /// Time after which a node that receives from no peer decides alone. A node that is still receiving claims decides
    /// after three times this.
    pub settle_us: u64,
}

impl Default for MembershipConfig {
    fn default() -> Self {
        Self::with_probe_interval(60_000)
    }
}

impl MembershipConfig {
    /// Returns a configuration in which the detection of a dead node is proportional to the probe interval: about four
    /// intervals.
    pub fn with_probe_interval(probe_interval_us: u64) -> Self {
        Self {
            probe_interval_us,
            probe_rtt_us: probe_interval_us * 2 / 5,
            suspect_us: probe_interval_us * 5 / 2,
            announce_us: 1_000_000,
            announce_again_us: 200_000,
            resend_us: 100_000,
            silent_us: probe_interval_us * 5,
            settle_us: 1_000_000,
        }
    }
}

/// An action for the caller, or a notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send a datagram.
    Send {
        /// The destination.
        to: SocketAddr,
        /// The datagram.
        data: Vec<u8>,
    },
    /// Ask on the segment, at the hardware addresses of a member, for addresses that it claims. Answers are reported
    /// with [`Membership::answered`].
    Ask {
        /// The member.
        node: NodeName,
        /// The addresses to ask for, at most eight.
        addresses: Vec<IpAddr>,
    },
    /// The view has changed: plan again.
    Changed(ViewChange),
}

/// The reason why a datagram was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DropReason {
    /// The datagram is shorter than an envelope.
    TooShort,
    /// The datagram does not belong to this protocol.
    Foreign,
    /// The datagram is of another version of the protocol.
    OtherVersion,
    /// The datagram is sealed with another key, or damaged.
    WrongKey,
    /// The datagram is authentic, but cannot be decoded.
    Malformed,
    /// The datagram is authentic, but SWIM does not accept it, for example because it is our own.
    Refused,
    /// The sender is not a member, or the datagram is from another generation of it.
    NotMember,
    /// This node has left the cluster.
    Left,
}

impl DropReason {
    /// Returns the name used in metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::TooShort => "too-short",
            Self::Foreign => "foreign",
            Self::OtherVersion => "other-version",
            Self::WrongKey => "wrong-key",
            Self::Malformed => "malformed",
            Self::Refused => "refused",
            Self::NotMember => "not-member",
            Self::Left => "left",
        }
    }
}

/// The membership of one node.
///
/// After any call, drain [`Membership::poll`] and read [`Membership::next_deadline`] again. Pass in received datagrams
/// before calling [`Membership::handle_timeout`]: after a stall, answers that wait in the socket must count before the
/// timers that miss them.
pub struct Membership {
    config: MembershipConfig,
    swim: Swim,
    seal: Seal,
    log: Log,
    /// The configured peers; `None` until [`Membership::set_peers`] was called.
    configured: Option<BTreeMap<NodeName, SocketAddr>>,
    /// All members except this node.
    peers: BTreeMap<NodeName, Peer>,
    /// Members that were declared down but are not removed yet.
    missing: MissingMembers,
    unreadable: UnreadableNodes,
    rivals: Rivals,
    /// Time of the next check of which members are received directly.
    listen_at: u64,
    questions: VecDeque<(NodeName, Vec<IpAddr>)>,
    /// Time of the last datagram from a member, by the member's address.
    heard: BTreeMap<SocketAddr, u64>,
    /// Time at which another host was last observed on the segment.
    segment_us: u64,
    view: View,
    sends: VecDeque<(SocketAddr, Vec<u8>)>,
    change: ViewChange,
    dropped: BTreeMap<DropReason, u64>,
    announce_at: Option<u64>,
    resend_at: Option<u64>,
    /// Time at which peers were first configured.
    since: u64,
    settled: bool,
    company: RecentMembers,
    lease: Lease,
    ready: Repetition,
    /// Time at which this node learned that it had been declared down; `None` once another node knows that it is alive.
    reborn: Option<u64>,
    left: bool,
}

impl Membership {
    /// Creates the membership. Do so only once the facts are synced: every member is a candidate for unclaimed
    /// addresses, so a member that cannot plan yet would leave them unanswered.
    ///
    /// `incarnation` is the wall clock in microseconds at the start, so that this generation takes precedence over the
    /// previous one. `key` is the cluster's; `seed` must be fresh entropy, because nonces are derived from it.
    pub fn new(
        config: MembershipConfig,
        me: NodeName,
        address: SocketAddr,
        incarnation: u64,
        key: [u8; 32],
        seed: [u8; 32],
        now_us: u64,
    ) -> Self {
        let mut random = ChaCha12Rng::from_seed(seed);
        let choices = ChaCha12Rng::from_rng(&mut random);
        // Zero is the generation that peers use in announcements to a node that they do not know yet.
        let identity = Identity::new(&me, address, incarnation.max(1));
        let mut view = View::default();
        view.members.insert(me, Member { leaving: false, hearing: Hearing::Itself, address });
        Self {
            swim: Swim::new(&config, identity, choices),
            seal: Seal::new(key, random),
            config,
            log: Log::new(),
            configured: None,
            peers: BTreeMap::new(),
            missing: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            rivals: Rivals::default(),
            listen_at: now_us,
            questions: VecDeque::new(),
            heard: BTreeMap::new(),
            segment_us: 0,
            view,
            sends: VecDeque::new(),
            change: ViewChange::default(),
            dropped: BTreeMap::new(),
            announce_at: None,
            resend_at: None,
            since: now_us,
            settled: false,
            company: RecentMembers::default(),
            lease: Lease::new(now_us),
            ready: Repetition::default(),
            reborn: None,
            left: false,
        }
    }

    /// Sets the nodes that should be members, with their addresses; an entry for this node is ignored. This node is not
    /// settled before the first call.
    pub fn set_peers(&mut self, now_us: u64, peers: &BTreeMap<NodeName, SocketAddr>) {
        let mut peers = peers.clone();
        peers.remove(&self.swim.me().name);
        if self.configured.as_ref() == Some(&peers) {
            return;
        }
        if !self.has_others() {
            self.lease.begin(now_us);
        }
        self.company.retain(|name| peers.contains_key(name));
        if self.configured.replace(peers).is_none() {
            self.since = now_us;
        }
        self.company.unsettle();
        self.announce(now_us);
        self.look_out(now_us);
    }

    /// Handles a received datagram. Its seal proves that a member created it; its source address only indicates that a
    /// missing member may be alive.
    pub fn handle_datagram(&mut self, now_us: u64, from: SocketAddr, bytes: &[u8]) {
        self.wake(now_us);
        if let Err(reason) = self.receive(now_us, from, bytes) {
            *self.dropped.entry(reason).or_default() += 1;
            self.not_read(now_us, from, reason);
        }
        self.catch_up(now_us);
        self.look_out(now_us);
    }

    /// Handles everything that is due. Call it at [`Membership::next_deadline`]; calling earlier or later is harmless.
    pub fn handle_timeout(&mut self, now_us: u64) {
        self.wake(now_us);
        self.ask_after_lapse(now_us);
        while let Some(turn) = self.swim.handle_timeout(now_us) {
            self.absorb(now_us, turn);
        }
        self.listen(now_us);
        self.ask(now_us);
        self.bury(now_us);
        if self.announce_at.is_some_and(|at| at <= now_us) {
            self.announce(now_us);
        }
        if self.resend_at.is_some_and(|at| at <= now_us) {
            self.resend(now_us);
        }
        self.tell_readiness_again(now_us);
        self.catch_up(now_us);
        self.look_out(now_us);
    }

    /// Returns the time of the next call of [`Membership::handle_timeout`]; `None` if nothing is due until something
    /// else happens.
    pub fn next_deadline(&self) -> Option<u64> {
        let outlook_at = self.look_at();
        let missing_at = self.missing_at();
        let renew_at = self.renew_at();
        let listen_at = self.has_others().then_some(self.listen_at);
        let ready_at = self.ready.again_at();
        [
            self.swim.next_deadline(),
            self.announce_at,
            self.resend_at,
            missing_at,
            outlook_at,
            renew_at,
            ready_at,
            listen_at,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Changes the claims of this node, and sends the changes to all members.
    pub fn set_claims(&mut self, now_us: u64, changes: &ClaimChanges) {
        let me = self.swim.me().name.clone();
        for (address, claim) in changes {
            self.view.set(*address, &me, *claim);
        }
        if self.log.apply(changes) {
            self.peers.values_mut().for_each(Peer::restart);
        }
        self.tell_all(now_us);
    }

    /// Starts a graceful shutdown: this node answers for its addresses until others have taken over, and takes over
    /// nothing new.
    pub fn leave(&mut self, now_us: u64) {
        let me = self.swim.me().name.clone();
        let Some(member) = self.view.members.get_mut(&me) else { return };
        if std::mem::replace(&mut member.leaving, true) {
            return;
        }
        self.change.members = true;
        self.log.leave();
        self.tell_all(now_us);
    }

    /// Sends the final message, so that other nodes remove this node at once instead of missing it. Nothing is sent or
    /// received afterwards.
    pub fn goodbye(&mut self, now_us: u64) {
        let turn = self.swim.leave(now_us);
        self.left = true;
        (self.announce_at, self.resend_at) = (None, None);
        for (to, data) in turn.sends {
            self.send(to, &Message::Swim(&data));
        }
    }

    /// Returns the next output; `None` if there is nothing to do.
    pub fn poll(&mut self) -> Option<Output> {
        if let Some((to, data)) = self.sends.pop_front() {
            return Some(Output::Send { to, data });
        }
        if let Some((node, addresses)) = self.questions.pop_front() {
            return Some(Output::Ask { node, addresses });
        }
        let change = std::mem::take(&mut self.change);
        (change != ViewChange::default()).then_some(Output::Changed(change))
    }

    /// Returns the state of the cluster as this node knows it.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Returns the number of datagrams dropped since the start, by reason.
    pub fn dropped(&self) -> &BTreeMap<DropReason, u64> {
        &self.dropped
    }

    fn would_settle(&self, now_us: u64) -> bool {
        self.settle_at().is_some_and(|at| at <= now_us)
    }

    /// Returns the time at which this node may decide, if nothing happens until then. The time is in the past if the
    /// node knows enough; `None` if the peers are not configured yet.
    fn settle_at(&self) -> Option<u64> {
        let mut missing =
            self.configured.as_ref()?.keys().filter(|name| !self.peers.contains_key(*name));
        let wait = match missing.next() {
            _ if self.peers.values().any(|peer| !peer.complete) => 3 * self.config.settle_us,
            None => 0,
            Some(_) if self.peers.is_empty() => self.config.settle_us,
            Some(_) => self.config.silent_us,
        };
        Some(self.since.saturating_add(wait))
    }
}
