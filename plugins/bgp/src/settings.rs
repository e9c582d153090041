//! The configuration as it applies to this node, with selectors applied and templates filled in.
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use outrigger_sdk::{FieldError, IpNet, SecretRef, SocketOption};
use serde::{Deserialize, Serialize};

use crate::config::{
    Advertisement, Bfd, Config, Families, GracefulRestart, Host, Peer, PeerAsn, Remote, TtlPolicy,
};
use crate::node::Node;

/// Class selector CS6, for network control (RFC 4594 section 3.2).
const CS6: u8 = 48;

/// Settings of this speaker on this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) node_addresses: Vec<IpAddr>,
    pub(crate) restarting: bool,
    pub(crate) graceful_shutdown_ms: Option<u32>,
    /// Peers for this node by name, or the reason why one is not possible here.
    pub(crate) peers: BTreeMap<String, Result<PeerSettings, String>>,
    /// Advertisements for this node, in their configured order.
    pub(crate) advertisements: Vec<Advertisement>,
}

/// Parameters of one session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PeerSettings {
    pub(crate) place: PeerLocation,
    pub(crate) local_asn: u32,
    pub(crate) router_id: Ipv4Addr,
    pub(crate) peer_asn: PeerAsn,
    pub(crate) port: u16,
    pub(crate) listen_port: u16,
    pub(crate) dials: bool,
    pub(crate) listens: bool,
    pub(crate) source: Option<IpAddr>,
    pub(crate) vrf: Option<String>,
    pub(crate) hold_s: u16,
    pub(crate) keepalive_s: u16,
    /// Name and key of the Secret.
    pub(crate) md5: Option<(String, String)>,
    pub(crate) reach: TtlPolicy,
    pub(crate) graceful_restart: Option<GracefulRestart>,
    pub(crate) families: Families,
    pub(crate) manner: SoftSettings,
}

/// Parameters that can change without a new session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SoftSettings {
    pub(crate) bfd: Option<Bfd>,
    pub(crate) connect_retry_ms: u32,
    pub(crate) maximum_prefixes: Option<u32>,
    pub(crate) shutdown: bool,
    pub(crate) shutdown_message: String,
    pub(crate) send_hold_s: u32,
}

/// Location of the peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PeerLocation {
    /// At this address, on this link if it is link-local.
    Address(IpAddr, String),
    /// Anywhere in this prefix.
    Prefix(IpNet),
    /// At the other end of this link.
    Interface(String),
}

impl Settings {
    /// Resolves the configuration for this node.
    ///
    /// # Errors
    /// Returns an error if the node lacks a value without which there can be no speaker.
    pub(crate) fn new(config: &Config, node: &Node) -> Result<Self, Vec<FieldError>> {
        let wrong = |path: &str, missing: crate::config::Missing| {
            vec![FieldError { path: path.to_owned(), message: missing.to_string() }]
        };
        let look = |key: &str| node.get(key);
        let asn = config.asn.on(look).map_err(|missing| wrong("/asn", missing))?;
        let router_id = match &config.router_id {
            Some(given) => given.on(look).map_err(|missing| wrong("/routerId", missing))?,
            None => default_router_id(node),
        };
        let label = |key: &str| node.label(key);
        let here = config.peers.iter().filter(|peer| peer.nodes.matches(label));
        let terms =
            |peer: &Peer| PeerSettings::new(peer, node, (asn, router_id, config.listen_port));
        Ok(Self {
            node_addresses: node.addresses(),
            restarting: node.is_restarting(),
            graceful_shutdown_ms: config.graceful_shutdown_ms,
            peers: here.map(|peer| (peer.name.clone(), terms(peer))).collect(),
            advertisements: config
                .advertisements
                .iter()
                .filter(|advertisement| advertisement.nodes.matches(label))
                .cloned()
                .collect(),
        })
    }
}

