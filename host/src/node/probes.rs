//! Asks the segments whether somebody answers for an address that this node is about to announce, while there are nodes that it never heard:
//! the probe of RFC 5227 section 2.1.1, and its like for IPv6 (RFC 4862 section 5.4). Two nodes that probe at once tell each other by it:
//! the one with the lower hardware address goes on.
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use outrigger_core::plan::Planner;
use outrigger_kube::Problem;
use outrigger_net::{Links, Owner, ResponderHandle};
use outrigger_sdk::wire::{self, Arp, ArpOperation, MacAddr, Message, NeighborSolicitation};
use outrigger_sdk::{Frame, Link, LinkIndex, Topic};

/// The responder knows the probes by this number.
pub(super) const OWNER: Owner = Owner::MAX - 1;
/// Probes for one address, and between two of them. After as long again the answers are counted.
const PROBES: u32 = 3;
const PAUSE_US: u64 = 33_000;
/// An address that somebody answers for is asked for again.
const AGAIN_US: u64 = 1_000_000;
/// Addresses that are asked for at once: a node may be about to announce thousands.
const AT_ONCE: usize = 500;
/// Addresses that a problem names.
const NAMED: usize = 3;

/// Where the answers come in. Shared with the responder's thread.
#[derive(Default)]
pub struct Probed {
    state: Mutex<Asked>,
}

#[derive(Default)]
struct Asked {
    /// By address: who answered, if anybody.
    answers: BTreeMap<IpAddr, Option<(LinkIndex, MacAddr)>>,
    own: BTreeMap<LinkIndex, MacAddr>,
    /// Routers, which may answer for everything (proxy ARP).
    routers: Vec<MacAddr>,
}

impl Probed {
    fn lock(&self) -> MutexGuard<'_, Asked> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A frame about one of the addresses came in. Must not block.
    pub fn frame(&self, frame: &Frame) {
        let Ok(decoded) = wire::decode(&frame.data) else { return };
        let (about, probes): (IpAddr, bool) = match decoded.message {
            Message::Arp(arp) if arp.sender_ip.is_unspecified() => (arp.target_ip.into(), true),
            Message::Arp(arp) => (arp.sender_ip.into(), false),
            Message::Solicitation(it) if it.source.is_unspecified() => (it.target.into(), true),
            Message::Solicitation(_) => return,
            Message::Advertisement(advertisement) => (advertisement.target.into(), false),
        };
        let mut state = self.lock();
        let (own, from) = (state.own.get(&frame.link).copied(), decoded.source);
        if state.own.values().any(|own| *own == from) || state.routers.contains(&from) {
            return;
        }
        let counts = !probes || own.is_some_and(|own| from < own);
        if let Some(answer) = state.answers.get_mut(&about).filter(|_| counts) {
            *answer = Some((frame.link, from));
        }
    }
}

/// Asks.
pub(super) struct Probes {
    responder: ResponderHandle,
    probed: Arc<Probed>,
    waiting: VecDeque<IpAddr>,
    /// Probes that were sent, and when the next is due or the answers are counted.
    running: BTreeMap<IpAddr, (u32, u64)>,
    /// Who answers for what, and when it is asked again.
    taken: BTreeMap<IpAddr, ((LinkIndex, MacAddr), u64)>,
}

impl Probes {
    pub fn new(responder: ResponderHandle, probed: Arc<Probed>) -> Self {
        let (waiting, running, taken) = Default::default();
        Self { responder, probed, waiting, running, taken }
    }

    /// Asks for these addresses.
    pub fn ask(&mut self, addresses: Vec<IpAddr>) {
        self.waiting.extend(addresses);
    }

