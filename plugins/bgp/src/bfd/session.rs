//! One session: the state machine of RFC 5880 section 6.8. It is driven by the host's events and has no clock: every
//! BFD timer runs in the host.
use std::net::IpAddr;
use std::num::NonZeroU32;

use outrigger_sdk::wire::bfd::{ControlPacket, Diagnostic, State};
use outrigger_sdk::{Datagram, Effect, Endpoint, PeerHealth, PeerReport, Resumed};
use serde::{Deserialize, Serialize};

use super::offloads::Offloads;
use super::{BfdMode, Change, Ignored, Numbers, Reason, Settings};

/// Minimum interval between packets until a session is up (RFC 5880 section 6.8.3).
const SLOW_US: u32 = 1_000_000;

/// One BFD session. All of its state is in the snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    settings: Settings,
    offloads: Offloads,
    /// The packet we send: most variables of RFC 5880 section 6.8.1 are fields of it. Never with the Final bit.
    #[serde(with = "octets")]
    local: ControlPacket,
    /// The peer's last packet, `None` if none was received since the Detection Time last expired.
    #[serde(with = "heard")]
    remote: Option<ControlPacket>,
    /// Intervals that apply while a Poll Sequence is in progress (RFC 5880 section 6.8.3).
    transmit_us: u32,
    receive_us: u32,
    /// Why it last went down, for users.
    last_error: String,
    /// Number of times that it went from up to down.
    flaps: u32,
}

impl Session {
    /// Opens the sockets and starts sending. `discriminator` must differ from that of every other session of this node.
    pub fn open(
        settings: Settings,
        numbers: Numbers,
        discriminator: NonZeroU32,
        effects: &mut Vec<Effect>,
    ) -> Self {
        let local = ControlPacket {
            state: State::Down,
            my_discriminator: discriminator.get(),
            ..ControlPacket::default()
        };
        let mut session = Self {
            transmit_us: SLOW_US,
            receive_us: settings.receive_us,
            offloads: Offloads::new(numbers),
            settings,
            local,
            remote: None,
            last_error: String::new(),
            flaps: 0,
        };
        session.offloads.open(&session.settings, effects);
        session.set_intervals();
        session.tell(effects);
        session
    }

    /// Returns the endpoint numbers that it uses.
    pub fn numbers(&self) -> Numbers {
        self.offloads.numbers()
    }

    /// Returns the peer's address.
    pub fn peer(&self) -> IpAddr {
        self.settings.peer.ip()
    }

    /// Returns the session state.
    pub fn state(&self) -> State {
        self.local.state
    }

    /// Returns true if the peer's BFD continues while its BGP restarts: a failure during its graceful restart is then a
    /// failure of the path (RFC 5882 section 4.3.2).
    pub fn peer_is_independent(&self) -> bool {
        self.remote.is_some_and(|remote| remote.control_plane_independent)
    }

    /// Handles a datagram received on its socket.
    ///
    /// # Errors
    /// Returns the reason why the packet had no effect.
    pub fn received(
        &mut self,
        datagram: &Datagram,
        effects: &mut Vec<Effect>,
    ) -> Result<Option<Change>, Ignored> {
        let least = match self.settings.reach {
            BfdMode::SingleHop => u8::MAX,
            BfdMode::Multihop { minimum_ttl } => minimum_ttl,
        };
        if datagram.hop_limit < least {
            return Err(Ignored::HopLimit);
        }
        let packet = ControlPacket::decode(&datagram.data).map_err(Ignored::Discard)?;
        if packet.your_discriminator != 0
            && packet.your_discriminator != self.local.my_discriminator
        {
            return Err(Ignored::OtherSession);
        }
        self.remote = Some(packet);
        self.local.your_discriminator = packet.my_discriminator;
        if packet.is_final && self.local.poll {
            self.local.poll = false;
            self.transmit_us = self.local.desired_min_tx_us;
            self.receive_us = self.local.required_min_rx_us;
        }
        if self.local.state == State::AdminDown {
            self.tell(effects);
            return Err(Ignored::AdminDown);
        }
        let change = self.follow(packet);
        self.set_intervals();
        if packet.poll {
            let answer = ControlPacket { poll: false, is_final: true, ..self.local };
            effects.push(self.offloads.once(&self.settings, &answer));
        }
        self.tell(effects);
        Ok(change)
    }

    /// The state machine of RFC 5880 section 6.8.6.
    fn follow(&mut self, packet: ControlPacket) -> Option<Change> {
        match (self.local.state, packet.state) {
            (State::AdminDown, _) | (State::Down, State::AdminDown | State::Up) => None,
            (_, State::AdminDown) => {
                self.fall(Diagnostic::NeighborSignaledDown, Reason::NeighborAdminDown)
            }
            (State::Down, State::Down) => {
                self.local.state = State::Init;
                None
            }
            (State::Down, State::Init) | (State::Init, State::Init | State::Up) => {
                self.local.state = State::Up;
                self.local.diagnostic = Diagnostic::None;
                Some(Change::Up)
            }
            (State::Up, State::Down) => {
                let reason = Reason::Neighbor(packet.diagnostic);
                self.fall(Diagnostic::NeighborSignaledDown, reason)
            }
            (State::Init, State::Down) | (State::Up, State::Init | State::Up) => None,
        }
    }

