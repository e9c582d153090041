//! The node's links, and the addresses of theirs that a peer can send traffic to. Independent of the session state.
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use outrigger_sdk::wire::bgp::NextHop;
use outrigger_sdk::{IpNet, LinkIndex, LinksChanged};
use serde::{Deserialize, Serialize};

/// The last complete list with the changes since.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Links {
    current: BTreeMap<LinkIndex, Link>,
    /// A full list of which more chunks are to come.
    incoming: Option<BTreeMap<LinkIndex, Link>>,
    listed: bool,
}

/// The relevant properties of a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Link {
    pub(crate) name: String,
    pub(crate) mac: [u8; 6],
    pub(crate) up: bool,
    addresses: Vec<IpNet>,
}

/// Next hops of a session's routes, by address family of the routes. `None` if there is no address that this peer could use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hops {
    pub(crate) v4: Option<Hop>,
    pub(crate) v6: Option<Hop>,
}

/// A next hop, which is always this node (next hop self).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Hop {
    V4(Ipv4Addr),
    /// A global address with an optional link-local one, or a link-local address alone.
    V6(Ipv6Addr, Option<Ipv6Addr>),
}

impl Links {
    pub(crate) fn apply(&mut self, changed: LinksChanged) {
        if changed.reset {
            self.incoming = Some(BTreeMap::new());
        }
        let target = self.incoming.as_mut().unwrap_or(&mut self.current);
        target.retain(|index, _| !changed.remove.contains(index));
        target.extend(changed.upsert.into_iter().map(|link| {
            let (name, mac, up) = (link.name, link.mac.octets(), link.up);
            (link.index, Link { name, mac, up, addresses: link.addresses })
        }));
        if !changed.more
            && let Some(whole) = self.incoming.take()
        {
            self.current = whole;
            self.listed = true;
        }
    }

    /// Marks the list as unknown until the next full list is complete.
    pub(crate) fn forget(&mut self) {
        self.incoming = None;
        self.listed = false;
    }

    pub(crate) fn is_listed(&self) -> bool {
        self.listed
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<(LinkIndex, &Link)> {
        let found = self.current.iter().find(|(_, link)| link.name == name);
        found.map(|(index, link)| (*index, link))
    }

    /// Returns true if an address is on a subnet of one of the links.
    pub(crate) fn is_near(&self, address: IpAddr) -> bool {
        self.current.values().any(|link| link.reaches(address))
    }

    /// Returns the next hops for a session between these ends. `either` is true if IPv4 routes may point to an IPv6
    /// address (RFC 8950). `node` holds the node's addresses, used for a family that the session's link has no address
    /// of.
    pub(crate) fn hops(
        &self,
        local: SocketAddr,
        remote: SocketAddr,
        either: bool,
        node: &[IpAddr],
    ) -> Hops {
        let link = match local {
            SocketAddr::V6(end) if end.scope_id() != 0 => self.current.get(&end.scope_id()),
            end => self.current.values().find(|link| link.has(end.ip())),
        };
        let of_node_v4 = node.iter().find_map(|address| v4(*address));
        let of_node_v6 = node.iter().find_map(|address| v6(*address));
        // RFC 2545 section 3: the link-local address is included if and only if the peer is on the same link.
        let link_local = link.filter(|link| link.reaches(remote.ip())).and_then(Link::link_local);
        let global = |address| Hop::V6(address, link_local);
        match local.ip() {
            IpAddr::V4(local) => {
                let other = link.and_then(Link::global_v6).or(of_node_v6);
                Hops { v4: Some(Hop::V4(local)), v6: other.map(global) }
            }
            IpAddr::V6(local) => {
                let v6 = if local.is_unicast_link_local() {
                    link.and_then(Link::global_v6).map_or(Hop::V6(local, None), global)
                } else {
                    global(local)
                };
                let own = link.and_then(Link::v4).or(of_node_v4).map(Hop::V4);
                Hops { v4: if either { Some(v6) } else { own }, v6: Some(v6) }
            }
        }
    }
}

impl Link {
    fn has(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|own| own.addr() == address)
    }

