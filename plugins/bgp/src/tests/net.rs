//! Speakers on one virtual clock, and the network between them: connections that have latency, break and fall silent.
//! Every message is examined on its way, so that the routes a peer received are known without a peer that stores them.
use std::collections::VecDeque;
use std::net::SocketAddr;

use super::*;

mod happening;
mod wire;

use wire::{End, Wire};

const HOST: u32 = 0x8000_0000;
/// Latency in one direction.
const LATENCY_US: u64 = 1_000;
/// Octets of a stream that the host accepts before the peer has read them.
const CREDIT: u32 = 8_192;

/// The whole network.
pub(super) struct Net {
    pub(super) now_us: u64,
    pub(super) nodes: Vec<Node>,
    wires: Vec<Wire>,
    /// True if no message gets through, and no node is notified of that.
    pub(super) silent: bool,
    next: u32,
}

/// One speaker, its host, and the endpoints the host holds for it.
pub(super) struct Node {
    pub(super) speaker: Speaker,
    context: Context,
    address: IpAddr,
    queue: Vec<Event>,
    wake_us: Option<u64>,
    listeners: BTreeMap<u32, Listen>,
    calls: BTreeMap<u32, (SocketAddr, u64, u64)>,
    offloads: BTreeMap<u32, (OffloadWork, u64)>,
    pub(super) desired: BTreeMap<IpAddr, DesiredAddress>,
    pub(super) reports: BTreeMap<IpAddr, AddressReport>,
    pub(super) peers: BTreeMap<String, PeerReport>,
    /// Messages written since the last look, except KEEPALIVEs.
    pub(super) written: Vec<Message>,
    pub(super) drained: bool,
}

impl Net {
    pub(super) fn new(configs: &[(&str, &str)]) -> Self {
        let nodes = configs.iter().enumerate().map(|(index, (address, config))| {
            let context = Context {
                seed: vec![index as u8; 32],
                ext: vec![("node-ip".into(), (*address).into())],
                ..context(config)
            };
            let speaker = Speaker::start(context.clone(), Origin::Fresh).unwrap();
            Node::new(speaker, context, address.parse().unwrap())
        });
        let nodes = nodes.collect();
        let mut net =
            Self { now_us: 1_000_000, nodes, wires: Vec::new(), silent: false, next: HOST };
        (0..net.nodes.len()).for_each(|node| net.list(node));
        net
    }

    /// Queues both full lists.
    fn list(&mut self, node: usize) {
        let node = &mut self.nodes[node];
        let own = format!("{}/24", node.address);
        let events = [
            Event::LinksChanged(links(&[link(2, "eth0", &[&own])])),
            Event::DesiredChanged(desired(node.desired.values().cloned().collect())),
        ];
        node.queue.extend(events);
    }

    pub(super) fn want(&mut self, node: usize, address: &str, duty: Duty) {
        let entry = entry(address, duty);
        self.nodes[node].desired.insert(entry.address, entry.clone());
        let change = DesiredChanged { upsert: vec![entry], ..DesiredChanged::default() };
        self.nodes[node].queue.push(Event::DesiredChanged(change));
    }

    pub(super) fn forget(&mut self, node: usize, address: &str) {
        let address: IpAddr = address.parse().unwrap();
        self.nodes[node].desired.remove(&address);
        let change = DesiredChanged { remove: vec![address], ..DesiredChanged::default() };
        self.nodes[node].queue.push(Event::DesiredChanged(change));
    }

    pub(super) fn tell(&mut self, node: usize, event: Event) {
        self.nodes[node].queue.push(event);
    }

    /// Replaces the instance by another one, optionally with another configuration.
    pub(super) fn swap(&mut self, node: usize, config: Option<&str>) {
        let open: Vec<ResumedEndpoint> = self.open_at(node);
        let one = &mut self.nodes[node];
        if let Some(config) = config {
            one.context.config = config.to_owned();
        }
        let saved = one.speaker.snapshot();
        one.speaker = Speaker::start(one.context.clone(), Origin::Restored(saved)).unwrap();
        let offloads = one.offloads.keys().copied().collect();
        one.queue.push(Event::Resumed(Resumed { open, offloads }));
        self.list(node);
    }

    /// Restarts the daemon: the host has lost all endpoints, and the peers observe the end of a process.
    pub(super) fn restart(&mut self, node: usize) {
        for wire in 0..self.wires.len() {
            for side in 0..2 {
                if self.wires[wire].ends[side].node != node {
                    continue;
                }
                if self.silent {
                    // Not even the end of the connection gets through.
                    self.wires[wire].ends[side].open = false;
                } else {
                    self.cut(wire, side, true);
                }
            }
        }
        let old = &self.nodes[node];
        let mut context = old.context.clone();
        context.ext.push(("restarting".into(), "true".into()));
        let speaker = Speaker::start(context.clone(), Origin::Fresh).unwrap();
        let desired = old.desired.clone();
        self.nodes[node] = Node { desired, ..Node::new(speaker, context, old.address) };
        self.list(node);
    }

