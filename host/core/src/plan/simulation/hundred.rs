//! A hundred nodes: they start at once, partition and heal, and are restarted one after another: ten of them, or all
//! with `OUTRIGGER_ROLLED=100`. `OUTRIGGER_ADDRESSES=N` sets the number of addresses.
use super::*;

const NODES: usize = 100;

impl Simulation {
    /// Returns the number of datagrams delivered since then, per node and second.
    fn rate(&self, (sent, since): (u64, u64)) -> f64 {
        let seconds = (self.now - since) as f64 / SECOND as f64;
        (self.sent - sent) as f64 / NODES as f64 / seconds
    }
}

/// Prints the datagrams and octets that each node sends per second at rest; `cargo xtask bench layer2` reads them.
#[test]
fn gossip_at_rest() {
    for nodes in [3, 10, NODES] {
        let mut simulation = Simulation::new(1, nodes, 100);
        (0..nodes).for_each(|index| simulation.start(&name(index)));
        simulation.run(5 * SECOND);
        let (sent, octets) = (simulation.sent, simulation.octets);
        simulation.run(2 * SECOND);
        let each = |count: u64| count as f64 / nodes as f64 / 2.0;
        let (sent, octets) = (each(simulation.sent - sent), each(simulation.octets - octets));
        println!(
            "{nodes} nodes at rest: {sent:.0} datagrams, {octets:.0} octets per node and second"
        );
        simulation.assert_one_speaker();
    }
}

#[test]
fn a_hundred_nodes_start_part_heal_and_are_rolled() {
    let number = |name: &str| std::env::var(name).ok()?.parse::<usize>().ok();
    let addresses = number("OUTRIGGER_ADDRESSES").unwrap_or(1_000);
    let rolled = number("OUTRIGGER_ROLLED").unwrap_or(10);
    let mut simulation = Simulation::new(1, NODES, addresses);
    for index in 0..NODES {
        simulation.start(&name(index));
    }
    simulation.run(4 * SECOND);
    simulation.assert_one_speaker();
    let before = simulation.holders();
    println!("start: {:.1} datagrams per node and second", simulation.rate((0, 0)));

    let mark = (simulation.sent, simulation.now);
    simulation.run(SECOND);
    println!("at rest: {:.1} datagrams per node and second", simulation.rate(mark));
    assert_eq!(simulation.holders(), before);

    let mark = (simulation.sent, simulation.now);
    simulation.far = (0..30).map(name).collect();
    simulation.run(3 * SECOND);
    simulation.far.clear();
    simulation.run(3 * SECOND);
    println!("parted and healed: {:.1} datagrams per node and second", simulation.rate(mark));
    simulation.assert_one_speaker();
    let near = |(_, holder): &(&IpAddr, &String)| !(0..30).map(name).any(|far| far == **holder);
    let after = simulation.holders();
    for (address, holder) in before.iter().filter(near) {
        assert_eq!(after[address], *holder, "{address} moved from the majority");
    }

    let mark = (simulation.sent, simulation.now);
    for index in 0..rolled {
        simulation.roll(&name(index));
    }
    println!("rolled: {:.1} datagrams per node and second", simulation.rate(mark));
    simulation.run(2 * SECOND);
    simulation.assert_one_speaker();
}

impl Simulation {
    /// Restarts the daemon of a node: it hands over, sends a goodbye, and starts again.
    fn roll(&mut self, node: &str) {
        let now = self.now;
        let machine = self.machines.get_mut(node).unwrap();
        let held: Vec<_> = machine.announcer.spoken_for().collect();
        machine.membership.leave(now);
        self.plan(node);
        for _ in 0..30 {
            self.run(5 * MS);
            for address in &held {
                assert!(!self.speakers(*address).is_empty(), "nobody speaks for {address}");
            }
        }
        assert!(!self.machines[node].speaks(), "{node} still speaks");
        let now = self.now;
        self.machines.get_mut(node).unwrap().membership.goodbye(now);
        self.plan(node);
        self.kill(node);
        self.start(node);
        self.run(100 * MS);
    }
}
