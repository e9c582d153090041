//! Builds our OPEN and checks the peer's. Independent of the session state.
use outrigger_sdk::wire::bgp::{
    Capability, ErrorCode, Family, Fault, GracefulRestart, Negotiated, Open, missing_capabilities,
};

use crate::config::{Families, PeerAsn};
use crate::settings::PeerSettings;

/// Returns the address families enabled in the configuration.
pub(crate) fn families(families: Families) -> Vec<Family> {
    let ipv4 = families.ipv4.then_some(Family::IPV4_UNICAST);
    ipv4.into_iter().chain(families.ipv6.then_some(Family::IPV6_UNICAST)).collect()
}

/// Builds our OPEN. `over_ipv6` is true if the peer is reached over IPv6; `restarted` is true if the peer has not been
/// Established since the daemon restarted.
pub(crate) fn ours(terms: &PeerSettings, over_ipv6: bool, restarted: bool) -> Open {
    let families = families(terms.families);
    let mut capabilities: Vec<Capability> =
        families.iter().copied().map(Capability::Multiprotocol).collect();
    capabilities.push(Capability::RouteRefresh);
    if over_ipv6 && terms.families.ipv4 {
        let afi = Family::IPV6_UNICAST.afi;
        capabilities.push(Capability::ExtendedNextHop(vec![(Family::IPV4_UNICAST, afi)]));
    }
    if let Some(restart) = terms.graceful_restart {
        capabilities.push(Capability::GracefulRestart(GracefulRestart {
            restarted,
            notification: restart.notification,
            restart_time: restart.restart_s,
            // The kernel keeps forwarding whatever happens to this process (RFC 4724 section 3, flag F).
            families: families.iter().map(|family| (*family, true)).collect(),
        }));
    }
    capabilities.push(Capability::FourOctetAs(terms.local_asn));
    capabilities.push(Capability::EnhancedRouteRefresh);
    Open { asn: terms.local_asn, hold_time: terms.hold_s, router_id: terms.router_id, capabilities }
}

/// Returns what both OPENs agree on.
///
/// # Errors
/// Returns a fault if the peer's OPEN violates the configuration.
pub(crate) fn judge(terms: &PeerSettings, ours: &Open, theirs: &Open) -> Result<Negotiated, Fault> {
    let expected = match terms.peer_asn {
        PeerAsn::Number(asn) if asn != theirs.asn => Some(format!("configured {asn}")),
        PeerAsn::External if theirs.asn == terms.local_asn => {
            Some("configured external, but that is the local AS".to_owned())
        }
        PeerAsn::Internal if theirs.asn != terms.local_asn => {
            Some(format!("configured internal, which is {}", terms.local_asn))
        }
        _ => None,
    };
    if let Some(expected) = expected {
        let words = format!("peer's AS is {}, {expected}", theirs.asn);
        return Err(Fault::reset(ErrorCode::BAD_PEER_AS, [], words, "RFC 4271 section 6.2"));
    }
    // The same router ID in different ASes names different speakers.
    if theirs.router_id == ours.router_id && theirs.asn == ours.asn {
        let words = format!(
            "peer has the same router ID, {}: configure a different router ID",
            ours.router_id
        );
        let clause = "RFC 6286 section 2.2";
        return Err(Fault::reset(ErrorCode::BAD_BGP_IDENTIFIER, [], words, clause));
    }
    let negotiated = Negotiated::new(ours, theirs);
    if negotiated.families.is_empty() {
        let missing: Vec<Capability> =
            families(terms.families).into_iter().map(Capability::Multiprotocol).collect();
        let names: Vec<String> = families(terms.families).iter().map(ToString::to_string).collect();
        let words = format!("peer does not accept routes of {}", names.join(" or "));
        let notification = missing_capabilities(&missing);
        let fault =
            Fault::reset(notification.error, notification.data, words, "RFC 5492 section 5");
        return Err(fault);
    }
    Ok(negotiated)
}

/// Returns two flags: the peer keeps our routes while we restart (RFC 4724), and it does so also after a NOTIFICATION
/// (RFC 8538).
pub(crate) fn graceful(ours: &Open, theirs: &Open) -> (bool, bool) {
    match (ours.graceful_restart(), theirs.graceful_restart()) {
        (Some(ours), Some(theirs)) => (true, ours.notification && theirs.notification),
        _ => (false, false),
    }
}
