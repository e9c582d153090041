//! One BGP session from the guard's point of view: the OPENs of both ends, and the routes announced to the peer (the
//! Adj-RIB-Out as sent). Parses every outgoing message. Must not know the plugin or the socket.
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use outrigger_sdk::wire::bgp::{
    self, Announced, Attributes, Capability, HEADER, Message, Negotiated, NextHop, Notification,
    Open, Update,
};

use super::Reason;
use super::budget::{CONTROL, UPDATES};
use super::churn::{ANNOUNCEMENTS, Churn};

/// Type code of UPDATE (RFC 4271 section 4.1).
pub(super) const UPDATE: u8 = 2;

/// The permissions of a session at present.
pub(super) trait RoutePolicy {
    /// Verifies that this prefix may be announced.
    fn prefix(&self, prefix: &IpNet) -> Result<(), Reason>;
    /// Returns true if this is an address of this node.
    fn is_own(&self, address: IpAddr) -> bool;
    /// Returns true if this capability may be offered in an OPEN.
    fn capability(&self, capability: &Capability) -> bool;
    /// Verifies that all attributes of a route are allowed.
    fn attributes(&self, attributes: &Attributes) -> Result<(), Reason>;
}

/// The messages that may be written, and the parts that were removed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Filtered {
    /// Complete messages.
    pub(super) messages: Vec<Vec<u8>>,
    pub(super) refused: Vec<(IpNet, Reason)>,
    /// The capability because of which an OPEN was not written; `None` if there was none.
    pub(super) capability: Option<String>,
    /// Number of routes in the announcement, including refused ones; they are charged to the stream's budget.
    /// Withdrawals are free.
    pub(super) routes: u64,
}

#[derive(Debug, Clone)]
pub(super) struct Session {
    pub(super) remote: SocketAddr,
    pub(super) local: Option<IpAddr>,
    ours: Option<Open>,
    theirs: Option<Open>,
    /// Single addresses that are announced to the peer.
    hosts: BTreeSet<IpNet>,
    /// Wider prefixes that are announced to the peer.
    wide: BTreeSet<IpNet>,
    /// Announced prefixes that are no longer allowed, with the time at which the host withdraws them.
    overdue: BTreeMap<IpNet, u64>,
    /// Budget for announced routes.
    pub(super) routes: Churn,
    /// Budget for UPDATEs, whatever their content.
    pub(super) updates: Churn,
    /// Budget for messages other than UPDATEs.
    pub(super) control: Churn,
}

impl Session {
    pub(super) fn new(remote: SocketAddr, local: Option<IpAddr>) -> Self {
        let (ours, theirs) = (None, None);
        let (hosts, wide, overdue) = Default::default();
        Self {
            remote,
            local,
            ours,
            theirs,
            hosts,
            wide,
            overdue,
            routes: Churn::new(ANNOUNCEMENTS),
            updates: Churn::new(UPDATES),
            control: Churn::new(CONTROL),
        }
    }

    /// Returns the prefixes that are announced to the peer.
    pub(super) fn told(&self) -> impl Iterator<Item = &IpNet> {
        self.hosts.iter().chain(&self.wide)
    }

    /// Handles a received message. The first OPEN determines the capabilities of the peer.
    pub(super) fn hear(&mut self, message: &[u8]) {
        if self.theirs.is_none()
            && let Ok(Message::Open(open)) = bgp::decode(message, &Negotiated::default())
        {
            self.theirs = Some(open);
        }
    }

    /// Returns true if messages from the peer may be longer than 4096 octets (RFC 8654).
    pub(super) fn is_extended(&self) -> bool {
        let offers = |open: &Option<Open>| {
            open.as_ref().is_some_and(|open| open.offers(&Capability::ExtendedMessage))
        };
        offers(&self.ours) && offers(&self.theirs)
    }

    /// Returns true if an UPDATE announces nothing and withdraws at least one prefix that is announced to the peer.
    pub(super) fn only_takes_back(&self, message: &[u8]) -> bool {
        let (Some(theirs), Some(ours)) = (&self.theirs, &self.ours) else { return false };
        match bgp::decode(message, &Negotiated::new(theirs, ours)) {
            Ok(Message::Update(update)) => {
                let was_told =
                    |prefix: &IpNet| self.hosts.contains(prefix) || self.wide.contains(prefix);
                update.announced.is_empty() && update.withdrawn.iter().any(was_told)
            }
            _ => false,
        }
    }

