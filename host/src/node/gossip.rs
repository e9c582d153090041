//! Membership as the main loop sees it: sends orders to the membership thread and receives its news. Only that thread
//! uses the network.
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc as blocking};
use std::time::Duration;

use outrigger_core::facts::{Cluster, NodeName};
use outrigger_core::membership::{
    Claim, ClaimChanges, Hearing, MAGIC, Member, Membership, MembershipConfig, Outlook, View,
    ViewChange,
};
use outrigger_core::readiness::NodeReadiness;
use outrigger_net::{GossipSocket, ResponderHandle, now};
use outrigger_sdk::Link;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use crate::config::GossipConfig;
use thread::{GossipUpdate, Order, Worker};
use witness::Witness;

mod strangers;
mod thread;
mod witness;

pub use witness::{Answers, OWNER as WITNESS};

/// Time for which a leaving node waits for its goodbye to be sent.
const LAST_WORD: Duration = Duration::from_millis(500);

/// The access of membership to the segments.
#[derive(Clone)]
pub struct Wire {
    /// Handle of the responder, which answers while the node has its lease.
    pub responder: ResponderHandle,
    /// Answers of members that were declared down.
    pub answers: Arc<Answers>,
    /// Links that are up and used by an announcer that elects one node.
    pub links: Arc<Vec<Link>>,
}

impl Wire {
    /// Creates the access without any links.
    pub fn new(responder: ResponderHandle, answers: Arc<Answers>) -> Self {
        Self { responder, answers, links: Arc::default() }
    }
}

/// Membership of this node, among others or alone.
pub struct Gossip {
    me: NodeName,
    orders: mpsc::UnboundedSender<Order>,
    news: mpsc::UnboundedReceiver<GossipUpdate>,
    /// Never receives a message: it closes when the thread ends.
    ended: blocking::Receiver<()>,
    view: View,
    outlook: Outlook,
    /// Value of [`ViewChange::caught_up`] that has not been acted on yet.
    caught_up: Option<u64>,
    /// Address that gossip is sent from. `None` if this machine is the only node: then no socket is open to the
    /// network.
    local: Option<IpAddr>,
    port: u16,
    /// Members as they were logged last.
    told: BTreeMap<NodeName, Member>,
    wire: Wire,
    longest_us: Arc<AtomicU64>,
}

