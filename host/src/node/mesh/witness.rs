//! Asks the segments for members that were declared down: whether they still answer for their addresses, and whether the segments live. A
//! question goes to the member's own hardware address, so that it disturbs nobody and nobody else's answer counts.
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use outrigger_core::facts::NodeName;
use outrigger_core::membership::{Membership, View};
use outrigger_net::{Owner, ResponderHandle, received};
use outrigger_sdk::wire::{self, Message};
use outrigger_sdk::{Frame, Link, LinkIndex, MacAddr, Topic};
use tokio::sync::mpsc::UnboundedSender;

use super::thread::Order;
use crate::node::segments::{gateways, question};

/// The responder knows the questions by this number.
pub const OWNER: Owner = Owner::MAX;
/// Between two looks at what the links received.
const LOOK_US: u64 = 20_000;
/// Questions at once: a node may have many links.
const MOST: usize = 256;

/// What is asked: on a link for an address, and whose answer counts.
type Asked = BTreeMap<(LinkIndex, IpAddr, MacAddr), NodeName>;

/// Where the answers come in. Shared with the responder's thread.
#[derive(Default)]
pub struct Answers {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    asked: Asked,
    tell: Option<UnboundedSender<Order>>,
    /// Up, and used by an announcer for which one node is elected.
    links: Arc<Vec<Link>>,
}

impl Answers {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Questions go out on these links from now on.
    pub fn set_links(&self, links: Vec<Link>) {
        let mut state = self.lock();
        if *state.links != links {
            state.links = Arc::new(links);
        }
    }

    /// A frame about one of the addresses came in. Must not block.
    pub fn frame(&self, frame: &Frame) {
        let Ok(decoded) = wire::decode(&frame.data) else { return };
        let about: IpAddr = match decoded.message {
            Message::Arp(arp) => arp.sender_ip.into(),
            Message::Advertisement(advertisement) => advertisement.target.into(),
            Message::Solicitation(_) => return,
        };
        let state = self.lock();
        let node = state.asked.get(&(frame.link, about, decoded.source));
        if let (Some(node), Some(tell)) = (node, &state.tell) {
            // Nobody listens only when the daemon ends.
            let _told = tell.send(Order::Answered(node.clone()));
        }
    }
}

/// What the thread of membership asks with.
pub struct Witness {
    responder: ResponderHandle,
    answers: Arc<Answers>,
    /// When it was looked at what the links received, and that.
    received: Option<Received>,
}

struct Received {
    at_us: u64,
    frames: u64,
    links: Arc<Vec<Link>>,
}

impl Witness {
    pub fn new(
        responder: ResponderHandle,
        answers: Arc<Answers>,
        orders: UnboundedSender<Order>,
    ) -> Self {
        answers.lock().tell = Some(orders);
        Self { responder, answers, received: None }
    }

    /// Asks a member for these addresses. One that never said its hardware addresses cannot be asked.
    pub fn ask(&self, node: &NodeName, addresses: &[IpAddr], view: &View) {
        let announcers = view.readiness.get(node).into_iter().flatten();
        let macs: BTreeSet<_> = announcers
            .flat_map(|(_, readiness)| &readiness.hardware)
            .map(|mac| MacAddr::from(*mac))
            .collect();
        let links = self.answers.lock().links.clone();
        let all = links.iter().flat_map(|link| {
            let of_link =
                move |mac: MacAddr| addresses.iter().map(move |address| (link, *address, mac));
            macs.iter().copied().flat_map(of_link)
        });
        for (link, address, mac) in all.take(MOST) {
            self.ask_one(node, link, address, mac);
        }
    }

    fn ask_one(&self, node: &NodeName, link: &Link, address: IpAddr, mac: MacAddr) {
        let own = link
            .addresses
            .iter()
            .map(|net| net.addr())
            .find(|own| own.is_ipv4() == address.is_ipv4());
        let Some(data) = own.and_then(|own| question((own, link.mac), address, Some(mac))) else {
            return;
        };
        let key = (link.index, address, mac);
        let known = self.answers.lock().asked.insert(key, node.clone()).is_some();
        let watched =
            known || self.responder.watch(OWNER, link.index, Topic::about(address)).is_ok();
        let sent = watched.then(|| self.responder.send(&Frame { link: link.index, data }));
        if let Some(Err(error)) = sent {
            tracing::debug!(node, %address, "it is not asked on the segment: {error}");
        }
    }

    /// Asks no more for members that are not missing.
    pub fn forget(&self, is_missing: impl Fn(&str) -> bool) {
        let gone: Vec<_> = {
            let asked = &mut self.answers.lock().asked;
            asked.extract_if(.., |_, node| !is_missing(node)).map(|(key, _)| key).collect()
        };
        for (link, address, _) in gone {
            self.responder.unwatch(OWNER, link, Topic::about(address));
        }
    }

    /// While nobody is heard: looks whether the links receive anything, and has the gateway answer if it can.
    pub fn look(&mut self, now_us: u64, membership: &mut Membership) {
        if !membership.hears_nobody(now_us) {
            self.received = None;
            return;
        }
        if self.received.as_ref().is_some_and(|last| now_us < last.at_us + LOOK_US) {
            return;
        }
        let links = self.answers.lock().links.clone();
        let names = links.iter().map(|link| link.name.as_str());
        let Some(frames) = received(names) else { return };
        match &self.received {
            Some(last) if Arc::ptr_eq(&last.links, &links) => {
                if frames > last.frames {
                    membership.segment_lives(now_us);
                }
            }
            _ => self.ask_gateways(&links),
        }
        self.received = Some(Received { at_us: now_us, frames, links });
    }

    fn ask_gateways(&self, links: &[Link]) {
        for gateway in gateways() {
            for link in links {
                let own = link.addresses.iter().find(|net| net.contains(&gateway));
                let data = own.and_then(|net| question((net.addr(), link.mac), gateway, None));
                // One that cannot be sent is as good as one that is not answered.
                let _sent = data.map(|data| self.responder.send(&Frame { link: link.index, data }));
            }
        }
    }
}
