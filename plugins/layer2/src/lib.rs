//! Layer 2: announces to the neighbours on every granted link where an address is, with ARP for IPv4 and Neighbor
//! Discovery for IPv6. Leader election, which decides the node that announces an address, is done by the host.
//!
//! Answering and the five announcements are offloaded to the host at once, so that nothing waits for the plugin. The
//! plugin only compares the active offloads with the desired ones and sends the difference.
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use outrigger_sdk::announcer::parse_config;
use outrigger_sdk::{
    Announcer, Context, DesiredChanged, Effect, Event, FieldError, LinkIndex, Origin, Reply,
    SavedState, StartError, StopReason, Time,
};
use serde::{Deserialize, Serialize};

use crate::announcements::Announcements;
use crate::listing::{Applied, Chunk, Listing};
use crate::segment::Segment;
use crate::task::Task;

mod address_status;
mod announcements;
mod groups;
mod listing;
mod numbers;
mod presence;
mod refusal;
mod segment;
mod snapshot;
mod task;

#[cfg(any(test, feature = "scripts"))]
pub mod scripts;

/// One instance of the plugin. Its snapshot is the whole struct.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer2 {
    links: Listing<LinkIndex, Segment>,
    desired: Listing<IpAddr, Task>,
    announcements: Announcements,
    stopping: Option<Stop>,
    /// Value of the extension "announcements" of `desired-address.ext` for each address; a change requests another
    /// announcement. A successor is sent the values again, so the snapshot leaves them out.
    #[serde(skip)]
    again: BTreeMap<IpAddr, String>,
}

/// Progress of stopping this instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Stop {
    /// Continue until every address that another node can take over is taken over.
    HandOver,
    /// Withdraw everything.
    Remove,
    /// The host was notified that nothing is left to hand over.
    Drained {
        /// True if all addresses were also withdrawn.
        removed: bool,
    },
}

/// The plugin's configuration, which has no settings yet.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {}

impl Announcer for Layer2 {
    fn validate(config: &str) -> Result<(), Vec<FieldError>> {
        let Config {} = parse_config(config)?;
        Ok(())
    }

    fn start(context: Context, origin: Origin) -> Result<Self, StartError> {
        Self::validate(&context.config).map_err(StartError::InvalidConfig)?;
        match origin {
            Origin::Fresh => Ok(Self::default()),
            Origin::Restored(state) => snapshot::decode(&state),
        }
    }

    fn handle(&mut self, now: Time, events: Vec<Event>) -> Reply {
        let now_us = now.monotonic_us;
        let mut effects = Vec::new();
        let mut changed = BTreeSet::new();
        for event in events {
            self.apply(event, now_us, &mut changed, &mut effects);
        }
        // Unknown is not empty: nothing is decided before both full lists are received. They mark every address as
        // changed.
        if self.links.is_listed() && self.desired.is_listed() {
            changed.extend(self.announcements.refusals().due(now_us));
            for address in changed {
                self.settle(address, now_us, &mut effects);
            }
            self.announcements.close_strange(&mut effects);
            self.stop(&mut effects);
        }
        Reply { effects, wake: self.announcements.refusals().wake(now_us) }
    }

    fn snapshot(&self) -> SavedState {
        snapshot::encode(self)
    }
}

impl Layer2 {
    /// Applies one event. A removed link or address is removed at once, so that it counts as new if it returns in the
    /// same call. All other changes are collected in `changed` until all events of the call are applied.
    fn apply(
        &mut self,
        event: Event,
        now_us: u64,
        changed: &mut BTreeSet<IpAddr>,
        effects: &mut Vec<Effect>,
    ) {
        match event {
            Event::Resumed(resumed) => {
                self.links.forget();
                self.desired.forget();
                self.stopping = None;
                self.announcements.resumed(&resumed.offloads);
            }
            Event::LinksChanged(links) => self.apply_links(links.into(), now_us, changed, effects),
            Event::DesiredChanged(desired) => {
                self.hear_of_rivals(&desired);
                self.apply_desired(desired.into(), now_us, changed, effects);
            }
            Event::Ended(number) => changed.extend(self.announcements.ended(number)),
            Event::Denied(denied) => changed.extend(self.announcements.denied(&denied, now_us)),
            Event::Stopping(stopping) => {
                let remove = stopping.reason == StopReason::Remove;
                self.stopping = Some(if remove { Stop::Remove } else { Stop::HandOver });
                changed.extend(self.announcements.addresses());
            }
            // Watched frames that the host did not answer are claims of other nodes; they are not handled yet.
            Event::Frame(_) | Event::Wake(_) | Event::Other(_) => {}
            // This plugin opens no streams and no sockets.
            Event::Opened(_)
            | Event::Accepted(_)
            | Event::Data(_)
            | Event::Credit(..)
            | Event::Closed(_)
            | Event::Datagram(_)
            | Event::Expired(_) => {}
        }
    }

