//! The session parameters that two OPENs result in, regardless of the end that opened the session.
use super::{Capability, Family, MAX_EXTENDED_MESSAGE, MAX_MESSAGE, Open};

/// The parameters of a session in both directions, as seen from one end.
///
/// The guard, which reads the messages written by a plugin, takes the peer's place: `Negotiated::new(&theirs, &ours)`
/// decodes messages that we send.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Negotiated {
    /// AS number of the end that reads.
    pub local_as: u32,
    /// AS number of the other end.
    pub remote_as: u32,
    /// Families that both ends carry.
    pub families: Vec<Family>,
    /// True if AS numbers have four octets in AS_PATH and AGGREGATOR (RFC 6793).
    pub four_octet_as: bool,
    /// True if IPv4 unicast routes may have an IPv6 next hop (RFC 8950).
    pub ipv6_next_hop: bool,
    /// Maximum length in octets of a message to send (RFC 8654); OPEN and KEEPALIVE have their own limits.
    pub send_limit: u16,
    /// Maximum length in octets of a received message.
    pub receive_limit: u16,
    /// True if the other end answers ROUTE-REFRESH (RFC 2918).
    pub route_refresh: bool,
    /// True if both ends mark the begin and end of a refresh (RFC 7313).
    pub enhanced_route_refresh: bool,
}

impl Negotiated {
    /// Combines the OPEN of the end that reads with that of the other end.
    pub fn new(local: &Open, remote: &Open) -> Self {
        let both = |capability| local.offers(&capability) && remote.offers(&capability);
        let limit = |open: &Open| {
            // RFC 8654 section 4: an end that offers it receives extended messages, even if the other end does not
            // offer it.
            let extended = open.offers(&Capability::ExtendedMessage);
            if extended { MAX_EXTENDED_MESSAGE } else { MAX_MESSAGE }
        };
        let (ours, theirs) = (families(local), families(remote));
        Self {
            local_as: local.asn,
            remote_as: remote.asn,
            families: ours.into_iter().filter(|family| theirs.contains(family)).collect(),
            four_octet_as: has_four_octet_as(local) && has_four_octet_as(remote),
            ipv6_next_hop: takes_ipv6_next_hop(local) && takes_ipv6_next_hop(remote),
            send_limit: limit(remote),
            receive_limit: limit(local),
            route_refresh: remote.offers(&Capability::RouteRefresh),
            enhanced_route_refresh: both(Capability::EnhancedRouteRefresh),
        }
    }

    /// Returns true if both ends belong to the same AS (iBGP).
    pub fn is_internal(&self) -> bool {
        self.local_as == self.remote_as
    }

    /// Returns true if both ends carry this family.
    pub fn carries(&self, family: Family) -> bool {
        self.families.contains(&family)
    }
}

/// Returns the families of an OPEN. Without a Multiprotocol capability it is IPv4 unicast only (RFC 4760 section 8).
fn families(open: &Open) -> Vec<Family> {
    let mut families = Vec::new();
    for capability in &open.capabilities {
        if let Capability::Multiprotocol(family) = capability
            && !families.contains(family)
        {
            families.push(*family);
        }
    }
    if families.is_empty() { vec![Family::IPV4_UNICAST] } else { families }
}

fn has_four_octet_as(open: &Open) -> bool {
    open.capabilities.iter().any(|it| matches!(it, Capability::FourOctetAs(_)))
}

fn takes_ipv6_next_hop(open: &Open) -> bool {
    let wanted = (Family::IPV4_UNICAST, Family::IPV6_UNICAST.afi);
    open.capabilities.iter().any(|capability| match capability {
        Capability::ExtendedNextHop(families) => families.contains(&wanted),
        _ => false,
    })
}
