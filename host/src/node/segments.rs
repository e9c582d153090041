//! Finds out whether the segments that addresses are announced on are alive: a port can be dead though its link is up.
//! The node asks a few neighbours again and again, by ARP or Neighbor Discovery, and a segment on which none answers
//! any more is silent. A segment on which no neighbour ever answered is not judged.
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use outrigger_core::facts::NodeName;
use outrigger_core::membership::View;
use outrigger_net::{Links, Owner, ResponderHandle, default_gateways, now};
use outrigger_sdk::wire::{
    self, Arp, ArpOperation, MacAddr, NeighborMessage, NeighborSolicitation,
};
use outrigger_sdk::{Beacon, Endpoint, Frame, IpNet, Link, LinkIndex, Topic};
use tokio::sync::Notify;

/// Owner number of the node itself at the responder; instances have others.
pub(super) const OWNER: Owner = 0;
/// Interval between two questions to a neighbour whose hardware address is known ([`ASK`]), and to one whose address is
/// not ([`LOOK_FOR`]): the latter are broadcast or multicast and disturb every host.
const ASK: Duration = Duration::from_millis(150);
const LOOK_FOR: Duration = Duration::from_secs(1);
/// Duration of silence on a segment: three questions in a row that no neighbour answered.
const SILENT: Duration = Duration::from_millis(450);
/// Interval between two checks for silence.
const LOOK: Duration = Duration::from_millis(50);
/// Delay of a check from which the process counts as stalled.
const STALL: Duration = Duration::from_millis(150);
/// Time after which a neighbour that was not heard may have another hardware address.
const FORGOTTEN: Duration = Duration::from_secs(2);
/// Jitter in percent of the interval, so that nodes do not ask in step.
const JITTER: u8 = 20;

/// The neighbours, with the time at which each was heard. Shared with the responder's thread.
#[derive(Default)]
pub struct Neighbours {
    state: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    neighbours: BTreeMap<(LinkIndex, IpAddr), Neighbour>,
    silent: BTreeSet<LinkIndex>,
}

/// A neighbour that is asked.
#[derive(Default, Clone, Copy)]
struct Neighbour {
    /// Time at which it was heard last, with its hardware address; `None` if never.
    heard: Option<(u64, MacAddr)>,
    /// Hardware address that questions are sent to; `None` if they are sent to every host.
    asked_at: Option<MacAddr>,
}

impl Neighbour {
    /// Returns the hardware address that the next question should be sent to. `None` if that is every host.
    fn wants(&self, now_us: u64) -> Option<MacAddr> {
        let fresh = |(at, _): &(u64, MacAddr)| now_us.saturating_sub(*at) < micros(FORGOTTEN);
        self.heard.filter(fresh).map(|(_, mac)| mac)
    }
}

impl Neighbours {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a frame about one of the neighbours. Must not block.
    pub fn frame(&self, frame: &Frame) {
        let Ok(decoded) = wire::decode(&frame.data) else { return };
        let from: IpAddr = match decoded.message {
            NeighborMessage::Arp(arp) => arp.sender_ip.into(),
            NeighborMessage::Solicitation(solicitation) => solicitation.source.into(),
            NeighborMessage::Advertisement(advertisement) => advertisement.target.into(),
        };
        if let Some(neighbour) = self.lock().neighbours.get_mut(&(frame.link, from)) {
            neighbour.heard = Some((now().monotonic_us, decoded.source));
        }
    }

    /// Updates the silent segments. Returns true if these changed, or a neighbour must be asked at another hardware
    /// address.
    fn changes(&self, now_us: u64) -> bool {
        let mut state = self.lock();
        let mut last: BTreeMap<LinkIndex, u64> = BTreeMap::new();
        for ((link, _), neighbour) in &state.neighbours {
            if let Some((at, _)) = neighbour.heard {
                let known = last.entry(*link).or_default();
                *known = at.max(*known);
            }
        }
        let silent =
            last.into_iter().filter(|(_, at)| now_us.saturating_sub(*at) >= micros(SILENT));
        let silent: BTreeSet<_> = silent.map(|(link, _)| link).collect();
        let moved = state.neighbours.values().any(|one| one.wants(now_us) != one.asked_at);
        let differs = silent != state.silent;
        state.silent = silent;
        differs || moved
    }
}