    /// Judges one write, which is exactly one message.
    pub(super) fn judge(
        &mut self,
        message: Vec<u8>,
        leave: &impl RoutePolicy,
    ) -> Result<Filtered, Reason> {
        let as_peer = match (&self.theirs, &self.ours) {
            (Some(theirs), Some(ours)) => Some(Negotiated::new(theirs, ours)),
            _ => None,
        };
        if as_peer.is_none() && message.get(HEADER - 1) == Some(&UPDATE) {
            return Err(Reason::SessionNotOpen);
        }
        let negotiated = as_peer.clone().unwrap_or_default();
        let read = bgp::decode(&message, &negotiated).map_err(|_| Reason::NotWellFormed)?;
        match read {
            Message::Open(_) if self.ours.is_some() => Err(Reason::NotWellFormed),
            Message::Open(open) => {
                if let Some(refused) = open.capabilities.iter().find(|it| !leave.capability(it)) {
                    return Ok(Filtered {
                        capability: Some(named(refused)),
                        ..Filtered::default()
                    });
                }
                self.ours = Some(open);
                Ok(whole(message))
            }
            Message::Update(update) => {
                let negotiated = as_peer.ok_or(Reason::SessionNotOpen)?;
                self.update(message, *update, &negotiated, leave)
            }
            Message::Keepalive | Message::Notification(_) | Message::RouteRefresh(_) => {
                Ok(whole(message))
            }
        }
    }

    fn update(
        &mut self,
        message: Vec<u8>,
        update: Update,
        negotiated: &Negotiated,
        leave: &impl RoutePolicy,
    ) -> Result<Filtered, Reason> {
        // An outgoing message must be free of errors, because the peer decides how it treats a faulty one.
        if !update.faults.is_empty() || !update.not_negotiated.is_empty() {
            return Err(Reason::NotWellFormed);
        }
        let Update { withdrawn, announced, attributes, .. } = update;
        let mut judged = Filtered::default();
        let mut allowed = Vec::new();
        for Announced { next_hop, prefixes } in announced {
            let of_route = self.route(next_hop, &attributes, negotiated, leave);
            let mut kept = Vec::with_capacity(prefixes.len());
            judged.routes += prefixes.len() as u64;
            for prefix in prefixes {
                match of_route.and_then(|()| leave.prefix(&prefix)) {
                    Ok(()) => kept.push(prefix),
                    Err(reason) => judged.refused.push((prefix, reason)),
                }
            }
            if !kept.is_empty() {
                allowed.push(Announced { next_hop, prefixes: kept });
            }
        }
        judged.messages = match judged.refused.is_empty() {
            true => vec![message],
            false => self.rewritten(&withdrawn, &allowed, &attributes)?,
        };
        // RFC 4271 section 4.3: a prefix in both fields counts as announced.
        withdrawn.iter().for_each(|prefix| self.untell(prefix));
        allowed.iter().flat_map(|it| &it.prefixes).for_each(|prefix| self.tell(*prefix));
        Ok(judged)
    }

    /// Verifies the next hop and the attributes, which all routes of a message have in common.
    fn route(
        &self,
        next_hop: NextHop,
        attributes: &Attributes,
        negotiated: &Negotiated,
        leave: &impl RoutePolicy,
    ) -> Result<(), Reason> {
        let own = |address: IpAddr| self.local == Some(address) || leave.is_own(address);
        let is_self = match next_hop {
            NextHop::V4(address) => own(address.into()),
            NextHop::V6 { address, link_local } => {
                own(address.into()) && link_local.is_none_or(|address| own(address.into()))
            }
        };
        if !is_self {
            return Err(Reason::NextHopNotSelf);
        }
        // `remote_as` is our own AS, because the message was decoded from the peer's point of view.
        let asn = negotiated.remote_as;
        let foreign = attributes.as_path.asns().any(|other| other != asn)
            || attributes.aggregator.is_some_and(|aggregator| aggregator.asn != asn)
            || attributes.only_to_customer.is_some_and(|other| other != asn);
        if foreign || !attributes.other.is_empty() {
            return Err(Reason::AttributeNotAllowed);
        }
        leave.attributes(attributes)
    }

