//! Asks the segments whether another host answers for an address that this node is about to announce, while there are
//! nodes that it never heard: the probe of RFC 5227 section 2.1.1, and its counterpart for IPv6 (RFC 4862 section 5.4).
//! Two nodes that probe at once detect each other by it, and the one with the lower hardware address continues.
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use outrigger_core::plan::Planner;
use outrigger_kube::Problem;
use outrigger_net::{Groups, Links, Owner, ResponderHandle};
use outrigger_sdk::wire::{self, MacAddr, NeighborMessage};
use outrigger_sdk::{Frame, Link, LinkIndex, Topic};

use super::segments::question;

/// Owner number of the probes at the responder.
pub(super) const OWNER: Owner = Owner::MAX - 1;
/// Number of probes for one address. They are sent [`PAUSE_US`] apart, and after the same pause the answers are
/// counted.
const PROBES: u32 = 3;
const PAUSE_US: u64 = 33_000;
/// Base of the delay after which an address that another host answers for is probed again: half a second to four
/// seconds.
const AGAIN_US: u64 = 500_000;
/// Upper limit of an additional delay of a repetition, so that two nodes do not repeat in step.
const WAIT_US: u64 = 200_000;
/// Number of addresses that are probed at once: a node may be about to announce thousands.
const AT_ONCE: usize = 500;
/// Number of addresses that a problem names.
const NAMED: usize = 3;

/// Receives the answers. Shared with the responder's thread.
#[derive(Default)]
pub struct Probed {
    state: Mutex<ProbeAnswers>,
}

#[derive(Default)]
struct ProbeAnswers {
    /// Hardware address of the host that answered and the link, by address; `None` if none did.
    answers: BTreeMap<IpAddr, Option<(LinkIndex, MacAddr)>>,
    own: BTreeMap<LinkIndex, MacAddr>,
    /// Hosts whose answers do not count: routers, which may answer for everything (proxy ARP), and nodes that are heard
    /// and claim nothing.
    ignored: Vec<MacAddr>,
}

impl Probed {
    fn lock(&self) -> MutexGuard<'_, ProbeAnswers> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a frame about one of the addresses. Must not block.
    pub fn frame(&self, frame: &Frame) {
        let Ok(decoded) = wire::decode(&frame.data) else { return };
        let (about, probes): (IpAddr, bool) = match decoded.message {
            NeighborMessage::Arp(arp) if arp.sender_ip.is_unspecified() => {
                (arp.target_ip.into(), true)
            }
            NeighborMessage::Arp(arp) => (arp.sender_ip.into(), false),
            NeighborMessage::Solicitation(it) if it.source.is_unspecified() => {
                (it.target.into(), true)
            }
            NeighborMessage::Solicitation(_) => return,
            NeighborMessage::Advertisement(advertisement) => (advertisement.target.into(), false),
        };
        let mut state = self.lock();
        let (own, from) = (state.own.get(&frame.link).copied(), decoded.source);
        if state.own.values().any(|own| *own == from) || state.ignored.contains(&from) {
            return;
        }
        let counts = !probes || own.is_some_and(|own| from < own);
        if let Some(answer) = state.answers.get_mut(&about).filter(|_| counts) {
            *answer = Some((frame.link, from));
        }
    }
}

/// State of one address that is being probed.
struct Probe {
    sent: u32,
    /// Time at which the next probe is sent, or the answers are counted.
    at_us: u64,
    /// Links on which answers are received.
    links: Vec<LinkIndex>,
    /// True if on some link every probe was sent and an answer would have been received.
    counts: bool,
}

/// An address that another host answers for.
struct Taken {
    link: LinkIndex,
    mac: MacAddr,
    again_us: u64,
    times: u32,
}

/// Sends the probes and counts the answers.
pub(super) struct Probes {
    responder: ResponderHandle,
    groups: Arc<Groups>,
    probed: Arc<Probed>,
    waiting: BTreeSet<IpAddr>,
    running: BTreeMap<IpAddr, Probe>,
    taken: BTreeMap<IpAddr, Taken>,
    has_links: bool,
}

impl Probes {
    pub fn new(responder: ResponderHandle, groups: Arc<Groups>, probed: Arc<Probed>) -> Self {
        let (waiting, running, taken) = Default::default();
        Self { responder, groups, probed, waiting, running, taken, has_links: false }
    }

