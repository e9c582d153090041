//! Refusals by the host: routes it cut out of an UPDATE or withdrew by itself, with the reason and the time of the next
//! attempt. A refusal can be out of date by the time it arrives, so none is final.
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use outrigger_sdk::{Denied, Endpoint, IpNet};
use serde::{Deserialize, Serialize};

use crate::call_context::CallContext;
use crate::connection::State;
use crate::error_text::denied;
use crate::neighbour::{Ending, Neighbour};

/// Pause between two attempts.
const PATIENCE_US: u64 = 10_000_000;
/// Pause between a message that the host did not write and the next attempt to send its routes.
const REPEAT_US: u64 = 5_000_000;
/// Pause between an offload that the host refused and the next attempt: shorter than the shortest Hold Time (RFC 4271
/// section 4.2).
const ASK_AGAIN_US: u64 = 1_000_000;
/// Maximum number of cut-out routes that the host names; it only counts the rest.
const NAMED_AT_MOST: usize = 50;

/// Refused routes by the neighbour's name and the prefix.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refusals(BTreeMap<(String, IpNet), Refusal>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Refusal {
    reason: String,
    due_us: u64,
}

/// Effect that the host did not carry out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// One route on a stream; the subject is "STREAM PREFIX".
    Route(Endpoint, IpNet),
    /// A message on a stream, without the information which one; the subject is "STREAM".
    Message(Endpoint),
    /// A timer of a stream or of a socket; the subject is that stream or socket.
    Timer(Endpoint),
    /// A BFD beacon; the subject is the peer with its port.
    Beacon(IpAddr),
}

/// Returns the effect that a refusal leaves out, or `None` if it is of no concern here.
pub(crate) fn missing(denied: &Denied) -> Option<Missing> {
    let subject = &denied.subject;
    match (denied.effect.as_str(), subject.split_once(' ')) {
        ("write", Some((stream, prefix))) => {
            Some(Missing::Route(stream.parse().ok()?, prefix.parse().ok()?))
        }
        ("write", None) => Some(Missing::Message(subject.parse().ok()?)),
        ("offload", _) => {
            let beacon = || Some(Missing::Beacon(subject.parse::<SocketAddr>().ok()?.ip()));
            subject.parse().ok().map(Missing::Timer).or_else(beacon)
        }
        _ => None,
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

    /// Removes and returns the routes whose retry is due.
    pub(crate) fn due(&mut self, now_us: u64) -> Vec<(String, IpNet)> {
        let due = self.0.extract_if(.., |_, refusal| refusal.due_us <= now_us);
        due.map(|(key, _)| key).collect()
    }

    pub(crate) fn due_us(&self) -> Option<u64> {
        self.0.values().map(|refusal| refusal.due_us).min()
    }
}

impl Neighbour {
    /// Handles a message that the host did not write. In an Established session, the peer's routes are in doubt until
    /// all were sent again; before that, the connection is closed, because the peer would wait for a message that never
    /// comes.
    pub(crate) fn not_written(
        &mut self,
        stream: Endpoint,
        reason: &str,
        turn: &mut CallContext<'_>,
    ) {
        let Some(index) = self.connections.iter().position(|one| one.id == stream) else { return };
        let reason = denied(reason);
        let message = match self.connections[index].state {
            State::OpenSent => "OPEN",
            State::OpenConfirm => "KEEPALIVE",
            State::Established => {
                self.out.doubt_all();
                self.last_error = format!("the host did not write a message: {reason}");
                self.repeat_us = Some(turn.now_us + REPEAT_US);
                return;
            }
        };
        let why = format!("the host did not write the {message}: {reason}");
        self.end(index, Ending::Quiet, &why, turn);
    }

    /// Notes that the host did not take on a timer, the KEEPALIVEs or a beacon, so that it is not active.
    pub(crate) fn not_offloaded(&mut self, reason: &str, now_us: u64) {
        self.last_error = format!(
            "the host refused a timer, the KEEPALIVEs or the BFD packets of this session: {}",
            denied(reason)
        );
        self.unaided_until_us.get_or_insert(now_us + ASK_AGAIN_US);
    }

    pub(crate) fn offload_again(&mut self, turn: &mut CallContext<'_>) {
        for connection in &self.connections {
            connection.offloads(&self.terms, turn);
        }
        self.offload_liveness_again(turn);
    }

    /// Counts a cut-out route. When many routes are cut out of one message, the host names only some of them, so all
    /// are put in doubt.
    pub(crate) fn doubt_after_many(&mut self, now_us: u64) {
        self.cut += 1;
        if self.cut >= NAMED_AT_MOST {
            self.out.doubt_all();
            self.repeat_us = Some(now_us + REPEAT_US);
        }
    }
}