    /// Encodes the message again without the refused prefixes.
    fn rewritten(
        &self,
        withdrawn: &[IpNet],
        allowed: &[Announced],
        attributes: &Attributes,
    ) -> Result<Vec<Vec<u8>>, Reason> {
        let Some(sending) = self.sending() else { return Err(Reason::SessionNotOpen) };
        let mut messages = withdrawal(withdrawn, &sending);
        for Announced { next_hop, prefixes } in allowed {
            let packed = bgp::announcements(attributes, *next_hop, prefixes, &sending);
            let packed = packed.map_err(|_| Reason::NotWellFormed)?;
            messages.extend(packed.map(|packed| packed.message));
        }
        Ok(messages)
    }

    /// Returns the negotiated parameters from our point of view; `None` until both OPENs are known.
    fn sending(&self) -> Option<Negotiated> {
        Some(Negotiated::new(self.ours.as_ref()?, self.theirs.as_ref()?))
    }

    fn tell(&mut self, prefix: IpNet) {
        self.overdue.remove(&prefix);
        match prefix.prefix_len() == prefix.max_prefix_len() {
            true => self.hosts.insert(prefix),
            false => self.wide.insert(prefix),
        };
    }

    fn untell(&mut self, prefix: &IpNet) {
        self.overdue.remove(prefix);
        let _ = self.hosts.remove(prefix) || self.wide.remove(prefix);
    }

    /// Checks the announced prefixes of an address again, because it may no longer be announced, or not at present.
    pub(super) fn doubt(&mut self, address: IpAddr, leave: &impl RoutePolicy, due: u64) {
        let host = IpNet::from(address);
        let wide = self.wide.iter().filter(|prefix| prefix.contains(&address)).copied();
        let told = self.hosts.get(&host).copied().into_iter().chain(wide);
        for prefix in told.collect::<Vec<_>>() {
            if leave.prefix(&prefix).is_err() {
                self.overdue.entry(prefix).or_insert(due);
            }
        }
    }

    /// Checks all announced prefixes again, because the grant has changed.
    pub(super) fn doubt_all(&mut self, leave: &impl RoutePolicy, due: u64) {
        for prefix in self.told().copied().collect::<Vec<_>>() {
            if leave.prefix(&prefix).is_err() {
                self.overdue.entry(prefix).or_insert(due);
            }
        }
    }

    /// Returns the time at which the first withdrawal is due.
    pub(super) fn due(&self) -> Option<u64> {
        self.overdue.values().copied().min()
    }

    /// Returns the last messages of the session: the withdrawal of every announced prefix, then `why` it ends. A peer
    /// that keeps the routes of a session that is gone (RFC 4724) then has none to keep.
    pub(super) fn dismiss(&mut self, why: &Notification) -> Vec<Vec<u8>> {
        let told: Vec<IpNet> = self.told().copied().collect();
        told.iter().for_each(|prefix| self.untell(prefix));
        let withdrawn = self.sending().map(|sending| withdrawal(&told, &sending));
        let farewell = self.ours.as_ref().map(|_| why.encode());
        withdrawn.into_iter().flatten().chain(farewell).collect()
    }

    /// Withdraws prefixes that are overdue and still not allowed. Returns the messages and the prefixes.
    pub(super) fn withdraw(
        &mut self,
        now: u64,
        leave: &impl RoutePolicy,
    ) -> (Vec<Vec<u8>>, Vec<IpNet>) {
        let due = self.overdue.iter().filter(|(_, at)| **at <= now).map(|(prefix, _)| *prefix);
        let mut gone = Vec::new();
        for prefix in due.collect::<Vec<_>>() {
            self.overdue.remove(&prefix);
            // The prefix may have become allowed again.
            if leave.prefix(&prefix).is_err() {
                self.untell(&prefix);
                gone.push(prefix);
            }
        }
        let messages = self.sending().map(|sending| withdrawal(&gone, &sending));
        (messages.unwrap_or_default(), gone)
    }
}

fn whole(message: Vec<u8>) -> Filtered {
    debug_assert!(message.len() >= HEADER, "a message was read");
    Filtered { messages: vec![message], ..Filtered::default() }
}

fn named(capability: &Capability) -> String {
    match capability {
        Capability::GracefulRestart(restart) => {
            format!("{} for {} s", capability.name(), restart.restart_time)
        }
        _ => capability.name(),
    }
}

/// Encodes withdrawals of prefixes of both families, each family in its own messages.
fn withdrawal(prefixes: &[IpNet], negotiated: &Negotiated) -> Vec<Vec<u8>> {
    let mut prefixes = prefixes.to_vec();
    prefixes.sort_unstable();
    bgp::withdrawals(&prefixes, negotiated).map(|packed| packed.message).collect()
}
