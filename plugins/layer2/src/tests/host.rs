//! A simulated host that keeps the rules of the WIT, and the properties that must hold on it after any sequence of
//! steps.
use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use proptest::prelude::*;

use super::*;

const ADDRESSES: [&str; 5] =
    ["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8:1::1", "2001:db8::2"];

/// One step of a test run.
#[derive(Debug, Clone)]
enum Step {
    Duty(usize, Duty),
    Remove(usize),
    /// Removes and adds an address in one change.
    Renew(usize),
    Link(LinkIndex, LinkState),
    /// Sends both full lists again, in chunks.
    Relist,
    BeaconsFinish,
    /// Makes the kernel refuse this number of group joins.
    RefuseGroups(u8),
    /// Delivers the queued events.
    Deliver,
    /// Replaces the instance.
    Swap,
    /// Restarts the daemon, after which nothing is active.
    Restart,
}

#[derive(Debug, Clone, Copy)]
enum LinkState {
    Gone,
    Down,
    Up,
    Moved,
    Renamed,
}

#[derive(Debug, Default)]
struct Host {
    links: BTreeMap<LinkIndex, Link>,
    desired: BTreeMap<IpAddr, Duty>,
    offloads: BTreeMap<Endpoint, OffloadWork>,
    watches: BTreeSet<(LinkIndex, IpAddr)>,
    groups: BTreeSet<(LinkIndex, Ipv6Addr)>,
    reports: BTreeMap<IpAddr, AddressReport>,
    /// Addresses announced since the last check.
    announced: BTreeSet<IpAddr>,
    refuses_groups: u8,
    queue: Vec<Event>,
    wake: Wake,
    second: u64,
}

impl Host {
    fn usable(&self, index: LinkIndex) -> bool {
        self.links.get(&index).is_some_and(|link| link.up && link.arp)
    }

    fn may(&self, work: &OffloadWork) -> bool {
        let (link, address) = place(work);
        self.usable(link) && self.desired.get(&address).is_some_and(Duty::speaks)
    }

    /// Ends offloads that the change no longer permits, before the change itself is delivered.
    fn changed(&mut self, event: Event) {
        let ended: Vec<Endpoint> =
            self.offloads.iter().filter(|(_, work)| !self.may(work)).map(|(id, _)| *id).collect();
        for id in ended {
            self.offloads.remove(&id);
            self.queue.push(Event::Ended(id));
        }
        self.watches.retain(|(link, _)| self.links.contains_key(link));
        self.groups.retain(|(link, _)| self.links.contains_key(link));
        self.queue.push(event);
    }

    fn deliver(&mut self, plugin: &mut Layer2) -> Vec<Effect> {
        self.second += 1;
        let reply = plugin.handle(at(self.second), std::mem::take(&mut self.queue));
        self.wake = reply.wake;
        for effect in reply.effects.clone() {
            self.carry_out(effect);
        }
        reply.effects
    }

