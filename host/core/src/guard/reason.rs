//! Named reasons for refusing an effect, with the same name in the plugin's `denied`, the log and the counters.

/// The reason for a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The address is not one of the instance's desired addresses.
    AddressNotDesired,
    /// The address is desired, but another node is to announce it.
    NotThisNodesDuty,
    /// The link is not one this instance was given.
    LinkNotGranted,
    /// The frame is neither ARP nor Neighbor Discovery, or is malformed.
    NotArpOrNd,
    /// The frame carries a MAC address other than that of its link.
    ForeignMac,
    /// The frame contains something that an announcement does not: a router flag, another sender, another source.
    NotAnAnnouncement,
    /// The group is not the solicited-node group of a desired address.
    GroupNotGranted,
    /// The beacon's interval is shorter than the minimum: 100 ms for frames, 3.3 ms for BFD, 200 ms for keepalives.
    BeaconTooFast,
    /// The number is 0x80000000 or higher, which is reserved for the host.
    NumberReserved,
    /// The effects exceed the rate that the number of addresses, endpoints or peers accounts for.
    ChurnLimit,
    /// This host does not carry out this effect.
    Unsupported,
    /// The peer is not in the Announcer's `spec.allow.peers`.
    PeerNotGranted,
    /// The port is not one of BFD's (RFC 5881, RFC 5883).
    PortNotGranted,
    /// The protocol is not one that the guard can parse.
    ProtocolNotGranted,
    /// The Announcer has no such entry in `spec.secretRefs`, or not for this peer.
    SecretNotGranted,
    /// No stream or socket has this number.
    NoSuchEndpoint,
    /// The number belongs to an endpoint that is still open.
    NumberInUse,
    /// The data is not exactly one complete, valid message of its protocol.
    NotWellFormed,
    /// The UPDATE was written before both OPENs were exchanged.
    SessionNotOpen,
    /// The prefix is neither a desired address of this instance nor a granted aggregate of one.
    PrefixNotDesired,
    /// The next hop is not an address of this node.
    NextHopNotSelf,
    /// A path attribute does not belong on a route of this node, or names another AS.
    AttributeNotAllowed,
    /// The community is not in `spec.allow.communities`.
    CommunityNotAllowed,
    /// A capability in the OPEN is one that the guard does not parse, or keeps routes for longer than
    /// `spec.allow.restartTime`.
    CapabilityNotAllowed,
    /// The instance makes more reports, or about more subjects, than it may.
    TooMuchSaid,
    /// The instance has more offloads, or faster ones, than its addresses and endpoints account for.
    TooManyOffloads,
    /// The instance has more streams, listeners and sockets than it may.
    TooManyEndpoints,
    /// Not a refusal of an effect: the instance used up its share of a processor, and its next call waited.
    ProcessorShare,
    /// Not a refusal of an effect: the host withdrew a prefix because the plugin did not do so in time.
    NotDesiredWithdrawn,
}

impl Reason {
    /// Returns true if the reason is about the amount that an instance does and not about its content. A well-behaved
    /// instance stays far from these limits.
    pub fn is_of_budget(self) -> bool {
        matches!(
            self,
            Self::ChurnLimit | Self::TooMuchSaid | Self::TooManyOffloads | Self::TooManyEndpoints
        )
    }

    /// Returns the name used in `denied`, logs and counters.
    pub fn name(self) -> &'static str {
        match self {
            Self::AddressNotDesired => "address-not-desired",
            Self::NotThisNodesDuty => "not-this-nodes-duty",
            Self::LinkNotGranted => "link-not-granted",
            Self::NotArpOrNd => "not-arp-or-nd",
            Self::ForeignMac => "foreign-mac",
            Self::NotAnAnnouncement => "not-an-announcement",
            Self::GroupNotGranted => "group-not-granted",
            Self::BeaconTooFast => "beacon-too-fast",
            Self::NumberReserved => "number-reserved",
            Self::ChurnLimit => "churn-limit",
            Self::Unsupported => "unsupported",
            Self::PeerNotGranted => "peer-not-granted",
            Self::PortNotGranted => "port-not-granted",
            Self::ProtocolNotGranted => "protocol-not-granted",
            Self::SecretNotGranted => "secret-not-granted",
            Self::NoSuchEndpoint => "no-such-endpoint",
            Self::NumberInUse => "number-in-use",
            Self::NotWellFormed => "not-well-formed",
            Self::SessionNotOpen => "session-not-open",
            Self::PrefixNotDesired => "prefix-not-desired",
            Self::NextHopNotSelf => "next-hop-not-self",
            Self::AttributeNotAllowed => "attribute-not-allowed",
            Self::CommunityNotAllowed => "community-not-allowed",
            Self::CapabilityNotAllowed => "capability-not-allowed",
            Self::TooMuchSaid => "too-much-said",
            Self::TooManyOffloads => "too-many-offloads",
            Self::TooManyEndpoints => "too-many-endpoints",
            Self::ProcessorShare => "processor-share",
            Self::NotDesiredWithdrawn => "not-desired-withdrawn",
        }
    }
}

/// An effect that was refused and therefore not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{effect} about {subject:?} was denied: {}", .reason.name())]
pub struct Refusal {
    /// The effect's WIT case.
    pub effect: &'static str,
    /// The address, link or number that the effect is about.
    pub subject: String,
    /// The reason for the refusal.
    pub reason: Reason,
}

impl Refusal {
    /// Converts the refusal to the event that the plugin receives.
    pub fn to_event(&self) -> outrigger_sdk::Denied {
        outrigger_sdk::Denied {
            effect: self.effect.to_owned(),
            subject: self.subject.clone(),
            reason: self.reason.name().to_owned(),
        }
    }
}