/// Returns the node's IPv4 address, or on a node without one a number that depends on its name alone. It is as unique
/// in the AS as the names are (RFC 6286 asks for no more), and never zero.
fn default_router_id(node: &Node) -> Ipv4Addr {
    let of_node = node.addresses().into_iter().find_map(|address| match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    });
    of_node.unwrap_or_else(|| {
        let fold = |hash: u32, octet: u8| (hash ^ u32::from(octet)).wrapping_mul(0x0100_0193);
        Ipv4Addr::from(node.name.bytes().fold(0x811c_9dc5, fold).max(1))
    })
}

impl PeerSettings {
    fn new(
        peer: &Peer,
        node: &Node,
        (asn, router_id, listen_port): (u32, Ipv4Addr, u16),
    ) -> Result<Self, String> {
        let look = |key: &str| node.get(key);
        let place = match &peer.remote {
            Remote::Address(given) => {
                let Host { address, zone } =
                    given.on(look).map_err(|missing| missing.to_string())?;
                PeerLocation::Address(address, zone)
            }
            Remote::Prefix(prefix) => PeerLocation::Prefix(*prefix),
            Remote::Interface(given) => {
                PeerLocation::Interface(given.on(look).map_err(|missing| missing.to_string())?)
            }
        };
        let source = peer.source.as_ref().map(|given| given.on(look)).transpose();
        Ok(Self {
            place,
            local_asn: peer.local_asn.unwrap_or(asn),
            router_id,
            peer_asn: peer.asn.on(look).map_err(|missing| missing.to_string())?,
            port: peer.port,
            listen_port,
            dials: peer.dials,
            listens: peer.listens,
            source: source.map_err(|missing| missing.to_string())?,
            vrf: peer.vrf.clone(),
            hold_s: peer.hold_s,
            keepalive_s: peer.keepalive_s,
            md5: peer.md5.clone().map(|SecretRef { name, key }| (name, key)),
            reach: peer.reach,
            graceful_restart: peer.graceful_restart,
            families: peer.families,
            manner: SoftSettings {
                bfd: peer.bfd,
                connect_retry_ms: peer.connect_retry_ms,
                maximum_prefixes: peer.maximum_prefixes,
                shutdown: peer.shutdown,
                shutdown_message: peer.shutdown_message.clone(),
                send_hold_s: peer.send_hold_s,
            },
        })
    }

    /// Returns true if a session made on these terms may continue under the new ones.
    pub(crate) fn hold_under(&self, new: &Self) -> bool {
        let manner = new.manner.clone();
        Self { manner, ..self.clone() } == *new
    }

    /// Returns true if the peer is in another AS. A peer that may be in any other AS is.
    pub(crate) fn is_external(&self) -> bool {
        match self.peer_asn {
            PeerAsn::Number(asn) => asn != self.local_asn,
            PeerAsn::External => true,
            PeerAsn::Internal => false,
        }
    }

    /// Returns the options of the peer's sockets, for connections from either side.
    pub(crate) fn options(&self) -> Vec<SocketOption> {
        let mut options = vec![SocketOption::Dscp(CS6)];
        match self.reach {
            // As in other routers, an external peer is one hop away unless the configuration says otherwise.
            TtlPolicy::Default if self.is_external() => options.push(SocketOption::HopLimit(1)),
            TtlPolicy::Default => {}
            TtlPolicy::Multihop(ttl) => options.push(SocketOption::HopLimit(ttl)),
            // GTSM (RFC 5082 section 3).
            TtlPolicy::Secured(hops) => options.extend([
                SocketOption::HopLimit(255),
                SocketOption::MinHopLimit(0u8.wrapping_sub(hops)),
            ]),
        }
        if let Some((name, key)) = self.md5.clone() {
            options.push(SocketOption::TcpMd5(SecretRef { name, key }));
        }
        if let Some(source) = self.source {
            options.push(SocketOption::Source((source, 0).into()));
        }
        let link = match &self.place {
            PeerLocation::Interface(link) => Some(link),
            _ => None,
        };
        if let Some(device) = self.vrf.as_ref().or(link) {
            options.push(SocketOption::Device(device.clone()));
        }
        // The kernel ends the connection when nothing is acknowledged for this long (RFC 5482), as RFC 9687 requires too.
        options.push(SocketOption::UserTimeout(self.manner.send_hold_s.saturating_mul(1_000)));
        options
    }
}
