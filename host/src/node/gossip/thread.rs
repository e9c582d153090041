//! The membership thread: datagrams, timers and the responder's lease. No other part of the daemon delays it: it
//! receives orders, sends news, and waits for no lock of the main loop.
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use outrigger_core::facts::NodeName;
use outrigger_core::membership::{
    Claim, ClaimChanges, Member, Membership, Outlook, Output, Unreadable, ViewChange,
};
use outrigger_core::readiness::NodeReadiness;
use outrigger_net::{GossipError, GossipSocket, ResponderHandle, now, thread_us};
use outrigger_sdk::Link;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use super::witness::Witness;

/// Number of datagrams that are handled before the timers: datagrams that queued up during a stall are taken in before
/// the timers that wait for them fire, and a flood cannot keep timers from firing.
const AT_ONCE: usize = 600;

/// Orders of the main loop and of the witness.
pub(super) enum Order {
    /// Sets the nodes that may be members; see [`Membership::set_peers`].
    Peers(BTreeMap<NodeName, SocketAddr>),
    /// Changes the claims of this node; see [`Membership::set_claims`].
    Claim(ClaimChanges),
    /// Sets the readiness of this node; see [`Membership::set_readiness`].
    Ready(NodeReadiness),
    /// Sets the links on which addresses are announced by announcers that elect one node.
    Links(Arc<Vec<Link>>),
    /// A member still answers for an address on the segment; see [`Membership::answered`].
    Answered(NodeName, IpAddr),
    /// Another node announced an address of this node on the segment; see [`Membership::overheard`].
    Overheard(NodeName, IpAddr),
    /// Marks this node as leaving; see [`Membership::leave`].
    Leave,
    /// The news up to this point has been acted on; see [`Membership::resume`].
    Resume(u64),
    /// Ends the thread; see [`Membership::goodbye`].
    Goodbye,
}

/// Changes since the last news.
pub(super) struct GossipUpdate {
    pub change: ViewChange,
    /// All members, if one came, went or is leaving.
    pub members: Option<BTreeMap<NodeName, Member>>,
    /// All claims on the addresses whose claims changed.
    pub claims: Vec<(IpAddr, Vec<(NodeName, Claim)>)>,
    /// Readiness of all announcers, if it changed.
    pub readiness: Option<BTreeMap<NodeName, NodeReadiness>>,
    pub outlook: Outlook,
    /// Nodes whose datagrams cannot be read.
    pub unreadable: BTreeMap<NodeName, Unreadable>,
}

pub(super) struct Worker {
    pub me: NodeName,
    pub membership: Membership,
    pub socket: Option<GossipSocket>,
    pub orders: UnboundedReceiver<Order>,
    pub news: UnboundedSender<GossipUpdate>,
    pub responder: ResponderHandle,
    pub witness: Witness,
    /// Most processor time that one turn took, in microseconds.
    pub longest_us: Arc<AtomicU64>,
}

impl Worker {
    /// Runs until the goodbye, or until the sender of orders is dropped.
    pub async fn run(mut self) {
        outrigger_net::be_early();
        let mut before = thread_us();
        loop {
            self.witness.look(now().monotonic_us, &mut self.membership);
            self.flush();
            self.responder.set_lease(self.membership.lease());
            // Waiting uses no processor time.
            let used = thread_us();
            self.longest_us.fetch_max(used - before, Ordering::Relaxed);
            before = used;
            let deadline = self.membership.next_deadline();
            tokio::select! {
                biased;
                order = self.orders.recv() => match order {
                    Some(order) => self.obey(order),
                    None => return,
                },
                received = receive(self.socket.as_ref()) => match received {
                    Ok(first) => self.take_in(first),
                    Err(error) => tracing::debug!("gossip: {error}"),
                },
                () = crate::deadline::at(deadline) => {
                    self.membership.handle_timeout(now().monotonic_us);
                }
            }
        }
    }

    fn obey(&mut self, order: Order) {
        let now_us = now().monotonic_us;
        match order {
            Order::Peers(peers) => self.membership.set_peers(now_us, &peers),
            Order::Claim(claims) => self.membership.set_claims(now_us, &claims),
            Order::Ready(readiness) => self.membership.set_readiness(now_us, readiness),
            Order::Links(links) => self.witness.set_links(links),
            Order::Answered(node, address) => {
                self.membership.answered(now_us, &node, address);
            }
            Order::Overheard(node, address) => {
                self.membership.overheard(now_us, &node, address);
            }
            Order::Leave => self.membership.leave(now_us),
            Order::Resume(caught_up) => self.membership.resume(caught_up),
            Order::Goodbye => {
                self.membership.goodbye(now_us);
                self.orders.close();
            }
        }
    }

    fn take_in(&mut self, first: (Vec<u8>, SocketAddr)) {
        let mut next = Some(first);
        for _ in 0..AT_ONCE {
            let Some((data, from)) = next else { return };
            self.membership.handle_datagram(now().monotonic_us, from, &data);
            next = self.socket.as_ref().and_then(GossipSocket::try_receive);
        }
        if let Some((data, from)) = next {
            self.membership.handle_datagram(now().monotonic_us, from, &data);
        }
        self.membership.handle_timeout(now().monotonic_us);
    }

    /// Sends pending datagrams and questions, and publishes what changed.
    fn flush(&mut self) {
        let mut changed: Option<ViewChange> = None;
        while let Some(output) = self.membership.poll() {
            match output {
                Output::Send { to, data } => {
                    if let Some(socket) = &self.socket {
                        // If the socket is full the datagram is lost, like any other: SWIM and the claims repeat
                        // themselves.
                        let _sent = socket.try_send(&data, to);
                    }
                }
                Output::Ask { node, addresses } => {
                    self.witness.ask(&node, addresses, self.membership.view());
                }
                Output::Changed(change) => changed.get_or_insert_default().merge(change),
            }
        }
        if let Some(change) = changed {
            if change.members {
                self.witness.forget(|node| self.membership.is_missing(node));
            }
            if change.readiness {
                self.witness.set_nodes(&self.me, self.membership.view());
            }
            // The send fails only when the daemon ends.
            let _told = self.news.send(self.news(change));
        }
    }

    fn news(&self, change: ViewChange) -> GossipUpdate {
        let view = self.membership.view();
        let claims_on = |address: &IpAddr| {
            let claims = view.claims_on(*address);
            (*address, claims.map(|(node, claim)| (node.to_owned(), claim)).collect())
        };
        GossipUpdate {
            members: change.members.then(|| view.members.clone()),
            claims: change.addresses.iter().map(claims_on).collect(),
            readiness: (change.readiness || change.members).then(|| view.readiness.clone()),
            outlook: self.membership.outlook(now().monotonic_us),
            unreadable: view.unreadable.clone(),
            change,
        }
    }
}

async fn receive(socket: Option<&GossipSocket>) -> Result<(Vec<u8>, SocketAddr), GossipError> {
    match socket {
        Some(socket) => socket.receive().await,
        None => std::future::pending().await,
    }
}