    /// Delivers events until none is queued and no wake is requested.
    fn settle(&mut self, plugin: &mut Layer2) {
        for _ in 0..20 {
            if self.queue.is_empty() && self.wake == Wake::Never {
                return;
            }
            self.deliver(plugin);
        }
        panic!("does not come to rest: {self:?}");
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::WatchFrames(watch) if self.links.contains_key(&watch.link) => {
                self.watches.insert((watch.link, watch.topics[0].address()));
            }
            Effect::UnwatchFrames(watch) => {
                self.watches.remove(&(watch.link, watch.topics[0].address()));
            }
            Effect::JoinGroup { group, .. } if self.refuses_groups > 0 => {
                self.refuses_groups -= 1;
                self.queue.push(Event::Denied(Denied {
                    effect: "join-group".into(),
                    subject: group.to_string(),
                    reason: "no memory".into(),
                }));
            }
            Effect::JoinGroup { link, group } if self.links.contains_key(&link) => {
                self.groups.insert((link, group));
            }
            Effect::LeaveGroup { link, group } => {
                self.groups.remove(&(link, group));
            }
            Effect::Offload(Offload { id, work }) if self.may(&work) => {
                if let OffloadWork::Beacon(beacon) = &work {
                    let decoded = wire::decode(&beacon.frame.data).unwrap();
                    assert_eq!(decoded.source, self.links[&beacon.frame.link].mac);
                    self.announced.insert(decoded.message.address());
                }
                self.offloads.insert(id, work);
            }
            Effect::Offload(Offload { work, .. }) => self.queue.push(Event::Denied(Denied {
                effect: "offload".into(),
                subject: place(&work).1.to_string(),
                reason: "address-not-desired".into(),
            })),
            Effect::Close(id) => drop(self.offloads.remove(&id)),
            Effect::Report(Report::Address(report)) => {
                drop(self.reports.insert(report.address, report))
            }
            _ => {}
        }
    }

    fn step(&mut self, step: &Step, plugin: &mut Layer2) {
        match step {
            Step::Duty(which, to) => {
                self.desired.insert(address(ADDRESSES[*which]), to.clone());
                self.changed(duty(ADDRESSES[*which], to.clone()));
            }
            Step::Remove(which) => {
                self.desired.remove(&address(ADDRESSES[*which]));
                self.changed(removed(ADDRESSES[*which]));
            }
            Step::Renew(which) => {
                let Some(duty) = self.desired.remove(&address(ADDRESSES[*which])) else { return };
                let change = DesiredChanged {
                    remove: vec![address(ADDRESSES[*which])],
                    upsert: vec![entry(ADDRESSES[*which], duty.clone())],
                    ..DesiredChanged::default()
                };
                self.desired.insert(address(ADDRESSES[*which]), duty);
                self.changed(Event::DesiredChanged(change));
            }
            Step::Link(index, state) => self.step_link(*index, *state),
            Step::Relist => {
                let lists = self.lists();
                self.queue.extend(lists);
            }
            Step::BeaconsFinish => {
                self.offloads.retain(|_, work| matches!(work, OffloadWork::AnswerNeighbor { .. }));
            }
            Step::RefuseGroups(times) => self.refuses_groups = *times,
            Step::Deliver => drop(self.deliver(plugin)),
            Step::Swap | Step::Restart => self.start_again(matches!(step, Step::Restart), plugin),
        }
    }

    fn step_link(&mut self, index: LinkIndex, state: LinkState) {
        let mut entry =
            self.links.get(&index).cloned().unwrap_or(link(index, &format!("eth{index}")));
        match state {
            LinkState::Gone => {
                self.links.remove(&index);
                return self.changed(link_change(&[index], &[]));
            }
            LinkState::Down => entry.up = false,
            LinkState::Up => {
                entry.generation += u32::from(!entry.up);
                entry.up = true;
            }
            LinkState::Moved => {
                entry.mac.4 += 1;
                entry.generation += 1;
            }
            LinkState::Renamed => entry.name.push('x'),
        }
        self.links.insert(index, entry.clone());
        self.changed(link_change(&[], &[entry]));
    }

    fn start_again(&mut self, restart: bool, plugin: &mut Layer2) {
        self.deliver(plugin);
        // Of the host's events about the old instance's last effects, the new instance receives only refused group
        // joins.
        let of_groups =
            |event: &Event| matches!(event, Event::Denied(it) if it.effect == "join-group");
        self.queue.retain(of_groups);
        if restart {
            self.offloads.clear();
            self.watches.clear();
            self.groups.clear();
        }
        let context = Context { config: "{}".into(), ..Context::default() };
        *plugin = Layer2::start(context, Origin::Restored(plugin.snapshot())).unwrap();
        self.queue.push(self.resumed());
        self.queue.extend(self.lists());
    }

    fn resumed(&self) -> Event {
        Event::Resumed(Resumed {
            offloads: self.offloads.keys().copied().collect(),
            ..Default::default()
        })
    }

    fn lists(&self) -> Vec<Event> {
        let mut events = vec![links(&self.links.values().cloned().collect::<Vec<_>>())];
        let mut entries =
            self.desired.iter().map(|(address, duty)| entry(&address.to_string(), duty.clone()));
        let chunk = |reset, more, upsert| DesiredChanged { reset, remove: vec![], upsert, more };
        let first = entries.by_ref().take(2).collect();
        events.push(Event::DesiredChanged(chunk(true, true, first)));
        events.push(Event::DesiredChanged(chunk(false, false, entries.collect())));
        events
    }

    /// Checks that exactly the desired work is active and that the reports match it.
    fn check(&self) {
        let speaking: Vec<IpAddr> = self
            .desired
            .iter()
            .filter(|(_, duty)| duty.speaks())
            .map(|(address, _)| *address)
            .collect();
        let usable = || self.links.values().filter(|link| self.usable(link.index));
        let expected: BTreeSet<(LinkIndex, IpAddr)> = usable()
            .flat_map(|link| speaking.iter().map(|address| (link.index, *address)))
            .collect();
        let answers = self
            .offloads
            .values()
            .filter(|work| matches!(work, OffloadWork::AnswerNeighbor { .. }));
        let answers: Vec<_> = answers.map(place).collect();
        assert_eq!(answers.len(), expected.len(), "each once: {self:?}");
        assert_eq!(answers.into_iter().collect::<BTreeSet<_>>(), expected);
        assert_eq!(self.watches, expected, "{self:?}");
        let groups = expected.iter().filter_map(|(link, address)| match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(address) => Some((*link, wire::solicited_node_group(*address))),
        });
        assert_eq!(self.groups, groups.collect::<BTreeSet<_>>());
        for (address, duty) in &self.desired {
            let report = &self.reports[address];
            let names: BTreeSet<_> = usable().map(|link| link.name.clone()).collect();
            let expected = match duty {
                Duty::Standby(_) => (AnnouncementState::Standby, BTreeSet::new()),
                _ if names.is_empty() => (AnnouncementState::Failed, names),
                _ => (AnnouncementState::Announced, names),
            };
            assert_eq!(
                (report.state.clone(), report.via.iter().cloned().collect()),
                expected,
                "{report:?}"
            );
        }
        for report in
            self.reports.values().filter(|report| !self.desired.contains_key(&report.address))
        {
            assert_eq!(report.state, AnnouncementState::Withdrawn);
        }
    }
}

