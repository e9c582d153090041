//! The interop matrix: the product's features with each make of router, cell by cell. A cell that a make does not support gives
//! the reason from its own documentation.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::outrigger::{Outrigger, VIP, VIP6, peer_name};
use super::router::{Kind, Path, Router};
use super::speaker::{Bfd, Family, Hops, Neighbor, Speaker, Who};
use super::{Net, fib};

mod checks;
mod table;

pub use table::table;

/// Makes of router in the matrix.
pub const KINDS: [Kind; 3] = [Kind::Frr, Kind::Bird, Kind::Gobgp];
/// The product's AS.
pub(super) const OUR_ASN: u32 = 64512;
/// The router's AS.
pub(super) const THEIR_ASN: u32 = 64513;
/// AS number that does not fit in two octets.
pub(super) const LONG_ASN: u32 = 4_200_000_001;
/// AS number that replaces it for speakers that support only two octets (RFC 6793).
const AS_TRANS: u32 = 23456;

/// Feature that two BGP speakers may use together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is described by `what`, which the table prints")]
pub enum Feature {
    Ibgp,
    Ebgp,
    Multihop,
    V4,
    V6,
    DualStack,
    Md5,
    Gtsm,
    GracefulRestart,
    Bfd,
    ExtendedNextHop,
    Unnumbered,
    DynamicNeighbor,
    Passive,
    As4,
    RouteRefresh,
    LargeCommunities,
    ShutdownMessage,
}

impl Feature {
    /// All features, in the order of the table.
    pub const ALL: [Self; 18] = [
        Self::Ibgp,
        Self::Ebgp,
        Self::Multihop,
        Self::V4,
        Self::V6,
        Self::DualStack,
        Self::Md5,
        Self::Gtsm,
        Self::GracefulRestart,
        Self::Bfd,
        Self::ExtendedNextHop,
        Self::Unnumbered,
        Self::DynamicNeighbor,
        Self::Passive,
        Self::As4,
        Self::RouteRefresh,
        Self::LargeCommunities,
        Self::ShutdownMessage,
    ];

    /// Returns the name used in the table and in test names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ibgp => "iBGP",
            Self::Ebgp => "eBGP",
            Self::Multihop => "multihop",
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
            Self::DualStack => "dual stack on one session",
            Self::Md5 => "TCP MD5",
            Self::Gtsm => "GTSM",
            Self::GracefulRestart => "graceful restart",
            Self::Bfd => "BFD",
            Self::ExtendedNextHop => "IPv4 by IPv6 next hop",
            Self::Unnumbered => "unnumbered",
            Self::DynamicNeighbor => "dynamic neighbour",
            Self::Passive => "passive",
            Self::As4 => "4-byte AS against a 2-byte peer",
            Self::RouteRefresh => "route refresh",
            Self::LargeCommunities => "large communities",
            Self::ShutdownMessage => "shutdown message",
        }
    }

    /// Returns what is checked in each cell, in addition to the common checks: the session is established, the route has the
    /// right AS path and next hop, FRR and BIRD have it in the kernel, and it disappears with its Service while the session
    /// stays.
    pub fn what(self) -> &'static str {
        match self {
            Self::Ibgp => "empty AS path, local preference 100 (RFC 4271)",
            Self::Ebgp => "the AS path is Outrigger's AS; the router never dials",
            Self::Multihop => {
                "between loopbacks, one router in between; Outrigger's loopback is the next hop"
            }
            Self::V4 => "IPv4 alone is negotiated, and IPv6 routes are not sent",
            Self::V6 => {
                "an IPv6 session for IPv6 alone; the next hop is the node's global address (RFC 2545)"
            }
            Self::DualStack => {
                "IPv4 and IPv6 over one IPv4 session, each with its own next hop (RFC 4760)"
            }
            Self::Md5 => "the router demands signed segments (RFC 2385)",
            Self::Gtsm => "both ends demand TTL 255 (RFC 5082)",
            Self::GracefulRestart => {
                "the daemon is killed and restarts: no change of the kernel's route (FRR, BIRD), the route stays in the \
                 RIB (RFC 4724)"
            }
            Self::Bfd => {
                "3 x 300 ms; when its packets are lost, the route disappears long before the hold time"
            }
            Self::ExtendedNextHop => {
                "an IPv4 route with an IPv6 next hop over an IPv6 session (RFC 8950)"
            }
            Self::Unnumbered => "the router is configured with a link and nothing else",
            Self::DynamicNeighbor => "Outrigger is configured with a prefix, and the router dials",
            Self::Passive => "Outrigger never dials, and the router does",
            Self::As4 => {
                "Outrigger's AS is 4200000001, the router offers no four-octet AS numbers: FRR has AS_TRANS in the path, BIRD Outrigger's AS, from AS4_PATH (RFC 6793)"
            }
            Self::RouteRefresh => "the router asks, and gets all routes again (RFC 2918, RFC 7313)",
            Self::LargeCommunities => {
                "large and standard communities, MED and prepending arrive as configured (RFC 8092)"
            }
            Self::ShutdownMessage => {
                "the router logs why Outrigger left, and Outrigger reports why the router did (RFC 9003); GoBGP 4.8.0 never sends a reason itself"
            }
        }
    }

    /// Returns the reason that a make does not support the feature, by its documentation; `None` if it does.
    pub fn not_applicable(self, kind: Kind) -> Option<&'static str> {
        match (self, kind) {
            (Self::Unnumbered, Kind::Bird) => Some(
                "BIRD 2.0 User's Guide, BGP, `neighbor`: \"neighbor [ip | range prefix]\": it needs an address or a \
                 prefix; it discovers none",
            ),
            (Self::Unnumbered, Kind::Gobgp) => Some(
                "docs/sources/unnumbered-bgp.md: \"check neighbor's IPv6 link local address is on the linux's neighbor \
                 table\": it discovers none",
            ),
            (Self::As4, Kind::Gobgp) => Some(
                "docs/sources/configuration.md has no setting for it; pkg/server/fsm.go `capabilitiesFromConfig` always \
                 offers four-octet AS numbers",
            ),
            (Self::RouteRefresh, Kind::Gobgp) => Some(
                "docs/sources/cli-command-syntax.md: `softresetin` works on the Adj-RIB-In that it keeps; nothing in it \
                 sends a ROUTE-REFRESH",
            ),
            _ => None,
        }
    }

    /// Returns the name as part of a test name.
    pub fn slug(self) -> String {
        self.name().to_lowercase().replace([' ', '-'], "_")
    }
}

