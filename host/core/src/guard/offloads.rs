//! Active offloads and their send rates: an instance may have no more of them than its addresses and endpoints account
//! for.
use std::collections::{BTreeMap, BTreeSet};

use outrigger_sdk::{Endpoint, OffloadWork};

use super::Reason;
use super::budget::{
    DATAGRAMS, FRAMES, FRAMES_EACH, OFFLOADS, OFFLOADS_EACH, OFFLOADS_OF_ENDPOINT,
    SAID_AGAIN_WITHIN_US,
};

/// Number of frames or datagrams in a thousand seconds.
type Rate = u64;

/// The active offloads, with the totals that are checked at each change.
#[derive(Debug, Clone, Default)]
pub struct Offloads {
    /// Answers, which send nothing by themselves.
    answers: BTreeSet<Endpoint>,
    beacons: BTreeMap<Endpoint, Sending>,
    /// Beacons with a limited count, ordered by the time at which the last frame has been sent.
    due: BTreeSet<(u64, Endpoint)>,
    /// Total rate of all beacons.
    frames: Rate,
    /// Offloads on streams and sockets.
    works: BTreeMap<Endpoint, OfEndpoint>,
    /// Number of offloads on each stream and socket.
    each: BTreeMap<Endpoint, usize>,
    /// Total rate of all repeated datagrams.
    datagrams: Rate,
    /// Offloads that instances before this one have set.
    found: Found,
}

/// The offloads that a new instance found. Until `until_us` it has its whole budget in addition to these. Repeated
/// restarts add no more than twice the budget.
#[derive(Debug, Clone, Copy, Default)]
struct Found {
    until_us: u64,
    /// Number of answers and beacons.
    count: usize,
    frames: Rate,
    datagrams: Rate,
}

#[derive(Debug, Clone, Copy)]
struct Sending {
    rate: Rate,
    /// Time at which the last frame of a limited count has been sent; `None` if the beacon is unlimited.
    until_us: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
struct OfEndpoint {
    endpoint: Endpoint,
    /// Rate of datagrams; 0 for an offload that does not repeat datagrams.
    rate: Rate,
}

/// One offload of any kind.
#[derive(Debug, Clone, Copy)]
enum One {
    Answer,
    Beacon(Sending),
    Work(OfEndpoint),
}

impl One {
    fn of(work: &OffloadWork, now_us: u64) -> Self {
        match work {
            OffloadWork::AnswerNeighbor { .. } => Self::Answer,
            OffloadWork::Beacon(beacon) => {
                let lasts = u64::from(beacon.interval_us) * u64::from(beacon.count);
                let until_us = (beacon.count > 0).then_some(now_us + lasts);
                Self::Beacon(Sending { rate: rate(beacon.interval_us), until_us })
            }
            OffloadWork::DatagramBeacon(beacon) => {
                let (endpoint, rate) = (beacon.datagram.socket, rate(beacon.interval_us));
                Self::Work(OfEndpoint { endpoint, rate })
            }
            OffloadWork::Keepalive { endpoint, .. } | OffloadWork::Expect { endpoint, .. } => {
                Self::Work(OfEndpoint { endpoint: *endpoint, rate: 0 })
            }
        }
    }
}

impl Offloads {
    /// Starts a new instance beside the offloads that its predecessor has set.
    pub(super) fn begin(&mut self, now_us: u64) {
        self.found = Found {
            until_us: now_us + SAID_AGAIN_WITHIN_US,
            count: self.answers.len() + self.beacons.len(),
            frames: self.frames,
            datagrams: self.datagrams,
        };
    }

    /// Records an offload that is about to be set, in place of the previous one with its number. `spots` = addresses ×
    /// links.
    pub(super) fn set(
        &mut self,
        id: Endpoint,
        work: &OffloadWork,
        spots: usize,
        now_us: u64,
    ) -> Result<(), Reason> {
        self.expire(now_us);
        let before = self.take(id);
        let new = One::of(work, now_us);
        if now_us >= self.found.until_us {
            self.found = Found::default();
        }
        if self.has_room(&new, spots) {
            self.insert(id, new);
            Ok(())
        } else {
            // The offload that had the number stays active.
            before.into_iter().for_each(|before| self.insert(id, before));
            Err(Reason::TooManyOffloads)
        }
    }

    fn has_room(&self, new: &One, spots: usize) -> bool {
        let most = OFFLOADS + OFFLOADS_EACH * spots;
        let few = self.answers.len() + self.beacons.len() < beside(most, self.found.count);
        match new {
            One::Answer => few,
            One::Beacon(Sending { rate, .. }) => {
                let most = (FRAMES + FRAMES_EACH * spots as u64) * 1_000;
                few && self.frames + rate <= beside(most, self.found.frames)
            }
            One::Work(OfEndpoint { endpoint, rate }) => {
                self.each.get(endpoint).is_none_or(|count| *count < OFFLOADS_OF_ENDPOINT)
                    && self.datagrams + rate <= beside(DATAGRAMS * 1_000, self.found.datagrams)
            }
        }
    }

    fn insert(&mut self, id: Endpoint, one: One) {
        match one {
            One::Answer => {
                self.answers.insert(id);
            }
            One::Beacon(sending) => {
                self.frames += sending.rate;
                self.due.extend(sending.until_us.map(|until| (until, id)));
                self.beacons.insert(id, sending);
            }
            One::Work(work) => {
                self.datagrams += work.rate;
                *self.each.entry(work.endpoint).or_default() += 1;
                self.works.insert(id, work);
            }
        }
    }

    /// Removes an offload.
    pub(super) fn end(&mut self, id: Endpoint) {
        self.take(id);
    }

