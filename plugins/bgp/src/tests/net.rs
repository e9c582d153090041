//! Speakers on one virtual clock, and the network between them: connections that take time, break and fall silent. Every
//! message is looked at on its way, so that what a peer was told is known without a peer that keeps it.
use std::collections::VecDeque;
use std::net::SocketAddr;

use super::*;

const HOST: u32 = 0x8000_0000;
/// One way.
const LATENCY_US: u64 = 1_000;
/// What the host takes of a stream before the peer has read it.
const CREDIT: u32 = 8_192;

/// All of it.
pub(super) struct Net {
    pub(super) now_us: u64,
    pub(super) nodes: Vec<Node>,
    wires: Vec<Wire>,
    /// Nothing gets through, and nobody is told.
    pub(super) silent: bool,
    next: u32,
}

/// One speaker, its host, and what the host holds for it.
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
    /// Messages written since the last look, but KEEPALIVEs.
    pub(super) written: Vec<Message>,
    pub(super) drained: bool,
}

/// A TCP connection, with an end at each of two nodes.
struct Wire {
    ends: [End; 2],
}

struct End {
    node: usize,
    id: u32,
    /// On the way to this end: when it is there, and `None` for FIN.
    arriving: VecDeque<(u64, Option<Vec<u8>>)>,
    open: bool,
    credit: u32,
    said: Option<bgp::Open>,
    /// What this end was told.
    held: BTreeMap<IpNet, (bgp::NextHop, bgp::Attributes)>,
    ended: Vec<bgp::Family>,
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

    /// Both full lists.
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

    /// Another instance takes over, maybe with another configuration.
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