impl Gossip {
    /// Creates the membership of a single node.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn alone(node: &NodeName, gossip: &GossipConfig, wire: Wire) -> std::io::Result<Self> {
        let nowhere = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), gossip.port);
        let now = now();
        let config = MembershipConfig::default();
        let (key, seed) = ([0; 32], [0; 32]); // nothing is sealed, as nothing is sent
        let mut membership =
            Membership::new(config, node.clone(), nowhere, now.utc_us, key, seed, now.monotonic_us);
        membership.set_peers(now.monotonic_us, &BTreeMap::new());
        Self::start(node, nowhere, membership, None, wire, runtime()?)
    }

    /// Joins the other nodes. `key` seals every datagram; `claims` are the addresses that this node already answers
    /// for.
    ///
    /// # Errors
    /// When there is no address to use, or the port is taken; the message names what to change.
    pub fn join(
        node: &NodeName,
        cluster: &Cluster,
        gossip: &GossipConfig,
        key: [u8; 32],
        claims: &BTreeMap<IpAddr, Claim>,
        wire: Wire,
    ) -> anyhow::Result<Self> {
        let local = SocketAddr::new(address(node, cluster, gossip)?, gossip.port);
        let runtime = runtime()?;
        let socket = {
            // The socket is served by the runtime in which it was created.
            let _inside = runtime.enter();
            GossipSocket::bind(local, MAGIC)?
        };
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)
            .map_err(|error| anyhow::anyhow!("the kernel returned no random numbers: {error}"))?;
        let now = now();
        let config = MembershipConfig::with_probe_interval(gossip.probe_interval_ms * 1_000);
        let mut membership =
            Membership::new(config, node.clone(), local, now.utc_us, key, seed, now.monotonic_us);
        let claims = claims.iter().map(|(address, claim)| (*address, Some(*claim))).collect();
        membership.set_claims(now.monotonic_us, &claims);
        Ok(Self::start(node, local, membership, Some(socket), wire, runtime)?)
    }

    fn start(
        node: &NodeName,
        local: SocketAddr,
        membership: Membership,
        socket: Option<GossipSocket>,
        wire: Wire,
        runtime: Runtime,
    ) -> std::io::Result<Self> {
        let (orders, ordered) = mpsc::unbounded_channel();
        let (tell, news) = mpsc::unbounded_channel();
        let (end, ended) = blocking::channel();
        let gossip = Self {
            me: node.clone(),
            orders,
            news,
            ended,
            view: membership.view().clone(),
            outlook: membership.outlook(now().monotonic_us),
            caught_up: None,
            local: socket.is_some().then_some(local.ip()),
            port: local.port(),
            told: membership.view().members.clone(),
            wire: wire.clone(),
            longest_us: Arc::default(),
        };
        let longest_us = gossip.longest_us.clone();
        let responder = wire.responder.clone();
        let witness = Witness::start(wire, gossip.orders.clone())?;
        let worker = Worker {
            me: node.clone(),
            membership,
            socket,
            orders: ordered,
            news: tell,
            responder,
            witness,
            longest_us,
        };
        std::thread::Builder::new().name("membership".to_owned()).spawn(move || {
            let _end: blocking::Sender<()> = end;
            runtime.block_on(worker.run());
        })?;
        Ok(gossip)
    }

    /// Returns true if this machine is the only node it knows of.
    pub fn is_alone(&self) -> bool {
        self.local.is_none()
    }

    /// Returns one sentence, with the fix, for each node that gossip cannot reach with the current settings.
    pub fn strangers(&self, cluster: &Cluster) -> Vec<String> {
        let local = self.local.into_iter();
        local.flat_map(|local| strangers::strangers(&self.me, local, cluster, &self.view)).collect()
    }

    /// Sends the addresses of the nodes that may be members.
    pub fn peers(&self, cluster: &Cluster) {
        let others = cluster.nodes.values().filter(|other| other.name != self.me);
        let peers: BTreeMap<_, _> = others
            .filter_map(|other| {
                Some((other.name.clone(), SocketAddr::new(*other.addresses.first()?, self.port)))
            })
            .collect();
        self.order(Order::Peers(peers));
    }

    fn order(&self, order: Order) {
        // Without its thread there is no news either, which ends the daemon.
        let _heard = self.orders.send(order);
    }

    /// Waits for news. Returns `None` if the thread has ended, so that there will be none.
    pub async fn changed(&mut self) -> Option<ViewChange> {
        let first = self.news.recv().await?;
        let mut change = self.take_in(first);
        if let Some(more) = self.take() {
            change.merge(more);
        }
        Some(change)
    }

    /// Returns pending news. `None` if there is none.
    pub fn take(&mut self) -> Option<ViewChange> {
        let mut changed: Option<ViewChange> = None;
        while let Ok(news) = self.news.try_recv() {
            let change = self.take_in(news);
            changed.get_or_insert_default().merge(change);
        }
        changed
    }

    fn take_in(&mut self, news: GossipUpdate) -> ViewChange {
        let GossipUpdate { change, members, claims, readiness, outlook, unreadable } = news;
        self.outlook = outlook;
        self.view.unreadable = unreadable;
        self.caught_up = change.caught_up.or(self.caught_up);
        for (address, claims) in claims {
            self.view.set_others(&self.me, address, claims);
        }
        if let Some(mut readiness) = readiness {
            // The thread's view of this node lags behind.
            readiness.extend(self.view.readiness.remove_entry(&self.me));
            self.view.readiness = readiness;
        }
        if let Some(members) = members {
            self.view.members = members;
            self.log_members();
        }
        change
    }

    /// Logs which members came and went, because that is looked for first after an incident.
    fn log_members(&mut self) {
        let members = &self.view.members;
        let before = std::mem::replace(&mut self.told, members.clone());
        for (node, member) in &self.told {
            let known = before.get(node);
            let same = |it: &Member| (it.leaving, it.hearing) == (member.leaving, member.hearing);
            if known.is_some_and(same) {
                continue;
            }
            let open =
                || format!("open UDP port {} between the nodes in both directions", self.port);
            match member {
                Member { leaving: true, .. } => tracing::info!(node, "a node is leaving"),
                Member { hearing: Hearing::Itself, .. } => {
                    tracing::info!(node, "a node is alive and its gossip arrives")
                }
                Member { hearing: Hearing::ThroughOthers, .. } => {
                    tracing::warn!(node, "a node is heard only through other nodes: {}", open());
                }
                Member { hearing: Hearing::Parted, .. } => tracing::warn!(
                    node,
                    "a node is alive, but its gossip does not arrive: it keeps the addresses that it answers for; {}",
                    open()
                ),
            }
        }
        for node in before.keys().filter(|node| !self.told.contains_key(*node)) {
            tracing::info!(node, "a node failed or left");
        }
    }

    /// Returns the view of all members, claims and readiness.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Returns the decisions that this node may make.
    pub fn outlook(&self) -> Outlook {
        self.outlook
    }

    /// Changes the claims of this node; see [`Membership::set_claims`].
    pub fn claim(&mut self, claims: ClaimChanges) {
        self.view.change(&self.me, &claims);
        self.order(Order::Claim(claims));
    }

    /// Notes that the news so far has been acted on; see [`Membership::resume`].
    pub fn settled(&mut self) {
        if let Some(caught_up) = self.caught_up.take() {
            tracing::warn!(
                "this node was suspended and stopped answering: it has heard from the other nodes and continues"
            );
            self.order(Order::Resume(caught_up));
        }
    }

    /// Sets the readiness of this node; see [`Membership::set_readiness`]. Returns true if it differs from before.
    pub fn ready(&mut self, readiness: NodeReadiness) -> bool {
        if self.view.readiness.get(&self.me) == Some(&readiness) {
            return false;
        }
        self.view.readiness.insert(self.me.clone(), readiness.clone());
        self.order(Order::Ready(readiness));
        true
    }

    /// Returns the most processor time that one turn of the thread took so far, in microseconds.
    pub fn longest_turn_us(&self) -> u64 {
        self.longest_us.load(Ordering::Relaxed)
    }

    /// Returns the UDP port of gossip.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the access to the segments, for a membership that replaces this one.
    pub fn wire(&self) -> Wire {
        self.wire.clone()
    }

    /// Sets the links on which addresses are announced by announcers that elect one node.
    pub fn links(&mut self, links: Vec<Link>) {
        if *self.wire.links != links {
            self.wire.links = Arc::new(links);
            self.order(Order::Links(self.wire.links.clone()));
        }
    }

    /// Returns the links that were set last.
    pub fn links_used(&self) -> &[Link] {
        &self.wire.links
    }

    /// Marks this node as leaving; see [`Membership::leave`].
    pub fn leave(&mut self) -> ViewChange {
        if let Some(member) = self.view.members.get_mut(&self.me) {
            member.leaving = true;
        }
        self.order(Order::Leave);
        ViewChange { members: true, ..ViewChange::default() }
    }

    /// Says goodbye and waits until that is sent; see [`Membership::goodbye`].
    pub fn goodbye(&self) {
        self.order(Order::Goodbye);
        // The thread answers by ending.
        let _ended = self.ended.recv_timeout(LAST_WORD);
    }
}

fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

fn address(node: &NodeName, cluster: &Cluster, gossip: &GossipConfig) -> anyhow::Result<IpAddr> {
    if let Some(address) = gossip.address {
        return Ok(address);
    }
    let Some(own) = cluster.nodes.get(node) else {
        anyhow::bail!(
            "this machine has the name {node:?}, but no Node object has this name: add one, or set the right name with --node"
        );
    };
    match own.addresses.first() {
        Some(address) => Ok(*address),
        None => anyhow::bail!(
            "it has no InternalIP in status.addresses, so other nodes cannot reach this one: add it, or set --gossip-address"
        ),
    }
}
