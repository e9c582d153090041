//! Address families by their IANA numbers.
use std::fmt;

use ipnet::IpNet;

/// An address family: AFI and SAFI (RFC 4760). Unknown ones keep their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Family {
    /// Address Family Identifier: 1 = IPv4, 2 = IPv6.
    pub afi: u16,
    /// Subsequent Address Family Identifier: 1 = unicast.
    pub safi: u8,
}

impl Family {
    /// IPv4 unicast: AFI 1, SAFI 1.
    pub const IPV4_UNICAST: Self = Self { afi: 1, safi: 1 };
    /// IPv6 unicast: AFI 2, SAFI 1.
    pub const IPV6_UNICAST: Self = Self { afi: 2, safi: 1 };

    /// Returns the unicast family of a prefix.
    pub fn of(prefix: &IpNet) -> Self {
        match prefix {
            IpNet::V4(_) => Self::IPV4_UNICAST,
            IpNet::V6(_) => Self::IPV6_UNICAST,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::IPV4_UNICAST => f.write_str("IPv4 unicast"),
            Self::IPV6_UNICAST => f.write_str("IPv6 unicast"),
            Self { afi, safi } => write!(f, "AFI {afi}/SAFI {safi}"),
        }
    }
}
