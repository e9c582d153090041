//! A firewall blocks the gossip port while all nodes are alive: two nodes never answer for one address, and no address
//! moves.
use super::*;

/// Pairs of sender and receiver between which no gossip passes.
type Closed = BTreeSet<(String, String)>;

fn between(from: &[usize], to: &[usize]) -> Closed {
    let pairs = from.iter().flat_map(|from| to.iter().map(move |to| (name(*from), name(*to))));
    pairs.filter(|(from, to)| from != to).collect()
}

fn both(some: &[usize], others: &[usize]) -> Closed {
    let mut closed = between(some, others);
    closed.extend(between(others, some));
    closed
}

/// Returns the blocked pairs: around one node, around every node, towards one node, from one node, between two of
/// three, and around two that receive each other.
fn cases() -> [Closed; 6] {
    let all = [0, 1, 2];
    [
        both(&[0], &all),
        both(&all, &all),
        between(&all, &[0]),
        between(&[0], &all),
        both(&[0], &[1]),
        both(&[0, 1], &[2]),
    ]
}

impl Simulation {
    fn never_two(&mut self, duration: u64, case: &str) {
        let end = self.now + duration;
        while self.step(end) {
            for address in &self.addresses {
                let speakers = self.speakers(*address);
                assert!(speakers.len() < 2, "{case}: {speakers:?} for {address} at {}", self.now);
            }
        }
        self.now = end;
    }
}

#[test]
fn a_closed_port_moves_nothing_and_makes_nobody_answer_beside_another() {
    for (seed, (closed, loss)) in
        (0..).zip(cases().into_iter().flat_map(|it| [(it.clone(), 0.0), (it, 0.1)]))
    {
        let case = format!("seed {seed}, loss {loss}, {closed:?}");
        let mut simulation = Simulation::started(seed, 3, 16);
        let before = simulation.holders();
        simulation.no_gap = true;
        simulation.loss = loss;
        simulation.closed = closed;
        simulation.never_two(20 * SECOND, &case);
        assert_eq!(simulation.holders(), before, "{case}");
        simulation.loss = 0.0;
        simulation.closed.clear();
        simulation.never_two(4 * SECOND, &case);
        assert_eq!(simulation.holders(), before, "{case}");
        simulation.assert_one_speaker();
    }
}

#[test]
fn a_node_that_dies_behind_a_closed_port_is_replaced_by_one() {
    for (seed, closed) in (0..).zip(cases()) {
        let case = format!("seed {seed}, {closed:?}");
        let mut simulation = Simulation::started(seed, 3, 16);
        simulation.closed = closed;
        simulation.never_two(2 * SECOND, &case);
        simulation.kill(&name(0));
        simulation.never_two(1_200 * MS, &case);
        assert_eq!(simulation.holders().len(), 16, "{case}");
        simulation.never_two(5 * SECOND, &case);
    }
}

impl Simulation {
    /// Deletes a Service.
    fn delete(&mut self, name: &str, address: IpAddr) {
        let service = test_facts::service(name, &[]);
        let key = FactKey::Service(service.key.clone());
        let difference = self.cluster.apply(Change::Remove(key)).unwrap();
        for machine in self.machines.values_mut() {
            machine.planner.facts_changed(&self.cluster, &difference);
        }
        let nodes: Vec<_> = self.machines.keys().cloned().collect();
        nodes.iter().for_each(|node| self.plan(node));
        self.addresses.retain(|one| *one != address);
    }

    /// Creates a Service. The node `deaf` does not receive the change.
    fn create(&mut self, name: &str, address: [u8; 4], deaf: Option<&str>) -> IpAddr {
        let address = IpAddr::from(address);
        let mut service = test_facts::service(name, &[]);
        service.ingress = vec![address].into();
        let change = Change::Upsert(Fact::from(service));
        let difference = self.cluster.apply(change).unwrap();
        for (node, machine) in &mut self.machines {
            if Some(node.as_str()) != deaf {
                machine.planner.facts_changed(&self.cluster, &difference);
            }
        }
        let nodes: Vec<_> = self.machines.keys().cloned().collect();
        nodes.iter().for_each(|node| self.plan(node));
        self.addresses.push(address);
        address
    }
}

/// If the port was never open, no node knows of another, and each asks the segment before it begins.
#[test]
fn where_the_port_was_never_open_one_node_answers_for_each_address() {
    for (seed, loss) in [(0, 0.0), (1, 0.0), (2, 0.05), (3, 0.05)] {
        let case = format!("seed {seed}, loss {loss}");
        let mut simulation = Simulation::new(seed, 3, 16);
        simulation.loss = loss;
        simulation.closed = both(&[0, 1, 2], &[0, 1, 2]);
        for index in 0..3 {
            simulation.start(&name(index));
            simulation.never_two(50 * MS, &case);
        }
        simulation.never_two(3 * SECOND, &case);
        assert_eq!(simulation.holders().len(), 16, "{case}");
        simulation.create("late", [10, 0, 9, 9], None);
        simulation.never_two(2 * SECOND, &case);
        let before = simulation.holders();
        assert_eq!(before.len(), 17, "{case}");
        // A node that restarts finds either that another has taken over, or that none has.
        simulation.kill(&name(0));
        simulation.never_two(SECOND, &case);
        simulation.start(&name(0));
        simulation.never_two(4 * SECOND, &case);
        assert_eq!(simulation.holders().len(), 17, "{case}");
        simulation.loss = 0.0;
        simulation.closed.clear();
        simulation.never_two(4 * SECOND, &case);
        simulation.assert_one_speaker();
    }
}

