//! One neighbour: its dial timer, its connections (two during a collision), and its Adj-RIB-Out. The handling of each
//! input by the connections is in `fsm`.
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use outrigger_sdk::log::Level;
use outrigger_sdk::wire::bgp::{ErrorCode, Notification};
use outrigger_sdk::{CloseReason, Connect, Effect, Endpoint, IpNet, Protocol, SocketOption};
use serde::{Deserialize, Serialize};

use crate::adj_rib_out::AdjRibOut;
use crate::call_context::CallContext;
use crate::connection::{Connection, State};
use crate::counts::Counts;
use crate::error_text::not_connected;
use crate::liveness::Liveness;
use crate::settings::{PeerLocation, PeerSettings};
use crate::summary::Summary;

/// First pause after a failure; it doubles with each further failure, up to `connectRetryTime`.
const FIRST_PAUSE_US: u64 = 250_000;
/// Minimum duration of a good session, after which pauses start short again.
const GOOD_US: u64 = 10_000_000;
/// Pause after the peer exceeded its maximum number of prefixes, because it would immediately do so again.
const PENALTY_US: u64 = 300_000_000;

/// A neighbour in any state. All fields but those marked `skip` are in the snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Neighbour {
    /// Name in reports.
    pub(crate) name: String,
    /// Name of its entry in the configuration.
    pub(crate) entry: String,
    pub(crate) terms: PeerSettings,
    pub(crate) dial: Dial,
    failures: u32,
    pub(crate) penalty_until_us: u64,
    pub(crate) connections: Vec<Connection>,
    pub(crate) out: AdjRibOut,
    /// Prefixes that the peer announced, if they are counted.
    pub(crate) received: BTreeSet<IpNet>,
    pub(crate) liveness: Option<Liveness>,
    pub(crate) counts: Counts,
    /// Why the last session, or the last exchange of messages, ended. Kept until the next session.
    pub(crate) last_error: String,
    /// Why the last attempt since then failed, where no message was exchanged.
    pub(crate) last_try: String,
    /// Time at which it entered its state.
    pub(crate) since_us: u64,
    /// True if it has been Established since the daemon (re)started.
    pub(crate) was_up: bool,
    /// True if it must not have sessions any more.
    pub(crate) halted: bool,
    /// Time at which all routes are examined again, because the host did not let all of them through.
    pub(crate) repeat_us: Option<u64>,
    /// Number of routes that the host has cut out since the last repetition.
    pub(crate) cut: usize,
    /// Time at which to request again the offloads that the host refused: timers, KEEPALIVEs, BFD.
    #[serde(skip)]
    pub(crate) unaided_until_us: Option<u64>,
    /// The last report, and its time.
    pub(crate) summary: Summary,
}

/// Progress of our own connection attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Dial {
    /// Not dialling: there is a connection, or the peer is expected to connect.
    Off,
    /// Dialling at this time.
    At(u64),
    /// The host is establishing the connection.
    Calling(Endpoint),
}

/// State of the connection that is furthest along (RFC 4271 section 8.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum PeerState {
    Idle,
    Connect,
    Active,
    On(State),
}

/// Way in which a connection ends.
pub(crate) enum Ending {
    /// With this NOTIFICATION.
    Notify(Notification),
    /// With FIN alone.
    Quiet,
    /// The connection is already gone.
    Gone,
}

impl Neighbour {
    pub(crate) fn new(name: String, entry: String, terms: PeerSettings, now_us: u64) -> Self {
        let dial = if terms.dials && !terms.manner.shutdown { Dial::At(now_us) } else { Dial::Off };
        Self {
            name,
            entry,
            dial,
            failures: 0,
            penalty_until_us: 0,
            connections: Vec::new(),
            out: AdjRibOut::default(),
            received: BTreeSet::new(),
            liveness: None,
            counts: Counts::default(),
            last_error: String::new(),
            last_try: String::new(),
            since_us: now_us,
            was_up: false,
            halted: terms.manner.shutdown,
            repeat_us: None,
            cut: 0,
            unaided_until_us: None,
            summary: Summary::default(),
            terms,
        }
    }

    pub(crate) fn standing(&self) -> PeerState {
        let furthest = self.connections.iter().map(|connection| connection.state).max();
        match (furthest, self.dial) {
            (Some(state), _) => PeerState::On(state),
            (None, _) if self.halted => PeerState::Idle,
            (None, Dial::Calling(_)) => PeerState::Connect,
            (None, _) => PeerState::Active,
        }
    }

    /// Returns the Established connection, `None` if there is none.
    pub(crate) fn session(&self) -> Option<&Connection> {
        self.connections.iter().find(|connection| connection.state == State::Established)
    }

