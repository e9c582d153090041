//! Where peers may connect: one listener per peer that listens, since each may have its own key and TTL.
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use outrigger_sdk::log::Level;
use outrigger_sdk::{CloseReason, Effect, Endpoint, IpNet, Listen, Speech};
use serde::{Deserialize, Serialize};

use crate::settings::{Place, Settings, Terms};
use crate::turn::Turn;
use crate::words::not_listening;

/// Between two attempts to listen.
const PATIENCE_US: u64 = 10_000_000;

/// Those that are open, and those that could not be opened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Listeners {
    open: BTreeMap<Endpoint, Listener>,
    /// By the peer's name, when to try again.
    failed: BTreeMap<String, u64>,
    /// What is open is what should be, but for those that failed.
    settled: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Listener {
    entry: String,
    terms: Terms,
}

impl Listeners {
    /// Makes what is open what it should be.
    pub(crate) fn settle(&mut self, settings: &Settings, turn: &mut Turn<'_>) {
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
            let listen = Listen { id, port, remote, protocol: Speech::Bgp, options };
            turn.effects.push(Effect::Listen(listen));
            self.open.insert(id, Listener { entry: entry.clone(), terms: terms.clone() });
        }
    }

    /// Closes all.
    pub(crate) fn close(&mut self, turn: &mut Turn<'_>) {
        self.failed.clear();
        for id in std::mem::take(&mut self.open).into_keys() {
            turn.close(id);
        }
    }

    /// The peer that is listened for.
    pub(crate) fn entry(&self, id: Endpoint) -> Option<&str> {
        self.open.get(&id).map(|listener| listener.entry.as_str())
    }

    /// One is gone, or could not be opened. Answers with the peer's name and why.
    pub(crate) fn closed(
        &mut self,
        id: Endpoint,
        reason: &CloseReason,
        turn: &Turn<'_>,
    ) -> Option<(String, String)> {
        let listener = self.open.remove(&id)?;
        let why = not_listening(reason, listener.terms.listen_port);
        turn.say(Level::Warn, &format!("neighbor {}: {why}", listener.entry));
        self.failed.insert(listener.entry.clone(), turn.now_us + PATIENCE_US);
        Some((listener.entry, why))
    }

    /// What is in force after another instance took over. The others are opened again.
    pub(crate) fn resumed(&mut self, open: &[Endpoint]) {
        self.open.retain(|id, _| open.contains(id));
        self.failed.clear();
        self.settled = false;
    }

    /// When there is something to do next.
    pub(crate) fn due_us(&self) -> Option<u64> {
        self.failed.values().min().copied()
    }
}

impl Place {
    /// Who may connect.
    pub(crate) fn remote(&self) -> IpNet {
        match self {
            Self::Address(address, _) => IpNet::from(*address),
            Self::Prefix(prefix) => *prefix,
            // Whoever is at the other end has a link-local address there (RFC 4291 section 2.5.6).
            Self::Interface(_) => {
                let first = IpAddr::from(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0));
                IpNet::new(first, 10).expect("10 is at most 128")
            }
        }
    }
}