/// Asks the neighbours.
pub(super) struct Segments {
    responder: ResponderHandle,
    heard: Arc<Neighbours>,
    /// Number of each question, and the addresses that it is sent from.
    asked: BTreeMap<(LinkIndex, IpAddr), (Endpoint, (IpAddr, MacAddr))>,
    next: Endpoint,
}

impl Segments {
    /// Starts to check for silence, and notifies `changed` when it begins or ends.
    pub fn start(responder: ResponderHandle, heard: Arc<Neighbours>, changed: Arc<Notify>) -> Self {
        let looks = heard.clone();
        tokio::spawn(async move {
            let mut last_us = now().monotonic_us;
            let mut judges_us = last_us;
            loop {
                tokio::time::sleep(LOOK).await;
                let now_us = now().monotonic_us;
                // A process that did not run asked no neighbor either: their silence says nothing.
                if now_us.saturating_sub(last_us) > micros(STALL) {
                    judges_us = now_us + micros(SILENT);
                }
                last_us = now_us;
                if now_us >= judges_us && looks.changes(now_us) {
                    changed.notify_one();
                }
            }
        });
        Self { responder, heard, asked: BTreeMap::new(), next: 1 }
    }

    /// Returns true if neighbours were heard on this link before, and none is any more.
    pub fn is_silent(&self, link: LinkIndex) -> bool {
        self.heard.lock().silent.contains(&link)
    }

    /// Returns the hardware addresses of the gateways that were heard.
    pub fn routers(&self) -> Vec<MacAddr> {
        let gateways = gateways();
        let state = self.heard.lock();
        let routers = state.neighbours.iter().filter(|((_, at), _)| gateways.contains(at));
        routers.filter_map(|(_, neighbour)| Some(neighbour.heard?.1)).collect()
    }

    /// Asks exactly the neighbours that are to be asked on these links.
    pub fn ask(&mut self, me: &NodeName, links: &Links, usable: &BTreeSet<LinkIndex>, view: &View) {
        let usable = links.values().filter(|link| usable.contains(&link.index));
        let gateways = gateways();
        let targets: BTreeMap<_, _> = usable
            .flat_map(|link| {
                targets(me, link, view, &gateways)
                    .map(move |(to, own)| ((link.index, to), (own, link.mac)))
            })
            .collect();
        let gone: Vec<_> =
            self.asked.keys().filter(|key| !targets.contains_key(*key)).copied().collect();
        for (link, address) in gone {
            let id = self.asked.remove(&(link, address));
            id.map(|(id, _)| self.responder.close(OWNER, id));
            self.responder.unwatch(OWNER, link, Topic::about(address));
            self.heard.lock().neighbours.remove(&(link, address));
        }
        let now_us = now().monotonic_us;
        for (key, own) in targets {
            self.ask_one(key, own, now_us);
        }
    }

    fn ask_one(&mut self, key: (LinkIndex, IpAddr), own: (IpAddr, MacAddr), now_us: u64) {
        let (link, address) = key;
        let known = self.heard.lock().neighbours.get(&key).copied();
        let at = known.unwrap_or_default().wants(now_us);
        let asked = self.asked.get(&key).copied();
        let in_force = asked.filter(|(id, _)| self.responder.offloads(OWNER).contains(id));
        let same = in_force.is_some_and(|(_, from)| from == own);
        if same && known.is_some_and(|known| known.asked_at == at) {
            return;
        }
        let id = in_force.map(|(id, _)| id).unwrap_or_else(|| {
            self.next += 1;
            self.next
        });
        let Some(data) = question(own, address, at) else { return };
        let interval = if at.is_some() { ASK } else { LOOK_FOR };
        let interval_us = u32::try_from(interval.as_micros()).unwrap_or(u32::MAX);
        let frame = Frame { link, data };
        let beacon = Beacon { frame, interval_us, jitter_percent: JITTER, count: 0 };
        let asks = self
            .responder
            .watch(OWNER, link, Topic::about(address))
            .and_then(|()| self.responder.beacon(OWNER, id, address, beacon));
        match asks {
            Ok(()) => {
                self.asked.insert(key, (id, own));
                self.heard.lock().neighbours.entry(key).or_default().asked_at = at;
            }
            Err(error) => tracing::debug!(%address, "a neighbour cannot be probed: {error}"),
        }
    }
}