    /// Queues these addresses to be probed.
    pub fn ask(&mut self, addresses: Vec<IpAddr>) {
        self.waiting.extend(addresses);
    }

    /// Does what is due on these links, and reports results to the planner. Without a link there is no segment to ask,
    /// so it waits for one.
    pub fn step(
        &mut self,
        now_us: u64,
        links: &[Link],
        ignored: impl FnOnce() -> Vec<MacAddr>,
        planner: &mut Planner,
    ) {
        self.has_links = !links.is_empty();
        let due = |(address, taken): &(&IpAddr, &Taken)| {
            taken.again_us <= now_us && !self.running.contains_key(*address)
        };
        let again: Vec<_> = self.taken.iter().filter(due).map(|(address, _)| *address).collect();
        self.waiting.extend(again);
        if !self.has_links || (self.waiting.is_empty() && self.running.is_empty()) {
            return;
        }
        let ignored = ignored();
        {
            let mut state = self.probed.lock();
            state.own = links.iter().map(|link| (link.index, link.mac)).collect();
            state.ignored = ignored;
        }
        while self.running.len() < AT_ONCE
            && let Some(address) = self.waiting.pop_first()
        {
            let probe = self.begin(now_us, address, links);
            self.running.insert(address, probe);
        }
        let due = |(_, probe): &(&IpAddr, &Probe)| probe.at_us <= now_us;
        let due: Vec<_> = self.running.iter().filter(due).map(|(address, _)| *address).collect();
        for address in due {
            let Some(mut probe) = self.running.remove(&address) else { continue };
            if probe.sent < PROBES {
                probe.counts &= self.probe(address, links);
                probe.sent += 1;
                probe.at_us = now_us + PAUSE_US;
                self.running.insert(address, probe);
            } else {
                self.count(now_us, address, &probe, links, planner);
            }
        }
    }

    /// Starts to listen for answers. A repetition is delayed at random, so that nodes do not all ask at once (RFC 5227
    /// section 2.1.1, PROBE_WAIT).
    fn begin(&self, now_us: u64, address: IpAddr, links: &[Link]) -> Probe {
        self.probed.lock().answers.insert(address, None);
        let mut counts = false;
        for link in links {
            counts |= self.responder.watch(OWNER, link.index, Topic::about(address)).is_ok();
            // If the group cannot be joined, answers are received all the same, but another host's probe is not.
            if let IpAddr::V6(address) = address {
                let group = wire::solicited_node_group(address);
                if let Err(error) = self.groups.join(OWNER, link.index, group) {
                    tracing::debug!(%address, link = link.name, "{error}");
                }
            }
        }
        let times = self.taken.get(&address).map_or(0, |taken| taken.times);
        let wait_us = if times == 0 { 0 } else { jitter_us(links, address, times, WAIT_US) };
        let links = links.iter().map(|link| link.index).collect();
        Probe { sent: 0, at_us: now_us + wait_us, links, counts }
    }

    /// Sends a probe on every link. Returns true if it was sent on any.
    fn probe(&self, address: IpAddr, links: &[Link]) -> bool {
        let mut sent = false;
        for link in links {
            let Some(data) = probe(link.mac, address) else { continue };
            let frame = Frame { link: link.index, data };
            match self.responder.send(&frame) {
                Ok(()) => sent = true,
                Err(error) => {
                    tracing::debug!(%address, link = link.name, "the probe cannot be sent: {error}");
                }
            }
        }
        sent
    }

