//! The configuration of a speaker, `spec.config` of its Announcer, as written and independent of the node it runs on
//! (see `node` and `settings`). JSON is read by [`Config::parse`], which reports all errors at once.
//!
//! An omitted field takes the default named here. A minimal configuration:
//! `{"asn": 64513, "peers": [{"name": "tor", "address": "192.0.2.1", "asn": 64512}]}`.
use std::net::{IpAddr, Ipv4Addr};

use outrigger_sdk::wire::bgp::{Community, ExtendedCommunity, LargeCommunity};
use outrigger_sdk::{FieldError, IpNet, SecretRef};
use serde::{Deserialize, Serialize};

pub use selector::Selector;
pub use template::{Given, Missing, Template};

mod advertisement;
mod community;
mod peer;
mod read;
mod selector;
mod span;
mod template;

/// The whole configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `asn`: the local AS, 1 to 4294967294. A number, or text that refers to the node: `{label/example.com/asn}`.
    pub asn: Given<u32>,
    /// `routerId`: an IPv4 address in dotted notation, or text that refers to the node: `{node-ip}`. Default: the
    /// node's IPv4 address; on a node without one, a number derived from the node's name.
    pub router_id: Option<Given<Ipv4Addr>>,
    /// `listenPort`: the port for peers that may connect. Default: 179. No port is opened unless such a peer is configured.
    pub listen_port: u16,
    /// `peers`: at least one.
    pub peers: Vec<Peer>,
    /// `advertisements`: the routes to announce and their attributes. Default: every address by itself (/32, /128) to
    /// every peer. An empty list announces nothing.
    pub advertisements: Vec<Advertisement>,
    /// `gracefulShutdown` `{enabled: true, time: 3}`: the time, here in milliseconds, for which routes are the least
    /// preferred (RFC 8326) before the node leaves and they are withdrawn. `None` if they are withdrawn immediately.
    pub graceful_shutdown_ms: Option<u32>,
}

/// `peers[]`: a neighbour, or many of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// `name`: unique.
    pub name: String,
    /// `address`, `prefix` or `interface`: exactly one.
    pub remote: Remote,
    /// `asn`: a number, `external` (any but ours), `internal` (ours), or text that refers to the node.
    pub asn: Given<PeerAsn>,
    /// `localAsn`: the AS shown to this peer instead of `asn`. It alone is in the AS path.
    pub local_asn: Option<u32>,
    /// `port`: the peer's port. Default: 179.
    pub port: u16,
    /// False with `passive: true`, which waits for the peer to connect; always false with `prefix` and `interface`.
    pub dials: bool,
    /// `listen: true` accepts the peer's connection as well as dialling. Always true for a passive peer.
    pub listens: bool,
    /// `sourceAddress`: our end of the connection. It must be on the node.
    pub source: Option<Given<IpAddr>>,
    /// `vrf`: the VRF device to use.
    pub vrf: Option<String>,
    /// `holdTime`: seconds, or text like "90s": 0 (no KEEPALIVEs) or 3 to 3600. Default: 90, or three times
    /// `keepaliveTime` if only that is set.
    pub hold_s: u16,
    /// `keepaliveTime`: 0 to the Hold Time. Default, and with 0: a third of the negotiated Hold Time, which is also the
    /// longest interval that is used.
    pub keepalive_s: u16,
    /// `connectRetryTime`: the longest pause between two attempts; the first pauses are shorter. Default: 10 s.
    pub connect_retry_ms: u32,
    /// `sendHoldTime`: the session ends when the peer reads nothing for this long (RFC 9687). Default: the longer of 8
    /// minutes and twice the Hold Time.
    pub send_hold_s: u32,
    /// `md5` `{name: tor, key: password}`: an entry of the Announcer's `secretRefs`, and a key in its Secret (default:
    /// `password`).
    pub md5: Option<SecretRef>,
    /// `ttlSecurity` or `multihop`.
    pub reach: TtlPolicy,
    /// `bfd`. `None` if BFD is not used.
    pub bfd: Option<Bfd>,
    /// `gracefulRestart`. `None` if it is not offered.
    pub graceful_restart: Option<GracefulRestart>,
    /// `families`: `ipv4`, `ipv6`. Default: both are offered, and those that the peer accepts are announced.
    pub families: Families,
    /// `maximumPrefixes`: the session ends when the peer announces more (none of them is imported). Default: no limit.
    pub maximum_prefixes: Option<u32>,
    /// `nodeSelector`: one label selector, or a list of which one must match. Default: every node.
    pub nodes: Selector,
    /// `shutdown: true` keeps the session down without removing the peer.
    pub shutdown: bool,
    /// `shutdownMessage`: the text in the peer's log when the session is closed on purpose (RFC 9003), at most 255 octets.
    pub shutdown_message: String,
}