    fn open_at(&self, node: usize) -> Vec<ResumedEndpoint> {
        let mut open = Vec::new();
        for wire in &self.wires {
            for side in 0..2 {
                let (end, other) = (&wire.ends[side], &wire.ends[1 - side]);
                if end.node == node && end.open {
                    let opened = self.opened(end, other);
                    open.push(ResumedEndpoint { opened, listener: false });
                }
            }
        }
        let nowhere: SocketAddr = "0.0.0.0:0".parse().unwrap();
        open.extend(self.nodes[node].listeners.keys().map(|id| ResumedEndpoint {
            opened: Opened { id: *id, local: nowhere, remote: nowhere, credit: 0 },
            listener: true,
        }));
        open
    }

    fn opened(&self, end: &End, other: &End) -> Opened {
        let at = |end: &End| SocketAddr::new(self.nodes[end.node].address, 179);
        Opened { id: end.id, local: at(end), remote: at(other), credit: end.credit }
    }

    /// Breaks every connection, with RST at both ends.
    pub(super) fn break_all(&mut self) {
        for wire in 0..self.wires.len() {
            for side in 0..2 {
                self.lost(wire, side, CloseReason::Reset);
            }
        }
    }

    fn lost(&mut self, wire: usize, side: usize, reason: CloseReason) {
        let end = &mut self.wires[wire].ends[side];
        if std::mem::take(&mut end.open) {
            let (node, id) = (end.node, end.id);
            end.held.clear();
            self.nodes[node].queue.push(Event::Closed(Closed { id, reason }));
            self.drop_offloads(node, id);
        }
    }

    /// Ends the connection at this side; the other side sees FIN after the messages on their way, or RST.
    fn cut(&mut self, wire: usize, side: usize, reset: bool) {
        let at_us = self.now_us + LATENCY_US;
        if !std::mem::take(&mut self.wires[wire].ends[side].open) {
            return;
        }
        let (node, id) = (self.wires[wire].ends[side].node, self.wires[wire].ends[side].id);
        self.wires[wire].ends[side].held.clear();
        self.drop_offloads(node, id);
        let other = &mut self.wires[wire].ends[1 - side];
        if reset {
            other.arriving.clear();
        }
        other.arriving.push_back((at_us, None));
    }

    fn drop_offloads(&mut self, node: usize, stream: u32) {
        self.nodes[node].offloads.retain(|_, (work, _)| match work {
            OffloadWork::Keepalive { endpoint, .. } | OffloadWork::Expect { endpoint, .. } => {
                *endpoint != stream
            }
            _ => true,
        });
    }

    /// Returns the routes that the node received from the other one; `None` without a session.
    pub(super) fn held(
        &self,
        node: usize,
    ) -> Option<&BTreeMap<IpNet, (bgp::NextHop, bgp::Attributes)>> {
        let mut ends = self.wires.iter().flat_map(|wire| &wire.ends);
        let session =
            self.nodes[node].speaker.state.neighbours.values().find_map(|one| one.session())?;
        ends.find(|end| end.node == node && end.open && end.id == session.id).map(|end| &end.held)
    }

    /// Returns the families for which the node received End-of-RIB.
    pub(super) fn ended(&self, node: usize) -> Vec<bgp::Family> {
        let ends = self.wires.iter().flat_map(|wire| &wire.ends);
        let open = ends.filter(|end| end.node == node && end.open);
        open.flat_map(|end| end.ended.clone()).collect()
    }

    /// Sends octets from a node as if its speaker had written them.
    pub(super) fn inject(&mut self, node: usize, message: Vec<u8>) {
        let at_us = self.now_us + LATENCY_US;
        for wire in &mut self.wires {
            for side in 0..2 {
                if wire.ends[side].node == node && wire.ends[side].open {
                    wire.ends[1 - side].arriving.push_back((at_us, Some(message.clone())));
                }
            }
        }
    }

    pub(super) fn established(&self) -> bool {
        self.nodes
            .iter()
            .all(|node| node.speaker.state.neighbours.values().any(|one| one.session().is_some()))
    }

    /// Advances the clock.
    pub(super) fn run(&mut self, ms: u64) {
        let until_us = self.now_us + ms * 1_000;
        loop {
            self.deliver();
            let Some(next_us) = self.next_us().filter(|next_us| *next_us <= until_us) else {
                break;
            };
            self.now_us = self.now_us.max(next_us);
            self.happen();
        }
        self.now_us = until_us;
    }
}

impl Node {
    fn new(speaker: Speaker, context: Context, address: IpAddr) -> Self {
        Self {
            speaker,
            context,
            address,
            queue: Vec::new(),
            wake_us: None,
            listeners: BTreeMap::new(),
            calls: BTreeMap::new(),
            offloads: BTreeMap::new(),
            desired: BTreeMap::new(),
            reports: BTreeMap::new(),
            peers: BTreeMap::new(),
            written: Vec::new(),
            drained: false,
        }
    }

    /// Checks the invariants after every call.
    fn check(&self) {
        for neighbour in self.speaker.state.neighbours.values() {
            let established = |one: &&crate::connection::Connection| one.is_established();
            assert!(neighbour.connections.iter().filter(established).count() <= 1);
            assert!(neighbour.connections.len() <= 2, "{neighbour:?}");
        }
        let saved = self.speaker.snapshot();
        assert_eq!(
            snapshot::decode(&saved).unwrap(),
            self.speaker.state,
            "a snapshot is all of it"
        );
    }
}

pub(super) fn both() -> Vec<bgp::Family> {
    vec![bgp::Family::IPV4_UNICAST, bgp::Family::IPV6_UNICAST]
}
