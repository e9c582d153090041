//! The content of datagrams between nodes, and its encoding. Makes no decisions.
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::DropReason;
use crate::readiness::Readiness;

/// A claim on the wire: term, announced. `None` withdraws the claim.
pub(super) type Entry = (IpAddr, Option<(u32, bool)>);

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Message<'a> {
    /// A message of the SWIM library foca.
    #[serde(borrow)]
    Swim(&'a [u8]),
    /// A part of the sender's claims.
    Claims { from: Sender<'a>, chunk: Chunk },
    /// The position up to which the sender has another node's claims; requests the rest.
    Ack { from: Sender<'a>, ack: Ack },
    /// The readiness of one of the sender's announcers. Of two messages the one with the higher number applies.
    Readiness { from: Sender<'a>, number: u64, announcer: &'a str, readiness: Readiness },
}

/// The node that sends the message, and its generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sender<'a> {
    pub name: &'a str,
    pub generation: u64,
}

/// The changes after `base` up to and including `upto`; the log ends at `version`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Chunk {
    /// Number of the log; a new log starts from nothing.
    pub log: u64,
    pub base: u64,
    pub upto: u64,
    pub version: u64,
    pub leaving: bool,
    pub entries: Vec<Entry>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ack {
    /// Generation of the node whose claims are acknowledged.
    pub of: u64,
    pub log: u64,
    /// Version up to which the claims are known; 0 = nothing yet.
    pub known: u64,
}

impl<'a> Message<'a> {
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("plain data always encodes")
    }

    /// Returns the sender; `None` if the message does not name it.
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
