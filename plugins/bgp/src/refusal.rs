//! What the host cut out of an UPDATE or withdrew by itself, why, and when to try again: a refusal can be out of date by the
//! time it arrives, so none is final.
use std::collections::BTreeMap;

use outrigger_sdk::{Denied, Endpoint, IpNet};
use serde::{Deserialize, Serialize};

/// Between two tries.
const PATIENCE_US: u64 = 10_000_000;

/// By the neighbour's name and the prefix.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refusals(BTreeMap<(String, IpNet), Refusal>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Refusal {
    reason: String,
    due_us: u64,
}

/// What of a stream was not written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// One route: the subject is "STREAM PREFIX".
    Route(IpNet),
    /// A message, and nobody says which: the subject is "STREAM".
    Message,
}

/// Which stream, and what of it.
pub(crate) fn cut(denied: &Denied) -> Option<(Endpoint, Cut)> {
    if denied.effect != "write" {
        return None;
    }
    match denied.subject.split_once(' ') {
        Some((stream, prefix)) => Some((stream.parse().ok()?, Cut::Route(prefix.parse().ok()?))),
        None => Some((denied.subject.parse().ok()?, Cut::Message)),
    }
}

impl Refusals {
    pub(crate) fn refused(&mut self, peer: String, prefix: IpNet, reason: String, now_us: u64) {
        let due_us = now_us + PATIENCE_US;
        self.0.insert((peer, prefix), Refusal { reason, due_us });
    }

    pub(crate) fn reason(&self, peer: &str, prefix: &IpNet) -> Option<&str> {
        let refusal = self.0.get(&(peer.to_owned(), *prefix));
        refusal.map(|refusal| refusal.reason.as_str())
    }

    /// Those to try again now; they are forgotten.
    pub(crate) fn due(&mut self, now_us: u64) -> Vec<(String, IpNet)> {
        let due = self.0.extract_if(.., |_, refusal| refusal.due_us <= now_us);
        due.map(|(key, _)| key).collect()
    }

    pub(crate) fn due_us(&self) -> Option<u64> {
        self.0.values().map(|refusal| refusal.due_us).min()
    }
}
