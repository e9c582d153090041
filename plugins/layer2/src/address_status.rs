//! The reported state of an address, and its conversion to a report. The state is determined elsewhere.
use std::net::IpAddr;

use outrigger_sdk::{AddressReport, AnnouncementState, Effect, Report};
use serde::{Deserialize, Serialize};

/// The last reported state of an address. It is reported again only when it changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum AddressStatus {
    /// Announced on these links, by name.
    Announced(Vec<String>),
    /// Announced by this node; "" = by none.
    Standby(String),
    /// There is no usable link to announce it on.
    NoUsableLink,
    /// There is no usable link with IPv6.
    NoIpv6Link,
    /// The host refused an effect that the announcement needs.
    Refused { effect: String, reason: String },
    /// The address is no longer desired.
    Withdrawn,
}

impl AddressStatus {
    pub(crate) fn no_usable_link(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::NoUsableLink } else { Self::NoIpv6Link }
    }

    pub(crate) fn report(&self, address: IpAddr) -> Effect {
        let (state, reason, message) = match self {
            Self::Announced(_) => (AnnouncementState::Announced, String::new(), String::new()),
            Self::Standby(node) if node.is_empty() => {
                let message = "no node can announce it: see the conditions of the nodes";
                (AnnouncementState::Standby, "NoEligibleNode".into(), message.into())
            }
            Self::Standby(node) => {
                (AnnouncementState::Standby, "OtherNode".into(), format!("{node} announces it"))
            }
            Self::NoUsableLink => {
                let message = "no interface that it may use is up with ARP enabled: bring one up (ip \
                               link set NAME up)";
                (AnnouncementState::Failed, "NoUsableLink".into(), message.into())
            }
            Self::NoIpv6Link => {
                let message = "no interface that it may use is up with ARP enabled and has an IPv6 address: bring one up, \
                               and enable IPv6 there (sysctl net.ipv6.conf.NAME.disable_ipv6=0)";
                (AnnouncementState::Failed, "NoUsableLink".into(), message.into())
            }
            Self::Refused { effect, reason } => {
                let message = format!("the host refused {effect}: {reason}");
                (AnnouncementState::Failed, camel_case(reason), message)
            }
            Self::Withdrawn => (AnnouncementState::Withdrawn, String::new(), String::new()),
        };
        let via = if let Self::Announced(links) = self { links.clone() } else { Vec::new() };
        Effect::Report(Report::Address(AddressReport { address, state, via, reason, message }))
    }
}

/// Converts a denial's reason, which is kebab-case or an error message, to the CamelCase of report reasons.
fn camel_case(reason: &str) -> String {
    let capitalized = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str())
    };
    reason.split(|letter: char| !letter.is_ascii_alphanumeric()).filter_map(capitalized).collect()
}
