//! The responder's thread: beacons that are due, frames that came in.
use std::sync::Arc;

use outrigger_sdk::wire::{self, Message};
use outrigger_sdk::{Family, Frame};

use super::Shared;
use super::port::Key;
use super::state::State;
use crate::Owner;
use crate::sys::{self, Batch, PacketSocket};

/// What one batch of frames leads to. Kept between batches for its allocations.
#[derive(Default)]
struct Outcome {
    answers: Vec<Vec<u8>>,
    deliveries: Vec<(Owner, Frame)>,
}

/// Until the responder is dropped.
pub(super) fn run(shared: &Shared) {
    let (mut batch, mut outcome, mut ready) = (Batch::new(), Outcome::default(), Vec::new());
    loop {
        shared.poller.wait(&mut ready);
        let Some(sockets) = tick(shared, &ready) else { return };
        for (key, socket) in sockets {
            batch.receive(&socket);
            respond(&mut shared.lock(), key, &batch, &mut outcome);
            deliver(shared, &mut outcome);
        }
    }
}

/// Sends the beacons that are due and finds the sockets that can be read; `None` = stop.
fn tick(shared: &Shared, ready: &[u64]) -> Option<Vec<(Key, Arc<PacketSocket>)>> {
    let mut state = shared.lock();
    if state.stopping {
        return None;
    }
    let now = sys::boottime_us();
    while let Some((owner, id, emission)) = state.table.take_due(now) {
        state.emit(owner, id, emission);
    }
    shared.arm(&state);
    // A socket that was closed since it became ready is not found any more.
    let sockets = ready.iter().filter_map(|&number| {
        let key = Key::from_number(number);
        Some((key, state.ports.get(&key.link)?.side(key.family).socket.clone()))
    });
    Some(sockets.collect())
}

/// Answers what is to be answered, and sorts out who is to see the rest.
fn respond(state: &mut State, key: Key, batch: &Batch, outcome: &mut Outcome) {
    state.counters.received += batch.frames().len() as u64;
    for frame in batch.frames() {
        let dropped = match frame {
            Some(frame) => consider(state, key, frame, outcome),
            None => Err("too-long"),
        };
        if let Err(reason) = dropped {
            state.drop_frame(reason);
        }
    }
    let Some(port) = state.ports.get(&key.link) else { return };
    let sent = port.side(key.family).socket.send_all(&outcome.answers);
    let unsent = outcome.answers.drain(..).len() - sent;
    *match key.family {
        Family::Ipv4 => &mut state.counters.answered_arp,
        Family::Ipv6 => &mut state.counters.answered_ndp,
    } += sent as u64;
    (0..unsent).for_each(|_| state.drop_frame("send-failed"));
}

/// The answer, the deliveries, or the reason why there is neither.
fn consider(
    state: &State,
    key: Key,
    frame: &[u8],
    outcome: &mut Outcome,
) -> Result<(), &'static str> {
    let decoded = wire::decode(frame).map_err(|error| error.reason())?;
    let port = state.ports.get(&key.link).ok_or("link-gone")?;
    if decoded.source == port.mac {
        // A switch or a bridge in a loop brought it back: it would look like a rival's.
        return Err("own-frame");
    }
    let about = decoded.message.address();
    let unanswered = if state.table.answers((key.link, about)) {
        match wire::answer(&decoded, port.mac) {
            Ok(answer) => {
                outcome.answers.push(answer);
                return Ok(());
            }
            Err(no_answer) => no_answer.reason(),
        }
    } else {
        "not-watched"
    };
    let mut owners: Vec<Owner> = state.table.watchers((key.link, about)).collect();
    // A topic is about the sender's address as well: that is where a rival shows (RFC 5227 section 2.4).
    if let Message::Arp(arp) = decoded.message {
        owners.extend(state.table.watchers((key.link, arp.sender_ip.into())));
        owners.sort_unstable();
        owners.dedup();
    }
    if owners.is_empty() {
        return Err(unanswered);
    }
    let copy = |owner| (owner, Frame { link: key.link, data: frame.to_vec() });
    outcome.deliveries.extend(owners.into_iter().map(copy));
    Ok(())
}

/// Without the lock: a sink may call the handle.
fn deliver(shared: &Shared, outcome: &mut Outcome) {
    if outcome.deliveries.is_empty() {
        return;
    }
    let (mut delivered, mut refused) = (0, 0);
    for (owner, frame) in outcome.deliveries.drain(..) {
        let counter = if shared.sink.frame(owner, frame) { &mut delivered } else { &mut refused };
        *counter += 1;
    }
    let mut state = shared.lock();
    state.counters.delivered += delivered;
    (0..refused).for_each(|_| state.drop_frame("sink-full"));
}
