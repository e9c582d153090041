//! Routes frames and events from the threads of the responder and the streams to their owners. Must not block.
use std::sync::Arc;

use dashmap::DashMap;
use outrigger_net::{Owner, Sink, StreamSink};
use outrigger_sdk::{Endpoint, Event, Frame};

use super::gossip::{Answers, WITNESS};
use super::probes::{self, Probed};
use super::segments::{self, Neighbours};
use crate::mailbox::Mailbox;

/// Desks by their owner numbers.
#[derive(Default)]
pub struct EventDispatcher {
    mailboxes: DashMap<Owner, Arc<Mailbox>>,
    /// Neighbours that the node itself asks.
    pub(super) heard: Arc<Neighbours>,
    /// Answers to probes.
    pub(super) probed: Arc<Probed>,
    /// Answers of members that were declared down.
    pub answers: Arc<Answers>,
}

impl EventDispatcher {
    /// Sends the events of this owner to this mailbox from now on.
    pub fn add(&self, owner: Owner, mailbox: Arc<Mailbox>) {
        self.mailboxes.insert(owner, mailbox);
    }

    /// Discards the events of this owner from now on.
    pub fn remove(&self, owner: Owner) {
        self.mailboxes.remove(&owner);
    }

    fn mailbox(&self, owner: Owner) -> Option<Arc<Mailbox>> {
        // Cloned, so that no shard is locked while the mailbox is.
        self.mailboxes.get(&owner).map(|mailbox| Arc::clone(&mailbox))
    }

    /// Sends an event to the owner's mailbox. Returns true if there is one.
    fn tell(&self, owner: Owner, event: Event) -> bool {
        self.mailbox(owner).map(|mailbox| mailbox.tell(event)).is_some()
    }
}

impl Sink for EventDispatcher {
    fn frame(&self, owner: Owner, frame: Frame) -> bool {
        if owner == WITNESS {
            self.answers.frame(&frame);
            return true;
        }
        if owner == probes::OWNER {
            self.probed.frame(&frame);
            return true;
        }
        if owner == segments::OWNER {
            self.heard.frame(&frame);
            return true;
        }
        self.answers.overhear(&frame);
        self.tell(owner, Event::Frame(frame))
    }

    fn ended(&self, owner: Owner, id: Endpoint) {
        self.tell(owner, Event::Ended(id));
    }
}

impl StreamSink for EventDispatcher {
    fn event(&self, owner: Owner, event: Event) {
        if let Some(mailbox) = self.mailbox(owner) {
            mailbox.hear(event);
        }
    }

    fn has_room(&self, owner: Owner) -> bool {
        self.mailbox(owner).is_some_and(|mailbox| mailbox.has_room())
    }

    fn is_heard(&self, owner: Owner) -> bool {
        self.mailbox(owner).is_some_and(|mailbox| mailbox.is_running())
    }
}
