//! Routes to announce: the addresses that the host wants announced, grouped into prefixes by the advertisements.
//! Independent of the peers.
//!
//! A route exists while at least one of its addresses is announced here, so an aggregate is withdrawn with its last member.
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use outrigger_sdk::{DesiredAddress, DesiredChanged, Duty, IpNet};
use serde::{Deserialize, Serialize};

use crate::address_status::StandingId;
use crate::config::Advertisement;

/// All desired addresses, and the routes derived from them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Routes {
    tasks: BTreeMap<IpAddr, Task>,
    routes: BTreeMap<IpNet, Route>,
    /// Sets of advertisements that an address can match, each stored once.
    classes: Vec<Vec<u16>>,
    /// Number of full lists begun, used to find the addresses that the last one did not name.
    list: u32,
    receiving: bool,
    listed: bool,
}

/// One desired address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Task {
    class: Option<Class>,
    pub(crate) duty: AnnouncementMode,
    weight: u32,
    list: u32,
    /// Verdict that was last reported about it.
    pub(crate) told: Option<StandingId>,
}

/// Index into `classes`.
pub(crate) type Class = u32;

/// Role of this node for an address, as far as it matters to routers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum AnnouncementMode {
    Announce,
    /// Announce it as the last choice, because this node is about to leave (RFC 8326).
    Leave,
    /// Another node announces it; "" if no node can.
    Standby(String),
}

/// A prefix to announce, and the common properties of its addresses. Nearly always there is one address and one part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Route {
    pub(crate) first: Part,
    pub(crate) more: Vec<Part>,
}

/// The addresses of one class under a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) class: Class,
    members: u32,
    leaving: u32,
    /// Number of ready endpoints on this node.
    weight: u32,
}

/// Changes made by a call so far. A prefix that was taken out is `true`, and must be advertised again if it comes back,
/// because the host may have withdrawn it in the meantime.
#[derive(Debug, Default)]
pub(crate) struct Changed {
    pub(crate) prefixes: BTreeMap<IpNet, bool>,
    pub(crate) addresses: BTreeSet<IpAddr>,
    /// True if a full list was completed.
    pub(crate) listed: bool,
    /// True if links changed, and possibly with them the next hops of routes.
    pub(crate) links: bool,
}

impl Route {
    pub(crate) fn parts(&self) -> impl Iterator<Item = &Part> {
        std::iter::once(&self.first).chain(&self.more)
    }

    /// Returns true if all of its addresses are about to leave this node.
    pub(crate) fn is_leaving(&self) -> bool {
        self.parts().all(|part| part.leaving == part.members)
    }

    pub(crate) fn weight(&self) -> u32 {
        self.parts().fold(0, |sum, part| sum.saturating_add(part.weight))
    }
}

impl Routes {
    pub(crate) fn is_listed(&self) -> bool {
        self.listed
    }

    /// Marks the list as unknown until the next full list is complete.
    pub(crate) fn forget(&mut self) {
        (self.receiving, self.listed) = (false, false);
    }

    /// Clears all classes and routes, because the advertisements changed: an address has a class again once it is named again.
    pub(crate) fn forget_classes(&mut self) {
        self.classes.clear();
        self.routes.clear();
        for task in self.tasks.values_mut() {
            task.class = None;
        }
    }

    pub(crate) fn get(&self, prefix: &IpNet) -> Option<&Route> {
        self.routes.get(prefix)
    }

    /// Returns the routes of a family from `first` on.
    pub(crate) fn from(&self, first: IpNet) -> impl Iterator<Item = (&IpNet, &Route)> {
        let last = last_of(&first);
        self.routes.range(first..=last)
    }

    pub(crate) fn len(&self) -> usize {
        self.routes.len()
    }

