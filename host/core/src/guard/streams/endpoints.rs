//! The record of open endpoints and their peers.
use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use outrigger_sdk::Endpoint;
use outrigger_sdk::wire::bgp::Notification;

use super::super::session::Session;

/// The streams, listeners and sockets that are open.
#[derive(Debug, Clone, Default)]
pub struct OpenEndpoints {
    pub(super) open: BTreeMap<Endpoint, Open>,
    /// Addresses whose announcement is to be checked again.
    pub(super) doubted: Vec<IpAddr>,
    pub(super) all_doubted: bool,
}

#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "nearly all of them are streams")]
pub(super) enum Open {
    Stream(Session),
    /// A listener, with the peers that it accepts.
    Listener(IpNet),
    /// A socket, with the peers that it communicates with.
    Socket(Vec<IpNet>),
}

impl Open {
    pub(super) fn peers(&self) -> Vec<IpNet> {
        match self {
            Self::Stream(session) => vec![session.remote.ip().into()],
            Self::Listener(peers) => vec![*peers],
            Self::Socket(peers) => peers.clone(),
        }
    }
}

/// Endpoints that the host ends on behalf of a plugin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ended {
    /// The last messages to the peers, by stream: a withdrawal of every announced route, then the reason for the end.
    pub messages: Vec<(Endpoint, Vec<u8>)>,
    /// Streams, listeners and sockets to close after these messages, with the offloads on them.
    pub close: Vec<Endpoint>,
    /// True if the Router Advertisements by which peers on a link discover this node also end.
    pub hides: bool,
}

/// Routes that the host withdraws on behalf of a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withdrawal {
    /// The stream on which the routes are withdrawn.
    pub stream: Endpoint,
    /// Complete messages to send.
    pub messages: Vec<Vec<u8>>,
    /// The prefixes that the messages withdraw.
    pub prefixes: Vec<IpNet>,
}

impl OpenEndpoints {
    pub(in super::super) fn doubt(&mut self, address: IpAddr) {
        if self.sessions().next().is_some() {
            self.doubted.push(address);
        }
    }

    pub(in super::super) fn doubt_all(&mut self) {
        self.all_doubted = true;
    }

    /// Returns the number of open streams, listeners and sockets.
    pub(in super::super) fn count(&self) -> usize {
        self.open.len()
    }

    /// Ends the endpoints that `ends` selects. Their records are kept until the host reports them closed; nothing is
    /// granted on them until then.
    pub(super) fn end(&mut self, ends: impl Fn(&Open) -> bool, why: &Notification) -> Ended {
        let mut ended = Ended::default();
        for (id, open) in self.open.iter_mut().filter(|(_, open)| ends(open)) {
            if let Open::Stream(session) = open {
                ended
                    .messages
                    .extend(session.dismiss(why).into_iter().map(|message| (*id, message)));
            }
            ended.close.push(*id);
        }
        ended
    }

    pub(in super::super) fn sessions(&self) -> impl Iterator<Item = (Endpoint, &Session)> {
        self.open.iter().filter_map(|(id, open)| match open {
            Open::Stream(session) => Some((*id, session)),
            _ => None,
        })
    }
}
