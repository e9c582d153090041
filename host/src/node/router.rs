//! From the responder's thread to the desks: whose frame is it? Must not block.
use std::sync::Arc;

use dashmap::DashMap;
use outrigger_net::{Owner, Sink};
use outrigger_sdk::{Endpoint, Event, Frame};

use crate::desk::Desk;

/// Desks by the number the responder knows them by.
#[derive(Default)]
pub struct Router {
    desks: DashMap<Owner, Arc<Desk>>,
}

impl Router {
    /// Events of this owner go to this desk from now on.
    pub fn add(&self, owner: Owner, desk: Arc<Desk>) {
        self.desks.insert(owner, desk);
    }

    /// Events of this owner go nowhere from now on.
    pub fn remove(&self, owner: Owner) {
        self.desks.remove(&owner);
    }

    /// Says whether anybody is there to be told.
    fn tell(&self, owner: Owner, event: Event) -> bool {
        // Cloned out, so that no shard is locked while the desk is.
        let desk = self.desks.get(&owner).map(|desk| Arc::clone(&desk));
        desk.map(|desk| desk.tell(event)).is_some()
    }
}

impl Sink for Router {
    fn frame(&self, owner: Owner, frame: Frame) -> bool {
        self.tell(owner, Event::Frame(frame))
    }

    fn ended(&self, owner: Owner, id: Endpoint) {
        self.tell(owner, Event::Ended(id));
    }
}
