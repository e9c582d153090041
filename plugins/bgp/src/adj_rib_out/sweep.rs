//! A walk over all routes of a family in batches, and the markers around it.
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use outrigger_sdk::IpNet;
use outrigger_sdk::wire::bgp::Family;
use serde::{Deserialize, Serialize};

use crate::path::PathId;
use crate::routes::Routes;

/// Progress of a walk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sweep {
    /// Next prefix to examine. `None` if the last route was examined and only the marker is left to send.
    pub(super) from: Option<IpNet>,
    /// True if routes that were already advertised must be sent again.
    pub(super) again: bool,
    /// Markers sent before the first route and after the last one.
    pub(super) marks: Marks,
    pub(super) begun: bool,
    /// The peer requested a refresh during its initial walk: a walk with refresh markers follows (RFC 7313 section 4).
    pub(super) refresh_next: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Marks {
    None,
    /// End-of-RIB after the last route (RFC 4724 section 2).
    EndOfRib,
    /// BoRR before the first route and EoRR after the last one (RFC 7313 section 3.2).
    Refresh,
}

impl Sweep {
    pub(super) fn new(family: Family, again: bool, marks: Marks) -> Self {
        let first = match family {
            Family::IPV4_UNICAST => IpAddr::from(Ipv4Addr::UNSPECIFIED),
            _ => Ipv6Addr::UNSPECIFIED.into(),
        };
        let first = IpNet::new(first, 0).expect("every family has a /0");
        Self { from: Some(first), again, marks, begun: false, refresh_next: false }
    }
}

/// Returns where the walk continues, and at most `most` routes from `from` on that were advertised or exist now.
pub(super) fn union(
    sent: &BTreeMap<IpNet, PathId>,
    routes: &Routes,
    from: IpNet,
    most: usize,
) -> (Option<IpNet>, Vec<IpNet>) {
    let mut told = sent.range(from..).map(|(prefix, _)| *prefix).peekable();
    let mut there = routes.from(from).map(|(prefix, _)| *prefix).peekable();
    let mut both = std::iter::from_fn(move || match (told.peek(), there.peek()) {
        (Some(one), Some(other)) if one == other => {
            told.next();
            there.next()
        }
        (Some(one), Some(other)) if one < other => told.next(),
        (Some(_), None) => told.next(),
        _ => there.next(),
    });
    let prefixes: Vec<IpNet> = both.by_ref().take(most).collect();
    (both.next(), prefixes)
}
