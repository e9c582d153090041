//! A cluster in virtual time: memberships and planners of several nodes on a network that loses, delays and partitions.
//! The node that speaks for an address at any instant is known exactly, which is what invariants 7 and 11 are about.
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use outrigger_sdk::{Duty, Family};
use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};

use super::{Planned, Planner, test_facts};
use crate::facts::*;
use crate::membership::{Membership, MembershipConfig, Output, ViewChange};

mod announcer;
mod closed;
mod hundred;
mod machine;
mod network;
mod nodes;
mod random;
mod trouble;

use announcer::Instance;
use machine::Machine;
use network::Packet;

const MS: u64 = 1_000;
const SECOND: u64 = 1_000_000;
/// Maximum delay of a node's loop behind its membership thread.
const LOOP_US: u64 = 2 * MS;
/// Delay from the change of the desired addresses to the plugin's report.
const PLUGIN_US: u64 = 5 * MS;
/// Time that the segment has to answer, and the time after which it is asked again if another host answered.
const PROBE_US: u64 = 100 * MS;
const PROBE_AGAIN_US: u64 = SECOND;
/// Number of datagrams that a socket buffers for a process that does not read them.
const SOCKET: usize = 150;

struct Simulation {
    now: u64,
    cluster: Cluster,
    /// The running nodes; each is taken out and put back at each step.
    machines: BTreeMap<String, Box<Machine>>,
    /// Time at which each node has something to do.
    due: BTreeMap<String, u64>,
    wires: BTreeMap<(u64, u64), (String, Packet)>,
    sent: u64,
    /// Total size of the gossip datagrams, with their IPv4 and UDP headers.
    octets: u64,
    random: ChaCha12Rng,
    loss: f64,
    /// Nodes on the far side of a partition.
    far: BTreeSet<String>,
    /// Nodes whose packets reach no other node.
    mute: BTreeSet<String>,
    /// Nodes that receive no packets.
    deaf: BTreeSet<String>,
    /// Pairs of sender and receiver between which no gossip passes, while other packets do.
    closed: BTreeSet<(String, String)>,
    /// Nodes whose processes are frozen, with the datagrams that wait in their sockets.
    frozen: BTreeMap<String, Vec<(SocketAddr, Vec<u8>)>>,
    addresses: Vec<IpAddr>,
    /// The node that last announced each address to the network, if that can be known.
    told: BTreeMap<IpAddr, String>,
    /// True if every instant is checked for addresses without a speaker.
    no_gap: bool,
}

fn name(index: usize) -> String {
    format!("node-{index}")
}

fn socket(name: &str) -> SocketAddr {
    let index: u8 = name["node-".len()..].parse().unwrap();
    SocketAddr::from(([192, 0, 2, index + 1], 7950))
}

impl Simulation {
    fn new(seed: u64, nodes: usize, services: usize) -> Self {
        let mut cluster = test_facts::cluster();
        for index in 0..nodes {
            cluster.apply(Change::Upsert(Fact::from(test_facts::node(&name(index)))));
        }
        let mut addresses = Vec::new();
        for index in 0..services {
            let address =
                IpAddr::from([10, 0, u8::try_from(index / 256).unwrap(), (index % 256) as u8]);
            let mut service = test_facts::service(&format!("service-{index}"), &[]);
            service.ingress = vec![address].into();
            cluster.apply(Change::Upsert(Fact::from(service)));
            assert_eq!(Family::of(&address), Family::Ipv4);
            addresses.push(address);
        }
        Self {
            now: 0,
            cluster,
            machines: BTreeMap::new(),
            due: BTreeMap::new(),
            wires: BTreeMap::new(),
            sent: 0,
            octets: 0,
            random: ChaCha12Rng::seed_from_u64(seed),
            loss: 0.0,
            far: BTreeSet::new(),
            mute: BTreeSet::new(),
            deaf: BTreeSet::new(),
            closed: BTreeSet::new(),
            frozen: BTreeMap::new(),
            addresses,
            told: BTreeMap::new(),
            no_gap: false,
        }
    }

    fn started(seed: u64, nodes: usize, services: usize) -> Self {
        let mut simulation = Self::new(seed, nodes, services);
        for index in 0..nodes {
            simulation.start(&name(index));
        }
        simulation.run(3 * SECOND);
        simulation.assert_one_speaker();
        simulation
    }

