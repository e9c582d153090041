//! The report about a neighbour and when it is due: immediately when the neighbour's state changes, a little later when
//! only counters do.
use outrigger_sdk::wire::bgp::{Capability, Open};
use outrigger_sdk::{Effect, PeerHealth, PeerReport, Report};
use serde::{Deserialize, Serialize};

use crate::connection::{Agreed, Connection};
use crate::counts::Counts;
use crate::liveness::Liveness;
use crate::neighbour::{Neighbour, PeerState};
use crate::open;
use crate::routes::Routes;

/// Minimum time between two reports that differ only in routes (`ROUTES_US`), or only in messages (`MESSAGES_US`).
const ROUTES_US: u64 = 1_000_000;
const MESSAGES_US: u64 = 10_000_000;

/// The last report.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Summary {
    told: Option<Told>,
    at_us: u64,
    /// Time at which the next report is due.
    pub(crate) due_us: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    standing: PeerState,
    last_error: String,
    since_us: u64,
    announced: usize,
    pending: bool,
    counts: Counts,
}

impl Neighbour {
    /// Forgets the last report, so that it is sent again.
    pub(crate) fn say_again(&mut self) {
        self.summary = Summary::default();
        self.liveness.iter_mut().for_each(Liveness::say_again);
    }

    /// Sends the report if it is due.
    pub(crate) fn summarize(&mut self, now_us: u64, routes: &Routes, effects: &mut Vec<Effect>) {
        let standing = self.standing();
        let (announced, pending) =
            (self.out.told_count(), self.session().is_some() && !self.out.is_quiet());
        let wait_us = match &self.summary.told {
            None => 0,
            Some(told) if told.standing != standing || told.since_us != self.since_us => 0,
            Some(told) if told.last_error != self.trouble() => 0,
            Some(told) if (told.announced, told.pending) != (announced, pending) => ROUTES_US,
            Some(told) if told.counts != self.counts => MESSAGES_US,
            Some(_) => {
                self.summary.due_us = None;
                return;
            }
        };
        let due_us = self.summary.at_us.saturating_add(wait_us);
        if wait_us > 0 && now_us < due_us {
            self.summary.due_us = Some(due_us);
            return;
        }
        let told = Told {
            standing,
            last_error: self.trouble(),
            since_us: self.since_us,
            announced,
            pending,
            counts: self.counts,
        };
        self.summary = Summary { told: Some(told), at_us: now_us, due_us: None };
        effects.push(Effect::Report(Report::Peer(self.report(routes))));
    }

    fn report(&self, routes: &Routes) -> PeerReport {
        let session = self.session();
        let mut counters = self.counts.named();
        let gauges = [
            ("session-up", f64::from(u8::from(session.is_some()))),
            ("announced-prefixes-total", self.out.told_count() as f64),
            ("pending-prefixes-total", self.out.pending_count(routes) as f64),
        ];
        counters.extend(gauges.map(|(name, value)| (name.to_owned(), value)));
        if self.terms.manner.maximum_prefixes.is_some() {
            counters.push(("received-prefixes".to_owned(), self.received.len() as f64));
        }
        PeerReport {
            peer: self.name.clone(),
            protocol: "bgp".to_owned(),
            health: self.health(session),
            state: self.standing().to_string(),
            last_error: self.trouble(),
            counters,
            ext: self.details(session),
        }
    }

    fn health(&self, session: Option<&Connection>) -> PeerHealth {
        if let Some(agreed) = session.and_then(Connection::agreed) {
            return if self.complaint(agreed).is_some() {
                PeerHealth::Degraded
            } else {
                PeerHealth::Up
            };
        }
        match self.standing() {
            PeerState::Idle if self.terms.manner.shutdown => PeerHealth::Disabled,
            _ if self.trouble().is_empty() && !self.was_up => PeerHealth::Starting,
            _ => PeerHealth::Down,
        }
    }

    /// Returns what is wrong with a session that is up, or `None` if nothing is.
    fn complaint(&self, agreed: &Agreed) -> Option<String> {
        let missing = open::families(self.terms.families)
            .into_iter()
            .find(|family| !agreed.negotiated.carries(*family));
        // Both families are offered unless the configuration names them; without names, a peer that accepts only one is fine.
        let named = !(self.terms.families.ipv4 && self.terms.families.ipv6);
        if let Some(family) = missing.filter(|_| named) {
            return Some(format!("peer does not accept routes of {family}"));
        }
        self.out.too_long.values().next().cloned()
    }

    fn details(&self, session: Option<&Connection>) -> Vec<(String, String)> {
        let mut details = vec![("since-us".to_owned(), self.since_us.to_string())];
        let mut add = |name: &str, value: String| details.push((name.to_owned(), value));
        add("local-asn", self.terms.local_asn.to_string());
        add("local-router-id", self.terms.router_id.to_string());
        add("entry", self.entry.clone());
        let Some(connection) = session.or(self.connections.first()) else { return details };
        add("local", connection.local.to_string());
        add("remote", connection.remote.to_string());
        let Some(agreed) = connection.agreed() else { return details };
        let Agreed { ours, theirs, negotiated } = agreed;
        let names = |open: &Open| {
            let names: Vec<String> = open.capabilities.iter().map(Capability::name).collect();
            names.join(", ")
        };
        add("asn", theirs.asn.to_string());
        add("router-id", theirs.router_id.to_string());
        add("hold-time", connection.hold_s().to_string());
        add("keepalive-ms", connection.keepalive_ms(&self.terms).to_string());
        let families: Vec<String> = negotiated.families.iter().map(ToString::to_string).collect();
        add("families", families.join(", "));
        add("capabilities-sent", names(ours));
        add("capabilities-received", names(theirs));
        for (name, hop) in
            [("next-hop-ipv4", self.out.hops.v4), ("next-hop-ipv6", self.out.hops.v6)]
        {
            if let Some(hop) = hop {
                add(name, outrigger_sdk::wire::bgp::NextHop::from(hop).to_string());
            }
        }
        if let (true, notification) = open::graceful(ours, theirs) {
            let also = if notification { ", also after a NOTIFICATION" } else { "" };
            let ours_s = ours.graceful_restart().map_or(0, |restart| restart.restart_time);
            add("graceful-restart", format!("{ours_s} s{also}"));
        }
        if let Some(liveness) = &self.liveness {
            add("bfd", liveness.session.state().to_string());
        }
        if let Some(complaint) = self.complaint(agreed) {
            add("complaint", complaint);
        }
        details
    }
}
