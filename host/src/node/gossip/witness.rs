//! Asks the segments about members that were declared down: whether they still answer for their addresses, and whether
//! the segments are alive. A question is sent to a hardware address of the member, so that no other host's answer
//! counts. A thread of its own asks, because the responder may be busy with its links and membership must not wait.
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use outrigger_core::facts::NodeName;
use outrigger_core::membership::{Membership, View};
use outrigger_net::{Owner, ResponderHandle, now, received};
use outrigger_sdk::wire::{self, NeighborMessage};
use outrigger_sdk::{Frame, Link, LinkIndex, MacAddr, Topic};
use tokio::sync::mpsc::UnboundedSender;

use super::Wire;
use super::thread::Order;
use crate::node::segments::{gateways, question};

/// Owner number of the questions at the responder.
pub const OWNER: Owner = Owner::MAX;
/// Interval between two reads of what the links received, in microseconds.
const LOOK_US: u64 = 20_000;
/// Largest number of questions about one address at once: a node may have many links.
const MOST: usize = 256;
/// Interval in which one announcement of an address is passed on, so that a flood costs membership nothing.
const OVERHEARD_US: u64 = 500_000;

/// Member that is asked, by link, address in question, and hardware address whose answer counts.
type Questions = BTreeMap<(LinkIndex, IpAddr, MacAddr), NodeName>;

/// Receives the answers. Shared with the responder's thread.
#[derive(Default)]
pub struct Answers {
    state: Mutex<Pending>,
}

#[derive(Default)]
struct Pending {
    asked: Questions,
    /// Link and hardware address at which a member answered last, where it is asked first.
    found: BTreeMap<NodeName, (LinkIndex, MacAddr)>,
    /// Nodes by their hardware addresses, as they reported them last.
    nodes: BTreeMap<MacAddr, NodeName>,
    /// Time at which an announcement of each address was last passed on.
    overheard: BTreeMap<IpAddr, u64>,
    tell: Option<UnboundedSender<Order>>,
}

impl Answers {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a frame about one of the addresses. Must not block.
    pub fn frame(&self, frame: &Frame) {
        let Ok(decoded) = wire::decode(&frame.data) else { return };
        let about: IpAddr = match decoded.message {
            NeighborMessage::Arp(arp) => arp.sender_ip.into(),
            NeighborMessage::Advertisement(advertisement) => advertisement.target.into(),
            NeighborMessage::Solicitation(_) => return,
        };
        let Pending { asked, found, tell, .. } = &mut *self.lock();
        let node = asked.get(&(frame.link, about, decoded.source));
        if let (Some(node), Some(tell)) = (node, tell) {
            found.insert(node.clone(), (frame.link, decoded.source));
            // The send fails only when the daemon ends.
            let _told = tell.send(Order::Answered(node.clone(), about));
        }
    }
}

impl Answers {
    /// Takes in a frame about an address that is announced here. Must not block.
    pub fn overhear(&self, frame: &Frame) {
        let Ok(decoded) = wire::decode(&frame.data) else { return };
        let about: IpAddr = match decoded.message {
            NeighborMessage::Arp(arp) if arp.sender_ip == arp.target_ip => arp.sender_ip.into(),
            NeighborMessage::Advertisement(one) if !one.solicited => one.target.into(),
            _ => return,
        };
        let Pending { nodes, overheard, tell, .. } = &mut *self.lock();
        let Some(node) = nodes.get(&decoded.source) else { return };
        let now_us = now().monotonic_us;
        overheard.retain(|_, at| now_us < *at + OVERHEARD_US);
        if overheard.len() >= MOST || overheard.contains_key(&about) {
            return;
        }
        overheard.insert(about, now_us);
        if let Some(tell) = tell {
            // The send fails only when the daemon ends.
            let _told = tell.send(Order::Overheard(node.clone(), about));
        }
    }

