//! The permissions that the owner of an Announcer grants it beyond its desired addresses. Everything is denied by
//! default.
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;
use outrigger_sdk::wire::bgp::{Attributes, Capability, Community, Family};
use serde::{Deserialize, Serialize};

/// The permissions from `spec.allow`, and the names of `spec.secretRefs`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Networks of the peers that BGP and BFD may communicate with.
    pub peers: Vec<IpNet>,
    /// Prefixes wider than one address that may be announced, or that contain such prefixes, while one of their
    /// addresses is to be announced.
    pub aggregates: Vec<IpNet>,
    /// The longest time, in seconds, that a peer may be asked to keep the routes of a session that is gone (RFC 4724);
    /// 0 = none.
    pub restart_s: u16,
    /// Communities that may be sent, with `*` for any part; `None` = all.
    pub communities: Option<Vec<String>>,
    /// Links and VRFs that a socket may be bound to; empty = all.
    pub devices: Vec<String>,
    /// Secrets by name, each with the peers that it may be used for; an empty list = all allowed peers.
    pub secrets: BTreeMap<String, Vec<IpNet>>,
}

impl Grant {
    /// Returns true if communication with this peer is allowed.
    pub(super) fn has_peer(&self, peer: IpAddr) -> bool {
        self.peers.iter().any(|prefix| prefix.contains(&peer))
    }

    /// Returns true if peers that discover each other on a link (unnumbered BGP) are allowed.
    pub(super) fn has_link_local_peers(&self) -> bool {
        self.has_peer(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0).into())
    }

    /// Returns true if communication with all of these peers is allowed.
    pub(super) fn has_peers(&self, peers: &IpNet) -> bool {
        self.peers.iter().any(|prefix| prefix.contains(peers))
    }

    /// Returns true if the capability may be offered in an OPEN. A capability that the guard does not parse, such as
    /// ADD-PATH (RFC 7911), would let the peer read other routes than the guard does. Keeping routes beyond the session
    /// needs the owner's permission, and keeping them for days (RFC 9494) is never allowed.
    pub(super) fn has_capability(&self, capability: &Capability) -> bool {
        match capability {
            Capability::Multiprotocol(family) => {
                [Family::IPV4_UNICAST, Family::IPV6_UNICAST].contains(family)
            }
            Capability::GracefulRestart(restart) => restart.restart_time <= self.restart_s,
            Capability::RouteRefresh
            | Capability::ExtendedNextHop(_)
            | Capability::ExtendedMessage
            | Capability::FourOctetAs(_)
            | Capability::EnhancedRouteRefresh
            | Capability::Fqdn { .. } => true,
            Capability::Role(_) | Capability::AddPath(_) | Capability::Unknown { .. } => false,
        }
    }

    pub(super) fn has_device(&self, name: &str) -> bool {
        self.devices.is_empty() || self.devices.iter().any(|device| device == name)
    }

    pub(super) fn has_secret(&self, name: &str, peers: &IpNet) -> bool {
        let Some(of) = self.secrets.get(name) else { return false };
        of.is_empty() || of.iter().any(|prefix| prefix.contains(peers))
    }

    /// Returns true if all communities of the route may be sent. GRACEFUL_SHUTDOWN needs no permission, because it only
    /// ever takes traffic away from this node (RFC 8326).
    pub(super) fn has_communities(&self, attributes: &Attributes) -> bool {
        let Some(patterns) = &self.communities else { return true };
        let allowed = |text: String| patterns.iter().any(|pattern| matches(pattern, &text));
        let standard = attributes.communities.iter();
        standard
            .filter(|community| **community != Community::GRACEFUL_SHUTDOWN)
            .all(|community| allowed(community.to_string()))
            && attributes.extended_communities.iter().all(|it| allowed(it.to_string()))
            && attributes.large_communities.iter().all(|it| allowed(it.to_string()))
    }
}

/// Compares part by part: `64512:*` matches any standard community of 64512 and no large one.
fn matches(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.split(':'), text.split(':'));
    loop {
        match (pattern.next(), text.next()) {
            (None, None) => return true,
            (Some(one), Some(other)) if one == "*" || one == other => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stands_for_one_part() {
        for (pattern, text, expected) in [
            ("64512:100", "64512:100", true),
            ("64512:*", "64512:7", true),
            ("64512:*", "64513:7", false),
            ("64512:*", "64512:1:2", false),
            ("64512:*:*", "64512:1:2", true),
            ("no-export", "no-export", true),
            ("*", "no-export", true),
            ("*", "1:2", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