/// Returns the neighbours to ask on a link, each with the node's own address to ask from: the gateway, and of the other
/// nodes the next ones by name on either side, so that each is asked by two.
fn targets(
    me: &NodeName,
    link: &Link,
    view: &View,
    gateways: &[IpAddr],
) -> impl Iterator<Item = (IpAddr, IpAddr)> + use<> {
    let is_local = |address: IpAddr| match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    let mut networks: Vec<_> = link.addresses.iter().filter(|net| !is_local(net.addr())).collect();
    networks.sort();
    let of_network = |net: &&IpNet| -> Vec<(IpAddr, IpAddr)> {
        let others: Vec<(&NodeName, IpAddr)> = view
            .readiness
            .iter()
            .filter(|(node, _)| *node != me && view.members.contains_key(*node))
            .filter_map(|(node, announcers)| {
                let networks = announcers.values().flat_map(|one| &one.networks);
                let there = networks.filter(|other| other.trunc() == net.trunc()).min()?;
                Some((node, there.addr()))
            })
            .collect();
        let next = others.iter().find(|(node, _)| *node > me).or(others.first());
        let previous = others.iter().rev().find(|(node, _)| *node < me).or(others.last());
        let gateways = gateways.iter().copied().filter(|gateway| net.contains(gateway));
        let members = next.into_iter().chain(previous).map(|(_, address)| *address);
        let all = members.chain(gateways).filter(|address| *address != net.addr());
        all.map(|address| (address, net.addr())).collect()
    };
    let found = networks.iter().map(of_network).find(|targets| !targets.is_empty());
    found.unwrap_or_default().into_iter()
}

/// Encodes the question which host has this address, to every host or to the one that had it. From the unspecified
/// address it is a probe (RFC 5227 section 2.1.1, RFC 4862 section 5.4.3).
pub(super) fn question(
    (own, mac): (IpAddr, MacAddr),
    target: IpAddr,
    at: Option<MacAddr>,
) -> Option<Vec<u8>> {
    Some(match (own, target) {
        (IpAddr::V4(sender_ip), IpAddr::V4(target_ip)) => {
            let (operation, target_mac) = (ArpOperation::Request, MacAddr::zero());
            let arp = Arp { operation, sender_mac: mac, sender_ip, target_mac, target_ip };
            wire::encode(at.unwrap_or(MacAddr::broadcast()), mac, &NeighborMessage::Arp(arp))
        }
        (IpAddr::V6(source), IpAddr::V6(target)) => {
            let group = wire::solicited_node_group(target);
            let (destination, to) = match at {
                Some(at) => (target, at),
                None => (group, wire::multicast_mac(group)),
            };
            // RFC 4861 section 4.3: the option must not be sent with the unspecified source.
            let source_link_layer = (!source.is_unspecified()).then_some(mac);
            let question = NeighborSolicitation { source, destination, target, source_link_layer };
            wire::encode(to, mac, &NeighborMessage::Solicitation(question))
        }
        _ => return None,
    })
}

pub(super) fn gateways() -> Vec<IpAddr> {
    let (v4, v6) = default_gateways();
    [v4, v6].into_iter().flatten().filter_map(|it| it.parse().ok()).collect()
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
