//! The capabilities that a speaker lists in its OPEN (RFC 5492). The result of two OPENs is in `negotiated`.
use super::octets::Octets;
use super::{ErrorCode, Family, Fault};

/// A capability. Unknown ones are kept as received.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Capability {
    /// 1: the speaker carries routes of this family (RFC 4760).
    Multiprotocol(Family),
    /// 2: the speaker answers ROUTE-REFRESH (RFC 2918).
    RouteRefresh,
    /// 5: routes of the family may have a next hop of the other AFI (RFC 8950). Pairs of family and next hop AFI.
    ExtendedNextHop(Vec<(Family, u16)>),
    /// 6: the speaker receives messages of up to 65535 octets (RFC 8654).
    ExtendedMessage,
    /// 9: the speaker's role. 0 = provider, 1 = route server, 2 = route server client, 3 = customer, 4 = peer (RFC 9234).
    Role(u8),
    /// 64: the speaker supports graceful restart (RFC 4724, RFC 8538).
    GracefulRestart(GracefulRestart),
    /// 65: the speaker's AS number (RFC 6793).
    FourOctetAs(u32),
    /// 69: additional paths; pairs of family and mode, where 1 = receives, 2 = sends, 3 = both (RFC 7911).
    AddPath(Vec<(Family, u8)>),
    /// 70: the speaker supports the begin and end marks of a refresh (RFC 7313).
    EnhancedRouteRefresh,
    /// 73: host and domain name (draft-walton-bgp-hostname-capability).
    Fqdn {
        /// Host name.
        host: String,
        /// Domain name; may be empty.
        domain: String,
    },
    /// Any other capability, or one of the above that is malformed in a harmless way.
    Unknown {
        /// Capability code.
        code: u8,
        /// Capability value.
        value: Vec<u8>,
    },
}

/// The Graceful Restart capability (RFC 4724 section 3), with the N bit of RFC 8538.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct GracefulRestart {
    /// R: the speaker has just restarted; the peer need not wait for its End-of-RIB.
    pub restarted: bool,
    /// N: a NOTIFICATION other than Hard Reset also triggers a graceful restart.
    pub notification: bool,
    /// Restart Time in seconds, 12 bits.
    pub restart_time: u16,
    /// Families, each with its F bit: true if forwarding state was preserved.
    pub families: Vec<(Family, bool)>,
}

impl GracefulRestart {
    /// The largest Restart Time that 12 bits hold, in seconds.
    pub const MAX_RESTART_TIME: u16 = 0x0fff;
}

impl Capability {
    /// Returns the capability code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Multiprotocol(_) => 1,
            Self::RouteRefresh => 2,
            Self::ExtendedNextHop(_) => 5,
            Self::ExtendedMessage => 6,
            Self::Role(_) => 9,
            Self::GracefulRestart(_) => 64,
            Self::FourOctetAs(_) => 65,
            Self::AddPath(_) => 69,
            Self::EnhancedRouteRefresh => 70,
            Self::Fqdn { .. } => 73,
            Self::Unknown { code, .. } => *code,
        }
    }

    /// Returns the common name of the capability, such as "multiprotocol IPv4 unicast".
    pub fn name(&self) -> String {
        match self {
            Self::Multiprotocol(family) => format!("multiprotocol {family}"),
            Self::RouteRefresh => "route refresh".to_owned(),
            Self::ExtendedNextHop(_) => "extended next hop".to_owned(),
            Self::ExtendedMessage => "extended message".to_owned(),
            Self::Role(role) => format!("role {role}"),
            Self::GracefulRestart(_) => "graceful restart".to_owned(),
            Self::FourOctetAs(asn) => format!("4-octet AS {asn}"),
            Self::AddPath(_) => "ADD-PATH".to_owned(),
            Self::EnhancedRouteRefresh => "enhanced route refresh".to_owned(),
            Self::Fqdn { host, .. } => format!("host name {host}"),
            Self::Unknown { code, .. } => format!("capability {code}"),
        }
    }

    /// Decodes the value of one capability. A malformed value that may be ignored becomes `Unknown`; any other is a
    /// fault, because RFC 4271 section 6.2 requires 2/0 for a recognized but malformed parameter.
    fn decode(code: u8, value: &[u8]) -> Result<Self, Fault> {
        let unknown = || Self::Unknown { code, value: value.to_vec() };
        let decoded = match code {
            1 => decode_multiprotocol(value),
            2 => value.is_empty().then_some(Self::RouteRefresh),
            5 => decode_extended_next_hop(value),
            6 => value.is_empty().then_some(Self::ExtendedMessage),
            // RFC 9234 section 4.2 leaves the handling of an unusable role to local policy: here it counts as no
            // role.
            9 => Some(
                <[u8; 1]>::try_from(value).map_or_else(|_| unknown(), |[role]| Self::Role(role)),
            ),
            64 => decode_graceful_restart(value),
            65 => value.try_into().ok().map(|asn| Self::FourOctetAs(u32::from_be_bytes(asn))),
            69 => decode_add_path(value),
            70 => value.is_empty().then_some(Self::EnhancedRouteRefresh),
            73 => Some(decode_fqdn(value).unwrap_or_else(unknown)),
            _ => Some(unknown()),
        };
        decoded.ok_or_else(|| {
            Fault::reset(
                ErrorCode::OPEN_UNSPECIFIC,
                [],
                format!("capability {code} has an impossible length of {} octets", value.len()),
                "RFC 4271 section 6.2",
            )
        })
    }

    /// Decodes the value of one Capabilities parameter and appends to the capabilities of earlier parameters.
    pub(crate) fn decode_all(value: &[u8], into: &mut Vec<Self>) -> Result<(), Fault> {
        let mut octets = Octets(value);
        while !octets.is_empty() {
            let one = octets.u8().zip(octets.u8());
            let one = one.and_then(|(code, length)| Some((code, octets.take(length.into())?)));
            let (code, value) = one.ok_or_else(|| {
                Fault::reset(
                    ErrorCode::OPEN_UNSPECIFIC,
                    [],
                    "a capability runs past the end of its parameter",
                    "RFC 4271 section 6.2",
                )
            })?;
            into.push(Self::decode(code, value)?);
        }
        Ok(())
    }

    /// Encodes code, length and value. Returns nothing if the value is longer than its length octet can express.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let value = self.encode_value();
        match u8::try_from(value.len()) {
            Ok(length) => [&[self.code(), length], value.as_slice()].concat(),
            Err(_) => Vec::new(),
        }
    }

    fn encode_value(&self) -> Vec<u8> {
        match self {
            Self::Multiprotocol(Family { afi, safi }) => [afi.to_be_bytes(), [0, *safi]].concat(),
            Self::RouteRefresh | Self::ExtendedMessage | Self::EnhancedRouteRefresh => Vec::new(),
            Self::ExtendedNextHop(families) => families
                .iter()
                .flat_map(|(Family { afi, safi }, next_hop)| {
                    [afi.to_be_bytes(), [0, *safi], next_hop.to_be_bytes()].concat()
                })
                .collect(),
            Self::Role(role) => vec![*role],
            Self::GracefulRestart(restart) => encode_graceful_restart(restart),
            Self::FourOctetAs(asn) => asn.to_be_bytes().to_vec(),
            Self::AddPath(families) => families
                .iter()
                .flat_map(|(Family { afi, safi }, mode)| {
                    [afi.to_be_bytes(), [*safi, *mode]].concat()
                })
                .collect(),
            Self::Fqdn { host, domain } => [host, domain]
                .into_iter()
                .flat_map(|name| {
                    let name = &name.as_bytes()[..name.floor_char_boundary(64)];
                    [&[u8::try_from(name.len()).expect("cut at 64")], name].concat()
                })
                .collect(),
            Self::Unknown { value, .. } => value.clone(),
        }
    }
}

