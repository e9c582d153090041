//! The announcer of one node: the real plugin layer2, behind the guard and the queue that the daemon puts before it, on
//! one link. Only the access to the network is simulated.
use outrigger_layer2::Layer2;
use outrigger_sdk::{
    AnnouncementState, Announcer as _, Context, Endpoint, Event, IpNet, Link, LinksChanged,
    MacAddr, Origin, Report, Time, Wake,
};

use super::*;
use crate::guard::{Granted, Guard};
use crate::outbox::{self, Outbox};
use crate::plan::InstanceChange;

pub(super) struct Instance {
    plugin: Layer2,
    guard: Guard,
    outbox: Outbox,
    /// State of the responder: the addresses that it answers for, and those that it announces.
    answers: BTreeMap<Endpoint, IpAddr>,
    beacons: BTreeMap<Endpoint, IpAddr>,
    /// Time at which the plugin handles its queue, and time at which it asked to be woken.
    turn_at: Option<u64>,
    wake_at: Option<u64>,
}

/// The results of one call of the plugin.
#[derive(Default)]
pub(super) struct Outcome {
    /// Addresses with the plugin's reports; true if it reports the address as announced.
    pub reported: BTreeMap<IpAddr, bool>,
    /// Addresses that are announced to the network.
    pub told: BTreeSet<IpAddr>,
}

impl Instance {
    pub fn start(now: u64) -> Self {
        let context = Context { config: "{}".to_owned(), ..Context::default() };
        let link = Link {
            index: 1,
            name: "eth0".to_owned(),
            mac: MacAddr::new(2, 0, 0, 0, 0, 1),
            mtu: 1500,
            up: true,
            arp: true,
            generation: 1,
            addresses: vec![IpNet::from(IpAddr::from([10, 1, 0, 1]))],
        };
        let mut guard = Guard::default();
        guard.link(&LinksChanged { reset: true, upsert: vec![link], ..Default::default() });
        let lists = outbox::full_lists(guard.links(), guard.desired());
        let mut instance = Self {
            plugin: Layer2::start(context, Origin::Fresh).unwrap(),
            guard,
            outbox: Outbox::default(),
            answers: BTreeMap::new(),
            beacons: BTreeMap::new(),
            turn_at: None,
            wake_at: None,
        };
        instance.handle(now, outbox::events(lists));
        instance
    }

    /// Applies a change like the daemon: an address that is no longer to be announced is withdrawn at once, with or
    /// without the plugin.
    pub fn desire(&mut self, now: u64, change: &InstanceChange) {
        let InstanceChange { remove, upsert, .. } = change;
        self.guard.desire(remove, upsert);
        let upserted = upsert.iter().map(|entry| entry.address);
        for address in remove.iter().copied().chain(upserted) {
            let desired = self.guard.desired().get(&address);
            if !desired.is_some_and(|entry| entry.duty.speaks()) {
                self.withdraw(address);
            }
        }
        let (remove, upsert) = (remove.clone(), upsert.clone());
        self.outbox.change(outbox::PendingChange { reset: false, remove, upsert });
        self.turn_at.get_or_insert(now + PLUGIN_US);
    }

    fn withdraw(&mut self, address: IpAddr) {
        let of_address = |_: &Endpoint, of: &mut IpAddr| *of == address;
        let answers = self.answers.extract_if(.., of_address);
        let ended: Vec<_> = answers.chain(self.beacons.extract_if(.., of_address)).collect();
        for (id, _) in ended {
            self.guard.ended(id);
            self.outbox.push(Event::Ended(id));
        }
    }

    pub fn duty(&self, address: IpAddr) -> Option<&Duty> {
        self.guard.desired().get(&address).map(|entry| &entry.duty)
    }

    /// Returns the addresses that this node is to answer for.
    pub fn spoken_for(&self) -> impl Iterator<Item = IpAddr> {
        let desired = self.guard.desired().iter();
        desired.filter(|(_, entry)| entry.duty.speaks()).map(|(address, _)| *address)
    }

    pub fn answers(&self, address: IpAddr) -> bool {
        self.answers.values().any(|of| *of == address)
    }

    pub fn announces(&self, address: IpAddr) -> bool {
        self.beacons.values().any(|of| *of == address)
    }

    pub fn next(&self) -> Option<u64> {
        self.turn_at.into_iter().chain(self.wake_at).min()
    }

    /// Lets the plugin handle its queue, if it is due.
    pub fn timeout(&mut self, now: u64) -> Outcome {
        if self.next().is_none_or(|at| now < at) {
            return Outcome::default();
        }
        (self.turn_at, self.wake_at) = (None, None);
        let events = outbox::events(self.outbox.take());
        self.handle(now, events)
    }

    fn handle(&mut self, now: u64, events: Vec<Event>) -> Outcome {
        let reply = self.plugin.handle(Time { monotonic_us: now, utc_us: now }, events);
        let mut outcome = Outcome::default();
        for effect in reply.effects {
            match self.guard.check(now, effect) {
                Ok(granted) => granted.into_iter().for_each(|one| self.act(one, &mut outcome)),
                Err(refusal) => {
                    self.outbox.push(Event::Denied(refusal.to_event()));
                    self.turn_at = Some(now + PLUGIN_US);
                }
            }
        }
        self.wake_at = match reply.wake {
            Wake::Never => None,
            Wake::After { ms, .. } => Some(now + u64::from(ms) * MS),
        };
        outcome
    }

    fn act(&mut self, granted: Granted, outcome: &mut Outcome) {
        match granted {
            Granted::Answer { id, address, .. } => _ = self.answers.insert(id, address),
            Granted::Beacon { id, address, .. } => {
                self.beacons.insert(id, address);
                outcome.told.insert(address);
            }
            Granted::Close(id) => {
                self.answers.remove(&id);
                self.beacons.remove(&id);
            }
            Granted::Report(Report::Address(report)) => {
                let announced = report.state == AnnouncementState::Announced;
                outcome.reported.insert(report.address, announced);
            }
            _ => {}
        }
    }
}
