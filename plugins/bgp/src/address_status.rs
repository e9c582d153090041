//! Announcement state of each address, and the reports about it. A report is written when it differs from the last one,
//! up to a few thousand per call.
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use outrigger_sdk::wire::bgp::Family;
use outrigger_sdk::{AddressReport, AnnouncementState, Effect, Report};
use serde::{Deserialize, Serialize};

use crate::config::Advertisement;
use crate::neighbour::Neighbour;
use crate::routes::{AnnouncementMode, Routes};

/// Identifier of a [`AddressStatus`] within one [`AddressStatuses`].
pub(crate) type StandingId = u32;

/// Number of verdicts above which all are forgotten, because names of peers that come and go produce ever new ones.
const MOST_VERDICTS: usize = 4_096;

/// Verdicts that were reported, each stored once, and the addresses to examine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AddressStatuses {
    verdicts: Vec<AddressStatus>,
    changed: BTreeSet<IpAddr>,
    /// Address from which on all are to be examined.
    sweep: Option<IpAddr>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum AddressStatus {
    /// Announced to these peers.
    Announced(Vec<String>),
    /// Another node announces it; "" if no node does.
    Standby(String),
    /// No advertisement selects it.
    NotSelected,
    /// The advertisements that select it cover no peer of this node.
    NoPeer,
    /// None of the covered peers has an Established session.
    NoSession,
    /// The peers with an Established session do not take it; the reason is that of the first one.
    NotTaken { peer: String, reason: Reason },
    /// Its UPDATE is about to be sent.
    Pending,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Reason {
    Family,
    NextHop,
    TooLong(String),
    Refused(String),
}

/// Input that verdicts are derived from.
pub(crate) struct StatusInputs<'a> {
    pub(crate) neighbours: &'a BTreeMap<String, Neighbour>,
    pub(crate) advertisements: &'a [Advertisement],
    /// Reasons why the host cut a prefix out, by the neighbour's name and the prefix.
    pub(crate) refused: &'a crate::refusal::Refusals,
}

impl AddressStatuses {
    pub(crate) fn changed(&mut self, addresses: impl IntoIterator<Item = IpAddr>) {
        self.changed.extend(addresses);
    }

    /// Marks all addresses for examination, after sessions came up or went down.
    pub(crate) fn all_changed(&mut self) {
        self.sweep = Some(Ipv4Addr::UNSPECIFIED.into());
    }

    /// Returns true if no address is left to examine.
    pub(crate) fn is_quiet(&self) -> bool {
        self.changed.is_empty() && self.sweep.is_none()
    }

    /// Examines as many addresses as `work` allows.
    pub(crate) fn settle(
        &mut self,
        routes: &mut Routes,
        scene: &StatusInputs<'_>,
        work: &mut usize,
        effects: &mut Vec<Effect>,
    ) {
        if self.verdicts.len() > MOST_VERDICTS {
            self.verdicts.clear();
            routes.forget_told();
        }
        // Each address is looked up in every neighbour.
        let cost = (1 + scene.neighbours.len()).min(*work);
        while cost > 0 && *work >= cost {
            let Some(address) = self.next(routes) else { return };
            *work -= cost;
            let Some(task) = routes.task(address) else {
                effects.push(withdrawn(address));
                continue;
            };
            let verdict = match &task.duty {
                AnnouncementMode::Standby(node) => AddressStatus::Standby(node.clone()),
                AnnouncementMode::Announce | AnnouncementMode::Leave => {
                    scene.verdict(address, routes)
                }
            };
            let known = self.verdicts.iter().position(|known| *known == verdict);
            let id = known.unwrap_or_else(|| {
                self.verdicts.push(verdict.clone());
                self.verdicts.len() - 1
            });
            let id = u32::try_from(id).expect("there are no more verdicts than calls");
            let task = routes.task_mut(address).expect("it was just there");
            if task.told != Some(id) {
                task.told = Some(id);
                effects.push(verdict.report(address));
            }
        }
    }

    fn next(&mut self, routes: &Routes) -> Option<IpAddr> {
        if let Some(address) = self.changed.pop_first() {
            return Some(address);
        }
        let mut rest = routes.tasks_from(self.sweep?);
        let next = rest.next();
        self.sweep = rest.next();
        next
    }
}