    fn apply_links(
        &mut self,
        chunk: Chunk<LinkIndex, Segment>,
        now_us: u64,
        changed: &mut BTreeSet<IpAddr>,
        effects: &mut Vec<Effect>,
    ) {
        match self.links.apply(chunk) {
            Applied::Partly => return,
            Applied::Whole(before) if before == *self.links.current() => {}
            Applied::Whole(_) => self.try_all_again(now_us),
            Applied::Change { removed, .. } => {
                for index in removed {
                    self.announcements.leave_link(index, effects);
                }
                self.try_all_again(now_us);
            }
        }
        changed.extend(self.announcements.addresses());
        changed.extend(self.desired.current().keys());
    }

    fn apply_desired(
        &mut self,
        chunk: Chunk<IpAddr, Task>,
        now_us: u64,
        changed: &mut BTreeSet<IpAddr>,
        effects: &mut Vec<Effect>,
    ) {
        match self.desired.apply(chunk) {
            Applied::Partly => {}
            Applied::Whole(_) => {
                changed.extend(self.announcements.addresses());
                changed.extend(self.desired.current().keys());
            }
            Applied::Change { removed, upserted } => {
                for address in removed {
                    self.announcements.withdraw(address, self.links.current(), effects);
                }
                for address in upserted {
                    self.announcements.try_again(address, now_us);
                    changed.insert(address);
                }
            }
        }
    }

    /// Schedules another announcement for addresses that another node had answered for, so that neighbours that
    /// believed it are corrected.
    fn hear_of_rivals(&mut self, desired: &DesiredChanged) {
        for gone in &desired.remove {
            self.again.remove(gone);
        }
        for entry in &desired.upsert {
            let times = entry.ext.iter().find(|(name, _)| name == "announcements");
            let Some((_, times)) = times else { continue };
            let before = self.again.insert(entry.address, times.clone());
            // In a full list the value is no request for addresses that are announced already.
            if before.as_ref() != Some(times) && self.desired.is_listed() {
                self.announcements.repeat(entry.address);
            }
        }
    }

    fn try_all_again(&mut self, now_us: u64) {
        for address in self.desired.current().keys() {
            self.announcements.try_again(*address, now_us);
        }
    }

    /// Emits the effects that bring one address to its desired state.
    fn settle(&mut self, address: IpAddr, now_us: u64, effects: &mut Vec<Effect>) {
        let segments = self.links.current();
        let removing =
            matches!(self.stopping, Some(Stop::Remove | Stop::Drained { removed: true }));
        match self.desired.current().get(&address).filter(|_| !removing) {
            None => self.announcements.withdraw(address, segments, effects),
            Some(Task::Standby(node)) => {
                self.announcements.be_silent(address, node, segments, effects);
            }
            Some(task) => {
                let aloud = *task == Task::Announce;
                self.announcements.announce(address, aloud, segments, now_us, effects);
            }
        }
    }

    /// Sends `Drained` once nothing is left to hand over. An address that no other node can take is announced until
    /// the end.
    fn stop(&mut self, effects: &mut Vec<Effect>) {
        let waits = self.desired.current().values().any(|task| *task == Task::HandOver);
        let removed = match self.stopping {
            Some(Stop::Remove) => true,
            Some(Stop::HandOver) if !waits => false,
            _ => return,
        };
        effects.push(Effect::Drained);
        self.stopping = Some(Stop::Drained { removed });
    }
}

#[cfg(test)]
mod tests;
