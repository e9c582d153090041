//! The state of links and addresses folded from netlink messages. Pure: messages in, [`Links`] out.
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use outrigger_sdk::{IpNet, Link, LinkIndex, MacAddr};
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::link::{
    InfoPortKind, LinkAttribute, LinkEvent, LinkFlags, LinkInfo, LinkLayerType, LinkMessage,
};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};

use super::{Excludes, Links};

/// Every interface, listed or not, and every address.
#[derive(Debug, Default)]
pub(super) struct Table {
    interfaces: BTreeMap<LinkIndex, Interface>,
    addresses: BTreeMap<LinkIndex, BTreeSet<IpNet>>,
}

#[derive(Debug)]
struct Interface {
    /// The link without its addresses; its `generation` is maintained here.
    link: Link,
    /// True if this is an Ethernet interface with a MAC address that is not a port of a bridge, bond or team.
    segment: bool,
    /// IFLA_CARRIER_UP_COUNT: reveals a flap whose two notifications the kernel merged into one.
    carrier_ups: u32,
}

impl Table {
    /// Replaces the table by a full list. Interfaces that were known keep counting their generation.
    pub(super) fn replace(&mut self, messages: impl Iterator<Item = RouteNetlinkMessage>) {
        let mut before = std::mem::take(self);
        for message in messages {
            if let RouteNetlinkMessage::NewLink(link) = &message {
                let known = before.interfaces.remove_entry(&link.header.index);
                self.interfaces.extend(known);
            }
            self.apply(message);
        }
    }

    /// Applies one notification.
    pub(super) fn apply(&mut self, message: RouteNetlinkMessage) {
        match message {
            // Bridges report their ports in messages of family AF_BRIDGE: a DelLink of that family deletes no link.
            RouteNetlinkMessage::NewLink(message) if is_whole(&message) => self.upsert(&message),
            RouteNetlinkMessage::DelLink(message) if is_whole(&message) => {
                self.interfaces.remove(&message.header.index);
                self.addresses.remove(&message.header.index);
            }
            RouteNetlinkMessage::NewAddress(message) => {
                let own = self.addresses.entry(message.header.index).or_default();
                own.extend(address(&message));
            }
            RouteNetlinkMessage::DelAddress(message) => {
                if let (Some(own), Some(gone)) =
                    (self.addresses.get_mut(&message.header.index), address(&message))
                {
                    own.remove(&gone);
                }
            }
            _ => {}
        }
    }

    /// Returns the links that may be used.
    pub(super) fn links(&self, excludes: &Excludes) -> Links {
        let listed =
            self.interfaces.values().filter(|it| it.segment && !excludes.matches(&it.link.name));
        listed
            .map(|interface| {
                let own = self.addresses.get(&interface.link.index);
                let addresses = own.into_iter().flatten().copied().collect();
                (interface.link.index, Link { addresses, ..interface.link.clone() })
            })
            .collect()
    }

    fn upsert(&mut self, message: &LinkMessage) {
        let mut new = interface(message);
        if let Some(old) = self.interfaces.get(&new.link.index) {
            let gained = new.link.up && (!old.link.up || new.carrier_ups != old.carrier_ups);
            let moved = gained || new.link.mac != old.link.mac || switched(message);
            new.link.generation = old.link.generation.wrapping_add(moved.into());
        }
        self.interfaces.insert(new.link.index, new);
    }
}

fn is_whole(message: &LinkMessage) -> bool {
    message.header.interface_family == AddressFamily::Unspec
}

/// Returns true if a bond changed its active slave or the kernel asks for another announcement (after a live
/// migration).
fn switched(message: &LinkMessage) -> bool {
    message.attributes.iter().any(|attribute| {
        matches!(
            attribute,
            LinkAttribute::Event(LinkEvent::BondingFailover | LinkEvent::NotifyPeers)
        )
    })
}

fn interface(message: &LinkMessage) -> Interface {
    let flags = message.header.flags;
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        mac: MacAddr::zero(),
        mtu: 0,
        // Carrier alone is not enough: until the kernel reports the interface as running, its queue discards outgoing
        // frames.
        up: flags.contains(LinkFlags::Up | LinkFlags::LowerUp | LinkFlags::Running),
        arp: !flags.intersects(LinkFlags::Noarp | LinkFlags::Pointopoint),
        generation: 0,
        addresses: Vec::new(),
    };
    let (mut carrier_ups, mut enslaved, mut routed) = (0, false, false);
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Address(mac) => link.mac = mac_address(mac),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::CarrierUpCount(count) => carrier_ups = *count,
            LinkAttribute::Controller(_) => enslaved = true,
            // The master of a port in a VRF is a routing table, not a segment.
            LinkAttribute::LinkInfo(infos) => {
                routed = infos.contains(&LinkInfo::PortKind(InfoPortKind::Vrf));
            }
            _ => {}
        }
    }
    let ethernet =
        message.header.link_layer_type == LinkLayerType::Ether && link.mac != MacAddr::zero();
    Interface { segment: ethernet && (!enslaved || routed), link, carrier_ups }
}

/// Returns zero for an address that is not six octets long.
fn mac_address(octets: &[u8]) -> MacAddr {
    <[u8; 6]>::try_from(octets).map_or(MacAddr::zero(), MacAddr::from)
}

/// Returns the interface's own address: IFA_LOCAL, or IFA_ADDRESS where that is absent (IPv6).
fn address(message: &AddressMessage) -> Option<IpNet> {
    let find =
        |pick: fn(&AddressAttribute) -> Option<IpAddr>| message.attributes.iter().find_map(pick);
    let local = find(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    let own = local.or_else(|| {
        find(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        })
    });
    IpNet::new(own?, message.header.prefix_len).ok()
}