    fn start(&mut self, node: &str) {
        self.frozen.remove(node);
        let peers: BTreeMap<_, _> =
            self.cluster.nodes.keys().map(|name| (name.clone(), socket(name))).collect();
        let mut membership = Membership::new(
            MembershipConfig::default(),
            node.to_owned(),
            socket(node),
            1_700_000_000_000_000 + self.now,
            [7; 32],
            self.random.random(),
            self.now,
        );
        membership.set_peers(self.now, &peers);
        let planner = Planner::new(node.to_owned());
        let (news, untold, probes, probed) = Default::default();
        let announcer = Instance::start(self.now);
        let machine = Machine { membership, news, planner, announcer, untold, probes, probed };
        self.machines.insert(node.to_owned(), Box::new(machine));
        self.plan(node);
    }

    fn kill(&mut self, node: &str) {
        self.machines.remove(node);
        self.due.remove(node);
        self.frozen.remove(node);
    }

    /// Runs the loop of a node: plans, and distributes the results.
    fn plan(&mut self, node: &str) {
        let now = self.now;
        self.exchange(node);
        let Some(mut machine) = self.machines.remove(node) else { return };
        let change = machine.news.take().map(|(_, change)| change).unwrap_or_default();
        self.count_answers(node, &mut machine);
        machine.planner.time(now);
        machine.planner.view_changed(&change);
        let outlook = machine.membership.outlook(now);
        let planned = machine.planner.plan(&self.cluster, machine.membership.view(), outlook);
        machine.obey(now, &planned);
        machine.probes.extend(planned.ask.iter().map(|address| (*address, now + PROBE_US)));
        machine.membership.set_claims(now, &planned.claims);
        if let Some(number) = change.caught_up {
            machine.membership.resume(number);
        }
        // The network is informed five times, seconds apart, so a host that misses it now receives it later.
        if machine.may_answer(now) && !self.mute.contains(node) {
            let told = std::mem::take(&mut machine.untold).into_iter();
            let told = told.filter(|at| machine.announcer.announces(*at));
            for address in told {
                self.told.insert(address, node.to_owned());
                self.announces(node, address);
            }
        }
        self.machines.insert(node.to_owned(), machine);
        self.exchange(node);
    }

    /// Runs the membership thread of a node: sends datagrams, and queues changes for the loop, which handles them a
    /// little later.
    fn exchange(&mut self, node: &str) {
        let Some(mut machine) = self.machines.remove(node) else { return };
        while let Some(output) = machine.membership.poll() {
            match output {
                Output::Send { to, data } => self.transmit(node, to, data),
                Output::Ask { node: other, addresses } => self.ask(node, &other, &addresses),
                Output::Changed(change) => {
                    let at = self.now + self.random.random_range(20..LOOP_US);
                    machine.news.get_or_insert((at, ViewChange::default())).1.merge(change);
                }
            }
        }
        self.due.insert(node.to_owned(), machine.next());
        self.machines.insert(node.to_owned(), machine);
    }

    fn run(&mut self, duration: u64) {
        let end = self.now + duration;
        while self.step(end) {}
        self.now = end;
    }

    /// Runs the next event, if it comes before `end`.
    fn step(&mut self, end: u64) -> bool {
        let wire = self.wires.keys().next().map(|(at, _)| *at);
        let awake = self.due.iter().filter(|(name, _)| !self.frozen.contains_key(*name));
        let due = awake.map(|(name, at)| (*at, name)).min();
        let due = due
            .map(|(at, name)| (at, name.clone()))
            .filter(|(at, _)| wire.is_none_or(|wire| *at < wire));
        let at = due.as_ref().map(|(at, _)| *at).or(wire);
        let Some(at) = at.filter(|at| *at < end) else { return false };
        self.now = self.now.max(at);
        let node = match due {
            Some((_, node)) => {
                let lives = self.hears_a_host(&node);
                let membership = &mut self.machines.get_mut(&node).unwrap().membership;
                if lives && membership.looks_for_life(self.now) {
                    membership.segment_lives(self.now);
                }
                if self.machines.get_mut(&node).unwrap().timeout(self.now) {
                    self.plan(&node);
                }
                node
            }
            None => {
                let (_, (node, packet)) = self.wires.pop_first().unwrap();
                if !self.receive(&node, packet) {
                    return true;
                }
                node
            }
        };
        self.exchange(&node);
        if self.no_gap {
            for address in &self.addresses {
                assert!(!self.speakers(*address).is_empty(), "nobody speaks for {address} at {at}");
            }
        }
        true
    }

    fn speakers(&self, address: IpAddr) -> Vec<&str> {
        let awake = self.machines.iter().filter(|(name, _)| !self.frozen.contains_key(*name));
        let speaks = |machine: &Machine| machine.answers(address, self.now);
        awake.filter(|(_, machine)| speaks(machine)).map(|(name, _)| name.as_str()).collect()
    }

