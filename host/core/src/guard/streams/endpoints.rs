//! The record of what is open, and with whom.
use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use outrigger_sdk::Endpoint;
use outrigger_sdk::wire::bgp::Notification;

use super::super::session::Session;

/// Streams, listeners and sockets that are open.
#[derive(Debug, Clone, Default)]
pub struct Endpoints {
    pub(super) open: BTreeMap<Endpoint, Open>,
    /// Addresses whose announcement is to be looked at again.
    pub(super) doubted: Vec<IpAddr>,
    pub(super) all_doubted: bool,
}

#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "nearly all of them are streams")]
pub(super) enum Open {
    Stream(Session),
    /// Whom it hears.
    Listener(IpNet),
    /// Whom it hears and speaks to.
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

/// Ends that the host brings about in a plugin's stead.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ended {
    /// The last that the peers hear, by stream: what they were told is withdrawn, then why it ends.
    pub messages: Vec<(Endpoint, Vec<u8>)>,
    /// Streams, listeners and sockets to close then, with what runs on them.
    pub close: Vec<Endpoint>,
    /// Router Advertisements by which peers on a link find this node end as well.
    pub hides: bool,
}

/// What the host withdraws in a plugin's stead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withdrawal {
    /// On this stream.
    pub stream: Endpoint,
    /// Whole messages.
    pub messages: Vec<Vec<u8>>,
    /// What they are about.
    pub prefixes: Vec<IpNet>,
}

impl Endpoints {
    pub(in super::super) fn doubt(&mut self, address: IpAddr) {
        if self.sessions().next().is_some() {
            self.doubted.push(address);
        }
    }

    pub(in super::super) fn doubt_all(&mut self) {
        self.all_doubted = true;
    }

    /// Streams, listeners and sockets.
    pub(in super::super) fn count(&self) -> usize {
        self.open.len()
    }

    /// The record goes when the host says that it is closed. Until then nothing is granted on it.
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