    /// Returns the hardware addresses that a node last gossiped.
    fn hardware_of(&self, node: &NodeName) -> BTreeSet<MacAddr> {
        let pending = self.lock();
        pending.nodes.iter().filter(|(_, of)| *of == node).map(|(mac, _)| *mac).collect()
    }

    /// Sets the hardware addresses of the nodes. Those of nodes that are gone are kept.
    fn set_nodes(&self, me: &NodeName, view: &View) {
        let nodes = &mut self.lock().nodes;
        nodes.retain(|_, node| !view.readiness.contains_key(node));
        for (node, announcers) in view.readiness.iter().filter(|(node, _)| *node != me) {
            let hardware = announcers.values().flat_map(|one| &one.hardware);
            nodes.extend(hardware.map(|mac| (MacAddr::from(*mac), node.clone())));
        }
    }
}

/// Tasks from the membership thread for the witness thread.
enum WitnessTask {
    /// Asks a member, at these hardware addresses, about these addresses.
    Ask(NodeName, BTreeSet<MacAddr>, Vec<IpAddr>),
    /// Asks the default gateways.
    AskGateways,
    /// Asks on these links from now on.
    Links(Arc<Vec<Link>>),
    /// Drops the questions about all members but these.
    Keep(BTreeSet<NodeName>),
}

/// Handle with which the membership thread asks.
pub struct Witness {
    answers: Arc<Answers>,
    links: Arc<Vec<Link>>,
    tasks: Sender<WitnessTask>,
    /// Members that are asked.
    asked: BTreeSet<NodeName>,
    /// Last count of the frames that the links received, with its time.
    received: Option<Received>,
}

struct Received {
    at_us: u64,
    frames: u64,
    links: Arc<Vec<Link>>,
}

impl Witness {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(wire: Wire, orders: UnboundedSender<Order>) -> std::io::Result<Self> {
        let Wire { responder, answers, links } = wire;
        answers.lock().tell = Some(orders);
        let (tasks, queue) = channel();
        let mut asker = Asker { responder, answers: answers.clone(), links: links.clone() };
        std::thread::Builder::new().name("witness".to_owned()).spawn(move || asker.run(queue))?;
        Ok(Self { answers, links, tasks, asked: BTreeSet::new(), received: None })
    }

    fn order(&self, task: WitnessTask) {
        // The thread ends only when this handle is dropped.
        let _heard = self.tasks.send(task);
    }

    /// Sets the links to ask on from now on.
    pub fn set_links(&mut self, links: Arc<Vec<Link>>) {
        self.links = links.clone();
        self.order(WitnessTask::Links(links));
    }

    /// Updates the hardware addresses of the nodes.
    pub fn set_nodes(&self, me: &NodeName, view: &View) {
        self.answers.set_nodes(me, view);
    }

    /// Asks a member about these addresses. One that never published its hardware addresses cannot be asked.
    pub fn ask(&mut self, node: &NodeName, addresses: Vec<IpAddr>, view: &View) {
        let macs = match view.readiness.get(node) {
            Some(announcers) => {
                let hardware = announcers.values().flat_map(|readiness| &readiness.hardware);
                hardware.map(|mac| MacAddr::from(*mac)).collect()
            }
            None => self.answers.hardware_of(node),
        };
        if !macs.is_empty() {
            self.asked.insert(node.clone());
            self.order(WitnessTask::Ask(node.clone(), macs, addresses));
        }
    }

    /// Stops asking members that are not missing.
    pub fn forget(&mut self, is_missing: impl Fn(&str) -> bool) {
        let before = self.asked.len();
        self.asked.retain(|node| is_missing(node));
        if self.asked.len() < before {
            self.order(WitnessTask::Keep(self.asked.clone()));
        }
    }

