//! What waits to be told to an instance, in order. When the instance is slow, changes are merged and the oldest frames
//! dropped; a removal followed by an addition is never merged into nothing. Must not know who delivers.
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use outrigger_sdk::{DesiredChanged, Event, Link, LinkIndex, LinksChanged};

use crate::desired::Desired;

#[cfg(test)]
mod tests;

/// Entries per chunk of a full list: a tenth of what the WIT allows, since a plugin's memory never shrinks again.
const CHUNK: usize = 100;
/// Frames that wait at most. They are questions: an old one is worth nothing.
const FRAMES: usize = 256;

/// Events that wait.
#[derive(Debug, Default)]
pub struct Outbox {
    events: VecDeque<Event>,
    frames: usize,
    dropped_frames: u64,
}

impl Outbox {
    /// Adds an event at the end.
    pub fn push(&mut self, event: Event) {
        match (self.events.back_mut(), event) {
            (Some(Event::DesiredChanged(last)), Event::DesiredChanged(next))
                if is_delta(last) && !next.reset =>
            {
                merge(last, next);
            }
            (_, Event::Frame(frame)) => {
                if self.frames == FRAMES {
                    self.drop_oldest_frame();
                }
                self.frames += 1;
                self.events.push_back(Event::Frame(frame));
            }
            (_, event) => self.events.push_back(event),
        }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Takes everything that waits.
    pub fn take(&mut self) -> Vec<Event> {
        self.frames = 0;
        self.events.drain(..).collect()
    }

    /// Forgets the changes that wait, because a full list is about to be told instead. Other events stay.
    pub fn forget_changes(&mut self) {
        self.events
            .retain(|event| !matches!(event, Event::DesiredChanged(_) | Event::LinksChanged(_)));
    }

    /// How many frames were dropped because the instance was slow.
    pub fn dropped_frames(&self) -> u64 {
        self.dropped_frames
    }

    fn drop_oldest_frame(&mut self) {
        if let Some(oldest) = self.events.iter().position(|event| matches!(event, Event::Frame(_)))
        {
            self.events.remove(oldest);
            self.frames -= 1;
            self.dropped_frames += 1;
        }
    }
}

/// The full list of links, then of desired addresses, as every start and swap is told them.
pub fn full_lists(
    links: &BTreeMap<LinkIndex, Link>,
    desired: &BTreeMap<IpAddr, Arc<Desired>>,
) -> Vec<Event> {
    let links = LinksChanged {
        reset: true,
        upsert: links.values().cloned().collect(),
        ..Default::default()
    };
    let mut events = vec![Event::LinksChanged(links)];
    let entries: Vec<_> = desired.values().collect();
    let chunks: Vec<&[&Arc<Desired>]> =
        if entries.is_empty() { vec![&[]] } else { entries.chunks(CHUNK).collect() };
    for (index, chunk) in chunks.iter().enumerate() {
        let (reset, more) = (index == 0, index + 1 < chunks.len());
        let upsert = chunk.iter().map(|entry| entry.to_sdk()).collect();
        events.push(Event::DesiredChanged(DesiredChanged { reset, remove: vec![], upsert, more }));
    }
    events
}

fn is_delta(change: &DesiredChanged) -> bool {
    !change.reset && !change.more
}

/// Both deltas as one: an address that `next` removes leaves `last.upsert` and enters `remove`; one that was removed and
/// comes back stands in both, and `remove` is applied first.
fn merge(last: &mut DesiredChanged, next: DesiredChanged) {
    let replaced: BTreeSet<IpAddr> =
        next.remove.iter().copied().chain(next.upsert.iter().map(|entry| entry.address)).collect();
    last.upsert.retain(|entry| !replaced.contains(&entry.address));
    let removed: BTreeSet<IpAddr> = last.remove.drain(..).chain(next.remove).collect();
    last.remove = removed.into_iter().collect();
    last.upsert.extend(next.upsert);
}
