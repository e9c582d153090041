//! BFD control packets (RFC 5880 section 4.1): decoding with every check of section 6.8.6 that needs no session, and
//! encoding. Authentication (section 4.2 ff.) is not supported: such packets are refused with a reason of their own.
//! This module has no session, timer or socket.
//!
//! ```
//! use outrigger_wire::bfd::{ControlPacket, State};
//!
//! let packet = ControlPacket { state: State::Down, detect_mult: 3, my_discriminator: 7, ..ControlPacket::default() };
//! assert_eq!(ControlPacket::decode(&packet.encode()), Ok(packet));
//! ```
use std::fmt;

/// Length in octets of a packet without authentication.
pub const LENGTH: usize = 24;

const POLL: u8 = 0x20;
const FINAL: u8 = 0x10;
const CONTROL_PLANE_INDEPENDENT: u8 = 0x08;
const AUTHENTICATION: u8 = 0x04;
const DEMAND: u8 = 0x02;
const MULTIPOINT: u8 = 0x01;

/// A BFD control packet. Intervals are in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ControlPacket {
    /// Diag: the reason the sender last left Up.
    pub diagnostic: Diagnostic,
    /// Sta: the sender's state.
    pub state: State,
    /// P: the sender requests a packet with F.
    pub poll: bool,
    /// F: the packet answers one with P.
    pub is_final: bool,
    /// C: the sender's BFD continues to work without its control plane.
    pub control_plane_independent: bool,
    /// D: the sender is in Demand mode and asks for no packets except polls.
    pub demand: bool,
    /// Detect Mult: detection time multiplier, never 0.
    pub detect_mult: u8,
    /// My Discriminator: the sender's discriminator, never 0.
    pub my_discriminator: u32,
    /// Your Discriminator: the receiver's discriminator as last received by the sender; 0 if none.
    pub your_discriminator: u32,
    /// Desired Min TX Interval: shortest interval at which the sender would like to send.
    pub desired_min_tx_us: u32,
    /// Required Min RX Interval: shortest interval at which the sender can receive; 0 = the peer must not send
    /// periodic packets.
    pub required_min_rx_us: u32,
    /// Required Min Echo RX Interval: the same for echo packets; 0 = the sender does not support them.
    pub required_min_echo_rx_us: u32,
}

/// A session state (RFC 5880 section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum State {
    /// 0: disabled by an administrator; does not indicate a fault of the path.
    AdminDown,
    /// 1: the session is down.
    #[default]
    Down,
    /// 2: packets from the peer are received; the peer has not yet confirmed that it receives ours.
    Init,
    /// 3: the session is established.
    Up,
}

impl State {
    fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::AdminDown,
            1 => Self::Down,
            2 => Self::Init,
            _ => Self::Up,
        }
    }

    fn bits(self) -> u8 {
        match self {
            Self::AdminDown => 0,
            Self::Down => 1,
            Self::Init => 2,
            Self::Up => 3,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AdminDown => "AdminDown",
            Self::Down => "Down",
            Self::Init => "Init",
            Self::Up => "Up",
        })
    }
}

/// The reason a session last left Up (RFC 5880 section 4.1). Has five bits; unknown values keep their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Diagnostic {
    /// 0: no diagnostic.
    #[default]
    None,
    /// 1: no packet was received within the detection time.
    DetectionTimeExpired,
    /// 3: the peer reported the session as down.
    NeighborSignaledDown,
    /// 5: the path is down.
    PathDown,
    /// 7: an administrator took the session down.
    AdministrativelyDown,
    /// Any other value, below 32.
    Other(u8),
}

impl Diagnostic {
    fn from_bits(bits: u8) -> Self {
        match bits & 0x1f {
            0 => Self::None,
            1 => Self::DetectionTimeExpired,
            3 => Self::NeighborSignaledDown,
            5 => Self::PathDown,
            7 => Self::AdministrativelyDown,
            other => Self::Other(other),
        }
    }

    fn bits(self) -> u8 {
        match self {
            Self::None => 0,
            Self::DetectionTimeExpired => 1,
            Self::NeighborSignaledDown => 3,
            Self::PathDown => 5,
            Self::AdministrativelyDown => 7,
            Self::Other(other) => other & 0x1f,
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("no diagnostic"),
            Self::DetectionTimeExpired => f.write_str("control detection time expired"),
            Self::NeighborSignaledDown => f.write_str("neighbor signaled session down"),
            Self::PathDown => f.write_str("path down"),
            Self::AdministrativelyDown => f.write_str("administratively down"),
            Self::Other(2) => f.write_str("echo function failed"),
            Self::Other(4) => f.write_str("forwarding plane reset"),
            Self::Other(6) => f.write_str("concatenated path down"),
            Self::Other(8) => f.write_str("reverse concatenated path down"),
            Self::Other(other) => write!(f, "diagnostic {other}"),
        }
    }
}

