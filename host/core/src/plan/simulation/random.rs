//! Random schedules: nodes die, leave, start and freeze, and the network loses packets, partitions, and passes frames
//! one way only. In the end one node speaks for each address, and all agree. A seed is a schedule: `OUTRIGGER_SEED=N`
//! replays it alone, `OUTRIGGER_SCHEDULES=N` sets the number of schedules.
use super::*;

/// Number of troubles in one schedule.
const TROUBLES: usize = 12;

#[test]
fn after_any_trouble_exactly_one_node_speaks_for_each_address() {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let seeds = match number("OUTRIGGER_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("OUTRIGGER_SCHEDULES").unwrap_or(2_000),
    };
    let seeds: Vec<u64> = seeds.collect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = seeds.len().div_ceil(threads).max(1);
    let results: Vec<_> = std::thread::scope(|scope| {
        let each = seeds.chunks(share).map(|seeds| scope.spawn(|| each(seeds)));
        let all: Vec<_> = each.collect();
        all.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let (mut datagrams, mut node_seconds, mut failed) = (0, 0.0, Vec::new());
    for (sent, seconds, seeds) in results {
        datagrams += sent;
        node_seconds += seconds;
        failed.extend(seeds);
    }
    println!("{:.1} datagrams per node and second", datagrams as f64 / node_seconds);
    assert!(failed.is_empty(), "OUTRIGGER_SEED={} replays the first of {failed:?}", failed[0]);
}

/// Runs the schedules. Returns the number of datagrams delivered, the simulated seconds summed over all nodes, and the
/// seeds that failed.
fn each(seeds: &[u64]) -> (u64, f64, Vec<u64>) {
    let (mut datagrams, mut node_seconds, mut failed) = (0, 0.0, Vec::new());
    for seed in seeds {
        match std::panic::catch_unwind(|| schedule(*seed)) {
            Ok((sent, seconds)) => {
                datagrams += sent;
                node_seconds += seconds;
            }
            Err(_) => failed.push(*seed),
        }
    }
    (datagrams, node_seconds, failed)
}

/// Runs one schedule. Returns the number of datagrams delivered, and the simulated seconds summed over all nodes.
fn schedule(seed: u64) -> (u64, f64) {
    let mut random = ChaCha12Rng::seed_from_u64(1_000 + seed);
    let nodes = random.random_range(3..=9);
    let addresses = random.random_range(1..=60);
    let mut simulation = Simulation::new(seed, nodes, addresses);
    simulation.loss = random.random_range(0.0..0.2);
    for index in 0..nodes {
        simulation.start(&name(index));
        simulation.run(random.random_range(0..200 * MS));
    }
    for _ in 0..TROUBLES {
        trouble(&mut simulation, &mut random);

        simulation.run(random.random_range(0..600 * MS));
    }
    end_of_trouble(&mut simulation);
    simulation.run(5 * SECOND);
    simulation.assert_one_speaker();
    (simulation.sent, simulation.now as f64 / SECOND as f64 * nodes as f64)
}

fn trouble(simulation: &mut Simulation, random: &mut ChaCha12Rng) {
    let node = name(random.random_range(0..simulation.cluster.nodes.len()));
    let other = name(random.random_range(0..simulation.cluster.nodes.len()));
    let now = simulation.now;
    match random.random_range(0..14) {
        0 | 1 => die(simulation, &node),
        2 | 3 => {
            die(simulation, &node);
            simulation.start(&node);
        }
        4 => {
            let Some(machine) = simulation.machines.get_mut(&node) else { return };
            machine.membership.goodbye(now);
            simulation.plan(&node);
            die(simulation, &node);
        }
        5 => {
            let names = simulation.cluster.nodes.keys();
            simulation.far = names.filter(|_| random.random_bool(0.4)).cloned().collect();
        }
        6 => simulation.far.clear(),
        7 => drop(simulation.mute.insert(node)),
        8 => drop(simulation.deaf.insert(node)),
        9 => (simulation.mute, simulation.deaf) = Default::default(),
        10 => drop(simulation.closed.insert((node, other))),
        11 => simulation.closed.clear(),
        12 if simulation.machines.contains_key(&node) => simulation.freeze(&node),
        _ => thaw_all(simulation),
    }
}

/// Kills a node. Its announcements are forgotten, because the nodes on this side cannot know those made on the far side
/// of a partition.
fn die(simulation: &mut Simulation, node: &str) {
    simulation.kill(node);
    simulation.told.retain(|_, teller| teller != node);
}

fn thaw_all(simulation: &mut Simulation) {
    let frozen: Vec<_> = simulation.frozen.keys().cloned().collect();
    frozen.iter().for_each(|node| simulation.thaw(node));
}

/// Heals the network, and starts two of the nodes that are gone.
fn end_of_trouble(simulation: &mut Simulation) {
    thaw_all(simulation);
    simulation.loss = 0.0;
    simulation.far.clear();
    simulation.closed.clear();
    (simulation.mute, simulation.deaf) = Default::default();
    let mut away: Vec<_> = simulation.cluster.nodes.keys().cloned().collect();
    away.retain(|node| !simulation.machines.contains_key(node));
    for node in away.iter().take(2) {
        simulation.start(node);
    }
    if simulation.machines.is_empty() {
        simulation.start(&name(0));
    }
}