    /// Does what is due, on these links, and tells the planner what the segment said.
    pub fn step(
        &mut self,
        now_us: u64,
        links: &[&Link],
        routers: impl FnOnce() -> Vec<MacAddr>,
        planner: &mut Planner,
    ) {
        let again = self.taken.iter().filter(|(_, (_, at))| *at <= now_us).map(|(at, _)| *at);
        let again: Vec<_> = again.filter(|it| !self.running.contains_key(it)).collect();
        self.waiting
            .extend(again.into_iter().filter(|it| !self.waiting.contains(it)).collect::<Vec<_>>());
        if self.waiting.is_empty() && self.running.is_empty() {
            return;
        }
        {
            let mut state = self.probed.lock();
            state.own = links.iter().map(|link| (link.index, link.mac)).collect();
            state.routers = routers();
        }
        while self.running.len() < AT_ONCE
            && let Some(address) = self.waiting.pop_front()
        {
            self.probed.lock().answers.insert(address, None);
            for link in links {
                if let Err(error) = self.responder.watch(OWNER, link.index, Topic::about(address)) {
                    tracing::debug!(%address, link = link.name, "no answer will be heard: {error}");
                }
            }
            self.running.insert(address, (0, now_us));
        }
        let due: Vec<_> =
            self.running.iter().filter(|(_, (_, at))| *at <= now_us).map(|(at, _)| *at).collect();
        for address in due {
            let sent = self.running.get(&address).map_or(PROBES, |(sent, _)| *sent);
            if sent < PROBES {
                self.probe(address, links);
                self.running.insert(address, (sent + 1, now_us + PAUSE_US));
            } else {
                self.count(now_us, address, planner);
            }
        }
    }

    fn probe(&self, address: IpAddr, links: &[&Link]) {
        for link in links {
            let frame = Frame { link: link.index, data: probe(link.mac, address) };
            if let Err(error) = self.responder.send(&frame) {
                tracing::debug!(%address, link = link.name, "it is not asked for: {error}");
            }
        }
    }

    fn count(&mut self, now_us: u64, address: IpAddr, planner: &mut Planner) {
        self.running.remove(&address);
        let (answer, links) = {
            let mut state = self.probed.lock();
            let links: Vec<_> = state.own.keys().copied().collect();
            (state.answers.remove(&address).flatten(), links)
        };
        for link in links {
            self.responder.unwatch(OWNER, link, Topic::about(address));
        }
        let wants_more = planner.segment_said(address, answer.is_some());
        match answer.filter(|_| wants_more) {
            Some(by) => {
                if self.taken.insert(address, (by, now_us + AGAIN_US)).is_none() {
                    tracing::warn!(%address, mac = %by.1, "another host answers for it: it is left alone");
                }
            }
            None => drop(self.taken.remove(&address)),
        }
    }

    /// When there is something to do.
    pub fn next(&self) -> Option<u64> {
        let waits = (!self.waiting.is_empty() && self.running.len() < AT_ONCE).then_some(0);
        let running = self.running.values().map(|(_, at)| *at);
        let taken = self.taken.iter().filter(|(address, _)| !self.running.contains_key(*address));
        running.chain(taken.map(|(_, (_, at))| *at)).chain(waits).min()
    }

    /// Who answers for what this node would announce.
    pub fn problem(&self, node: &str, port: u16, links: &Links) -> Option<Problem> {
        let ((link, mac), _) = self.taken.values().next()?;
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
                "{mac} on {name} answers for {}{more}, and no node that is heard has it: {node} leaves it alone. If it is another node, open \
                 UDP port {port} between the nodes in both directions; if it is not, take the address from that host or exclude it from the \
                 pool",
                shown.join(", ")
            ),
        })
    }
}

/// "Does anybody have this address?", of nobody.
fn probe(mac: MacAddr, target: IpAddr) -> Vec<u8> {
    match target {
        IpAddr::V4(target_ip) => {
            let arp = Arp {
                operation: ArpOperation::Request,
                sender_mac: mac,
                sender_ip: Ipv4Addr::UNSPECIFIED,
                target_mac: MacAddr::zero(),
                target_ip,
            };
            wire::encode(MacAddr::broadcast(), mac, &Message::Arp(arp))
        }
        IpAddr::V6(target) => {
            let destination = wire::solicited_node_group(target);
            let source = Ipv6Addr::UNSPECIFIED;
            let probe =
                NeighborSolicitation { source, destination, target, source_link_layer: None };
            wire::encode(wire::multicast_mac(destination), mac, &Message::Solicitation(probe))
        }
    }
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
            state.routers.push(MacAddr::new(2, 0, 0, 0, 0, 99));
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
            let probes = |mac| probe(mac, address);
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