/// The reason a packet must be discarded; each is a rule of RFC 5880 section 6.8.6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Discard {
    /// The version is not 1.
    #[error("the BFD version is not 1")]
    Version,
    /// Length is below 24, below 26 with authentication, or exceeds the datagram.
    #[error("the length field does not fit the datagram")]
    Length,
    /// Detect Mult is 0.
    #[error("the detection multiplier is 0")]
    DetectMult,
    /// The M bit is set.
    #[error("the multipoint bit is set")]
    Multipoint,
    /// My Discriminator is 0.
    #[error("the sender's discriminator is 0")]
    MyDiscriminator,
    /// Your Discriminator is 0 although the state is Init or Up.
    #[error("no discriminator of ours in state Init or Up")]
    YourDiscriminator,
    /// The A bit is set, but no session here uses authentication.
    #[error("authenticated, and no authentication is configured")]
    Authenticated,
}

impl Discard {
    /// Returns a short name for counters.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::Length => "length",
            Self::DetectMult => "detect-mult",
            Self::Multipoint => "multipoint",
            Self::MyDiscriminator => "my-discriminator",
            Self::YourDiscriminator => "your-discriminator",
            Self::Authenticated => "authenticated",
        }
    }
}

impl ControlPacket {
    /// Decodes a datagram's payload; octets after Length are ignored.
    ///
    /// # Errors
    /// Returns the first broken rule of RFC 5880 section 6.8.6, in the order of that section.
    pub fn decode(payload: &[u8]) -> Result<Self, Discard> {
        let Some((packet, _)) = payload.split_first_chunk::<LENGTH>() else {
            return Err(Discard::Length);
        };
        let [first, flags, detect_mult, length, numbers @ ..] = *packet;
        if first >> 5 != 1 {
            return Err(Discard::Version);
        }
        let authenticated = flags & AUTHENTICATION != 0;
        let least = if authenticated { LENGTH + 2 } else { LENGTH };
        if usize::from(length) < least || usize::from(length) > payload.len() {
            return Err(Discard::Length);
        }
        if detect_mult == 0 {
            return Err(Discard::DetectMult);
        }
        if flags & MULTIPOINT != 0 {
            return Err(Discard::Multipoint);
        }
        let (numbers, _) = numbers.as_chunks::<4>();
        let [mine, yours, tx, rx, echo] = std::array::from_fn(|index| {
            u32::from_be_bytes(*numbers.get(index).expect("20 octets are five numbers"))
        });
        let state = State::from_bits(flags >> 6);
        if mine == 0 {
            return Err(Discard::MyDiscriminator);
        }
        if yours == 0 && matches!(state, State::Init | State::Up) {
            return Err(Discard::YourDiscriminator);
        }
        if authenticated {
            return Err(Discard::Authenticated);
        }
        Ok(Self {
            diagnostic: Diagnostic::from_bits(first),
            state,
            poll: flags & POLL != 0,
            is_final: flags & FINAL != 0,
            control_plane_independent: flags & CONTROL_PLANE_INDEPENDENT != 0,
            demand: flags & DEMAND != 0,
            detect_mult,
            my_discriminator: mine,
            your_discriminator: yours,
            desired_min_tx_us: tx,
            required_min_rx_us: rx,
            required_min_echo_rx_us: echo,
        })
    }

    /// Encodes the packet as it is, without checking the rules.
    pub fn encode(&self) -> [u8; LENGTH] {
        let mut flags = self.state.bits() << 6;
        for (set, bit) in [
            (self.poll, POLL),
            (self.is_final, FINAL),
            (self.control_plane_independent, CONTROL_PLANE_INDEPENDENT),
            (self.demand, DEMAND),
        ] {
            flags |= if set { bit } else { 0 };
        }
        let mut packet = [0; LENGTH];
        packet[..4].copy_from_slice(&[
            1 << 5 | self.diagnostic.bits(),
            flags,
            self.detect_mult,
            LENGTH as u8,
        ]);
        let numbers = [
            self.my_discriminator,
            self.your_discriminator,
            self.desired_min_tx_us,
            self.required_min_rx_us,
            self.required_min_echo_rx_us,
        ];
        for (place, number) in packet[4..].chunks_exact_mut(4).zip(numbers) {
            place.copy_from_slice(&number.to_be_bytes());
        }
        packet
    }
}

#[cfg(test)]
mod tests;