    fn reaches(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|own| own.contains(&address))
    }

    fn v4(&self) -> Option<Ipv4Addr> {
        self.addresses.iter().find_map(|own| v4(own.addr()))
    }

    fn global_v6(&self) -> Option<Ipv6Addr> {
        self.addresses.iter().find_map(|own| v6(own.addr()))
    }

    pub(crate) fn link_local(&self) -> Option<Ipv6Addr> {
        self.addresses.iter().find_map(|own| match own.addr() {
            IpAddr::V6(address) if address.is_unicast_link_local() => Some(address),
            _ => None,
        })
    }
}

impl From<Hop> for NextHop {
    fn from(hop: Hop) -> Self {
        match hop {
            Hop::V4(address) => Self::V4(address),
            Hop::V6(address, link_local) => Self::V6 { address, link_local },
        }
    }
}

fn v4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(address) if !address.is_loopback() && !address.is_link_local() => Some(address),
        _ => None,
    }
}

/// Returns the address if it is IPv6 and neither loopback nor link-local.
fn v6(address: IpAddr) -> Option<Ipv6Addr> {
    match address {
        IpAddr::V6(address) if !address.is_loopback() && !address.is_unicast_link_local() => {
            Some(address)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripts::{link, links};

    #[track_caller]
    fn check(local: &str, remote: &str, either: bool, v4: &str, v6: &str) {
        let mut links_there = Links::default();
        let eth0 = link(2, "eth0", &["192.0.2.10/24", "2001:db8::10/64", "fe80::2/64"]);
        let eth1 = link(3, "eth1", &["fe80::3/64"]);
        links_there.apply(links(&[eth0, eth1]));
        let node = ["198.51.100.1".parse().unwrap(), "2001:db8:1::1".parse().unwrap()];
        let hops = links_there.hops(local.parse().unwrap(), remote.parse().unwrap(), either, &node);
        let said = |hop: Option<Hop>| hop.map_or("-".into(), |hop| NextHop::from(hop).to_string());
        assert_eq!((said(hops.v4), said(hops.v6)), (v4.to_owned(), v6.to_owned()));
    }

    #[test]
    fn the_next_hop_is_the_sessions_own_end_and_for_the_other_family_its_link() {
        check("192.0.2.10:1", "192.0.2.1:179", false, "192.0.2.10", "2001:db8::10 fe80::2");
        check("192.0.2.10:1", "203.0.113.1:179", false, "192.0.2.10", "2001:db8::10");
        check("[2001:db8::10]:1", "[2001:db8::1]:179", false, "192.0.2.10", "2001:db8::10 fe80::2");
        check("[2001:db8::10]:1", "[2001:db8:7::1]:179", false, "192.0.2.10", "2001:db8::10");
    }

    #[test]
    fn an_ipv4_route_may_point_to_an_ipv6_address_where_that_was_negotiated() {
        let both = "2001:db8::10 fe80::2";
        check("[2001:db8::10]:1", "[2001:db8::1]:179", true, both, both);
        check("[fe80::3%3]:1", "[fe80::1%3]:179", true, "fe80::3", "fe80::3");
        check("[fe80::2%2]:1", "[fe80::1%2]:179", true, both, both);
    }

    #[test]
    fn a_session_from_an_address_on_no_link_uses_the_nodes_for_the_other_family() {
        check("10.9.9.9:1", "192.0.2.1:179", false, "10.9.9.9", "2001:db8:1::1");
        check("[2001:db8:9::9]:1", "[2001:db8::1]:179", false, "198.51.100.1", "2001:db8:9::9");
        check("[fe80::3%3]:1", "[fe80::1%3]:179", false, "198.51.100.1", "fe80::3");
    }
}
