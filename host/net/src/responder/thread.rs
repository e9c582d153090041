//! The responder's thread: sends the beacons that are due and handles received frames.
use std::net::IpAddr;

use outrigger_sdk::wire::{self, NeighborMessage};
use outrigger_sdk::{Family, Frame, LinkIndex};

use super::Shared;
use super::port::Key;
use super::state::State;
use crate::Owner;
use crate::sys::{self, Batch};

/// Largest number of batches of queued requests that are answered when an address is withdrawn: a flood must not delay
/// the withdrawal.
const BATCHES: u32 = 8;

/// The result of one batch of frames.
#[derive(Default)]
struct Outcome {
    answers: Vec<Vec<u8>>,
    deliveries: Vec<(Owner, Frame)>,
}

/// Runs until the responder is dropped.
pub(super) fn run(shared: &Shared) {
    let mut ready = Vec::new();
    loop {
        shared.poller.wait(&mut ready);
        if !tick(shared) {
            return;
        }
        for key in ready.iter().map(|number| Key::from_number(*number)) {
            attend(&mut shared.lock(), key);
            deliver(shared);
        }
    }
}

/// Sends the beacons that are due and delivers the frames that other threads have read. Returns false if the thread
/// must stop.
fn tick(shared: &Shared) -> bool {
    let mut state = shared.lock();
    if state.stopping {
        return false;
    }
    let now = sys::boottime_us();
    while state.lease.holds()
        && let Some((owner, id, emission)) = state.table.take_due(now)
    {
        state.emit(owner, id, emission);
    }
    shared.arm(&state);
    drop(state);
    deliver(shared);
    true
}

/// Reads a socket once and answers the requests. Returns true if there may be more. Reads under the lock, so requests
/// that were read are answered before anything is withdrawn.
pub(super) fn attend(state: &mut State, key: Key) -> bool {
    // A socket that was closed after it became ready is not found.
    let Some(port) = state.ports.get(&key.link) else { return false };
    let socket = port.side(key.family).socket.clone();
    let mut batch = state.batch.take().unwrap_or_else(Batch::new);
    batch.receive(&socket);
    respond(state, key, &batch);
    let more = batch.frames().len() == Batch::FRAMES;
    state.batch = Some(batch);
    more
}

/// Reads the queued frames on every link on which an address is answered.
pub(super) fn attend_before_withdrawal(state: &mut State, address: IpAddr) {
    let family = Family::of(&address);
    let answers = |link: &LinkIndex| state.table.answers((*link, address));
    let links: Vec<_> = state.ports.keys().copied().filter(answers).collect();
    for link in links {
        let _more = (0..BATCHES).all(|_| attend(state, Key { link, family }));
    }
}

/// Answers the requests in a batch, and collects the deliveries for the other frames.
fn respond(state: &mut State, key: Key, batch: &Batch) {
    let mut outcome = Outcome::default();
    state.counters.received += batch.frames().len() as u64;
    for frame in batch.frames() {
        let dropped = match frame {
            Some(frame) => consider(state, key, frame, &mut outcome),
            None => Err("too-long"),
        };
        if let Err(reason) = dropped {
            state.drop_frame(reason);
        }
    }
    state.deliveries.append(&mut outcome.deliveries);
    let Some(port) = state.ports.get(&key.link) else { return };
    let sent = port.side(key.family).socket.send_all(&outcome.answers);
    let unsent = outcome.answers.len() - sent;
    *match key.family {
        Family::Ipv4 => &mut state.counters.answered_arp,
        Family::Ipv6 => &mut state.counters.answered_ndp,
    } += sent as u64;
    (0..unsent).for_each(|_| state.drop_frame("send-failed"));
}

/// Adds the answer or the deliveries for a frame to `outcome`, or returns the reason why there is neither.
fn consider(
    state: &State,
    key: Key,
    frame: &[u8],
    outcome: &mut Outcome,
) -> Result<(), &'static str> {
    let decoded = wire::decode(frame).map_err(|error| error.reason())?;
    let port = state.ports.get(&key.link).ok_or("link-gone")?;
    if decoded.source == port.mac {
        // A switch or a bridge in a loop returned our own frame: it would look like a rival's.
        return Err("own-frame");
    }
    let about = decoded.message.address();
    let unanswered = if state.table.answers((key.link, about)) {
        match wire::answer(&decoded, port.mac) {
            Ok(_) if !state.lease.holds() => "lease-ended",
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
    // A topic also covers the sender's address: that is where a rival shows (RFC 5227 section 2.4).
    if let NeighborMessage::Arp(arp) = decoded.message {
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

/// Delivers the queued frames without the lock, because a sink may call the handle.
fn deliver(shared: &Shared) {
    let deliveries = std::mem::take(&mut shared.lock().deliveries);
    if deliveries.is_empty() {
        return;
    }
    let (mut delivered, mut refused) = (0, 0);
    for (owner, frame) in deliveries {
        let counter = if shared.sink.frame(owner, frame) { &mut delivered } else { &mut refused };
        *counter += 1;
    }
    let mut state = shared.lock();
    state.counters.delivered += delivered;
    (0..refused).for_each(|_| state.drop_frame("sink-full"));
}
