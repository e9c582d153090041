//! What waits to be told to an instance, in order. When the instance is slow, changes are merged and the oldest frames
//! dropped; a removal followed by an addition is never merged into nothing. Must not know who delivers.
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use outrigger_sdk::{DesiredChanged, Event, Link, LinkIndex, LinksChanged};

use crate::desired::Desired;

#[cfg(test)]
mod tests;

/// Entries that a plugin is told at once: a tenth of what the WIT allows, since its memory never shrinks again.
const CHUNK: usize = 100;
/// Frames that wait at most. They are questions: an old one is worth nothing.
const FRAMES: usize = 256;

/// What waits.
#[derive(Debug, Default)]
pub struct Outbox {
    waiting: VecDeque<Waiting>,
    frames: usize,
    dropped_frames: u64,
}

/// One thing that waits.
#[derive(Debug)]
pub enum Waiting {
    /// What is to be announced is otherwise.
    Change(Change),
    /// Something happened.
    Event(Event),
}

/// What an instance is to announce, or what differs from before.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// It is all that is to be announced.
    pub reset: bool,
    /// No longer to be announced.
    pub remove: Vec<IpAddr>,
    /// To be announced, each entry whole.
    pub upsert: Vec<Arc<Desired>>,
}

impl Outbox {
    /// Adds an event at the end.
    pub fn push(&mut self, event: Event) {
        if matches!(event, Event::Frame(_)) {
            if self.frames == FRAMES {
                self.drop_oldest_frame();
            }
            self.frames += 1;
        }
        self.waiting.push_back(Waiting::Event(event));
    }

    /// Adds a change at the end.
    pub fn change(&mut self, next: Change) {
        match self.waiting.back_mut() {
            Some(Waiting::Change(last)) if !last.reset && !next.reset => last.merge(next),
            _ => self.waiting.push_back(Waiting::Change(next)),
        }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes everything that waits.
    pub fn take(&mut self) -> VecDeque<Waiting> {
        self.frames = 0;
        std::mem::take(&mut self.waiting)
    }

    /// How many frames were dropped because the instance was slow.
    pub fn dropped_frames(&self) -> u64 {
        self.dropped_frames
    }

    fn drop_oldest_frame(&mut self) {
        let is_frame = |one: &Waiting| matches!(one, Waiting::Event(Event::Frame(_)));
        if let Some(oldest) = self.waiting.iter().position(is_frame) {
            self.waiting.remove(oldest);
            self.frames -= 1;
            self.dropped_frames += 1;
        }
    }
}

/// The events that a plugin is told.
pub fn events(waiting: impl IntoIterator<Item = Waiting>) -> Vec<Event> {
    let events = |one| match one {
        Waiting::Change(change) => change.events(),
        Waiting::Event(event) => vec![event],
    };
    waiting.into_iter().flat_map(events).collect()
}

/// The full list of links, then of desired addresses, as every start and swap is told them.
pub fn full_lists(
    links: &BTreeMap<LinkIndex, Link>,
    desired: &BTreeMap<IpAddr, Arc<Desired>>,
) -> [Waiting; 2] {
    let links = LinksChanged {
        reset: true,
        upsert: links.values().cloned().collect(),
        ..Default::default()
    };
    let upsert = desired.values().cloned().collect();
    let all = Change { reset: true, upsert, ..Default::default() };
    [Waiting::Event(Event::LinksChanged(links)), Waiting::Change(all)]
}

impl Change {
    /// Both as one: an address that `next` removes leaves `upsert` and enters `remove`; one that was removed and comes back
    /// stands in both, and `remove` is applied first.
    fn merge(&mut self, next: Self) {
        let upserted = next.upsert.iter().map(|entry| entry.address);
        let replaced: BTreeSet<IpAddr> = next.remove.iter().copied().chain(upserted).collect();
        self.upsert.retain(|entry| !replaced.contains(&entry.address));
        let removed: BTreeSet<IpAddr> = self.remove.drain(..).chain(next.remove).collect();
        self.remove = removed.into_iter().collect();
        self.upsert.extend(next.upsert);
    }

    /// Cut so that no event is larger than the WIT allows. What is removed comes first: it may be among what is added.
    fn events(self) -> Vec<Event> {
        let mut events: Vec<DesiredChanged> = Vec::new();
        for remove in self.remove.chunks(CHUNK) {
            events.push(DesiredChanged { remove: remove.to_vec(), ..Default::default() });
        }
        let mut chunks = self.upsert.chunks(CHUNK).map(|chunk| chunk.iter().map(|it| it.to_sdk()));
        if events.is_empty() {
            events.push(DesiredChanged::default());
        }
        if let (Some(last), Some(first)) = (events.last_mut(), chunks.next()) {
            last.upsert = first.collect();
        }
        events.extend(
            chunks.map(|chunk| DesiredChanged { upsert: chunk.collect(), ..Default::default() }),
        );
        if self.reset {
            let last = events.len() - 1;
            for (index, event) in events.iter_mut().enumerate() {
                (event.reset, event.more) = (index == 0, index < last);
            }
        }
        events.into_iter().map(Event::DesiredChanged).collect()
    }
}