    /// Handles the expiry of the Detection Time.
    pub fn expired(&mut self, effects: &mut Vec<Effect>) -> Option<Change> {
        self.offloads.expired();
        self.remote = None;
        self.local.your_discriminator = 0;
        self.local.poll = false;
        let change = match self.local.state {
            State::Init | State::Up => self.fall(Diagnostic::DetectionTimeExpired, Reason::Expired),
            State::AdminDown | State::Down => None,
        };
        self.set_intervals();
        self.tell(effects);
        change
    }

    /// Handles a socket that closed or could not be opened, for the reason in `words`. The session stays down until
    /// [`Session::reopen`].
    pub fn closed(
        &mut self,
        number: Endpoint,
        words: &str,
        effects: &mut Vec<Effect>,
    ) -> Option<Change> {
        self.offloads.closed(number, effects);
        self.remote = None;
        self.local.your_discriminator = 0;
        self.local.poll = false;
        let change = self.fall(Diagnostic::None, Reason::NoSocket);
        self.set_intervals();
        words.clone_into(&mut self.last_error);
        change
    }

    /// Opens the sockets again.
    pub fn reopen(&mut self, effects: &mut Vec<Effect>) {
        self.offloads.open(&self.settings, effects);
        self.tell(effects);
    }

    /// Handles a beacon or Detection Time that the host ended by itself.
    pub fn ended(&mut self, number: Endpoint, effects: &mut Vec<Effect>) {
        self.offloads.ended(number);
        self.tell(effects);
    }

    /// Requests again the sockets and offloads that the host no longer has after a swap.
    pub fn resumed(&mut self, resumed: &Resumed, effects: &mut Vec<Effect>) {
        self.offloads.resumed(resumed, &self.settings, effects);
        self.tell(effects);
    }

    /// Returns true if a session with these settings is this one: between the same ends, over the same sockets.
    pub fn is_between(&self, settings: &Settings) -> bool {
        Settings {
            transmit_us: self.settings.transmit_us,
            receive_us: self.settings.receive_us,
            multiplier: self.settings.multiplier,
            passive: self.settings.passive,
            ..settings.clone()
        } == self.settings
    }

    /// Changes the intervals between the same ends: they are negotiated with a Poll Sequence, without going down.
    pub fn configure(&mut self, settings: Settings, effects: &mut Vec<Effect>) {
        debug_assert!(self.is_between(&settings), "other ends are another session");
        self.settings = settings;
        self.set_intervals();
        self.tell(effects);
    }

    /// Enters AdminDown, or leaves it and starts again (RFC 5880 section 6.8.16).
    pub fn administer(&mut self, down: bool, effects: &mut Vec<Effect>) -> Option<Change> {
        if down == (self.local.state == State::AdminDown) {
            return None;
        }
        let was_up = self.local.state == State::Up;
        self.local.state = if down { State::AdminDown } else { State::Down };
        self.local.diagnostic =
            if down { Diagnostic::AdministrativelyDown } else { Diagnostic::None };
        self.local.poll = false;
        self.set_intervals();
        self.tell(effects);
        was_up.then_some(Change::Down(Reason::AdminDown))
    }

    /// Ends the session. It sends AdminDown, so that the peer does not take the silence that follows for a failure of
    /// the path (RFC 5882 section 3.2), and does so several times, because a packet may be lost.
    pub fn close(mut self, effects: &mut Vec<Effect>) {
        self.local.state = State::AdminDown;
        self.local.diagnostic = Diagnostic::AdministrativelyDown;
        self.local.poll = false;
        for _ in 0..3 {
            effects.push(self.offloads.once(&self.settings, &self.local));
        }
        self.offloads.close(effects);
    }

