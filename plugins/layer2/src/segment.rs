//! The properties of a listed link that matter for announcing on it. Independent of the announced addresses.
use std::collections::BTreeMap;
use std::net::IpAddr;

use outrigger_sdk::{Link, LinkIndex, LinksChanged, MacAddr};
use serde::{Deserialize, Serialize};

use crate::listing::Chunk;

/// The currently listed links, by index.
pub(crate) type Segments = BTreeMap<LinkIndex, Segment>;

/// The part of a link that announcing depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Segment {
    /// Name of the link. Unlike the index, it stays the same when the daemon restarts.
    pub name: String,
    /// True if the link is up and neighbours on it resolve MAC addresses.
    usable: bool,
    /// True if IPv6 is enabled, in which case the link has at least one IPv6 address of its own (RFC 4291 section 2.8).
    ipv6: bool,
    pub identity: Identity,
}

/// The identity of a link. If any field changes, addresses must be announced to the neighbours again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub index: LinkIndex,
    mac: [u8; 6],
    generation: u32,
}

impl Segment {
    /// Returns true if the address can be announced on the link and neighbours' questions for it are received.
    pub(crate) fn suits(&self, address: IpAddr) -> bool {
        self.usable && (self.ipv6 || address.is_ipv4())
    }
}

impl Identity {
    pub(crate) fn mac(&self) -> MacAddr {
        let [a, b, c, d, e, f] = self.mac;
        MacAddr::new(a, b, c, d, e, f)
    }
}

impl From<Link> for Segment {
    fn from(link: Link) -> Self {
        let Link { index, name, mac, up, arp, generation, addresses, .. } = link;
        Self {
            name,
            usable: up && arp,
            ipv6: addresses.iter().any(|net| net.addr().is_ipv6()),
            identity: Identity { index, mac: mac.octets(), generation },
        }
    }
}

impl From<LinksChanged> for Chunk<LinkIndex, Segment> {
    fn from(changed: LinksChanged) -> Self {
        let LinksChanged { reset, remove, upsert, more } = changed;
        let upsert = upsert.into_iter().map(|link| (link.index, link.into())).collect();
        Self { reset, remove, upsert, more }
    }
}