fn decode_multiprotocol(value: &[u8]) -> Option<Capability> {
    let [high, low, _reserved, safi] = *value else { return None };
    Some(Capability::Multiprotocol(Family { afi: u16::from_be_bytes([high, low]), safi }))
}

/// Decodes Extended Next Hop. In RFC 8950 section 4 the SAFI has two octets.
fn decode_extended_next_hop(value: &[u8]) -> Option<Capability> {
    let (entries, []) = value.as_chunks::<6>() else { return None };
    let entries = entries.iter().filter_map(|&[a, b, high, safi, c, d]| {
        // No SAFI is above 255, so such an entry names no family.
        let family = Family { afi: u16::from_be_bytes([a, b]), safi };
        (high == 0).then_some((family, u16::from_be_bytes([c, d])))
    });
    Some(Capability::ExtendedNextHop(entries.collect()))
}

fn decode_graceful_restart(value: &[u8]) -> Option<Capability> {
    let (head, families) = value.split_first_chunk::<2>()?;
    let (families, []) = families.as_chunks::<4>() else { return None };
    let head = u16::from_be_bytes(*head);
    Some(Capability::GracefulRestart(GracefulRestart {
        restarted: head & 0x8000 != 0,
        notification: head & 0x4000 != 0,
        restart_time: head & GracefulRestart::MAX_RESTART_TIME,
        families: families
            .iter()
            .map(|&[a, b, safi, flags]| {
                (Family { afi: u16::from_be_bytes([a, b]), safi }, flags & 0x80 != 0)
            })
            .collect(),
    }))
}

fn encode_graceful_restart(restart: &GracefulRestart) -> Vec<u8> {
    let mut head = restart.restart_time.min(GracefulRestart::MAX_RESTART_TIME);
    head |= u16::from(restart.restarted) << 15;
    head |= u16::from(restart.notification) << 14;
    let families = restart.families.iter().flat_map(|(Family { afi, safi }, preserved)| {
        [afi.to_be_bytes(), [*safi, u8::from(*preserved) << 7]].concat()
    });
    head.to_be_bytes().into_iter().chain(families).collect()
}

fn decode_add_path(value: &[u8]) -> Option<Capability> {
    let (entries, []) = value.as_chunks::<4>() else { return None };
    let entry =
        |&[a, b, safi, mode]: &[u8; 4]| (Family { afi: u16::from_be_bytes([a, b]), safi }, mode);
    Some(Capability::AddPath(entries.iter().map(entry).collect()))
}

fn decode_fqdn(value: &[u8]) -> Option<Capability> {
    let mut octets = Octets(value);
    let mut name = || {
        let length = octets.u8()?;
        let name = octets.take(length.into()).filter(|name| name.len() <= 64)?;
        String::from_utf8(name.to_vec()).ok()
    };
    let (host, domain) = (name()?, name()?);
    octets.is_empty().then_some(Capability::Fqdn { host, domain })
}