    /// Checks, while no member is heard, whether the links receive anything, and asks the gateways first so that they
    /// answer.
    pub fn look(&mut self, now_us: u64, membership: &mut Membership) {
        if !membership.looks_for_life(now_us) {
            self.received = None;
            return;
        }
        if self.received.as_ref().is_some_and(|last| now_us < last.at_us + LOOK_US) {
            return;
        }
        let links = self.links.clone();
        let names = links.iter().map(|link| link.name.as_str());
        let Some(frames) = received(names) else { return };
        match &self.received {
            Some(last) if Arc::ptr_eq(&last.links, &links) => {
                if frames > last.frames {
                    membership.segment_lives(now_us);
                }
            }
            _ => self.order(WitnessTask::AskGateways),
        }
        self.received = Some(Received { at_us: now_us, frames, links });
    }
}

/// Sends the questions, on the witness thread.
struct Asker {
    responder: ResponderHandle,
    answers: Arc<Answers>,
    links: Arc<Vec<Link>>,
}

impl Asker {
    fn run(&mut self, queue: Receiver<WitnessTask>) {
        for task in queue {
            match task {
                WitnessTask::Ask(node, macs, addresses) => self.ask(&node, &macs, &addresses),
                WitnessTask::AskGateways => self.ask_gateways(),
                WitnessTask::Links(links) => self.links = links,
                WitnessTask::Keep(nodes) => self.keep(&nodes),
            }
        }
    }

    fn ask(&self, node: &NodeName, macs: &BTreeSet<MacAddr>, addresses: &[IpAddr]) {
        // Until it answers again, it is asked on every link.
        let found = self.answers.lock().found.remove(node);
        let at = |link: &Link, mac: MacAddr| found.is_none_or(|found| found == (link.index, mac));
        for address in addresses {
            let all = self.links.iter().flat_map(|link| macs.iter().map(move |mac| (link, *mac)));
            for (link, mac) in all.filter(|(link, mac)| at(link, *mac)).take(MOST) {
                self.ask_one(node, link, *address, mac);
            }
        }
    }

    fn ask_one(&self, node: &NodeName, link: &Link, address: IpAddr, mac: MacAddr) {
        let own = link.addresses.iter().map(|net| net.addr());
        let own = own.filter(|own| own.is_ipv4() == address.is_ipv4()).min();
        // A probe has no address of its own (RFC 5227 section 2.1.1).
        let own = own.or_else(|| address.is_ipv4().then_some(Ipv4Addr::UNSPECIFIED.into()));
        let Some(data) = own.and_then(|own| question((own, link.mac), address, Some(mac))) else {
            return;
        };
        self.answers.lock().asked.insert((link.index, address, mac), node.clone());
        let asked = self
            .responder
            .watch(OWNER, link.index, Topic::about(address))
            .map_err(|error| error.to_string())
            .and_then(|()| {
                let frame = Frame { link: link.index, data };
                self.responder.send(&frame).map_err(|error| error.to_string())
            });
        if let Err(error) = asked {
            tracing::debug!(node, %address, "the node cannot be probed on the segment: {error}");
        }
    }

    fn keep(&self, nodes: &BTreeSet<NodeName>) {
        let gone: BTreeSet<_> = {
            let Pending { asked, found, .. } = &mut *self.answers.lock();
            found.retain(|node, _| nodes.contains(node));
            let gone = asked.extract_if(.., |_, node| !nodes.contains(node));
            let gone: Vec<_> = gone.map(|((link, address, _), _)| (link, address)).collect();
            let still = |(link, address): &(LinkIndex, IpAddr)| {
                asked.keys().any(|(at, of, _)| (at, of) == (link, address))
            };
            gone.into_iter().filter(|topic| !still(topic)).collect()
        };
        for (link, address) in gone {
            self.responder.unwatch(OWNER, link, Topic::about(address));
        }
    }

    fn ask_gateways(&self) {
        for gateway in gateways() {
            for link in self.links.iter() {
                let own = link.addresses.iter().find(|net| net.contains(&gateway));
                let data = own.and_then(|net| question((net.addr(), link.mac), gateway, None));
                // A question that cannot be sent counts like one that is not answered.
                let _sent = data.map(|data| self.responder.send(&Frame { link: link.index, data }));
            }
        }
    }
}
