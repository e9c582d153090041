//! Who is alive and who answers for what: SWIM gossip and the claims of every node, in authenticated datagrams.
//! Must not know Services or pools, elect, open a socket or read a clock.
//!
//! A claim says "I answer for this address". Each node tells its own to every other; [`View`] is what a node knows
//! of all, and what `plan` elects on. A node that is declared down loses its claims; one that was declared down
//! wrongly comes back as its own next life by itself.
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
use outlook::Company;
use ready::Repetition;
use seal::Seal;
use swim::Swim;
use unreadable::UnreadableNodes;

/// How fast, in microseconds. The defaults declare a killed node down after about 260 ms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MembershipConfig {
    /// One member is probed per interval.
    pub probe_interval_us: u64,
    /// After this without an answer others are asked to probe it. Less than half of the interval.
    pub probe_rtt_us: u64,
    /// How long a member that did not answer may object.
    pub suspect_us: u64,
    /// Between announcements to peers that are not members.
    pub announce_us: u64,
    /// The same to those that were members within the last minute.
    pub announce_again_us: u64,
    /// Between repetitions of claims that were not acknowledged.
    pub resend_us: u64,
    /// How long a node that has heard some of its peers waits for the first word of the others.
    pub silent_us: u64,
    /// A node whose peers are all silent decides alone after this; one that is still being told after three times this.
    pub settle_us: u64,
}

impl Default for MembershipConfig {
    fn default() -> Self {
        Self::with_probe_interval(60_000)
    }
}

impl MembershipConfig {
    /// With everything that a death takes in proportion to the probe interval: about four of them.
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

/// What there is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send a datagram.
    Send {
        /// Where to.
        to: SocketAddr,
        /// The datagram.
        data: Vec<u8>,
    },
    /// Ask the segment, at the hardware addresses of a member, for addresses that it claims: [`Membership::answered`].
    Ask {
        /// The member.
        node: NodeName,
        /// At most eight.
        addresses: Vec<IpAddr>,
    },
    /// Plan again.
    Changed(ViewChange),
}

/// Why a datagram was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DropReason {
    /// Shorter than an envelope.
    TooShort,
    /// Not one of ours.
    Foreign,
    /// Of a version that this one does not speak.
    OtherVersion,
    /// Sealed with another key, or damaged.
    WrongKey,
    /// Genuine, and not understood.
    Malformed,
    /// Genuine, and not acceptable to SWIM, such as our own datagram come back.
    Refused,
    /// Claims from a node that is no member, or from another life of one.
    NotMember,
    /// This node has left.
    Left,
}

impl DropReason {
    /// Its name in metrics and logs.
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
/// After any call, drain [`Membership::poll`] and ask [`Membership::next_deadline`] again. Hand in what has been
/// received before calling [`Membership::handle_timeout`]: after a stall the answers that wait in the socket must
/// count before the timers that miss them.
pub struct Membership {
    config: MembershipConfig,
    swim: Swim,
    seal: Seal,
    log: Log,
    /// As configured; `None` until told.
    configured: Option<BTreeMap<NodeName, SocketAddr>>,
    /// Members but this node.
    peers: BTreeMap<NodeName, Peer>,
    /// Members that were declared down and are not given up yet.
    missing: MissingMembers,
    unreadable: UnreadableNodes,
    /// When this node last announced an address again because another did.
    defended: BTreeMap<IpAddr, u64>,
    /// When another was first heard to announce an address while this node hears nobody.
    overheard: BTreeMap<IpAddr, u64>,
    /// When to look next who is heard by its own datagrams.
    listen_at: u64,
    questions: VecDeque<(NodeName, Vec<IpAddr>)>,
    /// When a datagram of a member came last, by its address.
    heard: BTreeMap<SocketAddr, u64>,
    /// When another host was heard on the segment.
    segment_us: u64,
    view: View,
    sends: VecDeque<(SocketAddr, Vec<u8>)>,
    change: ViewChange,
    dropped: BTreeMap<DropReason, u64>,
    announce_at: Option<u64>,
    resend_at: Option<u64>,
    /// When peers were first configured.
    since: u64,
    settled: bool,
    company: Company,
    lease: Lease,
    ready: Repetition,
    /// When this node found that it had been declared down, until another knows that it lives.
    reborn: Option<u64>,
    left: bool,
}

impl Membership {
    /// Begin once the facts are there: every member is a candidate for addresses that nobody claims, so one that
    /// cannot plan yet would leave them unanswered.
    ///
    /// `incarnation` is the wall clock in microseconds at the start, so that this life counts more than the one
    /// before. `key` is the cluster's; `seed` must be fresh entropy, as nonces come from it.
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
        // Zero is the generation that peers announce to before they know a node.
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
            defended: BTreeMap::new(),
            overheard: BTreeMap::new(),
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
            company: Company::default(),
            lease: Lease::new(now_us),
            ready: Repetition::default(),
            reborn: None,
            left: false,
        }
    }

    /// The nodes that should be members, and where they are; an entry for this node itself is ignored. Until the
    /// first call this node is not settled.
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

    /// A datagram came in. The seal proves that a member made it; the address only says that one which is missing may live.
    pub fn handle_datagram(&mut self, now_us: u64, from: SocketAddr, bytes: &[u8]) {
        self.wake(now_us);
        if let Err(reason) = self.receive(now_us, from, bytes) {
            *self.dropped.entry(reason).or_default() += 1;
            self.not_read(now_us, from, reason);
        }
        self.catch_up(now_us);
        self.look_out(now_us);
    }

    /// Does what is due. Call at [`Membership::next_deadline`]; earlier or later does no harm.
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

    /// When to call [`Membership::handle_timeout`]. `None` = not before something else happens.
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

    /// Changes what this node claims, and tells all members.
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

    /// This node is about to go: it answers for what it has until others have taken it, and takes nothing new.
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

    /// The last word: others drop this node now instead of missing it. Nothing is said or heard afterwards.
    pub fn goodbye(&mut self, now_us: u64) {
        let turn = self.swim.leave(now_us);
        self.left = true;
        (self.announce_at, self.resend_at) = (None, None);
        for (to, data) in turn.sends {
            self.send(to, &Message::Swim(&data));
        }
    }

    /// The next thing to do; `None` = wait.
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

    /// What this node knows of all.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Datagrams dropped since the start, by reason.
    pub fn dropped(&self) -> &BTreeMap<DropReason, u64> {
        &self.dropped
    }

    fn would_settle(&self, now_us: u64) -> bool {
        self.settle_at().is_some_and(|at| at <= now_us)
    }

    /// When this node may decide, if nothing happens until then: in the past when it knows enough. `None` while it does not
    /// even know who the others are.
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
