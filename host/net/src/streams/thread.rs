//! The streams' thread: runs timers, reads and writes, and reports the events.
use super::Shared;
use super::options::reason;
use super::state::{Id, Source, State, Timer};
use super::stream::{Phase, ReadEnd};
use crate::Owner;
use crate::sys::{boottime_us, sockets};
use outrigger_sdk::{CloseReason, Event, StreamBytes};

/// Runs until the streams are dropped.
pub(super) fn run(shared: &Shared) {
    // BFD at 3 x 50 ms must not flap because other threads are busy. Falls back to a lower nice value where real-time
    // priority is not allowed.
    if let Err(error) = sockets::run_first().or_else(|_| sockets::be_less_nice()) {
        tracing::debug!(%error, "cannot raise the priority of the streams thread");
    }
    let mut ready = Vec::new();
    loop {
        shared.poller.wait(&mut ready);
        let news = {
            let mut state = shared.lock();
            let now = boottime_us();
            if state.stopping.is_some_and(|until| state.lingering.is_empty() || until <= now) {
                return;
            }
            due(&mut state, shared, now);
            for key in &ready {
                if let Some(source) = state.sources.get(key).cloned() {
                    attend(&mut state, shared, *key, &source);
                }
            }
            let until = state.stopping.into_iter().chain(state.due_sooner()).min();
            if let Some(until) = until {
                shared.poller.set_deadline(until);
            }
            if state.stopping.is_some() && state.lingering.is_empty() {
                shared.poller.set_deadline(0);
            }
            std::mem::take(&mut state.news)
        };
        tell(shared, news);
    }
}

/// Reports events without the lock, because a sink may call the handle.
fn tell(shared: &Shared, news: Vec<(Owner, Event)>) {
    for (owner, event) in news {
        shared.sink.event(owner, event);
    }
}

fn due(state: &mut State, shared: &Shared, now: u64) {
    while let Some((at, timer)) = state.timers.first().copied().filter(|(at, _)| *at <= now) {
        state.timers.pop_first();
        match timer {
            Timer::Offload(id) => {
                state.offload_due(id, at, now, &shared.poller, shared.sink.as_ref());
            }
            Timer::Connect(id, key) => {
                let waits = |stream: &super::stream::Stream| {
                    stream.key == key && stream.phase == Phase::Connecting
                };
                if state.streams.get(&id).is_some_and(waits) {
                    state.lose(id, CloseReason::TimedOut);
                }
            }
            Timer::Credit(id) => state.wrote(id, &shared.poller),
            Timer::Devices => state.look_at_devices(now),
            Timer::Linger(key) => {
                state.lingering.remove(&key);
                state.sources.remove(&key);
            }
        }
    }
}

fn attend(state: &mut State, shared: &Shared, key: u64, source: &Source) {
    match source {
        Source::Port(port) => state.accept(port, &shared.poller),
        Source::Channel(channel) => state.receive(channel, shared.sink.as_ref()),
        Source::Linger => linger(state, shared, key),
        Source::Stream(id) => {
            let phase = state.streams.get(id).map(|stream| stream.phase);
            match phase {
                Some(Phase::Connecting) => connected(state, shared, *id),
                Some(Phase::Open) => transfer(state, shared, *id),
                None => {}
            }
        }
    }
}

fn connected(state: &mut State, shared: &Shared, id: Id) {
    let Some(stream) = state.streams.get_mut(&id) else { return };
    if let Ok(Some(error)) | Err(error) = stream.socket.take_error() {
        state.lose(id, reason(&error));
        return;
    }
    let ends = stream.socket.local_addr().ok().zip(stream.socket.peer_addr().ok());
    let ends = ends.and_then(|(local, remote)| Some((local.as_socket()?, remote.as_socket()?)));
    let Some((local, remote)) = ends else {
        // Not connected yet: the poller reports it again.
        return;
    };
    (stream.local, stream.remote) = (local, remote);
    stream.phase = Phase::Open;
    stream.heard_us = boottime_us();
    stream.watch(&shared.poller);
    let opened = stream.opened(id.1);
    state.news.push((id.0, Event::Opened(opened)));
}

fn transfer(state: &mut State, shared: &Shared, id: Id) {
    let Some(stream) = state.streams.get_mut(&id) else { return };
    if stream.has_unsent() {
        if let Err(reason) = stream.flush() {
            state.lose(id, reason);
            return;
        }
        state.wrote(id, &shared.poller);
    }
    if state.may_read(id, shared.sink.as_ref()) {
        let now = boottime_us();
        let mut messages = Vec::new();
        let Some(stream) = state.streams.get_mut(&id) else { return };
        let end = stream.read(now, |message| messages.push(message));
        let data = |data| (id.0, Event::Data(StreamBytes { id: id.1, data }));
        state.news.extend(messages.into_iter().map(data));
        if let ReadEnd::Over(reason) = end {
            state.lose(id, reason);
            return;
        }
    }
    if let Some(stream) = state.streams.get_mut(&id) {
        stream.watch(&shared.poller);
    }
}

/// Sends the remaining data, then FIN, and waits for the peer's FIN.
fn linger(state: &mut State, shared: &Shared, key: u64) {
    let Some(stream) = state.lingering.get_mut(&key) else { return };
    let before = stream.has_unsent();
    let failed = stream.flush().is_err();
    if before && !stream.has_unsent() {
        let _ = stream.socket.shutdown(std::net::Shutdown::Write);
    }
    let over = matches!(stream.read(boottime_us(), drop), ReadEnd::Over(_));
    if failed || over {
        state.lingering.remove(&key);
        state.sources.remove(&key);
        return;
    }
    stream.watch(&shared.poller);
}
