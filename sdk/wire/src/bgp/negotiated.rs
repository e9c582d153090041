//! What two OPENs agree on. Knows nothing of who opened the session.
use super::{Capability, Family, MAX_EXTENDED_MESSAGE, MAX_MESSAGE, Open};

/// What holds for both directions of a session, as one end sees it.
///
/// The guard, which reads what a plugin writes, takes the peer's place: `Negotiated::new(&theirs, &ours)` decodes what we send.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Negotiated {
    /// The reader's AS number.
    pub local_as: u32,
    /// The other end's AS number.
    pub remote_as: u32,
    /// Families that both ends carry.
    pub families: Vec<Family>,
    /// AS numbers have four octets in AS_PATH and AGGREGATOR (RFC 6793).
    pub four_octet_as: bool,
    /// IPv4 unicast routes may have an IPv6 next hop (RFC 8950).
    pub ipv6_next_hop: bool,
    /// The longest message that may be sent (RFC 8654); OPEN and KEEPALIVE have their own limits.
    pub send_limit: u16,
    /// The longest message that may come.
    pub receive_limit: u16,
    /// The other end answers ROUTE-REFRESH (RFC 2918).
    pub route_refresh: bool,
    /// Both ends mark where a refresh begins and ends (RFC 7313).
    pub enhanced_route_refresh: bool,
}

impl Negotiated {
    /// What the reader's own OPEN and the other end's agree on.
    pub fn new(local: &Open, remote: &Open) -> Self {
        let both = |capability| local.offers(&capability) && remote.offers(&capability);
        let limit = |open: &Open| {
            // RFC 8654 section 4: who offers it receives them, whatever the other end offers.
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

    /// Whether both ends are of one AS (iBGP).
    pub fn is_internal(&self) -> bool {
        self.local_as == self.remote_as
    }

    /// Whether both ends carry this family.
    pub fn carries(&self, family: Family) -> bool {
        self.families.contains(&family)
    }
}

/// RFC 4760 section 8: who says nothing of families carries IPv4 unicast alone.
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
