//! Work that continues without a plugin: keepalives, expectations, repeated datagrams. Deadlines are absolute, so that
//! a delay of the thread does not shift the later ones.
use std::net::IpAddr;

use outrigger_sdk::{CloseReason, DatagramBeacon, Endpoint, Event, OffloadWork};

use super::state::{Id, State, Timer};
use super::{EndpointError, StreamSink};
use crate::Owner;
use crate::sys::{Poller, boottime_us};

/// The shortest interval, in microseconds: BFD's fastest common one is 3.3 ms (RFC 7419).
const SHORTEST_US: u64 = 1_000;

pub(super) struct Offload {
    pub(super) endpoint: Endpoint,
    pub(super) work: Work,
    due: u64,
}

pub(super) enum Work {
    Keepalive { data: Vec<u8>, interval_us: u64 },
    Expect { remote: IpAddr, within_us: u64, since_us: u64, then_close: bool },
    Beacon { beacon: DatagramBeacon, left: Option<u32> },
}

impl State {
    pub(super) fn offload(
        &mut self,
        owner: Owner,
        number: Endpoint,
        work: OffloadWork,
    ) -> Result<(), EndpointError> {
        let (id, now) = ((owner, number), boottime_us());
        if !self.offloads.contains_key(&id) {
            self.free(id)?;
        }
        let (endpoint, work, due) = match work {
            OffloadWork::Keepalive { endpoint, data, interval_ms } => {
                let stream = self.streams.get(&(owner, endpoint));
                let stream = stream.ok_or(EndpointError::Unknown)?;
                let interval_us = (u64::from(interval_ms) * 1_000).max(SHORTEST_US);
                let due = stream.wrote_us + interval_us;
                (endpoint, Work::Keepalive { data, interval_us }, due)
            }
            OffloadWork::Expect { endpoint, remote, within_us, then_close } => {
                self.heard_us((owner, endpoint), remote).ok_or(EndpointError::Unknown)?;
                let within_us = u64::from(within_us).max(SHORTEST_US);
                let work = Work::Expect { remote, within_us, since_us: now, then_close };
                (endpoint, work, now + within_us)
            }
            OffloadWork::DatagramBeacon(beacon) => {
                let endpoint = beacon.datagram.socket;
                let known = self.sockets.contains_key(&(owner, endpoint));
                known.then_some(()).ok_or(EndpointError::Unknown)?;
                let left = (beacon.count > 0).then_some(beacon.count);
                (endpoint, Work::Beacon { beacon, left }, now)
            }
            OffloadWork::AnswerNeighbor { .. } | OffloadWork::Beacon(_) => {
                return Err(EndpointError::Unknown);
            }
        };
        self.offloads.insert(id, Offload { endpoint, work, due });
        self.timers.insert((due, Timer::Offload(id)));
        Ok(())
    }

    /// Returns when the last data arrived on an endpoint. `None` if there is no such endpoint.
    fn heard_us(&self, id: Id, remote: IpAddr) -> Option<u64> {
        let stream = self.streams.get(&id).map(|stream| stream.heard_us);
        stream.or_else(|| self.sockets.get(&id).map(|socket| socket.heard_us(remote)))
    }

    /// Runs an offload whose timer has fired.
    pub(super) fn offload_due(
        &mut self,
        id: Id,
        due: u64,
        now: u64,
        poller: &Poller,
        sink: &dyn StreamSink,
    ) {
        // The timer of work that was replaced has another due time.
        let Some(offload) = self.offloads.get_mut(&id).filter(|it| it.due == due) else { return };
        let target = (id.0, offload.endpoint);
        let next = match &mut offload.work {
            Work::Keepalive { data, interval_us } => {
                let interval_us = *interval_us;
                let Some(stream) = self.streams.get_mut(&target) else { return };
                // While octets are waiting to be sent, the peer is not reading: another message would not help.
                if stream.has_unsent() {
                    stream.wrote_us = now;
                } else if stream.wrote_us + interval_us <= now
                    && let Err(reason) = stream.write_on_behalf(data, now)
                {
                    self.lose(target, reason);
                    return;
                }
                let next = stream.wrote_us + interval_us;
                self.wrote(target, poller);
                Some(next)
            }
            Work::Expect { remote, within_us, since_us, then_close } => {
                let (remote, within_us, since_us, then_close) =
                    (*remote, *within_us, *since_us, *then_close);
                let heard = self.heard_us(target, remote).unwrap_or(0).max(since_us);
                let next = heard + within_us;
                if next <= now {
                    self.expired(id, target, remote, then_close, sink);
                    return;
                }
                Some(next)
            }
            Work::Beacon { beacon, left } => {
                if let Some(left) = left {
                    *left -= 1;
                }
                let over = *left == Some(0);
                let next = (due + interval(beacon)).max(now.saturating_sub(SHORTEST_US));
                let datagram = beacon.datagram.clone();
                let _ = self.send_datagram(id.0, &datagram);
                (!over).then_some(next)
            }
        };
        match next {
            Some(next) => {
                self.offloads.get_mut(&id).into_iter().for_each(|offload| offload.due = next);
                self.timers.insert((next, Timer::Offload(id)));
            }
            None => drop(self.offloads.remove(&id)),
        }
    }

    fn expired(
        &mut self,
        id: Id,
        target: Id,
        remote: IpAddr,
        then_close: bool,
        sink: &dyn StreamSink,
    ) {
        self.offloads.remove(&id);
        self.news.push((id.0, Event::Expired(id.1)));
        if let Some(socket) = self.sockets.get_mut(&target) {
            socket.forget(remote);
        }
        if then_close && self.streams.contains_key(&target) && !sink.is_heard(id.0) {
            self.lose(target, CloseReason::TimedOut);
        }
    }
}

/// Returns the interval minus a random part of at most `jitter_percent` (RFC 5880 section 6.8.7).
fn interval(beacon: &DatagramBeacon) -> u64 {
    let full = u64::from(beacon.interval_us).max(SHORTEST_US);
    let most = full * u64::from(beacon.jitter_percent.min(100)) / 100;
    (full - getrandom::u64().map_or(0, |random| random % (most + 1))).max(SHORTEST_US)
}