    pub(crate) fn owns(&self, number: Endpoint) -> bool {
        self.dial == Dial::Calling(number)
            || self.watches(number)
            || self.connections.iter().any(|connection| connection.numbers().contains(&number))
    }

    /// Returns the peer's name for log lines, with its address if that is known.
    pub(crate) fn called(&self) -> String {
        let remote = self.connections.first().map(|connection| connection.remote.ip());
        let configured = match &self.terms.place {
            PeerLocation::Address(address, _) => Some(*address),
            _ => None,
        };
        match remote.or(configured) {
            Some(address) => format!("{} ({address})", self.name),
            None => self.name.clone(),
        }
    }

    /// Does all work that is due.
    pub(crate) fn tick(&mut self, turn: &mut CallContext<'_>) {
        match self.dial {
            Dial::At(due_us) if due_us <= turn.now_us && self.connections.is_empty() => {
                self.call(turn);
            }
            _ => {}
        }
        if self.repeat_us.is_some_and(|due_us| due_us <= turn.now_us) {
            (self.repeat_us, self.cut) = (None, 0);
            self.out.all_changed();
        }
        if self.unaided_until_us.take_if(|due_us| *due_us <= turn.now_us).is_some() {
            self.offload_again(turn);
        }
        self.check_send_hold(turn);
        self.tick_liveness(turn);
    }

    /// Returns when the next work is due.
    pub(crate) fn due_us(&self) -> Option<u64> {
        let dial = match self.dial {
            Dial::At(due_us) if self.connections.is_empty() => Some(due_us),
            _ => None,
        };
        let stuck = self.session().and_then(|session| session.stuck_since_us);
        let send_hold = stuck.map(|since_us| since_us + self.send_hold_us());
        let liveness = self.liveness_due_us();
        let others = [self.repeat_us, self.unaided_until_us, self.summary.due_us, liveness];
        others.into_iter().chain([dial, send_hold]).flatten().min()
    }

    fn send_hold_us(&self) -> u64 {
        u64::from(self.terms.manner.send_hold_s) * 1_000_000
    }

    fn call(&mut self, turn: &mut CallContext<'_>) {
        let PeerLocation::Address(address, zone) = &self.terms.place else {
            self.dial = Dial::Off;
            return;
        };
        let scope = match turn.links.by_name(zone) {
            Some((index, _)) => index,
            None if zone.is_empty() => 0,
            None => {
                let why =
                    format!("link {zone} does not exist or is not allowed for this announcer");
                return self.failed(why, turn);
            }
        };
        let remote = match *address {
            IpAddr::V4(address) => SocketAddr::from((address, self.terms.port)),
            IpAddr::V6(address) => {
                std::net::SocketAddrV6::new(address, self.terms.port, 0, scope).into()
            }
        };
        let id = turn.numbers.take();
        let mut options = self.terms.options();
        options.push(SocketOption::ConnectTimeout(self.terms.manner.connect_retry_ms));
        self.dial = Dial::Calling(id);
        let connect = Connect { id, remote, protocol: Protocol::Bgp, options };
        turn.effects.push(Effect::Connect(connect));
    }

    /// Handles a failed connection attempt.
    pub(crate) fn call_failed(&mut self, reason: &CloseReason, turn: &mut CallContext<'_>) {
        self.dial = Dial::Off;
        self.failed(not_connected(reason, &self.terms), turn);
    }

    /// Returns a description of the trouble for users: the last error, and the outcome of the attempts since then.
    pub(crate) fn trouble(&self) -> String {
        match (self.last_error.is_empty(), self.last_try.is_empty()) {
            (false, false) => format!("{}; last attempt: {}", self.last_error, self.last_try),
            (true, _) => self.last_try.clone(),
            (false, true) => self.last_error.clone(),
        }
    }

    fn failed(&mut self, why: String, turn: &mut CallContext<'_>) {
        if self.last_try != why {
            turn.say(Level::Warn, &format!("neighbor {}: {why}", self.called()));
        }
        self.last_try = why;
        self.dial_later(turn);
    }

    /// Dials after a pause that grows with every failure, unless dialling is off (RFC 4271 section 8.1.1,
    /// DampPeerOscillations).
    pub(crate) fn dial_later(&mut self, turn: &mut CallContext<'_>) {
        let most_us = u64::from(self.terms.manner.connect_retry_ms) * 1_000;
        let pause_us = (FIRST_PAUSE_US << self.failures.min(20)).min(most_us);
        self.failures = self.failures.saturating_add(1);
        if self.terms.dials && !self.halted && !matches!(self.dial, Dial::Calling(_)) {
            let due_us = turn.now_us + turn.random.jittered(pause_us);
            self.dial = Dial::At(due_us.max(self.penalty_until_us));
        }
    }

