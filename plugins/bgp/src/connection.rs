//! One TCP connection to a peer and the BGP state on it. The consequences for the neighbour are decided in `fsm`.
use std::net::SocketAddr;

use outrigger_sdk::wire::bgp::{self, Message, Negotiated, Notification, Open};
use outrigger_sdk::{Endpoint, OffloadWork, Opened};
use serde::{Deserialize, Serialize};

use crate::call_context::CallContext;
use crate::open;
use crate::settings::PeerSettings;

/// Hold Time until the peer's OPEN arrives. RFC 4271 section 8.2.2 suggests four minutes for a peer that connects and
/// sends nothing.
const FIRST_HOLD_S: u32 = 240;

/// A connection from OpenSent on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Connection {
    pub(crate) id: Endpoint,
    /// True if we dialled it.
    pub(crate) ours: bool,
    pub(crate) state: State,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) credit: u32,
    /// Time since which nothing could be written although there was something to write.
    pub(crate) stuck_since_us: Option<u64>,
    /// Numbers of the two offloads: Hold Timer and KEEPALIVE.
    timers: [Endpoint; 2],
    /// Both OPENs as they were on the wire; the peer's is empty until it has arrived. `agreed` follows from them.
    sent: Vec<u8>,
    received: Vec<u8>,
    #[serde(skip)]
    agreed: Option<Box<Agreed>>,
}

/// State of a connection (RFC 4271 section 8.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum State {
    OpenSent,
    OpenConfirm,
    Established,
}

/// Both OPENs, and the capabilities negotiated with them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Agreed {
    pub(crate) ours: Open,
    pub(crate) theirs: Open,
    pub(crate) negotiated: Negotiated,
}

impl Connection {
    /// Sends our OPEN on a new connection.
    pub(crate) fn begin(
        opened: Opened,
        ours: bool,
        terms: &PeerSettings,
        restarted: bool,
        turn: &mut CallContext<'_>,
    ) -> Self {
        let Opened { id, local, remote, credit } = opened;
        let sent = open::ours(terms, remote.is_ipv6(), restarted).encode();
        let timers = [turn.numbers.take(), turn.numbers.take()];
        let mut connection = Self {
            id,
            ours,
            state: State::OpenSent,
            local,
            remote,
            credit,
            stuck_since_us: None,
            timers,
            sent: sent.clone(),
            received: Vec::new(),
            agreed: None,
        };
        connection.write(sent, turn);
        connection.expect(FIRST_HOLD_S, turn);
        connection
    }

    /// Decodes a message with the capabilities negotiated on this connection.
    pub(crate) fn decode(&self, message: &[u8]) -> Result<Message, bgp::Fault> {
        match &self.agreed {
            Some(agreed) => bgp::decode(message, &agreed.negotiated),
            None => bgp::decode(message, &Negotiated::default()),
        }
    }

    /// Accepts the peer's OPEN: sends a KEEPALIVE, and has the host send it from now on.
    pub(crate) fn confirm(
        &mut self,
        message: Vec<u8>,
        terms: &PeerSettings,
        turn: &mut CallContext<'_>,
    ) {
        self.received = message;
        self.restore();
        self.state = State::OpenConfirm;
        self.write(bgp::keepalive(), turn);
        self.offloads(terms, turn);
    }

    /// Requests both offloads as they must be now.
    pub(crate) fn offloads(&self, terms: &PeerSettings, turn: &mut CallContext<'_>) {
        if self.agreed.is_none() {
            return self.expect(FIRST_HOLD_S, turn);
        }
        let hold_s = u32::from(self.hold_s());
        // RFC 4271 section 4.4: neither is used with a Hold Time of 0.
        if hold_s == 0 {
            return turn.close(self.timers[0]);
        }
        self.expect(hold_s, turn);
        let interval_ms = self.keepalive_ms(terms);
        let (endpoint, data) = (self.id, bgp::keepalive());
        let work = OffloadWork::Keepalive { endpoint, data, interval_ms };
        turn.offload(self.timers[1], work);
    }