    /// Removes all offloads of a stream or socket that has ended.
    pub(super) fn end_endpoint(&mut self, endpoint: Endpoint) {
        if self.each.contains_key(&endpoint) {
            let of = self.works.iter().filter(|(_, work)| work.endpoint == endpoint);
            let ids: Vec<Endpoint> = of.map(|(id, _)| *id).collect();
            ids.into_iter().for_each(|id| self.end(id));
        }
    }

    fn take(&mut self, id: Endpoint) -> Option<One> {
        if self.answers.remove(&id) {
            return Some(One::Answer);
        }
        if let Some(sending) = self.beacons.remove(&id) {
            self.frames -= sending.rate;
            if let Some(until) = sending.until_us {
                self.due.remove(&(until, id));
            }
            return Some(One::Beacon(sending));
        }
        let work = self.works.remove(&id)?;
        self.datagrams -= work.rate;
        if let Some(count) = self.each.get_mut(&work.endpoint) {
            *count -= 1;
            if *count == 0 {
                self.each.remove(&work.endpoint);
            }
        }
        Some(One::Work(work))
    }

    fn expire(&mut self, now_us: u64) {
        while let Some((_, id)) = self.due.first().copied().filter(|(until, _)| *until <= now_us) {
            self.end(id);
        }
    }
}

/// Returns the limit in addition to what a new instance found.
fn beside<N: Copy + Ord + std::ops::Add<Output = N>>(most: N, found: N) -> N {
    most + found.min(most + most)
}

fn rate(interval_us: u32) -> Rate {
    1_000_000_000 / u64::from(interval_us.max(1))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use outrigger_sdk::{Beacon, Frame};
    use proptest::prelude::*;

    use super::*;

    fn beacon(interval_us: u32, count: u32) -> OffloadWork {
        let frame = Frame { link: 1, data: Vec::new() };
        OffloadWork::Beacon(Beacon { frame, interval_us, jitter_percent: 0, count })
    }

    fn answer() -> OffloadWork {
        OffloadWork::AnswerNeighbor { link: 1, address: Ipv4Addr::new(192, 0, 2, 1).into() }
    }

    #[test]
    fn a_new_beacon_in_each_call_is_refused_and_one_that_is_replaced_is_not() {
        let mut offloads = Offloads::default();
        // One address on one link allows 22 frames a second; each beacon sends ten.
        let set = |offloads: &mut Offloads, id| offloads.set(id, &beacon(100_000, 0), 1, 0);
        assert_eq!([1, 2].map(|id| set(&mut offloads, id)), [Ok(()), Ok(())]);
        assert_eq!(set(&mut offloads, 3), Err(Reason::TooManyOffloads));
        assert_eq!(set(&mut offloads, 2), Ok(()), "in the place of itself");
        offloads.end(1);
        assert_eq!(set(&mut offloads, 3), Ok(()));
    }

    #[test]
    fn a_new_instance_has_room_beside_what_it_finds_and_beginning_again_and_again_is_bounded() {
        let mut offloads = Offloads::default();
        let fill = |offloads: &mut Offloads, now_us| {
            (0..)
                .take_while(|id| offloads.set(now_us as u32 + id, &answer(), 1, now_us).is_ok())
                .count()
        };
        let most = OFFLOADS + OFFLOADS_EACH;
        assert_eq!(fill(&mut offloads, 0), most);
        let added = [1, 2, 3, 4].map(|second| {
            offloads.begin(second * 1_000_000);
            fill(&mut offloads, second * 1_000_000)
        });
        assert_eq!(added, [most, most, 0, 0]);
        assert_eq!(offloads.set(7, &answer(), 1, 20_000_000), Err(Reason::TooManyOffloads));
    }

    #[test]
    fn a_burst_that_is_out_leaves_its_room() {
        let mut offloads = Offloads::default();
        for id in 0..2 {
            offloads.set(id, &beacon(100_000, 5), 1, 0).unwrap();
        }
        assert_eq!(offloads.set(9, &beacon(100_000, 5), 1, 499_999), Err(Reason::TooManyOffloads));
        assert_eq!(offloads.set(9, &beacon(100_000, 5), 1, 500_000), Ok(()));
    }

    #[test]
    fn ten_thousand_addresses_are_announced_and_answered_for_at_once() {
        let mut offloads = Offloads::default();
        for id in 0..10_000 {
            offloads.set(2 * id, &answer(), 10_000, 0).unwrap();
            offloads.set(2 * id + 1, &beacon(1_000_000, 5), 10_000, 0).unwrap();
        }
    }

    proptest! {
        #[test]
        fn what_is_counted_is_what_is_in_force(
            done in proptest::collection::vec((0_u8..4, 0_u32..8, 1_u32..2_000_000, 0_u32..3), 0..200),
        ) {
            let mut offloads = Offloads::default();
            for (step, (what, id, interval, count)) in done.into_iter().enumerate() {
                let now = step as u64 * 100_000;
                let keepalive = OffloadWork::Keepalive { endpoint: count, data: vec![], interval_ms: 1 };
                let _ = match what {
                    0 => offloads.set(id, &answer(), 1, now),
                    1 => offloads.set(id, &beacon(interval, count), 1, now),
                    2 => offloads.set(id, &keepalive, 1, now),
                    _ => {
                        offloads.end(id);
                        Ok(())
                    }
                };
                let frames: Rate = offloads.beacons.values().map(|it| it.rate).sum();
                prop_assert_eq!(frames, offloads.frames);
                prop_assert!(frames <= (FRAMES + FRAMES_EACH) * 1_000);
                prop_assert_eq!(offloads.each.values().sum::<usize>(), offloads.works.len());
            }
        }
    }
}
