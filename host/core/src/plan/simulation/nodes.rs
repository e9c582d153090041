//! Tests of address placement when the facts about nodes change while every daemon is alive.
use super::*;
use crate::readiness::Readiness;

impl Simulation {
    /// Applies a change on every node at once.
    fn learn(&mut self, change: Change) {
        let Some(difference) = self.cluster.apply(change) else { return };
        let names: Vec<String> = self.machines.keys().cloned().collect();
        for machine in self.machines.values_mut() {
            machine.planner.facts_changed(&self.cluster, &difference);
        }
        for name in names {
            self.plan(&name);
        }
    }

    fn node_is(&mut self, node: Node) {
        self.learn(Change::Upsert(Fact::from(node)));
    }

    fn speaks(&self, node: &str) -> bool {
        self.machines[node].speaks()
    }
}

#[test]
fn a_node_that_may_no_longer_hands_over_without_a_gap() {
    let unfit: [fn(Node) -> Node; 4] = [
        |node| Node { ready: false, ..node },
        |node| Node { cordoned: true, ..node },
        |node| Node { excluded: true, ..node },
        |node| Node { network_available: false, ..node },
    ];
    for (seed, make_unfit) in (0..).zip(unfit) {
        let mut simulation = Simulation::started(seed, 4, 16);
        let victim = simulation.holders().into_values().next().unwrap();
        simulation.no_gap = true;
        simulation.node_is(make_unfit(test_facts::node(&victim)));
        simulation.run(2 * SECOND);
        assert!(!simulation.speaks(&victim), "{victim} still speaks");
        simulation.assert_one_speaker();
        // A node that returns moves nothing.
        let before = simulation.holders();
        simulation.node_is(test_facts::node(&victim));
        simulation.run(2 * SECOND);
        assert_eq!(simulation.holders(), before);
    }
}

/// Returns the readiness of a fit node, with the addresses of the simulation on its network.
fn fit() -> Readiness {
    let networks = BTreeSet::from(["10.0.0.0/8".parse().unwrap()]);
    Readiness {
        runs: true,
        interface: true,
        carrier: true,
        heard: true,
        forwards: Some(true),
        hardware: BTreeSet::from([[2, 0, 0, 0, 0, 1]]),
        networks,
        failed: BTreeSet::new(),
    }
}

impl Simulation {
    /// Changes the readiness of a node's announcer.
    fn is_ready(&mut self, node: &str, readiness: Readiness) {
        let now = self.now;
        let machine = self.machines.get_mut(node).unwrap();
        machine.membership.set_readiness(now, BTreeMap::from([("layer2".into(), readiness)]));
        self.plan(node);
    }
}

fn unable(addresses: &[IpAddr]) -> [Readiness; 8] {
    [
        Readiness { forwards: Some(false), ..fit() },
        Readiness { forwards: None, ..fit() },
        Readiness { heard: false, ..fit() },
        Readiness { carrier: false, ..fit() },
        Readiness { interface: false, ..fit() },
        Readiness { runs: false, ..fit() },
        Readiness { failed: addresses.iter().copied().collect(), ..fit() },
        Readiness { networks: BTreeSet::from(["192.0.2.0/24".parse().unwrap()]), ..fit() },
    ]
}

#[test]
fn a_node_that_cannot_announce_hands_over_and_takes_nothing() {
    for loss in [0.0, 0.2] {
        for seed in 0..8 {
            let mut simulation = Simulation::started(seed, 4, 16);
            simulation.loss = loss;
            let names: Vec<String> = simulation.machines.keys().cloned().collect();
            names.iter().for_each(|node| simulation.is_ready(node, fit()));
            let before = simulation.holders();
            simulation.run(SECOND);
            assert_eq!(simulation.holders(), before, "all can: nothing moves");
            let victim = before.values().next().unwrap().clone();
            simulation.no_gap = true;
            let addresses = simulation.addresses.clone();
            simulation.is_ready(&victim, unable(&addresses)[seed as usize].clone());
            let begun = simulation.now;
            while simulation.speaks(&victim) && simulation.step(begun + SECOND) {}
            let took = simulation.now - begun;
            assert!(took < if loss > 0.0 { SECOND } else { 50 * MS }, "seed {seed}: {took} us");
            // The addresses of a node that dies do not move to the unfit node either.
            simulation.no_gap = false;
            let dies = names.iter().find(|node| **node != victim).unwrap().clone();
            simulation.kill(&dies);
            simulation.run(2 * SECOND);
            simulation.loss = 0.0;
            simulation.run(SECOND);
            assert!(!simulation.speaks(&victim), "seed {seed}: it took something");
            simulation.assert_one_speaker();
            let before = simulation.holders();
            simulation.is_ready(&victim, fit());
            simulation.run(SECOND);
            assert_eq!(simulation.holders(), before, "fit again it moves nothing");
            simulation.start(&dies);
            simulation.run(3 * SECOND);
            simulation.assert_one_speaker();
        }
    }
}

