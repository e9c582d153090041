//! The configuration of a speaker, `spec.config` of its Announcer, as it was written: nothing here knows on which node it
//! runs (see `node` and `settings`). JSON comes in through [`Config::parse`], which tells everything that is wrong with it at once.
//!
//! What is not written takes the value named here. A smallest one:
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

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `asn`: the local AS, 1 to 4294967294. A number, or text that names something of the node: `{label/example.com/asn}`.
    pub asn: Given<u32>,
    /// `routerId`: an IPv4 address in dots, or text that names something of the node: `{node-ip}`. Default: the node's IPv4
    /// address; on a node without one, a number made from the node's name.
    pub router_id: Option<Given<Ipv4Addr>>,
    /// `listenPort`: for peers that may connect. 179. Nothing listens unless such a peer is configured.
    pub listen_port: u16,
    /// `peers`: at least one.
    pub peers: Vec<Peer>,
    /// `advertisements`: what is announced, and how. Default: every address by itself (/32, /128) to every peer. An
    /// empty list announces nothing.
    pub advertisements: Vec<Advertisement>,
    /// `gracefulShutdown` `{enabled: true, time: 3}`: before the node leaves, its routes are the least preferred (RFC 8326)
    /// for so many milliseconds, then withdrawn. `None` = withdrawn at once.
    pub graceful_shutdown_ms: Option<u32>,
}

/// `peers[]`: a neighbour, or many of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// `name`: unique.
    pub name: String,
    /// `address`, `prefix` or `interface`: exactly one.
    pub remote: Remote,
    /// `asn`: a number, `external` (any but ours), `internal` (ours), or text that names something of the node.
    pub asn: Given<PeerAsn>,
    /// `localAsn`: the AS shown to this peer instead of `asn`. It alone is in the AS path.
    pub local_asn: Option<u32>,
    /// `port`: the peer's. 179.
    pub port: u16,
    /// `passive: true` waits for the peer to connect; always so with `prefix` and `interface`.
    pub dials: bool,
    /// `listen: true` takes the peer's connection too, besides dialling. Always so when passive.
    pub listens: bool,
    /// `sourceAddress`: our end. It must be on the node.
    pub source: Option<Given<IpAddr>>,
    /// `vrf`: the VRF device to use.
    pub vrf: Option<String>,
    /// `holdTime`: seconds, or text like "90s": 0 (no keepalives) or 3 to 3600. 90. With `keepaliveTime` alone: three of
    /// these.
    pub hold_s: u16,
    /// `keepaliveTime`: 0 to a third of the negotiated hold time, which it also is by default.
    pub keepalive_s: u16,
    /// `connectRetryTime`: the longest pause between two attempts; the first pauses are shorter. 10 s.
    pub connect_retry_ms: u32,
    /// `sendHoldTime`: the session ends when the peer reads nothing for so long (RFC 9687). The longer of 8 minutes and twice
    /// the hold time.
    pub send_hold_s: u32,
    /// `md5` `{name: tor, key: password}`: an entry of the Announcer's `secretRefs` and a key in its Secret (`password`).
    pub md5: Option<SecretRef>,
    /// `ttlSecurity` or `multihop`.
    pub reach: Reach,
    /// `bfd`.
    pub bfd: Option<Bfd>,
    /// `gracefulRestart`.
    pub graceful_restart: Option<GracefulRestart>,
    /// `families`: `ipv4`, `ipv6`. Both are offered by default, and announced as far as the peer takes them.
    pub families: Families,
    /// `maximumPrefixes`: the session ends when the peer announces more (nothing of it is imported). Default: any number.
    pub maximum_prefixes: Option<u32>,
    /// `nodeSelector`: one label selector, or a list of which one must match. Default: every node.
    pub nodes: Selector,
    /// `shutdown: true` keeps the session down without removing the peer.
    pub shutdown: bool,
    /// `shutdownMessage`: what the peer's log shows when the session is closed on purpose (RFC 9003), 255 octets at most.
    pub shutdown_message: String,
}

