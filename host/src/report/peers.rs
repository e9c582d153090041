//! What is said of an announcer's peers: a line each in the NodeReport, everything in the details.
use std::collections::BTreeMap;

use outrigger_kube::crd::{MAX_PEERS, PeerReport};
use outrigger_sdk::PeerHealth;
use serde_json::{Map, Value, json};

use crate::desk::{Desk, Inner};

/// Routes of one session that the details hold at most: people read the first, and machines ask the router.
const ROUTES: usize = 1_000;

/// For the NodeReport.
pub fn peers(inner: &Inner) -> Vec<PeerReport> {
    let peers = inner.standing.peers.values().take(MAX_PEERS);
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

/// For `outrigger bgp` and whoever else wants to know everything.
pub fn details(name: &str, desk: &Desk) -> Value {
    let inner = desk.lock();
    let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (_, remote, routes) in inner.guard.told() {
        let list = told.entry(remote.to_string()).or_default();
        list.extend(routes.iter().take(ROUTES).map(ToString::to_string));
    }
    let peers = inner.standing.peers.values().map(|peer| {
        let about: Map<String, Value> =
            peer.ext.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        let address = peer.ext.iter().find(|(name, _)| name == "address").map(|(_, at)| at.clone());
        let address = address.unwrap_or_else(|| peer.peer.clone());
        let counters: Map<String, Value> =
            peer.counters.iter().map(|(name, value)| (name.clone(), number(*value))).collect();
        let routes = if peer.protocol == "bgp" { told.get(&address) } else { None };
        json!({
            "peer": peer.peer,
            "address": address,
            "protocol": peer.protocol,
            "health": health(peer.health),
            "state": peer.state,
            "lastError": peer.last_error,
            "counters": counters,
            "about": about,
            "routes": routes,
        })
    });
    json!({ "name": name, "peers": peers.collect::<Vec<_>>() })
}

/// Counts are shown as such.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 9e15 { json!(value as i64) } else { json!(value) }
}

/// In one word.
pub fn health(health: PeerHealth) -> &'static str {
    match health {
        PeerHealth::Starting => "starting",
        PeerHealth::Up => "up",
        PeerHealth::Degraded => "degraded",
        PeerHealth::Down => "down",
        PeerHealth::Disabled => "disabled",
    }
}
