//! Why an effect was refused, by name: the same word in the plugin's `denied`, the log and the counters.

/// A named reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The address is not one this instance was told about.
    AddressNotDesired,
    /// It was, but another node is to announce it.
    NotThisNodesDuty,
    /// The link is not one this instance was given.
    LinkNotGranted,
    /// The frame is neither ARP nor Neighbor Discovery, or is malformed.
    NotArpOrNd,
    /// The frame carries another MAC than its link's.
    ForeignMac,
    /// The frame says something that an announcement does not: a router flag, another sender, another source.
    NotAnAnnouncement,
    /// The group is not the solicited-node group of a desired address.
    GroupNotGranted,
    /// Repeated more often than every 100 ms.
    BeaconTooFast,
    /// Numbers from 0x80000000 on are the host's.
    NumberReserved,
    /// More announcements than this many addresses explain.
    ChurnLimit,
    /// This host does not carry out this effect.
    Unsupported,
    /// The peer is not in the Announcer's `spec.allow.peers`.
    PeerNotGranted,
    /// BFD uses ports of its own (RFC 5881, RFC 5883).
    PortNotGranted,
    /// Not a protocol that the guard can read.
    ProtocolNotGranted,
    /// The Announcer has no such entry in `spec.secretRefs`, or not for this peer.
    SecretNotGranted,
    /// No such stream or socket.
    NoSuchEndpoint,
    /// The number names something that is open.
    NumberInUse,
    /// Not a whole message of its protocol, or one with a fault in it.
    NotWellFormed,
    /// An UPDATE before both OPENs.
    SessionNotOpen,
    /// Neither an address that this instance was told to announce nor a granted aggregate of one.
    PrefixNotDesired,
    /// The next hop is not an address of this node.
    NextHopNotSelf,
    /// A path attribute that does not belong on a route of this node, or another AS in it.
    AttributeNotAllowed,
    /// The community is not in `spec.allow.communities`.
    CommunityNotAllowed,
    /// A capability in the OPEN that the guard does not read, or that keeps routes for longer than `spec.allow.restartTime`.
    CapabilityNotAllowed,
    /// More reports, or about more, than an instance may make.
    TooMuchSaid,
    /// More offloads, or faster ones, than the addresses and endpoints explain.
    TooManyOffloads,
    /// More streams, listeners and sockets than an instance may have.
    TooManyEndpoints,
    /// No refusal of an effect: the instance has used its share of a processor, and its next call waited.
    ProcessorShare,
    /// No refusal of an effect: the host has withdrawn it, because the plugin had not in time.
    NotDesiredWithdrawn,
}

impl Reason {
    /// Whether it is about how much an instance does and not about what: an honest one stays far from it.
    pub fn is_of_budget(self) -> bool {
        matches!(
            self,
            Self::ChurnLimit | Self::TooMuchSaid | Self::TooManyOffloads | Self::TooManyEndpoints
        )
    }

    /// The name in `denied`, logs and counters.
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

/// An effect that was refused. It had no effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{effect} about {subject:?} was denied: {}", .reason.name())]
pub struct Refusal {
    /// The effect's WIT case.
    pub effect: &'static str,
    /// Address, link or number.
    pub subject: String,
    /// Why.
    pub reason: Reason,
}

impl Refusal {
    /// As the plugin is told.
    pub fn to_event(&self) -> outrigger_sdk::Denied {
        outrigger_sdk::Denied {
            effect: self.effect.to_owned(),
            subject: self.subject.clone(),
            reason: self.reason.name().to_owned(),
        }
    }
}