/// Where the peer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remote {
    /// `address`: "192.0.2.1", "2001:db8::1", "fe80::1%eth0", or text that names something of the node: `{default-gateway}`.
    Address(Given<Host>),
    /// `prefix`: whoever connects from there (dynamic neighbours).
    Prefix(IpNet),
    /// `interface`: the router at the other end of this link (unnumbered, RFC 8950 next hops).
    Interface(Given<String>),
}

/// An address, with the link a link-local one is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// The address.
    pub address: IpAddr,
    /// What follows `%`, "" = nothing.
    pub zone: String,
}

/// Which AS a peer must be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeerAsn {
    /// This one.
    Number(u32),
    /// Any but ours.
    External,
    /// Ours.
    Internal,
}

/// How many routers may be between us and the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reach {
    /// eBGP: none. iBGP: any number.
    Default,
    /// `multihop: 5`: packets leave with this TTL.
    Multihop(u8),
    /// `ttlSecurity: 1`: packets leave with TTL 255, and those that passed more than so many hops are dropped (RFC 5082).
    Secured(u8),
}

/// `bfd`. Intervals are numbers of milliseconds, or text like "300ms" and "3300us".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bfd {
    /// `transmitInterval`: 300 ms.
    pub transmit_us: u32,
    /// `receiveInterval`: 300 ms.
    pub receive_us: u32,
    /// `detectMultiplier`: 3.
    pub multiplier: u8,
    /// `passive: true` waits for the peer's first packet (RFC 5880 section 6.1).
    pub passive: bool,
    /// `minimumTtl`: for sessions over several hops (RFC 5883). 254.
    pub minimum_ttl: u8,
}

/// `gracefulRestart`: `{}` for the defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GracefulRestart {
    /// `restartTime`: how long the peer keeps our routes while we restart, seconds up to 4095. 120.
    pub restart_s: u16,
    /// `notification`: also when the session ends with a NOTIFICATION (RFC 8538). True.
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

/// `advertisements[]`. All that match an address and a peer take part: routes of different lengths are announced side by
/// side; for one route the communities add up, and of all other attributes the first entry that sets it wins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advertisement {
    /// `pools`: names. Default: all.
    pub pools: Option<Vec<String>>,
    /// `serviceSelector`: one label selector, or a list of which one must match. Default: every Service.
    pub services: Selector,
    /// `nodeSelector`: in the same way. Default: every node.
    pub nodes: Selector,
    /// `peers`: names. Default: all.
    pub peers: Option<Vec<String>>,
    /// `aggregationLength`: 1 to 32 for IPv4. 32. A shorter one must be in the Announcer's `allow.aggregates`.
    pub length_v4: u8,
    /// `aggregationLengthV6`: 1 to 128. 128.
    pub length_v6: u8,
    /// `communities`: "64512:100", a well-known name ("no-export"), or an alias from the top-level `communityAliases`
    /// (`{name: value}`).
    pub communities: Vec<Community>,
    /// `largeCommunities`: "64512:1:2". Also taken in `communities` and as an alias, there with `large:` before it if you like.
    pub large_communities: Vec<LargeCommunity>,
    /// `extendedCommunities`: "rt:64512:100", "soo:64512:1", or "0x" and sixteen hexadecimal digits.
    pub extended_communities: Vec<ExtendedCommunity>,
    /// `localPref`: sent to internal peers. 100.
    pub local_pref: Option<u32>,
    /// `med`.
    pub med: Option<u32>,
    /// `prepend`: the local AS so many times more in the AS path, up to 16. Not to internal peers.
    pub prepend: Option<u8>,
    /// `noExport: true` is the community no-export.
    pub no_export: bool,
    /// `linkBandwidth`: Mbit/s for each ready endpoint on this node, in a link bandwidth community, so that routers can
    /// spread load by endpoints.
    pub link_bandwidth: Option<u32>,
}

impl Config {
    /// Reads it.
    ///
    /// # Errors
    /// All that is wrong, each with where it stands.
    pub fn parse(json: &str) -> Result<Self, Vec<FieldError>> {
        read::document(json, read::config)
    }
}

#[cfg(test)]
mod tests;
