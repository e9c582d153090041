//! Reads an entry of `advertisements[]`.
use outrigger_sdk::wire::bgp::Community;

use super::Advertisement;
use super::community::{Aliases, Either, parse};
use super::read::Fields;
use super::selector::Selector;

impl Default for Advertisement {
    /// Returns an advertisement of every address by itself to every peer.
    fn default() -> Self {
        Self {
            pools: None,
            services: Selector::default(),
            nodes: Selector::default(),
            peers: None,
            length_v4: 32,
            length_v6: 128,
            communities: Vec::new(),
            large_communities: Vec::new(),
            extended_communities: Vec::new(),
            local_pref: None,
            med: None,
            prepend: None,
            no_export: false,
            link_bandwidth: None,
        }
    }
}

pub(super) fn read(fields: &mut Fields<'_>, aliases: &Aliases) -> Advertisement {
    let mut communities = Vec::new();
    let mut large_communities = fields.texts("largeCommunities", parse).unwrap_or_default();
    for one in fields.texts("communities", |text| aliases.parse(text)).unwrap_or_default() {
        match one {
            Either::Standard(community) => communities.push(community),
            Either::Large(community) => large_communities.push(community),
        }
    }
    let no_export = fields.optional("noExport").unwrap_or(false);
    if no_export && !communities.contains(&Community::NO_EXPORT) {
        communities.push(Community::NO_EXPORT);
    }
    Advertisement {
        // An empty list restricts nothing, as in MetalLB's BGPAdvertisement.
        pools: fields.optional("pools").filter(|pools: &Vec<String>| !pools.is_empty()),
        services: Selector::read(fields, "serviceSelector"),
        nodes: Selector::read(fields, "nodeSelector"),
        peers: fields.optional("peers").filter(|peers: &Vec<String>| !peers.is_empty()),
        length_v4: fields.number("aggregationLength", 1, 32).unwrap_or(32) as u8,
        length_v6: fields.number("aggregationLengthV6", 1, 128).unwrap_or(128) as u8,
        communities,
        large_communities,
        extended_communities: fields.texts("extendedCommunities", parse).unwrap_or_default(),
        local_pref: fields.number("localPref", 0, u32::MAX),
        med: fields.number("med", 0, u32::MAX),
        prepend: fields.number("prepend", 0, 16).map(|times| times as u8),
        no_export,
        link_bandwidth: fields.number("linkBandwidth", 1, 10_000_000),
    }
}