    /// Returns the report for users. `peer` is the name of the BGP peer.
    pub fn report(&self, peer: &str) -> PeerReport {
        let interval = |us: u32| format!("{}ms", f64::from(us) / 1000.0);
        let detection = self.detection_us().map_or("none".to_owned(), interval);
        let mut ext = vec![
            ("detection-time".to_owned(), detection),
            ("local-discriminator".to_owned(), self.local.my_discriminator.to_string()),
            ("local-diagnostic".to_owned(), self.local.diagnostic.to_string()),
        ];
        if let Some(us) = self.transmit_interval_us() {
            ext.push(("transmit-interval".to_owned(), interval(us)));
        }
        if let Some(remote) = self.remote {
            ext.push(("remote-state".to_owned(), remote.state.to_string()));
            ext.push(("remote-discriminator".to_owned(), remote.my_discriminator.to_string()));
            ext.push(("remote-diagnostic".to_owned(), remote.diagnostic.to_string()));
            ext.push(("remote-multiplier".to_owned(), remote.detect_mult.to_string()));
            ext.push(("remote-transmit".to_owned(), interval(remote.desired_min_tx_us)));
            ext.push(("remote-receive".to_owned(), interval(remote.required_min_rx_us)));
        }
        let heard_admin_down = self.remote.is_some_and(|it| it.state == State::AdminDown);
        PeerReport {
            peer: peer.to_owned(),
            protocol: "bfd".to_owned(),
            health: match self.local.state {
                State::Up => PeerHealth::Up,
                State::AdminDown => PeerHealth::Disabled,
                _ if heard_admin_down => PeerHealth::Disabled,
                _ if self.flaps == 0 && self.last_error.is_empty() => PeerHealth::Starting,
                _ => PeerHealth::Down,
            },
            state: self.local.state.to_string(),
            last_error: self.last_error.clone(),
            counters: vec![("session-down-events".to_owned(), f64::from(self.flaps))],
            ext,
        }
    }

    /// Enters Down with a diagnostic; returns a change if the session was up.
    fn fall(&mut self, diagnostic: Diagnostic, reason: Reason) -> Option<Change> {
        let was = self.local.state;
        if was == State::AdminDown {
            return None;
        }
        self.local.state = State::Down;
        self.local.diagnostic = diagnostic;
        if was != State::Up {
            return None;
        }
        self.flaps = self.flaps.saturating_add(1);
        self.last_error = reason.to_string();
        Some(Change::Down(reason))
    }

    /// Sets the intervals we ask for, and starts a Poll Sequence when the peer must know (RFC 5880 section 6.8.3):
    /// while up, a longer transmit interval and a shorter receive interval apply only after its answer.
    fn set_intervals(&mut self) {
        let up = self.local.state == State::Up;
        let wanted = self.settings.transmit_us;
        let transmit_us = if up { wanted } else { wanted.max(SLOW_US) };
        let receive_us = self.settings.receive_us;
        let before = (self.local.desired_min_tx_us, self.local.required_min_rx_us);
        if before != (transmit_us, receive_us) {
            self.local.desired_min_tx_us = transmit_us;
            self.local.required_min_rx_us = receive_us;
            self.local.poll = up;
        }
        self.local.poll &= up;
        let waits = self.local.poll;
        if !waits || transmit_us < self.transmit_us {
            self.transmit_us = transmit_us;
        }
        if !waits || receive_us > self.receive_us {
            self.receive_us = receive_us;
        }
        self.local.detect_mult = self.settings.multiplier.max(1);
    }

    /// Returns the transmit interval, `None` if no packets are sent periodically (RFC 5880 section 6.8.7).
    fn transmit_interval_us(&self) -> Option<u32> {
        let Some(remote) = self.remote else {
            return (!self.settings.passive).then_some(self.transmit_us);
        };
        let silenced = remote.demand && remote.state == State::Up && self.local.state == State::Up;
        if remote.required_min_rx_us == 0 || silenced && !self.local.poll {
            return None;
        }
        Some(self.transmit_us.max(remote.required_min_rx_us))
    }

    /// Returns the Detection Time, after which a silent peer is considered down (RFC 5880 section 6.8.4).
    fn detection_us(&self) -> Option<u32> {
        let remote = self.remote?;
        let interval = self.receive_us.max(remote.desired_min_tx_us);
        Some(interval.saturating_mul(remote.detect_mult.into()))
    }

    /// Updates the host's beacon and Detection Time.
    fn tell(&mut self, effects: &mut Vec<Effect>) {
        let interval = self.transmit_interval_us();
        self.offloads.send(&self.settings, &self.local, interval, effects);
        self.offloads.detect(&self.settings, self.detection_us(), effects);
    }
}

/// Serializes packets in their wire format.
mod octets {
    use outrigger_sdk::wire::bfd::{ControlPacket, LENGTH};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(
        packet: &ControlPacket,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        packet.encode().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<ControlPacket, D::Error> {
        let octets = <[u8; LENGTH]>::deserialize(deserializer)?;
        ControlPacket::decode(&octets).map_err(serde::de::Error::custom)
    }
}

/// Serializes an optional packet in its wire format.
mod heard {
    use outrigger_sdk::wire::bfd::{ControlPacket, LENGTH};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(
        packet: &Option<ControlPacket>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        packet.map(|packet| packet.encode()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<ControlPacket>, D::Error> {
        let octets = Option::<[u8; LENGTH]>::deserialize(deserializer)?;
        let decode = |octets: [u8; LENGTH]| ControlPacket::decode(&octets);
        octets.map(decode).transpose().map_err(serde::de::Error::custom)
    }
}
