//! The calls since the last snapshot, bounded, and the splitting of events into calls.
use outrigger_sdk::{Event, Service, Time};

const CALLS: usize = 1_000;
/// Limit of the journal in bytes: as much as the state of many addresses; a larger journal costs more than it saves.
const OCTETS: usize = 256 << 10;
/// Limit of the WIT for one call.
const EVENTS_PER_CALL: usize = 1_000;
/// Limit of one call in bytes. The WIT allows 1 MiB, but a plugin's memory never shrinks again, and each call takes up
/// its size in it once more.
const OCTETS_PER_CALL: usize = 128 << 10;

/// The calls that an instance has handled without a fault since it was started.
#[derive(Debug, Default)]
pub(super) struct Journal {
    calls: Vec<Call>,
    octets: usize,
}

#[derive(Debug)]
pub(super) struct Call {
    pub(super) now: Time,
    pub(super) events: Vec<Event>,
}

impl Journal {
    pub(super) fn push(&mut self, now: Time, events: Vec<Event>) {
        self.octets += events.iter().map(weight).sum::<usize>();
        self.calls.push(Call { now, events });
    }

    pub(super) fn is_full(&self) -> bool {
        self.calls.len() >= CALLS || self.octets >= OCTETS
    }

    pub(super) fn calls(&self) -> &[Call] {
        &self.calls
    }
}

/// Splits events so that no call is larger than the limits; a single event that is larger is a call of its own.
pub(super) fn chunks(events: Vec<Event>) -> Vec<Vec<Event>> {
    let mut chunks: Vec<Vec<Event>> = Vec::new();
    let mut octets = 0;
    for event in events {
        octets += weight(&event);
        match chunks.last_mut() {
            Some(chunk) if chunk.len() < EVENTS_PER_CALL && octets <= OCTETS_PER_CALL => {
                chunk.push(event)
            }
            _ => {
                octets = weight(&event);
                chunks.push(vec![event]);
            }
        }
    }
    chunks
}

/// Returns the approximate size of an event in bytes: accurate enough for limits.
fn weight(event: &Event) -> usize {
    let content = match event {
        Event::Resumed(resumed) => resumed.offloads.len() * 4 + resumed.open.len() * 80,
        Event::LinksChanged(changed) => {
            changed.remove.len() * 4
                + changed.upsert.iter().map(|link| 64 + link.addresses.len() * 32).sum::<usize>()
        }
        Event::DesiredChanged(changed) => {
            changed.remove.len() * 17
                + changed
                    .upsert
                    .iter()
                    .map(|desired| 96 + desired.services.iter().map(service).sum::<usize>())
                    .sum::<usize>()
        }
        Event::Frame(frame) => frame.data.len(),
        Event::Data(bytes) => bytes.data.len(),
        Event::Datagram(datagram) => datagram.data.len(),
        Event::Closed(_) => 32,
        Event::Wake(text) | Event::Other(text) => text.len(),
        Event::Denied(denied) => denied.effect.len() + denied.subject.len() + denied.reason.len(),
        Event::Opened(_) | Event::Accepted(_) => 80,
        Event::Credit(..) | Event::Expired(_) | Event::Ended(_) | Event::Stopping(_) => 8,
    };
    size_of::<Event>() + content
}

fn service(service: &Service) -> usize {
    let pairs = service.labels.iter().chain(&service.annotations);
    size_of::<Service>()
        + pairs.map(|(name, value)| 48 + name.len() + value.len()).sum::<usize>()
        + service.ports.len() * 40
        + service.hostnames.iter().map(|name| 24 + name.len()).sum::<usize>()
}
