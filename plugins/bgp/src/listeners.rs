//! Listeners that peers connect to: one per peer that listens, because each may have its own key and TTL.
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use outrigger_sdk::log::Level;
use outrigger_sdk::{CloseReason, Effect, Endpoint, IpNet, Listen, Protocol};
use serde::{Deserialize, Serialize};

use crate::call_context::CallContext;
use crate::error_text::not_listening;
use crate::settings::{PeerLocation, PeerSettings, Settings};

/// Pause between two attempts to listen.
const PATIENCE_US: u64 = 10_000_000;

/// Open listeners, and those that could not be opened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Listeners {
    open: BTreeMap<Endpoint, Listener>,
    /// Time of the next attempt, by the peer's name.
    failed: BTreeMap<String, u64>,
    /// True if the open listeners are the wanted ones, apart from those that failed.
    settled: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Listener {
    entry: String,
    terms: PeerSettings,
}

impl Listeners {
    /// Opens and closes listeners to match the settings.
    pub(crate) fn settle(&mut self, settings: &Settings, turn: &mut CallContext<'_>) {
        let due = self.failed.values().any(|due_us| *due_us <= turn.now_us);
        if std::mem::replace(&mut self.settled, true) && !due {
            return;
        }
        self.failed.retain(|_, due_us| *due_us > turn.now_us);
        let wanted = |entry: &str| match settings.peers.get(entry) {
            Some(Ok(terms)) if terms.listens && !terms.manner.shutdown => Some(terms),
            _ => None,
        };
        let useless = self.open.iter().filter(|(_, listener)| {
            wanted(&listener.entry).is_none_or(|terms| !listener.terms.hold_under(terms))
        });
        let useless: Vec<Endpoint> = useless.map(|(id, _)| *id).collect();
        for id in useless {
            self.open.remove(&id);
            turn.close(id);
        }
        for entry in settings.peers.keys() {
            let Some(terms) = wanted(entry) else { continue };
            let open = self.open.values().any(|listener| listener.entry == *entry);
            if open || self.failed.contains_key(entry) {
                continue;
            }
            let id = turn.numbers.take();
            let options = terms.options();
            let (port, remote) = (terms.listen_port, terms.place.remote());
            let listen = Listen { id, port, remote, protocol: Protocol::Bgp, options };
            turn.effects.push(Effect::Listen(listen));
            self.open.insert(id, Listener { entry: entry.clone(), terms: terms.clone() });
        }
    }

    /// Closes all listeners.
    pub(crate) fn close(&mut self, turn: &mut CallContext<'_>) {
        self.failed.clear();
        for id in std::mem::take(&mut self.open).into_keys() {
            turn.close(id);
        }
    }

    /// Returns the peer that a listener is for, `None` if the listener is unknown.
    pub(crate) fn entry(&self, id: Endpoint) -> Option<&str> {
        self.open.get(&id).map(|listener| listener.entry.as_str())
    }

    /// Handles a listener that closed or could not be opened. Returns the peer's name and the reason.
    pub(crate) fn closed(
        &mut self,
        id: Endpoint,
        reason: &CloseReason,
        turn: &CallContext<'_>,
    ) -> Option<(String, String)> {
        let listener = self.open.remove(&id)?;
        let why = not_listening(reason, listener.terms.listen_port);
        turn.say(Level::Warn, &format!("neighbor {}: {why}", listener.entry));
        self.failed.insert(listener.entry.clone(), turn.now_us + PATIENCE_US);
        Some((listener.entry, why))
    }

    /// Keeps the listeners that are still open after another instance took over. The others are opened again.
    pub(crate) fn resumed(&mut self, open: &[Endpoint]) {
        self.open.retain(|id, _| open.contains(id));
        self.failed.clear();
        self.settled = false;
    }

    /// Returns when the next attempt to listen is due.
    pub(crate) fn due_us(&self) -> Option<u64> {
        self.failed.values().min().copied()
    }
}

impl PeerLocation {
    /// Returns the prefix that a peer may connect from.
    pub(crate) fn remote(&self) -> IpNet {
        match self {
            Self::Address(address, _) => IpNet::from(*address),
            Self::Prefix(prefix) => *prefix,
            // The peer at the other end of a link has a link-local address (RFC 4291 section 2.5.6).
            Self::Interface(_) => {
                let first = IpAddr::from(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0));
                IpNet::new(first, 10).expect("10 is at most 128")
            }
        }
    }
}
