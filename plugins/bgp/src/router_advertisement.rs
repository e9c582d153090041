//! Router Advertisements, by which the router at the other end of a link learns this node's address: it connects to
//! their source address (unnumbered peering, as in FRR and its descendants). They offer no route, no prefix and no
//! configuration.
use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use outrigger_sdk::wire::multicast_mac;
use outrigger_sdk::{Beacon, Endpoint, Frame, LinkIndex, OffloadWork};
use serde::{Deserialize, Serialize};

use crate::call_context::CallContext;
use crate::settings::{PeerLocation, Settings};

/// Interval between Router Advertisements. RFC 4861 section 6.2.1 allows a MaxRtrAdvInterval of 4 s to 1800 s.
const INTERVAL_US: u32 = 10_000_000;
const JITTER_PERCENT: u8 = 25;

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ETHERTYPE_IPV6: [u8; 2] = [0x86, 0xdd];
const ICMPV6: u8 = 58;
const ROUTER_ADVERTISEMENT: u8 = 134;
const SOURCE_LINK_LAYER_ADDRESS: u8 = 1;

/// The offload that advertises this node on a link, and the frame it sends, by link name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shown(BTreeMap<String, (Endpoint, LinkIndex, Vec<u8>)>);

impl Shown {
    /// Starts and ends offloads to match the settings.
    pub(crate) fn settle(&mut self, settings: &Settings, turn: &mut CallContext<'_>) {
        let mut wanted = BTreeMap::new();
        for terms in settings.peers.values().flatten().filter(|terms| !terms.manner.shutdown) {
            let PeerLocation::Interface(name) = &terms.place else { continue };
            let Some((index, link)) = turn.links.by_name(name) else { continue };
            if let Some(source) = link.link_local().filter(|_| link.up) {
                wanted.insert(name.clone(), (index, frame(link.mac, source)));
            }
        }
        let useless = self.0.extract_if(.., |name, _| !wanted.contains_key(name));
        for (_, (id, ..)) in useless {
            turn.close(id);
        }
        for (name, (link, data)) in wanted {
            let known = self.0.get(&name);
            if known.is_some_and(|(_, on, frame)| (*on, frame) == (link, &data)) {
                continue;
            }
            let id = known.map_or_else(|| turn.numbers.take(), |(id, ..)| *id);
            let beacon = Beacon {
                frame: Frame { link, data: data.clone() },
                interval_us: INTERVAL_US,
                jitter_percent: JITTER_PERCENT,
                count: 0,
            };
            turn.offload(id, OffloadWork::Beacon(beacon));
            self.0.insert(name, (id, link, data));
        }
    }

    /// Ends all offloads.
    pub(crate) fn close(&mut self, turn: &mut CallContext<'_>) {
        for (id, ..) in std::mem::take(&mut self.0).into_values() {
            turn.close(id);
        }
    }

    pub(crate) fn owns(&self, number: Endpoint) -> bool {
        self.0.values().any(|(id, ..)| *id == number)
    }

    /// Handles an offload that the host ended by itself.
    pub(crate) fn ended(&mut self, number: Endpoint) {
        self.0.retain(|_, (id, ..)| *id != number);
    }

    /// Keeps the offloads that are still active after another instance took over. The others are started again.
    pub(crate) fn resumed(&mut self, offloads: &[Endpoint]) {
        self.0.retain(|_, (id, ..)| offloads.contains(id));
    }
}

/// Builds a Router Advertisement (RFC 4861 section 4.2) with a Router Lifetime of zero: not a default router.
fn frame(mac: [u8; 6], source: Ipv6Addr) -> Vec<u8> {
    let mut message = vec![ROUTER_ADVERTISEMENT, 0, 0, 0, 0, 0, 0, 0];
    // Reachable Time and Retrans Timer: unspecified.
    message.extend([0; 8]);
    message.extend([SOURCE_LINK_LAYER_ADDRESS, 1]);
    message.extend(mac);
    let length = message.len() as u8;
    let sum = checksum(source, &message).to_be_bytes();
    message[2..4].copy_from_slice(&sum);
    let mut frame = multicast_mac(ALL_NODES).octets().to_vec();
    frame.extend(mac);
    frame.extend(ETHERTYPE_IPV6);
    frame.extend([0x60, 0, 0, 0, 0, length, ICMPV6, 255]);
    frame.extend(source.octets());
    frame.extend(ALL_NODES.octets());
    frame.extend(message);
    frame
}

/// Returns the ICMPv6 checksum (RFC 4443 section 2.3).
fn checksum(source: Ipv6Addr, message: &[u8]) -> u16 {
    let words = source.segments().into_iter().chain(ALL_NODES.segments());
    let (pairs, _) = message.as_chunks::<2>();
    let body = pairs.iter().map(|pair| u16::from_be_bytes(*pair));
    let pseudo = [message.len() as u16, u16::from(ICMPV6)];
    let sum: u32 = words.chain(body).chain(pseudo).map(u32::from).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) as u16 + (folded >> 16) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advertisement_is_one_that_linux_takes_and_offers_nothing() {
        let source = "fe80::1234:56ff:fe78:9abc".parse().unwrap();
        let frame = frame([2, 0, 0, 0, 0, 1], source);
        assert_eq!(frame.len(), 14 + 40 + 24);
        let (ip, message) = frame[14..].split_at(40);
        assert_eq!((ip[7], &ip[8..24]), (255, &source.octets()[..]));
        assert_eq!(message[6..8], [0, 0], "not a default router");
        // The sum over a message with its checksum is all ones (RFC 1071), so the checksum of the whole is zero.
        assert_eq!(checksum(source, message), 0);
    }
}