/// Location of the peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remote {
    /// `address`: "192.0.2.1", "2001:db8::1", "fe80::1%eth0", or text that refers to the node: `{default-gateway}`.
    Address(Given<Host>),
    /// `prefix`: any peer that connects from this prefix (dynamic neighbours).
    Prefix(IpNet),
    /// `interface`: the router at the other end of this link (unnumbered, RFC 8950 next hops).
    Interface(Given<String>),
}

/// An address, with the link of a link-local one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// The address.
    pub address: IpAddr,
    /// The link after `%`; "" if there is none.
    pub zone: String,
}

/// The AS that a peer must be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeerAsn {
    /// This AS.
    Number(u32),
    /// Any AS but ours.
    External,
    /// Our AS.
    Internal,
}

/// Number of routers allowed between this node and the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TtlPolicy {
    /// eBGP: none. iBGP: any number.
    Default,
    /// `multihop: 5`: packets are sent with this TTL.
    Multihop(u8),
    /// `ttlSecurity: 1`: packets are sent with TTL 255, and received packets that passed more than this number of hops
    /// are dropped (RFC 5082).
    Secured(u8),
}

/// `bfd`. Intervals are numbers of milliseconds, or text like "300ms" and "3300us".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bfd {
    /// `transmitInterval`, in microseconds. Default: 300 ms.
    pub transmit_us: u32,
    /// `receiveInterval`, in microseconds. Default: 300 ms.
    pub receive_us: u32,
    /// `detectMultiplier`. Default: 3.
    pub multiplier: u8,
    /// `passive: true` waits for the peer's first packet (RFC 5880 section 6.1).
    pub passive: bool,
    /// `minimumTtl`: for sessions over several hops (RFC 5883). Default: 254.
    pub minimum_ttl: u8,
}

/// `gracefulRestart`: `{}` for the defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GracefulRestart {
    /// `restartTime`: the time for which the peer keeps our routes while we restart, in seconds up to 4095. Default: 120.
    pub restart_s: u16,
    /// `notification`: the peer keeps them also when the session ends with a NOTIFICATION (RFC 8538). Default: true.
    pub notification: bool,
}

/// Address families.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Families {
    /// IPv4 unicast.
    pub ipv4: bool,
    /// IPv6 unicast.
    pub ipv6: bool,
}

/// `advertisements[]`. All entries that match an address and a peer take part: routes of different lengths are
/// announced side by side; for one route the communities add up, and for every other attribute the first entry that
/// sets it wins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advertisement {
    /// `pools`: names of pools. Default: all.
    pub pools: Option<Vec<String>>,
    /// `serviceSelector`: one label selector, or a list of which one must match. Default: every Service.
    pub services: Selector,
    /// `nodeSelector`: one label selector, or a list of which one must match. Default: every node.
    pub nodes: Selector,
    /// `peers`: names of peers. Default: all.
    pub peers: Option<Vec<String>>,
    /// `aggregationLength`: 1 to 32 for IPv4. Default: 32. A shorter one must be in the Announcer's `allow.aggregates`.
    pub length_v4: u8,
    /// `aggregationLengthV6`: 1 to 128 for IPv6. Default: 128.
    pub length_v6: u8,
    /// `communities`: "64512:100", a well-known name ("no-export"), or an alias from the top-level `communityAliases`
    /// (`{name: value}`).
    pub communities: Vec<Community>,
    /// `largeCommunities`: "64512:1:2". Also accepted in `communities` and as an alias, there optionally with the
    /// prefix `large:`.
    pub large_communities: Vec<LargeCommunity>,
    /// `extendedCommunities`: "rt:64512:100", "soo:64512:1", or "0x" and sixteen hexadecimal digits.
    pub extended_communities: Vec<ExtendedCommunity>,
    /// `localPref`: sent to internal peers. Default: 100.
    pub local_pref: Option<u32>,
    /// `med`. `None` if no MED is sent.
    pub med: Option<u32>,
    /// `prepend`: number of additional times the local AS is in the AS path, up to 16. Not to internal peers.
    pub prepend: Option<u8>,
    /// `noExport: true` adds the community no-export.
    pub no_export: bool,
    /// `linkBandwidth`: Mbit/s for each ready endpoint on this node, in a link bandwidth community, so that routers can
    /// spread load by endpoints.
    pub link_bandwidth: Option<u32>,
}

impl Config {
    /// Parses the configuration from JSON.
    ///
    /// # Errors
    /// Returns all errors, each with the path of its field.
    pub fn parse(json: &str) -> Result<Self, Vec<FieldError>> {
        read::document(json, read::config)
    }
}

#[cfg(test)]
mod tests;