    pub(crate) fn advertisements(&self, class: Class) -> &[u16] {
        self.classes.get(class as usize).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn task(&self, address: IpAddr) -> Option<&Task> {
        self.tasks.get(&address)
    }

    pub(crate) fn task_mut(&mut self, address: IpAddr) -> Option<&mut Task> {
        self.tasks.get_mut(&address)
    }

    /// Forgets the last verdict of every address, because verdict IDs are no longer valid.
    pub(crate) fn forget_told(&mut self) {
        self.tasks.values_mut().for_each(|task| task.told = None);
    }

    /// Returns the desired addresses from `first` on.
    pub(crate) fn tasks_from(&self, first: IpAddr) -> impl Iterator<Item = IpAddr> {
        self.tasks.range(first..).map(|(address, _)| *address)
    }

    /// Returns the desired addresses under a prefix.
    pub(crate) fn tasks_under(&self, prefix: &IpNet) -> impl Iterator<Item = IpAddr> {
        self.tasks.range(prefix.network()..=prefix.broadcast()).map(|(address, _)| *address)
    }

    /// Returns the prefixes under which an address is announced.
    pub(crate) fn prefixes(&self, address: IpAddr, advertised: &[Advertisement]) -> Vec<IpNet> {
        let class = self.tasks.get(&address).and_then(|task| task.class);
        class.map_or_else(Vec::new, |class| self.prefixes_of(address, class, advertised))
    }

    fn prefixes_of(
        &self,
        address: IpAddr,
        class: Class,
        advertised: &[Advertisement],
    ) -> Vec<IpNet> {
        let mut prefixes = Vec::with_capacity(1);
        for index in self.advertisements(class) {
            let prefix = advertised[usize::from(*index)].prefix(address);
            if !prefixes.contains(&prefix) {
                prefixes.push(prefix);
            }
        }
        prefixes
    }

    pub(crate) fn apply(
        &mut self,
        change: DesiredChanged,
        advertised: &[Advertisement],
        changed: &mut Changed,
    ) {
        if change.reset {
            self.list = self.list.wrapping_add(1);
            self.receiving = true;
        }
        for address in change.remove {
            self.remove(address, advertised, changed);
        }
        for desired in change.upsert {
            self.upsert(desired, advertised, changed);
        }
        if change.more || !self.receiving {
            return;
        }
        self.receiving = false;
        let unnamed = self.tasks.iter().filter(|(_, task)| task.list != self.list);
        let unnamed: Vec<IpAddr> = unnamed.map(|(address, _)| *address).collect();
        for address in unnamed {
            self.remove(address, advertised, changed);
        }
        (self.listed, changed.listed) = (true, true);
    }

    fn remove(&mut self, address: IpAddr, advertised: &[Advertisement], changed: &mut Changed) {
        let Some(task) = self.tasks.remove(&address) else { return };
        for prefix in self.take_out(address, &task, advertised) {
            // An aggregate whose other addresses are still announced was not taken out.
            let gone = !self.routes.contains_key(&prefix);
            *changed.prefixes.entry(prefix).or_insert(false) |= gone;
        }
        changed.addresses.insert(address);
    }

    fn upsert(
        &mut self,
        desired: DesiredAddress,
        advertised: &[Advertisement],
        changed: &mut Changed,
    ) {
        let address = desired.address;
        let class = self.class(&desired, advertised);
        let duty = match desired.duty {
            Duty::Announce | Duty::TakeOver(_) => AnnouncementMode::Announce,
            Duty::HandOver(_) => AnnouncementMode::Leave,
            Duty::Standby(node) => AnnouncementMode::Standby(node),
        };
        let weight = desired.local_endpoints.ready;
        let task = Task { class: Some(class), duty, weight, list: self.list, told: None };
        if let Some(before) = self.tasks.get_mut(&address) {
            let before = std::mem::replace(before, Task { told: before.told, ..task.clone() });
            let same = (before.class, &before.duty, before.weight);
            if same == (task.class, &task.duty, task.weight) {
                return;
            }
            for prefix in self.take_out(address, &before, advertised) {
                changed.prefixes.entry(prefix).or_insert(false);
            }
        } else {
            self.tasks.insert(address, task.clone());
        }
        changed.addresses.insert(address);
        if matches!(task.duty, AnnouncementMode::Standby(_)) {
            return;
        }
        let part = Part { class, members: 1, leaving: leaving(&task), weight };
        for prefix in self.prefixes_of(address, class, advertised) {
            self.put_in(prefix, part);
            changed.prefixes.entry(prefix).or_insert(false);
        }
    }

    fn put_in(&mut self, prefix: IpNet, part: Part) {
        let Some(route) = self.routes.get_mut(&prefix) else {
            self.routes.insert(prefix, Route { first: part, more: Vec::new() });
            return;
        };
        let mut parts = std::iter::once(&mut route.first).chain(&mut route.more);
        if let Some(known) = parts.find(|known| known.class == part.class) {
            known.members += 1;
            known.leaving += part.leaving;
            known.weight = known.weight.saturating_add(part.weight);
            return;
        }
        route.more.push(part);
        // The same parts are the same route, in whichever order they arrived.
        if route.more.last().is_some_and(|last| last.class < route.first.class) {
            let last = route.more.len() - 1;
            std::mem::swap(&mut route.first, &mut route.more[last]);
        }
        route.more.sort_by_key(|part| part.class);
    }

    /// Removes an address from its routes, and returns their prefixes.
    fn take_out(
        &mut self,
        address: IpAddr,
        task: &Task,
        advertised: &[Advertisement],
    ) -> Vec<IpNet> {
        let (Some(class), AnnouncementMode::Announce | AnnouncementMode::Leave) =
            (task.class, &task.duty)
        else {
            return Vec::new();
        };
        let prefixes = self.prefixes_of(address, class, advertised);
        for prefix in &prefixes {
            let Some(route) = self.routes.get_mut(prefix) else { continue };
            let mut parts = std::iter::once(&mut route.first).chain(&mut route.more);
            let Some(part) = parts.find(|part| part.class == class) else { continue };
            part.members -= 1;
            part.leaving -= leaving(task);
            part.weight = part.weight.saturating_sub(task.weight);
            if part.members > 0 {
                continue;
            }
            route.more.retain(|part| part.members > 0);
            if route.first.members == 0 && route.more.is_empty() {
                self.routes.remove(prefix);
            } else if route.first.members == 0 {
                route.first = route.more.remove(0);
            }
        }
        prefixes
    }

    /// Returns the class of an address, adding it if it is new.
    fn class(&mut self, desired: &DesiredAddress, advertised: &[Advertisement]) -> Class {
        let matching = advertised.iter().zip(0..).filter(|(one, _)| one.matches(desired));
        let matching: Vec<u16> = matching.map(|(_, index)| index).collect();
        let known = self.classes.iter().position(|class| *class == matching);
        let index = known.unwrap_or_else(|| {
            self.classes.push(matching);
            self.classes.len() - 1
        });
        Class::try_from(index).expect("there are no more classes than addresses")
    }
}

fn leaving(task: &Task) -> u32 {
    u32::from(task.duty == AnnouncementMode::Leave)
}

/// Returns the last prefix of the same family in sort order.
fn last_of(prefix: &IpNet) -> IpNet {
    let last = match prefix {
        IpNet::V4(_) => IpNet::new(IpAddr::from([255; 4]), 32),
        IpNet::V6(_) => IpNet::new(IpAddr::from([255; 16]), 128),
    };
    last.expect("these lengths are allowed")
}

impl Advertisement {
    fn matches(&self, desired: &DesiredAddress) -> bool {
        let of_pool = self.pools.as_ref().is_none_or(|pools| pools.contains(&desired.pool));
        of_pool
            && (self.services.is_everything()
                || desired.services.iter().any(|service| {
                    self.services.matches(|key| {
                        let label = service.labels.iter().find(|(found, _)| found == key);
                        label.map(|(_, value)| value.as_str())
                    })
                }))
    }

    /// Returns the prefix length of its routes to addresses of this family.
    pub(crate) fn length(&self, address: IpAddr) -> u8 {
        if address.is_ipv4() { self.length_v4 } else { self.length_v6 }
    }

    fn prefix(&self, address: IpAddr) -> IpNet {
        let prefix = IpNet::new(address, self.length(address));
        prefix.expect("lengths were checked with the configuration").trunc()
    }

    /// Returns true if this peer is sent the routes of this advertisement.
    pub(crate) fn covers(&self, peer: &str) -> bool {
        self.peers.as_ref().is_none_or(|peers| peers.iter().any(|name| name == peer))
    }
}