    /// Cancels the connection attempt, if there is one, and stops dialling.
    pub(crate) fn hang_up(&mut self, turn: &mut CallContext<'_>) {
        if let Dial::Calling(id) = self.dial {
            turn.close(id);
        }
        self.dial = Dial::Off;
    }

    /// Ends a connection. `why` is in the words of a network engineer; "" if it is no error.
    pub(crate) fn end(&mut self, index: usize, how: Ending, why: &str, turn: &mut CallContext<'_>) {
        let called = self.called();
        let connection = self.connections.remove(index);
        let state = connection.state;
        let mut penalty = false;
        // A connection that ends before any message was received tells less than the error before it.
        let silent = matches!(how, Ending::Gone) && state == State::OpenSent;
        match how {
            Ending::Notify(notification) => {
                self.counts.notifications_sent += 1;
                penalty = notification.error == ErrorCode::MAXIMUM_PREFIXES;
                connection.notify(&notification, turn);
            }
            Ending::Quiet => connection.close(turn),
            // The host has ended the offloads together with the connection.
            Ending::Gone => {}
        }
        if silent {
            why.clone_into(&mut self.last_try);
        } else if !why.is_empty() {
            why.clone_into(&mut self.last_error);
            self.last_try.clear();
        }
        if state == State::Established {
            turn.say(Level::Warn, &format!("neighbor {called} Down: {why}"));
            self.counts.down += 1;
            self.out = AdjRibOut::default();
            (self.repeat_us, self.cut) = (None, 0);
            self.received.clear();
            if turn.now_us.saturating_sub(self.since_us) >= GOOD_US {
                self.failures = 0;
            }
        } else {
            turn.say(
                Level::Warn,
                &format!("neighbor {called} changed from {state} to Idle: {why}"),
            );
        }
        if self.connections.is_empty() {
            self.since_us = turn.now_us;
            if penalty {
                self.penalty_until_us = turn.now_us + PENALTY_US;
            }
            self.dial_later(turn);
        }
    }

    /// Ends all sessions on purpose and prevents new ones. A peer that would keep our routes is sent a Hard Reset (RFC 8538).
    pub(crate) fn halt(
        &mut self,
        notification: &Notification,
        why: &str,
        turn: &mut CallContext<'_>,
    ) {
        self.halted = true;
        self.hang_up(turn);
        self.unwatch(turn.effects);
        while !self.connections.is_empty() {
            let (_, after_notification) = self.connections[0].is_graceful();
            let mut notification = notification.clone();
            if after_notification {
                notification = notification.into_hard_reset();
            }
            self.end(0, Ending::Notify(notification), why, turn);
        }
    }

    /// Ends all sessions in a way that the peer keeps our routes until our return, where it agreed to (RFC 4724 section 4.2).
    pub(crate) fn pause(
        &mut self,
        notification: &Notification,
        why: &str,
        turn: &mut CallContext<'_>,
    ) {
        self.halted = true;
        self.hang_up(turn);
        self.unwatch(turn.effects);
        while let Some(connection) = self.connections.first() {
            let keeps = connection.is_graceful().0 && connection.state == State::Established;
            let how = if keeps { Ending::Quiet } else { Ending::Notify(notification.clone()) };
            self.end(0, how, why, turn);
        }
    }

    /// Allows sessions again.
    pub(crate) fn resume(&mut self, turn: &CallContext<'_>) {
        self.halted = false;
        if self.terms.dials && self.connections.is_empty() && self.dial == Dial::Off {
            self.dial = Dial::At(turn.now_us);
        }
    }

    /// Ends a session whose Send Hold Timer has expired (RFC 9687): a peer that reads nothing must not be assumed to
    /// have received anything.
    fn check_send_hold(&mut self, turn: &mut CallContext<'_>) {
        let send_hold_us = self.send_hold_us();
        let stuck = |connection: &Connection| {
            let since_us = connection.stuck_since_us;
            since_us.is_some_and(|since_us| since_us + send_hold_us <= turn.now_us)
        };
        let Some(index) = self.connections.iter().position(stuck) else { return };
        let seconds = self.terms.manner.send_hold_s;
        let why = format!("peer does not read: send hold timer ({seconds} s) expired");
        let notification = Notification::new(ErrorCode::SEND_HOLD_TIMER_EXPIRED);
        // The queued messages are not read either, so there is no point in waiting for them to be sent.
        let id = self.connections[index].id;
        self.end(index, Ending::Notify(notification), &why, turn);
        turn.effects.push(Effect::Abort(id));
    }
}

impl std::fmt::Display for PeerState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Idle => f.write_str("Idle"),
            Self::Connect => f.write_str("Connect"),
            Self::Active => f.write_str("Active"),
            Self::On(state) => state.fmt(f),
        }
    }
}