/// Two speakers that face each other, and their network.
struct Case {
    ours: Speaker,
    theirs: Speaker,
    /// Patch for the Announcer's configuration.
    more: Value,
    /// Name that the router has for the product.
    us: String,
    /// Expected next hops of the product's routes.
    next_hops: [String; 2],
    families: Vec<Family>,
    as_path: Vec<u32>,
}

/// Runs one cell.
///
/// # Errors
/// Returns an error with the first violated expectation and the state of both ends.
pub fn run(feature: Feature, kind: Kind) -> Result<()> {
    let case = case(feature, kind);
    let net = if feature == Feature::Multihop { far_pair()? } else { Net::pair()? };
    let theirs = Router::start(kind, &case.theirs, &net.at("p"), net.folder())?;
    let mut ours = Outrigger::new(&net, "o")?;
    ours.speak(&case.ours, case.more.clone())?;
    ours.put_service("web", "")?;
    ours.start()?;
    cell(feature, &case, &mut ours, &theirs)
        .with_context(|| format!("{}{}", ours.explain(), theirs.explain()))
}

fn cell(feature: Feature, case: &Case, ours: &mut Outrigger, theirs: &Router) -> Result<()> {
    let session = theirs.await_established(&case.us)?;
    for family in &case.families {
        arrived(*family, case, theirs)?;
    }
    checks::of(feature, case, ours, theirs)?;
    if matches!(feature, Feature::GracefulRestart | Feature::Bfd | Feature::ShutdownMessage) {
        return Ok(());
    }
    ours.remove("service-web.yaml")?;
    for family in &case.families {
        theirs.await_no_path(vip(*family))?;
    }
    let after = theirs.session(&case.us)?;
    ensure!(
        after.established && after.generation == session.generation,
        "the session changed from {} to {} when the Service was deleted",
        session.generation,
        after.generation
    );
    Ok(())
}

/// Waits for the route, and checks the attributes that every route has.
fn arrived(family: Family, case: &Case, theirs: &Router) -> Result<Path> {
    let path = theirs.await_path(vip(family))?;
    let expected = &case.next_hops[usize::from(family == Family::V6)];
    ensure!(path.as_path == case.as_path, "the AS path is {:?}", path.as_path);
    // FRR and BIRD are not configured with the address of an unnumbered neighbour: its link-local address is among them.
    let linked = expected.is_empty() && path.next_hops.iter().any(|hop| hop.starts_with("fe80:"));
    ensure!(
        linked || path.next_hops.first() == Some(expected),
        "the next hops are {:?}, not {expected}",
        path.next_hops
    );
    if theirs.kind != Kind::Gobgp {
        fib::await_next_hops(theirs.namespace(), vip(family), 1)?;
    }
    Ok(path)
}

fn vip(family: Family) -> &'static str {
    if family == Family::V4 { VIP } else { VIP6 }
}

fn v4(host: u8) -> IpAddr {
    Ipv4Addr::new(10, 77, 0, host).into()
}

fn v6(host: u16) -> IpAddr {
    Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, host).into()
}