    fn count(
        &mut self,
        now_us: u64,
        address: IpAddr,
        probe: &Probe,
        links: &[Link],
        planner: &mut Planner,
    ) {
        let answer = self.probed.lock().answers.remove(&address).flatten();
        for link in &probe.links {
            self.responder.unwatch(OWNER, *link, Topic::about(address));
            if let IpAddr::V6(address) = address {
                self.groups.leave(OWNER, *link, wire::solicited_node_group(address));
            }
        }
        let same = links.iter().map(|link| &link.index).eq(&probe.links);
        if answer.is_none() && !(probe.counts && same) {
            // Silence proves nothing if no host was asked.
            self.waiting.insert(address);
            return;
        }
        let wants_more = planner.segment_said(address, answer.is_some());
        let Some((link, mac)) = answer.filter(|_| wants_more) else {
            self.taken.remove(&address);
            return;
        };
        let times = self.taken.get(&address).map_or(0, |taken| taken.times) + 1;
        if times == 1 {
            tracing::warn!(%address, %mac, "another host answers for it: this node does not announce it");
        }
        let pause_us = AGAIN_US << times.min(3);
        let again_us = now_us + pause_us / 2 + jitter_us(links, address, times, pause_us / 2);
        self.taken.insert(address, Taken { link, mac, again_us, times });
    }

    /// Returns the time at which there is something to do.
    pub fn next(&self) -> Option<u64> {
        if !self.has_links {
            return None;
        }
        let waits = (!self.waiting.is_empty() && self.running.len() < AT_ONCE).then_some(0);
        let running = self.running.values().map(|probe| probe.at_us);
        let sleeps = |(address, _): &(&IpAddr, &Taken)| {
            !self.running.contains_key(*address) && !self.waiting.contains(*address)
        };
        let taken = self.taken.iter().filter(sleeps).map(|(_, taken)| taken.again_us);
        running.chain(taken).chain(waits).min()
    }

    /// Returns the problem for addresses that other hosts answer for and this node would announce.
    pub fn problem(&self, node: &str, port: u16, links: &Links) -> Option<Problem> {
        let Taken { link, mac, .. } = self.taken.values().next()?;
        let name = links.get(link).map_or("?", |link| link.name.as_str());
        let shown: Vec<_> = self.taken.keys().take(NAMED).map(ToString::to_string).collect();
        let more = match self.taken.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        Some(Problem {
            file: String::new(),
            object: Some(format!("Node {node}")),
            message: format!(
                "{mac} on {name} answers for {}{more}, which no node reachable by gossip announces: {node} does not announce it. If that is another node, open \
                 UDP port {port} between the nodes in both directions; if not, remove the address from that host or exclude it from the \
                 pool",
                shown.join(", ")
            ),
        })
    }
}

/// Returns a delay below `most` that differs for each node and each time.
fn jitter_us(links: &[Link], address: IpAddr, times: u32, most: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    links.first().map(|link| link.mac.octets()).hash(&mut hasher);
    (address, times).hash(&mut hasher);
    hasher.finish() % most.max(1)
}

/// Encodes a probe: the question whether any host has this address, from the unspecified address.
fn probe(mac: MacAddr, target: IpAddr) -> Option<Vec<u8>> {
    let nobody = match target {
        IpAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
    };
    question((nobody, mac), target, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: LinkIndex = 2;

    fn probed(own: u8, address: IpAddr) -> Probed {
        let probed = Probed::default();
        {
            let mut state = probed.lock();
            state.own.insert(LINK, MacAddr::new(2, 0, 0, 0, 0, own));
            state.ignored.push(MacAddr::new(2, 0, 0, 0, 0, 99));
            state.answers.insert(address, None);
        }
        probed
    }

    fn answered(own: u8, from: u8, message: impl Fn(MacAddr) -> Vec<u8>, address: IpAddr) -> bool {
        let probed = probed(own, address);
        probed.frame(&Frame { link: LINK, data: message(MacAddr::new(2, 0, 0, 0, 0, from)) });
        let state = probed.lock();
        state.answers[&address].is_some()
    }

    #[test]
    fn of_two_that_probe_the_one_with_the_lower_hardware_address_goes_on() {
        for address in ["192.0.2.1", "2001:db8::1"] {
            let address: IpAddr = address.parse().expect("an address");
            let probes = |mac| probe(mac, address).expect("one family");
            assert!(answered(5, 4, probes, address));
            assert!(!answered(5, 6, probes, address));
            assert!(!answered(5, 5, probes, address), "its own");
        }
    }

    #[test]
    fn whoever_answers_counts_and_a_router_does_not() {
        let address = Ipv4Addr::new(192, 0, 2, 1);
        let announces = |mac| wire::announcement(address.into(), mac);
        assert!(answered(5, 6, announces, address.into()));
        assert!(!answered(5, 99, announces, address.into()));
    }
}
