//! What a link's entry means for announcing on it. Does not know what is announced.
use std::collections::BTreeMap;
use std::net::IpAddr;

use outrigger_sdk::{Link, LinkIndex, LinksChanged, MacAddr};
use serde::{Deserialize, Serialize};

use crate::listing::Chunk;

/// The links as they are listed.
pub(crate) type Segments = BTreeMap<LinkIndex, Segment>;

/// The part of a link that announcing depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Segment {
    /// Outlives the daemon, which an index does not.
    pub name: String,
    /// Up, and of a kind on which neighbours ask for MAC addresses.
    usable: bool,
    /// IPv6 is on there: then the link has at least an address of its own (RFC 4291 section 2.8).
    ipv6: bool,
    pub identity: Identity,
}

/// When any of this differs, neighbours have to be told again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub index: LinkIndex,
    mac: [u8; 6],
    generation: u32,
}

impl Segment {
    /// True: neighbours can be told of the address there, and what they send for it is taken in.
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
