//! Nodes die, stall and partition at random; in the end one speaks for each address.
use super::*;

impl Simulation {
    /// Freezes the process of a node.
    pub fn freeze(&mut self, node: &str) {
        self.frozen.insert(node.to_owned(), Vec::new());
    }

    /// Resumes the process with the datagrams that wait in its socket, of which the kernel has not kept all.
    pub fn thaw(&mut self, node: &str) {
        let waiting = self.frozen.remove(node).unwrap_or_default();
        let Some(machine) = self.machines.get_mut(node) else { return };
        waiting
            .iter()
            .for_each(|(from, data)| machine.membership.handle_datagram(self.now, *from, data));
        machine.timeout(self.now);
        self.plan(node);
    }
}

#[test]
fn two_sides_of_a_partition_agree_once_it_heals() {
    for seed in 0..3 {
        let mut simulation = Simulation::started(seed, 5, 16);
        simulation.no_gap = true;
        simulation.far = [name(0), name(1)].into();
        simulation.run(2 * SECOND);
        let two = simulation.addresses.iter().filter(|one| simulation.speakers(**one).len() == 2);
        assert_eq!(two.count(), 16, "each side speaks for all");
        simulation.far.clear();
        simulation.run(4 * SECOND);
        simulation.assert_one_speaker();
    }
}

/// Cuts a node off for a time: it receives nothing, is received by no node, or both. No address of the others moves,
/// and within a second after it is back each address has one speaker.
fn cut_off(seed: u64, nodes: usize, duration: u64, [mute, deaf]: [bool; 2]) {
    let mut simulation = Simulation::started(seed, nodes, 16);
    let mut before = simulation.holders();
    before.retain(|_, holder| *holder != name(0));
    let zero = BTreeSet::from([name(0)]);
    if mute {
        simulation.mute.clone_from(&zero);
    }
    if deaf {
        simulation.deaf = zero;
    }
    simulation.run(duration);
    (simulation.mute, simulation.deaf) = Default::default();
    simulation.run(SECOND);
    let mut after = simulation.holders();
    after.retain(|address, _| before.contains_key(address));
    let case = format!("seed {seed}, {nodes} nodes, {duration} us, mute {mute}, deaf {deaf}");
    assert_eq!(after, before, "{case}");
    simulation.run(4 * SECOND);
    simulation.assert_one_speaker();
}

#[test]
fn a_node_that_was_cut_off_comes_back_with_nothing_of_the_others() {
    let durations = [200 * MS, 300 * MS, 500 * MS, SECOND, 5 * SECOND, 30 * SECOND];
    for (seed, duration) in (0..).zip(durations) {
        for nodes in [2, 3, 5] {
            cut_off(seed, nodes, duration, [true, true]);
        }
        cut_off(seed, 4, duration, [true, false]);
        cut_off(seed, 4, duration, [false, true]);
    }
}

/// Freezes the process of a holder for a time. From half a second after it froze, two nodes never answer for one
/// address, neither during that time nor when it resumes; a second after it resumed, one node answers.
fn stood_still(seed: u64, nodes: usize, duration: u64, loss: f64) {
    let mut simulation = Simulation::started(seed, nodes, 16);
    let victim = simulation.holders().into_values().next().unwrap();
    let moment = simulation.random.random_range(0..100 * MS);
    simulation.run(moment);
    simulation.loss = loss;
    let (froze, thaws) = (simulation.now, simulation.now + duration);
    simulation.freeze(&victim);
    let case = format!("seed {seed}, {nodes} nodes, {duration} us, loss {loss}");
    let one_at_most = |simulation: &Simulation| {
        for address in simulation.addresses.iter().filter(|_| simulation.now > froze + 500 * MS) {
            let speakers = simulation.speakers(*address);
            assert!(speakers.len() < 2, "{case}: {speakers:?} at {}", simulation.now - froze);
        }
    };
    while simulation.step(thaws) {
        one_at_most(&simulation);
    }
    simulation.now = thaws;
    simulation.thaw(&victim);
    one_at_most(&simulation);
    while simulation.step(thaws + SECOND) {
        one_at_most(&simulation);
    }
    simulation.now = thaws + SECOND;
    assert_eq!(simulation.holders().len(), 16, "{case}");
    simulation.loss = 0.0;
    simulation.run(3 * SECOND);
    simulation.assert_one_speaker();
}

#[test]
fn a_node_that_stood_still_answers_for_nothing_that_others_took_over() {
    let durations = [100, 150, 210, 250, 300, 400, 600, 1_000, 5_000, 30_000];
    for (seed, duration) in (0..).zip(durations) {
        for (nodes, loss) in [(1, 0.0), (2, 0.0), (3, 0.0), (5, 0.0), (4, 0.1)] {
            stood_still(seed, nodes, duration * MS, loss);
        }
    }
}

#[test]
fn a_node_that_took_over_for_a_moment_does_not_remember_it_against_the_holder() {
    for seed in 0..8 {
        let mut simulation = Simulation::started(seed, 3, 16);
        for (round, duration) in [300, 1_000, 1_000, 700, 5_000].into_iter().enumerate() {
            let victim = name((seed as usize + round / 2) % 3);
            let mut before = simulation.holders();
            before.retain(|_, holder| *holder != victim);
            simulation.mute = [victim.clone()].into();
            simulation.deaf = [victim].into();
            simulation.run(duration * MS);
            (simulation.mute, simulation.deaf) = Default::default();
            simulation.run(3 * SECOND);
            let mut after = simulation.holders();
            after.retain(|address, _| before.contains_key(address));
            assert_eq!(after, before, "seed {seed}, round {round}");
        }
        simulation.assert_one_speaker();
    }
}

#[test]
fn when_the_one_switch_restarts_nothing_moves() {
    for (seed, cut_off) in [(0, 300 * MS), (1, SECOND), (2, 5 * SECOND)] {
        let mut simulation = Simulation::started(seed, 4, 16);
        let before = simulation.holders();
        simulation.mute = (0..4).map(name).collect();
        simulation.run(cut_off);
        simulation.mute.clear();
        simulation.run(2 * SECOND);
        assert_eq!(simulation.holders(), before, "seed {seed}, {cut_off} us");
        simulation.run(3 * SECOND);
        simulation.assert_one_speaker();
    }
}
