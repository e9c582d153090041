//! Scripts of events for comparing two builds of this plugin: native against wasm, or one version against another.
//! Both must answer each call with the same effects.
use outrigger_sdk::{Event, IpNet, Link, LinkIndex, LinksChanged, MacAddr};

pub(crate) fn links(links: &[Link]) -> LinksChanged {
    LinksChanged { reset: true, remove: vec![], upsert: links.to_vec(), more: false }
}

/// A link whose MAC ends in its index.
pub(crate) fn link(index: LinkIndex, name: &str, addresses: &[&str]) -> Link {
    let parse = |text: &&str| text.parse::<IpNet>().expect("scripts hold valid prefixes");
    Link {
        index,
        name: name.to_owned(),
        mac: MacAddr::new(2, 0, 0, 0, 0, index as u8),
        mtu: 1500,
        up: true,
        arp: true,
        generation: 1,
        addresses: addresses.iter().map(parse).collect(),
    }
}
#[allow(dead_code)]
type Later = Event;