impl StatusInputs<'_> {
    fn verdict(&self, address: IpAddr, routes: &Routes) -> AddressStatus {
        let prefixes = routes.prefixes(address, self.advertisements);
        if prefixes.is_empty() {
            return AddressStatus::NotSelected;
        }
        let told = self.neighbours.values().filter(|one| {
            one.session().is_some() && prefixes.iter().any(|prefix| one.out.is_told(prefix))
        });
        let via: Vec<String> = told.map(|neighbour| neighbour.name.clone()).collect();
        if !via.is_empty() {
            return AddressStatus::Announced(via);
        }
        let chosen = |neighbour: &&Neighbour| {
            self.advertisements.iter().any(|one| one.covers(&neighbour.entry))
        };
        let mut chosen = self.neighbours.values().filter(chosen).peekable();
        if chosen.peek().is_none() {
            return AddressStatus::NoPeer;
        }
        let mut established =
            chosen.filter_map(|one| Some((one, one.session()?.agreed()?))).peekable();
        if established.peek().is_none() {
            return AddressStatus::NoSession;
        }
        let family = if address.is_ipv4() { Family::IPV4_UNICAST } else { Family::IPV6_UNICAST };
        let taken = established.find_map(|(neighbour, agreed)| {
            let hops = neighbour.out.hops;
            let hop = if address.is_ipv4() { hops.v4 } else { hops.v6 };
            let prefix = prefixes.first()?;
            let refused = self.refused.reason(&neighbour.name, prefix);
            let reason = if !agreed.negotiated.carries(family) {
                Reason::Family
            } else if hop.is_none() {
                Reason::NextHop
            } else if let Some(words) = neighbour.out.too_long.get(prefix) {
                Reason::TooLong(words.clone())
            } else {
                Reason::Refused(refused?.to_owned())
            };
            Some(AddressStatus::NotTaken { peer: neighbour.name.clone(), reason })
        });
        taken.unwrap_or(AddressStatus::Pending)
    }
}

impl AddressStatus {
    fn report(&self, address: IpAddr) -> Effect {
        use AnnouncementState::{Announced, Failed, Pending, Standby};
        let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
        let (state, reason, message) = match self {
            Self::Announced(_) => (Announced, "", String::new()),
            Self::Standby(node) if node.is_empty() => {
                let message = "no node can announce it: see the conditions of the nodes";
                (Standby, "NoEligibleNode", message.to_owned())
            }
            Self::Standby(node) => (Standby, "OtherNode", format!("{node} announces it")),
            Self::NotSelected => (
                Failed,
                "NoMatchingAdvertisement",
                "no entry of advertisements selects its pool, its Services and this node"
                    .to_owned(),
            ),
            Self::NoPeer => (
                Failed,
                "NoPeer",
                "none of the peers in its advertisements is configured for this node".to_owned(),
            ),
            Self::NoSession => {
                let message =
                    "no BGP session of this node is Established: see the state of its peers";
                (Pending, "NoSession", message.to_owned())
            }
            Self::Pending => (Pending, "Sending", "the UPDATE is not yet sent".to_owned()),
            Self::NotTaken { peer, reason } => match reason {
                Reason::Family => (
                    Failed,
                    "FamilyNotNegotiated",
                    format!(
                        "{peer} does not accept {family} routes: activate the address family on the peer"
                    ),
                ),
                Reason::NextHop => (
                    Failed,
                    "NoNextHop",
                    format!(
                        "this node has no {family} address as next hop for {peer}: add one to the link"
                    ),
                ),
                Reason::TooLong(words) => (Failed, "AttributesTooLong", words.clone()),
                Reason::Refused(words) => {
                    (Failed, "Refused", format!("the host refused the route to {peer}: {words}"))
                }
            },
        };
        let via = if let Self::Announced(peers) = self { peers.clone() } else { Vec::new() };
        let reason = reason.to_owned();
        Effect::Report(Report::Address(AddressReport { address, state, via, reason, message }))
    }
}

fn withdrawn(address: IpAddr) -> Effect {
    Effect::Report(Report::Address(AddressReport {
        address,
        state: AnnouncementState::Withdrawn,
        via: Vec::new(),
        reason: String::new(),
        message: String::new(),
    }))
}