#[test]
fn when_no_node_can_announce_each_address_stays_with_one() {
    for which in 0..8 {
        let mut simulation = Simulation::started(which, 4, 16);
        simulation.no_gap = true;
        let names: Vec<String> = simulation.machines.keys().cloned().collect();
        let addresses = simulation.addresses.clone();
        let readiness = unable(&addresses)[which as usize].clone();
        let now = simulation.now;
        for node in &names {
            let machine = simulation.machines.get_mut(node).unwrap();
            let readiness = BTreeMap::from([("layer2".into(), readiness.clone())]);
            machine.membership.set_readiness(now, readiness);
        }
        simulation.run(2 * SECOND);
        assert_eq!(simulation.holders().len(), 16);
        simulation.assert_one_speaker();
    }
}

#[test]
fn a_node_whose_object_is_deleted_hands_over_without_a_gap() {
    let mut simulation = Simulation::started(5, 4, 16);
    let victim = simulation.holders().into_values().next().unwrap();
    simulation.no_gap = true;
    simulation.learn(Change::Remove(FactKey::Node(victim.clone())));
    simulation.run(2 * SECOND);
    assert!(!simulation.speaks(&victim), "{victim} still speaks");
    assert_eq!(simulation.holders().len(), 16);
}

#[test]
fn nodes_cordoned_one_after_another_hand_over_and_the_last_goes_on() {
    let mut simulation = Simulation::started(7, 4, 16);
    let names: Vec<String> = simulation.machines.keys().cloned().collect();
    simulation.no_gap = true;
    for cordoned in &names[..3] {
        simulation.node_is(Node { cordoned: true, ..test_facts::node(cordoned) });
        simulation.run(2 * SECOND);
        assert!(!simulation.speaks(cordoned), "{cordoned} still speaks");
    }
    let before = simulation.holders();
    assert!(before.values().all(|holder| *holder == names[3]));
    // No other node is left, so nothing moves.
    simulation.node_is(Node { cordoned: true, ..test_facts::node(&names[3]) });
    simulation.run(2 * SECOND);
    assert_eq!(simulation.holders(), before);
    simulation.assert_one_speaker();
}

#[test]
fn when_all_nodes_are_not_ready_nothing_moves_and_the_dead_are_replaced() {
    let mut simulation = Simulation::started(6, 4, 16);
    let not_ready = |index| Node { ready: false, ..test_facts::node(&name(index)) };
    simulation.no_gap = true;
    // The nodes change one after another, as the node controller does it. The addresses end on some of them.
    for index in 0..4 {
        simulation.node_is(not_ready(index));
        simulation.run(SECOND);
    }
    simulation.assert_one_speaker();
    let before = simulation.holders();
    simulation.run(2 * SECOND);
    assert_eq!(simulation.holders(), before);

    simulation.no_gap = false;
    let victim = before.into_values().next().unwrap();
    simulation.kill(&victim);
    simulation.run(2 * SECOND);
    simulation.assert_one_speaker();

    // The first node that is ready again takes over all addresses, without a gap.
    simulation.no_gap = true;
    let survivor = simulation.machines.keys().next().unwrap().clone();
    simulation.node_is(test_facts::node(&survivor));
    simulation.run(2 * SECOND);
    assert!(simulation.holders().into_values().all(|holder| holder == survivor));
}
