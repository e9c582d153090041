//! One address on one link: tracks the requests sent to the host and emits the missing ones. Does not decide if the
//! address is announced.
use std::net::IpAddr;

use outrigger_sdk::{
    Beacon, Effect, Endpoint, Frame, FrameWatch, LinkIndex, Offload, OffloadWork, Topic, wire,
};
use serde::{Deserialize, Serialize};

use crate::groups::Groups;
use crate::segment::{Identity, Segments};

/// Interval of the announcements, as in MetalLB, which is proven in networks: one at once, then one every 1.1 s for
/// about 5 s. It is longer than Linux's `locktime` of 1 s, so that a neighbour that ignored one announcement accepts
/// the next.
const INTERVAL_US: u32 = 1_100_000;
const COUNT: u32 = 5;
/// Spreads the announcements of thousands of addresses that move together.
const JITTER_PERCENT: u8 = 10;

/// The state of one address on one link, as known from the host's events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Presence {
    /// Identity of the link when the state was set.
    seen: Identity,
    /// Number of the offload that answers.
    pub answer: Endpoint,
    /// Number of the offload that announces. It ends by itself, without an event.
    pub beacon: Endpoint,
    watched: bool,
    /// True if the watch or the group was refused.
    deaf: bool,
    answered: bool,
    announced: bool,
    /// True if an announcing offload may still be active, even if it is to be set again.
    sounding: bool,
}

impl Presence {
    pub(crate) fn new(seen: Identity, answer: Endpoint, beacon: Endpoint) -> Self {
        let (watched, deaf, answered, announced, sounding) = Default::default();
        Self { seen, answer, beacon, watched, deaf, answered, announced, sounding }
    }

    pub(crate) fn is_on(&self, link: LinkIndex) -> bool {
        self.seen.index == link
    }

    /// Requests everything that is missing. Answering starts before announcing, because a neighbour that accepts the
    /// announcement asks next.
    pub(crate) fn set(
        &mut self,
        address: IpAddr,
        link: Identity,
        announce: bool,
        groups: &mut Groups,
        effects: &mut Vec<Effect>,
    ) {
        if self.seen != link {
            if self.seen.index != link.index {
                groups.leave(self.seen.index, address);
                self.watched = false;
            }
            self.repeat();
            self.seen = link;
        }
        if !self.watched {
            effects.push(Effect::WatchFrames(watch(link, address)));
            effects.extend(groups.join(link.index, address));
        }
        if !self.answered {
            let work = OffloadWork::AnswerNeighbor { link: link.index, address };
            effects.push(Effect::Offload(Offload { id: self.answer, work }));
        }
        if announce && !self.announced {
            let work = OffloadWork::Beacon(beacon(link, address));
            effects.push(Effect::Offload(Offload { id: self.beacon, work }));
        } else if self.sounding && !announce {
            effects.push(Effect::Close(self.beacon));
        }
        self.deaf &= self.watched;
        self.watched = true;
        (self.answered, self.announced, self.sounding) = (true, announce, announce);
    }

    /// Ends everything that may be active. `segments` are the currently listed links.
    pub(crate) fn clear(
        &mut self,
        address: IpAddr,
        segments: &Segments,
        groups: &mut Groups,
        effects: &mut Vec<Effect>,
    ) {
        let offloads = [(self.sounding, self.beacon), (self.answered, self.answer)];
        effects.extend(offloads.iter().filter(|(on, _)| *on).map(|(_, id)| Effect::Close(*id)));
        let left = groups.leave(self.seen.index, address);
        // If the link is gone, the host has already ended everything on it.
        if segments.contains_key(&self.seen.index) {
            effects.push(Effect::UnwatchFrames(watch(self.seen, address)));
            effects.extend(left);
        }
        (self.watched, self.answered, self.announced, self.sounding) = Default::default();
    }

    /// Makes the next `set` request both offloads again under their numbers, and the watch and the group if one was
    /// refused.
    pub(crate) fn repeat(&mut self) {
        self.watched &= !self.deaf;
        (self.answered, self.announced) = (false, false);
    }

    /// Makes the next `set` request only the announcements again, under their number.
    pub(crate) fn announce_again(&mut self) {
        self.announced = false;
    }

    /// Records that neighbours' questions are not delivered, because the host refused the watch or the group.
    pub(crate) fn set_deaf(&mut self) {
        self.deaf = true;
    }

    /// Records that the host has ended this offload.
    pub(crate) fn ended(&mut self, number: Endpoint) {
        self.answered &= number != self.answer;
        self.announced &= number != self.beacon;
        self.sounding &= number != self.beacon;
    }

    /// Resets the state if the answering offload is no longer active: the daemon may have restarted, and then nothing
    /// else is active either.
    pub(crate) fn resumed(&mut self, address: IpAddr, in_force: &[Endpoint], groups: &mut Groups) {
        if !in_force.contains(&self.answer) {
            groups.leave(self.seen.index, address);
            (self.watched, self.answered, self.announced, self.sounding) = Default::default();
        }
    }
}

fn watch(link: Identity, address: IpAddr) -> FrameWatch {
    FrameWatch { link: link.index, topics: vec![Topic::about(address)] }
}

fn beacon(link: Identity, address: IpAddr) -> Beacon {
    Beacon {
        frame: Frame { link: link.index, data: wire::announcement(address, link.mac()) },
        interval_us: INTERVAL_US,
        jitter_percent: JITTER_PERCENT,
        count: COUNT,
    }
}
