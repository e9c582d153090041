//! The ordered queue of events for one instance. If the instance is slow, changes are merged and the oldest frames
//! are dropped; a removal followed by an addition is never merged into nothing. Must not know how events are
//! delivered.
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use outrigger_sdk::{DesiredChanged, Event, Link, LinkIndex, LinksChanged};

use crate::desired::Desired;

#[cfg(test)]
mod tests;

/// Maximum number of entries in one event: a tenth of what the WIT allows, since the plugin's memory never shrinks
/// again.
const CHUNK: usize = 100;
/// Maximum number of queued frames. Frames are questions: an old one is worth nothing.
const FRAMES: usize = 256;

/// The queue of events for one instance.
#[derive(Debug, Default)]
pub struct Outbox {
    waiting: VecDeque<Waiting>,
    frames: usize,
    dropped_frames: u64,
}

/// One queued item.
#[derive(Debug)]
pub enum Waiting {
    /// A change of the desired addresses.
    PendingChange(PendingChange),
    /// Any other event.
    Event(Event),
}

/// A change of the desired addresses of an instance, or the full list of them.
#[derive(Debug, Clone, Default)]
pub struct PendingChange {
    /// True if `upsert` is the full list of what is to be announced.
    pub reset: bool,
    /// Addresses that are no longer to be announced.
    pub remove: Vec<IpAddr>,
    /// Addresses that are to be announced, each with its complete entry.
    pub upsert: Vec<Arc<Desired>>,
}

impl Outbox {
    /// Adds an event at the end of the queue.
    pub fn push(&mut self, event: Event) {
        if matches!(event, Event::Frame(_)) {
            if self.frames == FRAMES {
                self.drop_oldest_frame();
            }
            self.frames += 1;
        }
        self.waiting.push_back(Waiting::Event(event));
    }

    /// Adds a change at the end of the queue, merged with the last item if both are incremental changes.
    pub fn change(&mut self, next: PendingChange) {
        match self.waiting.back_mut() {
            Some(Waiting::PendingChange(last)) if !last.reset && !next.reset => last.merge(next),
            _ => self.waiting.push_back(Waiting::PendingChange(next)),
        }
    }

    /// Returns true if the queue is empty.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes everything out of the queue.
    pub fn take(&mut self) -> VecDeque<Waiting> {
        self.frames = 0;
        std::mem::take(&mut self.waiting)
    }

    /// Returns the number of frames that were dropped because the instance was slow.
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

/// Returns the events to send to a plugin.
pub fn events(waiting: impl IntoIterator<Item = Waiting>) -> Vec<Event> {
    let events = |one| match one {
        Waiting::PendingChange(change) => change.events(),
        Waiting::Event(event) => vec![event],
    };
    waiting.into_iter().flat_map(events).collect()
}

/// Returns the full list of links, then of desired addresses, as they are sent at every start and swap.
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
    let all = PendingChange { reset: true, upsert, ..Default::default() };
    [Waiting::Event(Event::LinksChanged(links)), Waiting::PendingChange(all)]
}

impl PendingChange {
    /// Merges `next` into this change: an address that `next` removes leaves `upsert` and enters `remove`; one that
    /// was removed and comes back is in both, and `remove` is applied first.
    fn merge(&mut self, next: Self) {
        let upserted = next.upsert.iter().map(|entry| entry.address);
        let replaced: BTreeSet<IpAddr> = next.remove.iter().copied().chain(upserted).collect();
        self.upsert.retain(|entry| !replaced.contains(&entry.address));
        let removed: BTreeSet<IpAddr> = self.remove.drain(..).chain(next.remove).collect();
        self.remove = removed.into_iter().collect();
        self.upsert.extend(next.upsert);
    }

    /// Splits the change so that no event is larger than the WIT allows. Removals come first, because a removed
    /// address may be among the added ones.
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