fn place(work: &OffloadWork) -> (LinkIndex, IpAddr) {
    match work {
        OffloadWork::AnswerNeighbor { link, address } => (*link, *address),
        OffloadWork::Beacon(beacon) => {
            (beacon.frame.link, wire::decode(&beacon.frame.data).unwrap().message.address())
        }
        _ => panic!("layer 2 speaks in frames only: {work:?}"),
    }
}

fn step() -> impl Strategy<Value = Step> {
    let which = 0..ADDRESSES.len();
    let duty = prop_oneof![
        3 => Just(Duty::Announce),
        1 => Just(Duty::TakeOver("b".into())),
        1 => Just(Duty::HandOver("b".into())),
        1 => Just(Duty::Standby("b".into())),
    ];
    let state = prop_oneof![
        Just(LinkState::Gone),
        Just(LinkState::Down),
        Just(LinkState::Up),
        Just(LinkState::Moved),
        Just(LinkState::Renamed),
    ];
    prop_oneof![
        4 => (which.clone(), duty).prop_map(|(which, duty)| Step::Duty(which, duty)),
        1 => which.clone().prop_map(Step::Remove),
        1 => which.prop_map(Step::Renew),
        3 => (2u32..4, state).prop_map(|(index, state)| Step::Link(index, state)),
        1 => Just(Step::Relist),
        1 => Just(Step::BeaconsFinish),
        3 => Just(Step::Deliver),
        1 => Just(Step::Swap),
        1 => Just(Step::Restart),
        1 => (1u8..4).prop_map(Step::RefuseGroups),
    ]
}

fn run(steps: &[Step]) -> (Host, Layer2) {
    let mut host = Host::default();
    let mut plugin = fresh();
    host.step_link(2, LinkState::Up);
    host.queue = host.lists();
    for step in steps {
        host.step(step, &mut plugin);
    }
    host.settle(&mut plugin);
    host.refuses_groups = 0;
    (host, plugin)
}

proptest! {
    #[test]
    fn what_is_in_force_is_what_is_asked_for(steps in proptest::collection::vec(step(), 0..40)) {
        let (host, _) = run(&steps);
        host.check();
    }

    #[test]
    fn a_swap_is_silent_and_changes_nothing_after(
        steps in proptest::collection::vec(step(), 0..25),
        later in proptest::collection::vec(step(), 0..10),
    ) {
        let (mut host, old) = run(&steps);
        let context = Context { config: "{}".into(), ..Context::default() };
        let mut new = Layer2::start(context, Origin::Restored(old.snapshot())).unwrap();
        host.queue = [vec![host.resumed()], host.lists()].concat();
        prop_assert_eq!(host.deliver(&mut new), vec![]);
        prop_assert_eq!(&new, &old);
        for step in &later {
            host.step(step, &mut new);
        }
        host.settle(&mut new);
        host.check();
    }

    #[test]
    fn what_is_taken_out_and_put_back_is_announced_again(
        steps in proptest::collection::vec(step(), 0..20),
        which in 0..ADDRESSES.len(),
    ) {
        let (mut host, mut plugin) = run(&steps);
        host.step_link(2, LinkState::Up);
        host.step(&Step::Duty(which, Duty::Announce), &mut plugin);
        host.settle(&mut plugin);
        host.announced.clear();
        host.step(&Step::Renew(which), &mut plugin);
        host.deliver(&mut plugin);
        prop_assert!(host.announced.contains(&address(ADDRESSES[which])));
        host.check();
    }
}
