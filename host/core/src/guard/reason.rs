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
}

impl Reason {
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
