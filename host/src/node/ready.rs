//! Readiness of this node's announcers, which is published so that an address goes to a node that can announce it.
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use outrigger_core::facts::{Announcer, Election};
use outrigger_core::plan::Planner;
use outrigger_core::readiness::{NodeReadiness, Readiness};
use outrigger_net::Links;
use outrigger_sdk::LinkIndex;

use super::{Announcers, Proxy, Segments, links};

/// Duration of a fault that is no reason to move an address, for a plugin that restarts or a link that is being set up.
const PATIENCE_US: u64 = 500_000;
/// Time for which a failure counts after the plugin reported it last; otherwise two nodes that both fail would pass an
/// address to and fro.
const REMEMBERED_US: u64 = 30_000_000;

/// State of the node besides its announcers.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    pub links: &'a Links,
    pub segments: &'a Segments,
    pub proxy: &'a Proxy,
    /// Addresses that the announcers are to announce.
    pub planner: &'a Planner,
}

/// Start of every current fault, in monotonic microseconds.
#[derive(Default)]
pub(super) struct Ready {
    held: BTreeMap<String, u64>,
    failed: BTreeMap<(String, IpAddr), Failed>,
    /// Time at which the readiness may change even if nothing happens.
    pub due: Option<u64>,
}

struct Failed {
    since_us: u64,
    ended_us: Option<u64>,
}

impl Ready {
    /// Takes in the report of an announcer's plugin that it cannot announce an address, or any other report about it.
    pub fn reported(&mut self, announcer: &str, address: IpAddr, failed: bool, now_us: u64) {
        let key = (announcer.to_owned(), address);
        match (self.failed.get_mut(&key), failed) {
            (Some(known), true) => known.ended_us = None,
            // The failure was too short to count.
            (Some(known), false) if now_us < known.since_us + PATIENCE_US => {
                self.failed.remove(&key);
            }
            (Some(known), false) => _ = known.ended_us.get_or_insert(now_us),
            (None, true) => {
                self.failed.insert(key, Failed { since_us: now_us, ended_us: None });
            }
            (None, false) => {}
        }
    }

    /// Returns the links on which addresses are announced by announcers that elect one node.
    pub fn links(wanted: &BTreeMap<String, Arc<Announcer>>, links: &Links) -> BTreeSet<LinkIndex> {
        let elects = wanted.values().filter(|announcer| announcer.election == Election::One);
        let granted = elects.flat_map(|announcer| links::granted(links, &announcer.interfaces));
        granted.filter(|link| link.arp && link.up).map(|link| link.index).collect()
    }

    /// Returns the readiness of every announcer that elects one node.
    pub fn look(
        &mut self,
        now_us: u64,
        wanted: &BTreeMap<String, Arc<Announcer>>,
        announcers: &Announcers,
        around: Around<'_>,
    ) -> NodeReadiness {
        self.due = None;
        self.failed.retain(|(announcer, address), failed| {
            let over = failed.ended_us.is_some_and(|at| at + REMEMBERED_US <= now_us);
            !over && around.planner.desired(announcer).contains_key(address)
        });
        self.held.retain(|announcer, _| wanted.contains_key(announcer));
        let elects = |announcer: &&Arc<Announcer>| announcer.election == Election::One;
        let known = wanted.values().filter(elects).filter_map(|announcer| {
            let readiness = self.of_one(now_us, announcer, announcers, around)?;
            Some((announcer.name.clone(), readiness))
        });
        known.collect()
    }

    fn of_one(
        &mut self,
        now_us: u64,
        announcer: &Announcer,
        announcers: &Announcers,
        around: Around<'_>,
    ) -> Option<Readiness> {
        let name = &announcer.name;
        let runs = announcers.runs(announcer)?;
        let held_us = if runs {
            self.held.remove(name);
            None
        } else {
            Some(*self.held.entry(name.clone()).or_insert(now_us))
        };
        let usable = links::granted(around.links, &announcer.interfaces);
        let usable: Vec<_> = usable.into_iter().filter(|link| link.arp).collect();
        let up = || usable.iter().filter(|link| link.up);
        let heard = || up().filter(|link| !around.segments.is_silent(link.index));
        let (mut failed, mut waits) = (Vec::new(), Vec::new());
        for ((of, address), one) in &self.failed {
            if of == name {
                let (counts_us, ends) = (one.since_us + PATIENCE_US, one.ended_us);
                if counts_us <= now_us {
                    failed.push(*address)
                } else {
                    waits.push(counts_us)
                }
                waits.extend(ends.map(|at| at + REMEMBERED_US));
            }
        }
        let readiness = Readiness {
            runs: held_us.is_none_or(|since| now_us < since + PATIENCE_US),
            interface: !usable.is_empty(),
            carrier: up().next().is_some(),
            heard: heard().next().is_some(),
            forwards: around.proxy.forwards(),
            hardware: up().map(|link| link.mac.octets()).collect(),
            networks: heard().flat_map(|link| link.addresses.iter().copied()).collect(),
            failed: failed.into_iter().collect(),
        }
        .bounded();
        waits.extend(held_us.map(|since| since + PATIENCE_US).filter(|at| now_us < *at));
        self.due = self.due.into_iter().chain(waits).min();
        Some(readiness)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_counts_after_half_a_second_and_is_remembered() {
        let mut ready = Ready::default();
        let address = IpAddr::from([192, 0, 2, 1]);
        let failing = |ready: &Ready| ready.failed.len();
        ready.reported("layer2", address, false, 0);
        assert_eq!(failing(&ready), 0);
        ready.reported("layer2", address, true, 0);
        ready.reported("layer2", address, false, PATIENCE_US - 1);
        assert_eq!(failing(&ready), 0, "too short");
        ready.reported("layer2", address, true, 0);
        ready.reported("layer2", address, false, PATIENCE_US);
        ready.reported("layer2", address, true, PATIENCE_US + 1);
        assert!(ready.failed.values().all(|it| it.ended_us.is_none() && it.since_us == 0));
    }
}
