//! What is inside a datagram between nodes, and how it is encoded. Decides nothing.
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::DropReason;
use crate::readiness::Readiness;

/// A claim on the wire: term, announced. `None` takes it back.
pub(super) type Entry = (IpAddr, Option<(u32, bool)>);

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Message<'a> {
    /// foca's.
    #[serde(borrow)]
    Swim(&'a [u8]),
    /// A piece of the sender's claims.
    Claims { from: Sender<'a>, chunk: Chunk },
    /// How far the sender has another node's claims; asks for the rest.
    Ack { from: Sender<'a>, ack: Ack },
    /// The abilities of one of the sender's announcers. Of two the one with the higher number is true.
    Readiness { from: Sender<'a>, number: u64, announcer: &'a str, readiness: Readiness },
}

/// Which life of which node says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sender<'a> {
    pub name: &'a str,
    pub generation: u64,
}

/// Changes after `base` up to and with `upto`, of `version` in all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Chunk {
    /// Which numbering of changes: a new one starts from nothing.
    pub log: u64,
    pub base: u64,
    pub upto: u64,
    pub version: u64,
    pub leaving: bool,
    pub entries: Vec<Entry>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ack {
    /// The life whose claims these are.
    pub of: u64,
    pub log: u64,
    /// 0 = nothing yet.
    pub known: u64,
}

impl<'a> Message<'a> {
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("plain data always encodes")
    }

    /// Whoever made it, where it says so.
    pub fn sender(&self) -> Option<Sender<'a>> {
        match self {
            Self::Swim(_) => None,
            Self::Claims { from, .. } | Self::Ack { from, .. } | Self::Readiness { from, .. } => {
                Some(*from)
            }
        }
    }

    pub fn decode(bytes: &'a [u8]) -> Result<Self, DropReason> {
        match postcard::take_from_bytes(bytes) {
            Ok((message, [])) => Ok(message),
            _ => Err(DropReason::Malformed),
        }
    }
}