/// Returns the configuration of both ends.
fn case(feature: Feature, kind: Kind) -> Case {
    let six = matches!(feature, Feature::V6 | Feature::ExtendedNextHop);
    let (us, them) = match feature {
        Feature::Multihop => {
            (Ipv4Addr::new(10, 99, 0, 1).into(), Ipv4Addr::new(10, 99, 0, 2).into())
        }
        _ if six => (v6(1), v6(2)),
        _ => (v4(1), v4(2)),
    };
    let our_asn = if feature == Feature::As4 { LONG_ASN } else { OUR_ASN };
    let their_asn = if feature == Feature::Ibgp { OUR_ASN } else { THEIR_ASN };
    let mut to_them = Neighbor::at(them, their_asn);
    let mut to_us = Neighbor::at(us, our_asn);
    for neighbor in [&mut to_them, &mut to_us] {
        common(feature, neighbor);
    }
    let mut us = us.to_string();
    match feature {
        Feature::Ebgp => to_us.passive = true,
        Feature::Passive => to_them.passive = true,
        Feature::DynamicNeighbor => to_them.who = Who::Range("10.77.0.0/24".to_owned()),
        // Both read our AS in our capability, and offer none of their own: they are configured with the four-octet AS.
        Feature::As4 => to_us.as4 = false,
        Feature::Multihop => {
            to_them.local = Some(Ipv4Addr::new(10, 99, 0, 1).into());
            to_us.local = Some(Ipv4Addr::new(10, 99, 0, 2).into());
        }
        Feature::Unnumbered => {
            (to_them.who, to_us.who) = (Who::Link("eth0".to_owned()), Who::Link("eth0".to_owned()));
            us = "eth0".to_owned();
        }
        _ => {}
    }
    let more = match feature {
        Feature::LargeCommunities => json!({ "advertisements": [{
            "communities": ["64512:100", "no-export"],
            "largeCommunities": ["64512:1:2", "4200000000:3:4"],
            "med": 77,
            "prepend": 2,
        }] }),
        _ => json!({}),
    };
    let hop4 = match feature {
        Feature::Multihop => "10.99.0.1".to_owned(),
        Feature::ExtendedNextHop => v6(1).to_string(),
        Feature::Unnumbered => String::new(),
        _ => v4(1).to_string(),
    };
    Case {
        families: to_them.families.clone(),
        ours: Speaker::new(our_asn, Ipv4Addr::new(10, 77, 0, 1)).with(to_them),
        theirs: Speaker::new(their_asn, Ipv4Addr::new(10, 77, 0, 2)).with(to_us),
        more,
        us,
        next_hops: [hop4, v6(1).to_string()],
        as_path: match feature {
            Feature::Ibgp => vec![],
            Feature::LargeCommunities => vec![OUR_ASN; 3],
            // FRR without capabilities is a true two-octet router: it ignores AS4_PATH.
            Feature::As4 if kind == Kind::Frr => vec![AS_TRANS],
            _ => vec![our_asn],
        },
    }
}

/// Applies the configuration that both ends share.
fn common(feature: Feature, neighbor: &mut Neighbor) {
    match feature {
        Feature::V6 => neighbor.families = vec![Family::V6],
        Feature::DualStack => neighbor.families = vec![Family::V4, Family::V6],
        Feature::Multihop => neighbor.hops = Hops::Many(5),
        Feature::Md5 => neighbor.password = Some(super::outrigger::PASSWORD.to_owned()),
        Feature::Gtsm => neighbor.hops = Hops::Secured,
        Feature::GracefulRestart => neighbor.restart = Some(20),
        // Where nothing is lost on purpose, BFD must not flap on a busy machine either.
        Feature::Bfd => {
            neighbor.bfd = Some(Bfd { interval_ms: 300, multiplier: 3 });
            neighbor.hold = 90;
        }
        Feature::ExtendedNextHop | Feature::Unnumbered => neighbor.extended_next_hop = true,
        _ => {}
    }
}

/// Builds two speakers with a router between them, which has routes to their loopbacks.
fn far_pair() -> Result<Net> {
    let net = Net::new(&["o", "m", "p"])?;
    net.wire(("o", "eth0"), ("m", "eth0"))?;
    net.wire(("p", "eth0"), ("m", "eth1"))?;
    net.at("o").ip(
        "addr add 10.77.0.1/24 dev eth0\naddr add fd77::1/64 dev eth0 nodad\naddr add 10.99.0.1/32 dev lo\n\
         route add default via 10.77.0.254\n",
    )?;
    net.at("m").ip("addr add 10.77.0.254/24 dev eth0\naddr add 10.78.0.254/24 dev eth1\n\
         route add 10.99.0.1/32 via 10.77.0.1\nroute add 10.99.0.2/32 via 10.78.0.2\n")?;
    net.at("p").ip(
        "addr add 10.78.0.2/24 dev eth0\naddr add 10.99.0.2/32 dev lo\nroute add 10.99.0.1/32 via 10.78.0.254\n\
         route add 10.77.0.0/24 via 10.78.0.254\n",
    )?;
    net.forward("m")?;
    Ok(net)
}

/// Returns the router's name in the product's configuration.
fn them() -> String {
    peer_name(0)
}
