//! Reports about an announcer's peers: a line each in the NodeReport, everything in the details.
use std::collections::BTreeMap;
use std::net::SocketAddr;

use outrigger_kube::crd::{MAX_PEERS, PeerReport};
use outrigger_kube::utc;
use outrigger_sdk::{PeerHealth, Time};
use serde_json::{Map, Value, json};

use crate::mailbox::{Inner, Mailbox};

/// Largest number of routes of one session in the details: people read the first ones, and programs query the router.
const ROUTES: usize = 1_000;

/// Returns the peers for the NodeReport.
pub fn peers(inner: &Inner) -> Vec<PeerReport> {
    let peers = inner.guard.reports().peers().take(MAX_PEERS);
    peers
        .map(|peer| PeerReport {
            peer: peer.peer.clone(),
            protocol: peer.protocol.clone(),
            state: peer.state.clone(),
            health: health(peer.health).to_owned(),
            last_error: peer.last_error.clone(),
        })
        .collect()
}

/// Returns everything about an announcer's peers, for `outrigger bgp` and other readers of the details. Two names that
/// plugins report about a peer have a meaning here: `remote`, the other end of its connection, and `since-us`, the
/// start of its state on the monotonic clock.
pub fn details(name: &str, mailbox: &Mailbox, now: Time) -> Value {
    let inner = mailbox.lock();
    let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (_, remote, routes) in inner.guard.told() {
        let list = told.entry(remote.to_string()).or_default();
        list.extend(routes.iter().take(ROUTES).map(ToString::to_string));
    }
    let peers = inner.guard.reports().peers().map(|peer| {
        let mut about: Map<String, Value> =
            peer.ext.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        let remote = about.get("remote").and_then(|remote| remote.as_str()?.parse().ok());
        let address = remote.map(|remote: SocketAddr| remote.ip().to_string()).unwrap_or_default();
        let since_us = about.remove("since-us").and_then(|since| since.as_str()?.parse().ok());
        let since = since_us.map(|since_us| date(since_us, now)).unwrap_or_default();
        let counters: Map<String, Value> =
            peer.counters.iter().map(|(name, value)| (name.clone(), number(*value))).collect();
        let routes = if peer.protocol == "bgp" { told.get(&address) } else { None };
        json!({
            "peer": peer.peer,
            "address": address,
            "protocol": peer.protocol,
            "health": health(peer.health),
            "state": peer.state,
            "since": since,
            "lastError": peer.last_error,
            "counters": counters,
            "about": about,
            "routes": routes,
        })
    });
    json!({ "name": name, "peers": peers.collect::<Vec<_>>() })
}

/// Converts a time of the monotonic clock to a date.
fn date(monotonic_us: u64, now: Time) -> String {
    utc(now.utc_us.saturating_sub(now.monotonic_us.saturating_sub(monotonic_us)))
}

/// Converts a number, as an integer if it has no fraction.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 9e15 { json!(value as i64) } else { json!(value) }
}

/// Returns the health in one word.
pub fn health(health: PeerHealth) -> &'static str {
    match health {
        PeerHealth::Starting => "starting",
        PeerHealth::Up => "up",
        PeerHealth::Degraded => "degraded",
        PeerHealth::Down => "down",
        PeerHealth::Disabled => "disabled",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_as_old_as_the_clocks_say() {
        let now = Time { monotonic_us: 90_000_000, utc_us: 1_763_895_600_000_000 };
        assert_eq!(date(30_000_000, now), "2025-11-23 10:59:00 UTC");
    }
}
