//! One address on one link: what the host was asked to do for it, step by step. Does not know why.
use std::net::IpAddr;

use outrigger_sdk::{
    Beacon, Effect, Endpoint, Frame, FrameWatch, LinkIndex, Offload, OffloadWork, Topic, wire,
};
use serde::{Deserialize, Serialize};

use crate::groups::Groups;
use crate::segment::{Identity, Segments};

/// MetalLB's cadence, which networks have seen for years: at once, then every 1.1 s for about 5 s. Longer than Linux's
/// `locktime` of 1 s, so that a neighbour that ignored one believes the next.
const INTERVAL_US: u32 = 1_100_000;
const COUNT: u32 = 5;
/// Keeps thousands of addresses that move together from speaking in step.
const JITTER_PERCENT: u8 = 10;

/// What is in force for one address on one link, as far as we were told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Presence {
    /// What the link was when this was set.
    seen: Identity,
    /// Number of the offload that answers.
    pub answer: Endpoint,
    /// Number of the offload that announces. It ends by itself, and no event says so.
    pub beacon: Endpoint,
    watched: bool,
    /// The watch, or the group, was refused.
    deaf: bool,
    answered: bool,
    announced: bool,
    /// An offload that announces may be in force, though it is to be set again.
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

    /// Asks for what is missing. It answers before it announces: who believes the announcement asks next.
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

    /// Ends what may be in force. `segments` are the links as they are listed now.
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
        // With the link the host has ended what was on it.
        if segments.contains_key(&self.seen.index) {
            effects.push(Effect::UnwatchFrames(watch(self.seen, address)));
            effects.extend(left);
        }
        (self.watched, self.answered, self.announced, self.sounding) = Default::default();
    }

    /// The next `set` asks for both offloads again, under their numbers, and for what neighbours ask if that was refused.
    pub(crate) fn repeat(&mut self) {
        self.watched &= !self.deaf;
        (self.answered, self.announced) = (false, false);
    }

    /// The next `set` asks for the announcements alone, under their number.
    pub(crate) fn announce_again(&mut self) {
        self.announced = false;
    }

    /// The host does not let in what neighbours ask.
    pub(crate) fn set_deaf(&mut self) {
        self.deaf = true;
    }

    /// The host has ended this offload.
    pub(crate) fn ended(&mut self, number: Endpoint) {
        self.answered &= number != self.answer;
        self.announced &= number != self.beacon;
        self.sounding &= number != self.beacon;
    }

    /// Whoever does not answer any more may be a daemon that started since: then nothing of this is in force.
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