    /// The daemon starts again: the host has nothing. The peers see what they see of a process that is gone.
    pub(super) fn restart(&mut self, node: usize) {
        for wire in 0..self.wires.len() {
            for side in 0..2 {
                if self.wires[wire].ends[side].node != node {
                    continue;
                }
                if self.silent {
                    // Not even the end gets through.
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

    /// Breaks every connection: RST at both ends.
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

    /// This side is done with it; the other sees FIN behind what is on its way, or RST.
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

    /// Routes that the first node was told by the second, or the other way around; `None` without a session.
    pub(super) fn held(
        &self,
        node: usize,
    ) -> Option<&BTreeMap<IpNet, (bgp::NextHop, bgp::Attributes)>> {
        let mut ends = self.wires.iter().flat_map(|wire| &wire.ends);
        let session =
            self.nodes[node].speaker.state.neighbours.values().find_map(|one| one.session())?;
        ends.find(|end| end.node == node && end.open && end.id == session.id).map(|end| &end.held)
    }

    /// Families that the node was told are complete.
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

    /// Lets time pass.
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

    fn next_us(&self) -> Option<u64> {
        let mut due: Vec<u64> = Vec::new();
        for node in &self.nodes {
            due.extend(node.wake_us);
            due.extend(node.calls.values().map(|(_, at_us, _)| *at_us));
            due.extend(node.offloads.values().map(|(work, since_us)| since_us + period_us(work)));
        }
        if !self.silent {
            let ends = self.wires.iter().flat_map(|wire| &wire.ends).filter(|end| end.open);
            due.extend(ends.filter_map(|end| end.arriving.front().map(|(at_us, _)| *at_us)));
        }
        due.into_iter().min()
    }

    /// What is due by now.
    fn happen(&mut self) {
        for node in 0..self.nodes.len() {
            if self.nodes[node].wake_us.is_some_and(|at_us| at_us <= self.now_us) {
                self.nodes[node].wake_us = None;
                self.nodes[node].queue.push(Event::Wake(String::new()));
            }
            let due =
                self.nodes[node].calls.iter().filter(|(_, (_, at_us, _))| *at_us <= self.now_us);
            let due: Vec<u32> = due.map(|(id, _)| *id).collect();
            due.into_iter().for_each(|id| self.call_ends(node, id));
            let due = self.nodes[node].offloads.iter();
            let due = due.filter(|(_, (work, since))| since + period_us(work) <= self.now_us);
            let due: Vec<u32> = due.map(|(id, _)| *id).collect();
            due.into_iter().for_each(|id| self.offload_due(node, id));
        }
        if !self.silent {
            self.arrive();
        }
    }

    fn call_ends(&mut self, node: usize, id: u32) {
        let (remote, _, timeout_us) = self.nodes[node].calls.remove(&id).unwrap();
        if self.silent {
            // SYNs get lost until the caller gives up.
            if self.now_us < timeout_us {
                self.nodes[node].calls.insert(id, (remote, timeout_us, timeout_us));
            } else {
                let reason = CloseReason::TimedOut;
                self.nodes[node].queue.push(Event::Closed(Closed { id, reason }));
            }
            return;
        }
        let from = self.nodes[node].address;
        let callee = self.nodes.iter().position(|one| one.address == remote.ip());
        let listener = callee.and_then(|callee| {
            let listeners = self.nodes[callee].listeners.values();
            listeners.filter(|one| one.remote.contains(&from)).map(|one| one.id).next()
        });
        let (Some(callee), Some(listener)) = (callee, listener) else {
            let reason = CloseReason::Refused;
            return self.nodes[node].queue.push(Event::Closed(Closed { id, reason }));
        };
        self.next += 1;
        let ends = [End::new(node, id), End::new(callee, self.next)];
        let opened = self.opened(&ends[0], &ends[1]);
        let accepted = self.opened(&ends[1], &ends[0]);
        self.nodes[node].queue.push(Event::Opened(opened));
        let accepted = Accepted { listener, opened: accepted };
        self.nodes[callee].queue.push(Event::Accepted(accepted));
        self.wires.push(Wire { ends });
    }

    fn offload_due(&mut self, node: usize, id: u32) {
        let (work, _) = self.nodes[node].offloads[&id].clone();
        match work {
            OffloadWork::Expect { .. } => {
                self.nodes[node].offloads.remove(&id);
                self.nodes[node].queue.push(Event::Expired(id));
            }
            OffloadWork::Keepalive { endpoint, ref data, .. } => {
                self.nodes[node].offloads.insert(id, (work.clone(), self.now_us));
                self.put(node, endpoint, data.clone());
            }
            other => panic!("{other:?} is not in this test"),
        }
    }

    fn put(&mut self, node: usize, id: u32, message: Vec<u8>) {
        let at_us = self.now_us + LATENCY_US;
        for wire in &mut self.wires {
            for side in 0..2 {
                let end = &wire.ends[side];
                if end.node == node && end.id == id && end.open {
                    wire.ends[1 - side].arriving.push_back((at_us, Some(message.clone())));
                }
            }
        }
    }

    fn arrive(&mut self) {
        for wire in 0..self.wires.len() {
            for side in 0..2 {
                while self.wires[wire].ends[side].open
                    && let Some((at_us, _)) = self.wires[wire].ends[side].arriving.front()
                    && *at_us <= self.now_us
                {
                    let (_, message) = self.wires[wire].ends[side].arriving.pop_front().unwrap();
                    match message {
                        Some(message) => self.message(wire, side, message),
                        None => self.lost(wire, side, CloseReason::Remote),
                    }
                }
            }
        }
    }

    fn message(&mut self, wire: usize, side: usize, message: Vec<u8>) {
        self.wires[wire].learn(side, &message);
        let length = message.len() as u32;
        let (node, id) = (self.wires[wire].ends[side].node, self.wires[wire].ends[side].id);
        for (work, since_us) in self.nodes[node].offloads.values_mut() {
            if matches!(work, OffloadWork::Expect { endpoint, .. } if *endpoint == id) {
                *since_us = self.now_us;
            }
        }
        self.nodes[node].queue.push(Event::Data(StreamBytes { id, data: message }));
        let writer = &mut self.wires[wire].ends[1 - side];
        if writer.open && writer.credit < CREDIT {
            let back = length.min(CREDIT - writer.credit);
            writer.credit += back;
            let (node, id) = (writer.node, writer.id);
            self.nodes[node].queue.push(Event::Credit(id, back));
        }
    }

    /// Hands every node what waits for it, and carries out what follows.
    fn deliver(&mut self) {
        for node in 0..self.nodes.len() {
            let one = &mut self.nodes[node];
            if one.queue.is_empty() {
                continue;
            }
            let events = std::mem::take(&mut one.queue);
            let now = Time { monotonic_us: self.now_us, utc_us: 0 };
            let Reply { effects, wake } = one.speaker.handle(now, events);
            one.wake_us = match wake {
                Wake::Never => None,
                Wake::After { ms, .. } => Some(self.now_us + u64::from(ms) * 1_000),
            };
            one.check();
            effects.into_iter().for_each(|effect| self.carry_out(node, effect));
        }
    }

    fn carry_out(&mut self, node: usize, effect: Effect) {
        let now_us = self.now_us;
        match effect {
            Effect::Connect(connect) => {
                let at = (connect.remote, now_us + LATENCY_US, now_us + 10_000_000);
                self.nodes[node].calls.insert(connect.id, at);
            }
            Effect::Listen(listen) => {
                self.nodes[node].listeners.insert(listen.id, listen);
            }
            Effect::Write(bytes) => self.write(node, bytes),
            Effect::Close(id) | Effect::Abort(id) => self.close(node, id),
            Effect::Offload(Offload { id, work }) => {
                assert!(id < HOST);
                self.nodes[node].offloads.insert(id, (work, now_us));
            }
            Effect::Report(Report::Address(report)) => {
                self.nodes[node].reports.insert(report.address, report);
            }
            Effect::Report(Report::Peer(report)) => {
                self.nodes[node].peers.insert(report.peer.clone(), report);
            }
            Effect::Drained => self.nodes[node].drained = true,
            other => panic!("{other:?} is not in this test"),
        }
    }

    fn write(&mut self, node: usize, StreamBytes { id, data }: StreamBytes) {
        for wire in &mut self.wires {
            for end in &mut wire.ends {
                if end.node == node && end.id == id && end.open {
                    let left = end.credit.checked_sub(data.len() as u32);
                    end.credit = left.expect("no more is written than credit allows");
                }
            }
        }
        let message = bgp::decode(&data, &as_the_peer()).unwrap();
        self.nodes[node].written.push(message);
        for (work, since_us) in self.nodes[node].offloads.values_mut() {
            if matches!(work, OffloadWork::Keepalive { endpoint, .. } if *endpoint == id) {
                *since_us = self.now_us;
            }
        }
        self.put(node, id, data);
    }

    fn close(&mut self, node: usize, id: u32) {
        let one = &mut self.nodes[node];
        one.listeners.remove(&id);
        one.calls.remove(&id);
        one.offloads.remove(&id);
        for wire in 0..self.wires.len() {
            for side in 0..2 {
                let end = &self.wires[wire].ends[side];
                if end.node == node && end.id == id {
                    self.cut(wire, side, false);
                }
            }
        }
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

    /// What must hold after every call.
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

impl End {
    fn new(node: usize, id: u32) -> Self {
        Self {
            node,
            id,
            arriving: VecDeque::new(),
            open: true,
            credit: CREDIT,
            said: None,
            held: BTreeMap::new(),
            ended: Vec::new(),
        }
    }
}

impl Wire {
    /// What the end on this side learns from a message.
    fn learn(&mut self, side: usize, message: &[u8]) {
        let opens = (self.ends[side].said.clone(), self.ends[1 - side].said.clone());
        let negotiated = match opens {
            (Some(ours), Some(theirs)) => Negotiated::new(&ours, &theirs),
            _ => Negotiated::default(),
        };
        match bgp::decode(message, &negotiated) {
            Ok(Message::Open(open)) => self.ends[1 - side].said = Some(open),
            // The first node hears nothing but what tests inject, which may be nonsense.
            Ok(Message::Update(update)) if self.ends[side].node > 0 => {
                let end = &mut self.ends[side];
                assert_eq!(update.faults, []);
                end.ended.extend(update.end_of_rib);
                for prefix in update.withdrawn {
                    assert!(end.held.remove(&prefix).is_some(), "{prefix} was not there");
                }
                for announced in update.announced {
                    for prefix in announced.prefixes {
                        let route = (announced.next_hop, update.attributes.clone());
                        end.held.insert(prefix, route);
                    }
                }
            }
            _ => {}
        }
    }
}

pub(super) fn both() -> Vec<bgp::Family> {
    vec![bgp::Family::IPV4_UNICAST, bgp::Family::IPV6_UNICAST]
}

fn period_us(work: &OffloadWork) -> u64 {
    match work {
        OffloadWork::Keepalive { interval_ms, .. } => u64::from(*interval_ms) * 1_000,
        OffloadWork::Expect { within_us, .. } => u64::from(*within_us),
        other => panic!("{other:?} is not in this test"),
    }
}