    fn holders(&self) -> BTreeMap<IpAddr, String> {
        let one = |address: &IpAddr| match self.speakers(*address).as_slice() {
            [one] => (*address, (*one).to_owned()),
            others => panic!("{others:?} speak for {address} at {}", self.now),
        };
        self.addresses.iter().map(one).collect()
    }

    /// Asserts that exactly one node speaks for each address, by plain announcement, and that all others know which.
    fn assert_one_speaker(&self) {
        for (address, holder) in self.holders() {
            if let Some(told) = self.told.get(&address) {
                assert_eq!(*told, holder, "{address}: the network was told otherwise");
            }
            for (node, machine) in &self.machines {
                let expected =
                    if *node == holder { Duty::Announce } else { Duty::Standby(holder.clone()) };
                assert_eq!(machine.announcer.duty(address), Some(&expected), "{node}, {address}");
            }
        }
        let views: Vec<_> = self.machines.values().map(|one| one.membership.view()).collect();
        assert!(views.windows(2).all(|pair| pair[0] == pair[1]), "views differ");
        assert_eq!(views[0].members.len(), self.machines.len());
    }
}

#[test]
fn a_killed_node_is_replaced_within_400_ms_in_the_median() {
    let mut gaps = Vec::new();
    for seed in 0..15 {
        let mut simulation = Simulation::started(seed, 3, 8);
        let victim = simulation.holders().into_values().next().unwrap();
        let moment = simulation.random.random_range(0..200 * MS);
        simulation.run(moment);
        let killed = simulation.now;
        simulation.kill(&victim);
        let end = killed + 2 * SECOND;
        let all_spoken_for =
            |it: &Simulation| it.addresses.iter().all(|one| !it.speakers(*one).is_empty());
        while !all_spoken_for(&simulation) && simulation.step(end) {}
        gaps.push((simulation.now - killed) / MS);
        simulation.run(2 * SECOND);
        simulation.assert_one_speaker();
    }
    gaps.sort_unstable();

    assert!(gaps[gaps.len() / 2] <= 400, "{gaps:?}");
    assert!(gaps[gaps.len() - 1] <= 600, "{gaps:?}");
}

#[test]
fn a_node_that_joins_or_comes_back_moves_nothing() {
    let mut simulation = Simulation::new(1, 4, 24);
    for index in 0..3 {
        simulation.start(&name(index));
    }
    simulation.run(3 * SECOND);
    let before = simulation.holders();
    assert_eq!(before.values().collect::<BTreeSet<_>>().len(), 3, "{before:?}");
    simulation.no_gap = true;
    simulation.start(&name(3));
    simulation.run(3 * SECOND);
    assert_eq!(simulation.holders(), before);
    simulation.assert_one_speaker();

    simulation.no_gap = false;
    simulation.kill(&name(0));
    simulation.run(2 * SECOND);
    let before = simulation.holders();
    simulation.no_gap = true;
    simulation.start(&name(0));
    simulation.run(3 * SECOND);
    assert_eq!(simulation.holders(), before);
}

#[test]
fn a_node_that_leaves_hands_over_without_a_gap() {
    for (seed, loss) in [(1, 0.0), (2, 0.05), (3, 0.1), (4, 0.2)] {
        let mut simulation = Simulation::started(seed, 4, 16);
        simulation.loss = loss;
        simulation.no_gap = true;
        let node = simulation.holders().into_values().next().unwrap();
        let now = simulation.now;
        simulation.machines.get_mut(&node).unwrap().membership.leave(now);
        simulation.plan(&node);
        simulation.run(SECOND);
        let speaks = |it: &Simulation| it.machines[&node].speaks();
        assert!(!speaks(&simulation), "seed {seed}: {node} still speaks");
        let now = simulation.now;
        simulation.machines.get_mut(&node).unwrap().membership.goodbye(now);
        simulation.plan(&node);
        simulation.kill(&node);
        simulation.loss = 0.0;
        simulation.run(2 * SECOND);
        simulation.assert_one_speaker();
    }
}

#[test]
fn the_last_node_goes_on_while_it_leaves() {
    let mut simulation = Simulation::started(1, 1, 4);
    simulation.no_gap = true;
    let now = simulation.now;
    simulation.machines.get_mut("node-0").unwrap().membership.leave(now);
    simulation.plan("node-0");
    simulation.run(SECOND);
    assert_eq!(simulation.holders().len(), 4);
}