#[test]
fn a_winner_that_does_not_know_the_service_is_passed_over() {
    for seed in 0..4 {
        let mut simulation = Simulation::started(seed, 3, 4);
        for number in 0..12 {
            let deaf = name(number % 3);
            let service = format!("late-{number}");
            let address = [10, 0, 9, number as u8];
            let address = simulation.create(&service, address, Some(&deaf));
            simulation.never_two(700 * MS, "deaf");
            let speakers = simulation.speakers(address);
            assert!(speakers.len() == 1 && speakers[0] != deaf, "{deaf} is deaf: {speakers:?}");
        }
    }
}

/// The state known of a node that is not received becomes outdated: Services come and go, and their addresses are
/// assigned again.
#[test]
fn behind_a_closed_port_services_come_and_go_and_each_address_has_one_node() {
    for (seed, closed) in (0..).zip(cases()) {
        let case = format!("seed {seed}, {closed:?}");
        let mut simulation = Simulation::started(seed, 3, 6);
        simulation.closed = closed;
        simulation.never_two(2 * SECOND, &case);
        for round in 0..4_u8 {
            for number in 0..6_u8 {
                let address = [10, 0, 9, (number + round) % 8];
                simulation.create(&format!("late-{round}-{number}"), address, None);
            }
            simulation.never_two(4 * SECOND, &case);
            assert_eq!(simulation.holders().len(), 12, "{case}, round {round}");
            for number in 0..6_u8 {
                let address = IpAddr::from([10, 0, 9, (number + round) % 8]);
                simulation.delete(&format!("late-{round}-{number}"), address);
            }
        }
        simulation.closed.clear();
        simulation.never_two(4 * SECOND, &case);
        simulation.assert_one_speaker();
    }
}

/// A node behind a closed port is frozen, and others take over its addresses.
#[test]
fn behind_a_closed_port_a_node_that_stood_still_takes_nothing_back() {
    for (seed, closed) in (0..).zip(cases()) {
        let case = format!("seed {seed}, {closed:?}");
        let mut simulation = Simulation::started(seed, 3, 16);
        simulation.closed = closed;
        simulation.never_two(2 * SECOND, &case);
        simulation.freeze(&name(0));
        simulation.never_two(5 * SECOND, &case);
        simulation.thaw(&name(0));
        simulation.never_two(4 * SECOND, &case);
        assert_eq!(simulation.holders().len(), 16, "{case}");
    }
}

/// The holder is behind a closed port, and for a time the segment loses everything that it sends: the others consider
/// it dead, and it considers them dead. It still receives their announcements.
#[test]
fn behind_a_closed_port_a_holder_that_was_given_up_by_mistake_yields() {
    let all = [0, 1, 2];
    for (seed, closed) in
        (0..).zip([both(&[0], &all), both(&all, &all)].iter().cycle().take(6).cloned())
    {
        let case = format!("seed {seed}, {closed:?}");
        let mut simulation = Simulation::started(seed, 3, 16);
        simulation.closed = closed;
        simulation.never_two(2 * SECOND, &case);
        simulation.mute.insert(name(0));
        simulation.run(2 * SECOND);
        simulation.mute.clear();
        simulation.run(6 * SECOND);
        simulation.never_two(3 * SECOND, &case);
        assert_eq!(simulation.holders().len(), 16, "{case}");
        simulation.closed.clear();
        simulation.never_two(4 * SECOND, &case);
        simulation.assert_one_speaker();
    }
}

/// Gossip does not pass between two groups of nodes, and for a while the segment is parted between them as well: each side answers for
/// everything. When the segment is whole again, one side yields.
#[test]
fn behind_a_port_that_is_closed_between_two_groups_one_of_them_yields() {
    for (seed, (nodes, left, right)) in
        (0..).zip([(5, vec![0, 1], vec![2, 3, 4]), (4, vec![0, 1], vec![2, 3])])
    {
        let case = format!("seed {seed}, {left:?} and {right:?}");
        let mut simulation = Simulation::started(seed, nodes, 16);
        simulation.closed = both(&left, &right);
        simulation.never_two(2 * SECOND, &case);
        simulation.far = left.iter().map(|node| name(*node)).collect();
        simulation.run(2 * SECOND);
        simulation.far.clear();
        simulation.run(10 * SECOND);
        simulation.never_two(3 * SECOND, &case);
        assert_eq!(simulation.holders().len(), 16, "{case}");
    }
}

/// The segment is silent for longer than the others announce: who was given up reminds them that it answers.
#[test]
fn behind_a_closed_port_a_long_outage_of_the_segment_ends_with_one_holder() {
    let all = [0, 1, 2];
    let mut simulation = Simulation::started(3, 3, 16);
    simulation.closed = both(&[0], &all);
    simulation.never_two(2 * SECOND, "before");
    simulation.mute.insert(name(0));
    simulation.deaf.insert(name(0));
    simulation.run(30 * SECOND);
    (simulation.mute, simulation.deaf) = Default::default();
    simulation.run(40 * SECOND);
    simulation.never_two(3 * SECOND, "after");
    assert_eq!(simulation.holders().len(), 16);
}
