//! Membership and its socket: this node among the others of its folder.
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use outrigger_core::facts::{Cluster, NodeName};
use outrigger_core::membership::{
    Claim, ClaimChanges, Membership, MembershipConfig, Outlook, Output, View, ViewChange,
};
use outrigger_net::{GossipError, GossipSocket, now};

use crate::config::Gossip;

/// This node among others, or alone.
pub struct Mesh {
    membership: Membership,
    /// `None` while this machine is the only node: then nothing is open to the network.
    socket: Option<GossipSocket>,
    port: u16,
    /// The members that the log knows of, and whether each is leaving.
    told: BTreeMap<NodeName, bool>,
}

impl Mesh {
    /// The only node there is.
    pub fn alone(node: &NodeName, gossip: &Gossip) -> Self {
        let nowhere = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), gossip.port);
        let now = now();
        let config = MembershipConfig::default();
        let (key, seed) = ([0; 32], [0; 32]); // nothing is sealed, as nothing is sent
        let mut membership =
            Membership::new(config, node.clone(), nowhere, now.utc_us, key, seed, now.monotonic_us);
        membership.set_peers(now.monotonic_us, &BTreeMap::new());
        Self { membership, socket: None, port: gossip.port, told: [(node.clone(), false)].into() }
    }

    /// Joins the others. `key` seals every datagram; `claims` is what this node already answers for.
    ///
    /// # Errors
    /// When there is no address to use, or the port is taken; says what to change.
    pub fn join(
        node: &NodeName,
        cluster: &Cluster,
        gossip: &Gossip,
        key: [u8; 32],
        claims: &BTreeMap<IpAddr, Claim>,
    ) -> anyhow::Result<Self> {
        let local = SocketAddr::new(address(node, cluster, gossip)?, gossip.port);
        let socket = Some(GossipSocket::bind(local)?);
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)
            .map_err(|error| anyhow::anyhow!("the kernel gives no random numbers: {error}"))?;
        let now = now();
        let config = MembershipConfig::with_probe_interval(gossip.probe_interval_ms * 1_000);
        let mut membership =
            Membership::new(config, node.clone(), local, now.utc_us, key, seed, now.monotonic_us);
        let claims = claims.iter().map(|(address, claim)| (*address, Some(*claim))).collect();
        membership.set_claims(now.monotonic_us, &claims);
        let told = [(node.clone(), false)].into();
        Ok(Self { membership, socket, port: gossip.port, told })
    }

    /// Whether this machine is the only node it knows of.
    pub fn is_alone(&self) -> bool {
        self.socket.is_none()
    }

    /// Takes in who the others may be.
    pub fn peers(&mut self, node: &NodeName, cluster: &Cluster) {
        let others = cluster.nodes.values().filter(|other| &other.name != node);
        let peers: BTreeMap<_, _> = others
            .filter_map(|other| {
                Some((other.name.clone(), SocketAddr::new(*other.addresses.first()?, self.port)))
            })
            .collect();
        self.membership.set_peers(now().monotonic_us, &peers);
    }

    /// Waits for datagrams or the next deadline, and takes them in.
    pub async fn turn(&mut self) {
        let deadline = self.membership.next_deadline();
        tokio::select! {
            biased;
            // First what was received: after a stall it must count before the timers that miss it.
            received = receive(self.socket.as_ref()) => match received {
                Ok((data, from)) => self.membership.handle_datagram(now().monotonic_us, from, &data),
                Err(error) => tracing::debug!("gossip: {error}"),
            },
            () = crate::deadline::at(deadline) => self.membership.handle_timeout(now().monotonic_us),
        }
    }

    /// Sends what is to be sent. Says what changed meanwhile, if anything.
    pub fn flush(&mut self) -> Option<ViewChange> {
        let mut changed = None;
        while let Some(output) = self.membership.poll() {
            match output {
                Output::Send { to, data } => {
                    if let Some(socket) = &self.socket {
                        // Lost like any datagram when the socket is full: SWIM and the claims repeat themselves.
                        let _sent = socket.try_send(&data, to);
                    }
                }
                Output::Changed(change) => merge(changed.get_or_insert_default(), change),
            }
        }
        if changed.as_ref().is_some_and(|change| change.members) {
            self.log_members();
        }
        changed
    }

    /// Who came and went is what anybody looks for first in the log of a night.
    fn log_members(&mut self) {
        let members = &self.membership.view().members;
        let now: BTreeMap<_, _> =
            members.iter().map(|(name, member)| (name.clone(), member.leaving)).collect();
        let before = std::mem::replace(&mut self.told, now);
        for (node, leaving) in &self.told {
            match (before.get(node), leaving) {
                (Some(before), leaving) if before == leaving => {}
                (_, true) => tracing::info!(node, "a node is leaving"),
                (_, false) => tracing::info!(node, "a node is here"),
            }
        }
        for node in before.keys().filter(|node| !self.told.contains_key(*node)) {
            tracing::info!(node, "a node is gone");
        }
    }

    /// See [`Membership::view`].
    pub fn view(&self) -> &View {
        self.membership.view()
    }

    /// See [`Membership::outlook`].
    pub fn outlook(&self, now_us: u64) -> Outlook {
        self.membership.outlook(now_us)
    }

    /// See [`Membership::set_claims`].
    pub fn claim(&mut self, now_us: u64, claims: &ClaimChanges) {
        self.membership.set_claims(now_us, claims);
    }

    /// See [`Membership::leave`].
    pub fn leave(&mut self, now_us: u64) {
        self.membership.leave(now_us);
    }

    /// See [`Membership::goodbye`].
    pub fn goodbye(&mut self) {
        self.membership.goodbye(now().monotonic_us);
        drop(self.flush());
    }
}

async fn receive(socket: Option<&GossipSocket>) -> Result<(Vec<u8>, SocketAddr), GossipError> {
    match socket {
        Some(socket) => socket.receive().await,
        None => std::future::pending().await,
    }
}

fn merge(into: &mut ViewChange, more: ViewChange) {
    into.members |= more.members;
    into.addresses.extend(more.addresses);
    into.ended.extend(more.ended);
    into.outlook |= more.outlook;
}

fn address(node: &NodeName, cluster: &Cluster, gossip: &Gossip) -> anyhow::Result<IpAddr> {
    if let Some(address) = gossip.address {
        return Ok(address);
    }
    let Some(own) = cluster.nodes.get(node) else {
        anyhow::bail!(
            "this machine goes by the name {node:?}, but no Node object does: add one, or give the right name with --node"
        );
    };
    match own.addresses.first() {
        Some(address) => Ok(*address),
        None => anyhow::bail!(
            "it has no InternalIP in status.addresses, so other nodes cannot reach this one: add it, or give --gossip-address"
        ),
    }
}
