//! All addresses that were reported and not yet withdrawn, with their state on each link and the last report. Turns
//! "announce", "be silent" and "withdraw" into the effects still missing, and into none if nothing is missing.
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use outrigger_sdk::{Denied, Effect, Endpoint, LinkIndex};
use serde::{Deserialize, Serialize};

use crate::address_status::AddressStatus;
use crate::groups::Groups;
use crate::numbers::Numbers;
use crate::presence::Presence;
use crate::refusal::{Outlook, Refusals};
use crate::segment::{Segment, Segments};

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Announcements {
    by_address: BTreeMap<IpAddr, Announcement>,
    refusals: Refusals,
    groups: Groups,
    numbers: Numbers,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Announcement {
    /// Presences by link name.
    on: BTreeMap<String, Presence>,
    reported: Option<AddressStatus>,
}

impl Announcements {
    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.by_address.keys().copied()
    }

    /// Answers for the address on every usable link; with `aloud`, also announces it.
    pub(crate) fn announce(
        &mut self,
        address: IpAddr,
        aloud: bool,
        segments: &Segments,
        now_us: u64,
        effects: &mut Vec<Effect>,
    ) {
        let suits = |_: &Presence, segment: Option<&Segment>| {
            segment.is_some_and(|segment| segment.suits(address))
        };
        self.leave_links(address, segments, suits, effects);
        let outlook = self.refusals.outlook(address, now_us);
        let announcement = self.by_address.entry(address).or_default();
        for segment in segments.values().filter(|segment| segment.suits(address)) {
            let presence = announcement.on.entry(segment.name.clone()).or_insert_with(|| {
                let answer = self.numbers.take(address);
                Presence::new(segment.identity, answer, self.numbers.take(address))
            });
            if matches!(outlook, Outlook::TryAgain(_)) {
                presence.repeat();
            }
            presence.set(address, segment.identity, aloud, &mut self.groups, effects);
        }
        let standing = match outlook {
            _ if announcement.on.is_empty() => AddressStatus::no_usable_link(address),
            Outlook::Clear => AddressStatus::Announced(announcement.on.keys().cloned().collect()),
            Outlook::Wait(standing) | Outlook::TryAgain(standing) => standing,
        };
        announcement.report(address, standing, effects);
    }

    /// Stops answering for the address, because the named node announces it.
    pub(crate) fn be_silent(
        &mut self,
        address: IpAddr,
        node: &str,
        segments: &Segments,
        effects: &mut Vec<Effect>,
    ) {
        self.leave_links(address, segments, |_, _| false, effects);
        self.refusals.forget(address);
        let announcement = self.by_address.entry(address).or_default();
        announcement.report(address, AddressStatus::Standby(node.to_owned()), effects);
    }

    /// Withdraws the address, because it is no longer desired.
    pub(crate) fn withdraw(
        &mut self,
        address: IpAddr,
        segments: &Segments,
        effects: &mut Vec<Effect>,
    ) {
        self.leave_links(address, segments, |_, _| false, effects);
        self.refusals.forget(address);
        if let Some(mut announcement) = self.by_address.remove(&address) {
            announcement.report(address, AddressStatus::Withdrawn, effects);
        }
    }

    /// Removes a link from all addresses, even if its name or index is used again later.
    pub(crate) fn leave_link(&mut self, index: LinkIndex, effects: &mut Vec<Effect>) {
        for address in self.addresses().collect::<Vec<_>>() {
            self.leave_links(
                address,
                &Segments::new(),
                |presence, _| !presence.is_on(index),
                effects,
            );
        }
    }

    /// Records that the host ended an offload by itself. Returns the address it was for; `None` if the number is not
    /// in use.
    pub(crate) fn ended(&mut self, number: Endpoint) -> Option<IpAddr> {
        let address = self.numbers.owner(number)?;
        for presence in self.by_address.get_mut(&address)?.on.values_mut() {
            presence.ended(number);
        }
        Some(address)
    }

    /// Records a refusal and returns the addresses that it keeps from being announced, because the neighbours are not
    /// notified or their questions are not delivered.
    pub(crate) fn denied(&mut self, denied: &Denied, now_us: u64) -> Vec<IpAddr> {
        let addresses = match denied.effect.as_str() {
            "join-group" => {
                denied.subject.parse().map(|group| self.groups.refused(group)).unwrap_or_default()
            }
            "offload" | "send-frame" | "watch-frames" => self.address(denied).into_iter().collect(),
            _ => BTreeSet::new(),
        };
        let hears = !matches!(denied.effect.as_str(), "join-group" | "watch-frames");
        let mut failed = Vec::new();
        for address in addresses {
            let Some(announcement) = self.by_address.get_mut(&address) else { continue };
            if announcement.on.is_empty() {
                continue;
            }
            if !hears {
                announcement.on.values_mut().for_each(Presence::set_deaf);
            }
            self.refusals.refused(address, denied, now_us);
            failed.push(address);
        }
        failed
    }

    fn address(&self, denied: &Denied) -> Option<IpAddr> {
        let address = denied.subject.parse().ok();
        address.or_else(|| self.numbers.owner(denied.subject.parse().ok()?))
    }

    /// Makes a refused address due for a retry, because the cause of the refusal may be gone.
    pub(crate) fn try_again(&mut self, address: IpAddr, now_us: u64) {
        self.refusals.hurry(address, now_us);
    }

    /// Makes the next call announce the address again; answering continues meanwhile.
    pub(crate) fn repeat(&mut self, address: IpAddr) {
        if let Some(announcement) = self.by_address.get_mut(&address) {
            announcement.on.values_mut().for_each(Presence::announce_again);
        }
    }

    /// Aligns the state with the only offloads that are still active at the host, after a new instance was started.
    pub(crate) fn resumed(&mut self, in_force: &[Endpoint]) {
        for (address, announcement) in &mut self.by_address {
            for presence in announcement.on.values_mut() {
                presence.resumed(*address, in_force, &mut self.groups);
            }
        }
        self.numbers.find_strange(in_force);
    }

    /// Closes offloads left behind by an earlier instance. Call it last, when their replacements are already set.
    pub(crate) fn close_strange(&mut self, effects: &mut Vec<Effect>) {
        effects.extend(self.numbers.take_strange().into_iter().map(Effect::Close));
    }

    pub(crate) fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    fn leave_links(
        &mut self,
        address: IpAddr,
        segments: &Segments,
        stay: impl Fn(&Presence, Option<&Segment>) -> bool,
        effects: &mut Vec<Effect>,
    ) {
        let Some(announcement) = self.by_address.get_mut(&address) else { return };
        announcement.on.retain(|name, presence| {
            let segment = segments.values().find(|segment| segment.name == *name);
            if stay(presence, segment) {
                return true;
            }
            presence.clear(address, segments, &mut self.groups, effects);
            self.numbers.give_back(presence.answer);
            self.numbers.give_back(presence.beacon);
            false
        });
    }
}

impl Announcement {
    fn report(&mut self, address: IpAddr, standing: AddressStatus, effects: &mut Vec<Effect>) {
        if self.reported.as_ref() != Some(&standing) {
            effects.push(standing.report(address));
            self.reported = Some(standing);
        }
    }
}
