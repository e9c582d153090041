//! A peer that parses with other code than the guard: a message that the two parse differently is one that a router
//! could parse differently.
use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use outrigger_sdk::wire::bgp;
use zettabgp::prelude::*;

use super::SELF;
use crate::guard::Granted;

/// The routes announced to the peer.
#[derive(Default)]
pub(super) struct Peer(pub(super) BTreeSet<IpNet>);

impl Peer {
    pub(super) fn hear(&mut self, granted: &[Granted]) {
        for one in granted {
            let Granted::Write(bytes) = one else { continue };
            self.read(&bytes.data);
        }
    }

    pub(super) fn read(&mut self, message: &[u8]) {
        let (header, body) = message.split_at(bgp::HEADER);
        if header[bgp::HEADER - 1] != 2 {
            return;
        }
        let (asn, families) = (64513, vec![BgpCapability::SafiIPv4u, BgpCapability::SafiIPv6u]);
        let session = BgpSessionParams::new(asn, 90, BgpTransportMode::IPv4, SELF, families);
        let mut update = BgpUpdateMessage::new();
        let read = update.decode_from(&session, body);
        read.unwrap_or_else(|error| panic!("{error:?} in {message:02x?}"));
        let withdrawn = update.get_mpwithdraws().map(|them| prefixes(&them.addrs));
        for gone in prefixes(&update.withdraws).into_iter().chain(withdrawn.into_iter().flatten()) {
            self.0.remove(&gone);
        }
        let announced = prefixes(&update.updates);
        if !announced.is_empty() {
            let next_hop = update.get_attr_nexthop().expect("a next hop");
            assert_eq!(next_hop.value, IpAddr::from(SELF));
        }
        let reachable = update.get_mpupdates().map(|them| prefixes(&them.addrs));
        self.0.extend(announced.into_iter().chain(reachable.into_iter().flatten()));
    }
}

/// Converts prefixes; the bits after the prefix length are irrelevant (RFC 4271 section 4.3).
fn prefixes(of: &BgpAddrs) -> Vec<IpNet> {
    let net = |address: IpAddr, length| IpNet::new(address, length).expect("a prefix").trunc();
    match of {
        BgpAddrs::None => Vec::new(),
        BgpAddrs::IPV4U(all) => all.iter().map(|it| net(it.addr.into(), it.prefixlen)).collect(),
        BgpAddrs::IPV6U(all) => all.iter().map(|it| net(it.addr.into(), it.prefixlen)).collect(),
        other => panic!("of no family that was agreed on: {other:?}"),
    }
}
