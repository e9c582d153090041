//! A walk over all routes of a family, some at a time, and the marks around it.
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use outrigger_sdk::IpNet;
use outrigger_sdk::wire::bgp::Family;
use serde::{Deserialize, Serialize};

use crate::path::PathId;
use crate::routes::Routes;

/// How far a walk is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sweep {
    /// `None`: the last one was looked at, the mark is still to be said.
    pub(super) from: Option<IpNet>,
    /// Say what was said before, too.
    pub(super) again: bool,
    /// What is said before the first and after the last.
    pub(super) marks: Marks,
    pub(super) begun: bool,
    /// The peer asked for a refresh while this walk was its first: a marked one follows (RFC 7313 section 4).
    pub(super) refresh_next: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Marks {
    None,
    /// RFC 4724 section 2.
    EndOfRib,
    /// RFC 7313 section 3.2.
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

/// The first so many of the routes that were told or are there, from `from` on, and where to go on.
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