    fn expect(&self, seconds: u32, turn: &mut CallContext<'_>) {
        let work = OffloadWork::Expect {
            endpoint: self.id,
            remote: match self.remote {
                SocketAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
                SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
            },
            within_us: seconds.saturating_mul(1_000_000),
            then_close: true,
        };
        turn.offload(self.timers[0], work);
    }

    /// Returns the configured interval, or a third of the agreed Hold Time if that is shorter (RFC 4271 section 10).
    pub(crate) fn keepalive_ms(&self, terms: &PeerSettings) -> u32 {
        let third_ms = u32::from(self.hold_s()) * 1_000 / 3;
        let configured_ms = u32::from(terms.keepalive_s) * 1_000;
        if configured_ms == 0 { third_ms } else { configured_ms.min(third_ms) }
    }

    /// Returns the smaller of both Hold Times (RFC 4271 section 4.2), in seconds.
    pub(crate) fn hold_s(&self) -> u16 {
        let agreed = self.agreed.as_ref();
        agreed.map_or(0, |agreed| agreed.ours.hold_time.min(agreed.theirs.hold_time))
    }

    /// Derives `agreed` from the two OPENs. It must be called after a snapshot was read.
    pub(crate) fn restore(&mut self) {
        let decode = |message: &[u8]| match bgp::decode(message, &Negotiated::default()) {
            Ok(Message::Open(open)) => Some(open),
            _ => None,
        };
        let both = decode(&self.sent).zip(decode(&self.received));
        self.agreed = both.map(|(ours, theirs)| {
            let negotiated = Negotiated::new(&ours, &theirs);
            Box::new(Agreed { ours, theirs, negotiated })
        });
    }

    pub(crate) fn agreed(&self) -> Option<&Agreed> {
        self.agreed.as_deref()
    }

    /// Returns our OPEN.
    pub(crate) fn said(&self) -> Option<Open> {
        match bgp::decode(&self.sent, &Negotiated::default()) {
            Ok(Message::Open(open)) => Some(open),
            _ => None,
        }
    }

    /// Returns two flags: the peer keeps our routes when the connection just ends, and also when it ends with a NOTIFICATION.
    pub(crate) fn is_graceful(&self) -> (bool, bool) {
        self.agreed().map_or((false, false), |agreed| open::graceful(&agreed.ours, &agreed.theirs))
    }

    /// Writes the message if there is enough credit. Returns true if it was written.
    pub(crate) fn write(&mut self, message: Vec<u8>, turn: &mut CallContext<'_>) -> bool {
        let length = u32::try_from(message.len()).expect("messages have 65535 octets at most");
        let Some(left) = self.credit.checked_sub(length) else { return false };
        self.credit = left;
        turn.write(self.id, message);
        true
    }

    /// Sends the NOTIFICATION and closes the connection. A peer that has stopped reading does not receive it.
    pub(crate) fn notify(mut self, notification: &Notification, turn: &mut CallContext<'_>) {
        self.write(notification.encode(), turn);
        self.close(turn);
    }

    /// Closes the connection with FIN, after the queued messages.
    pub(crate) fn close(self, turn: &mut CallContext<'_>) {
        self.end_offloads(turn);
        turn.close(self.id);
    }

    /// Ends the offloads of this connection.
    pub(crate) fn end_offloads(&self, turn: &mut CallContext<'_>) {
        turn.close(self.timers[0]);
        if self.state >= State::OpenConfirm {
            turn.close(self.timers[1]);
        }
    }

    pub(crate) fn is_established(&self) -> bool {
        self.state == State::Established
    }

    pub(crate) fn is_hold(&self, offload: Endpoint) -> bool {
        self.timers[0] == offload
    }

    /// Returns the offloads that must be active.
    pub(crate) fn offloads_wanted(&self) -> &[Endpoint] {
        match (self.agreed(), self.hold_s()) {
            (None, _) => &self.timers[..1],
            (Some(_), 0) => &[],
            (Some(_), _) => &self.timers,
        }
    }

    /// Returns all endpoint numbers that the connection uses.
    pub(crate) fn numbers(&self) -> [Endpoint; 3] {
        [self.id, self.timers[0], self.timers[1]]
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::OpenSent => "OpenSent",
            Self::OpenConfirm => "OpenConfirm",
            Self::Established => "Established",
        })
    }
}
