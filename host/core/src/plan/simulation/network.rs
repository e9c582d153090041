//! The network between the nodes, which delays and loses packets.
use super::*;

pub(super) enum Packet {
    Gossip(SocketAddr, Vec<u8>),
    /// An answer of a node on the segment for an address.
    Answer(String, IpAddr),
    /// A timer at which a node announces an address once more.
    Announcement(IpAddr),
}

/// Size of the IPv4 and UDP headers.
const HEADERS: u64 = 28;

/// Interval between announcements, and their number.
const ANNOUNCE_US: u64 = 1_100 * MS;
const ANNOUNCEMENTS: u64 = 5;

impl Simulation {
    pub fn transmit(&mut self, from: &str, to: SocketAddr, data: Vec<u8>) {
        assert!(data.len() <= 1232, "{} octets do not fit the minimum MTU", data.len());
        let SocketAddr::V4(address) = to else { return };
        self.octets += data.len() as u64 + HEADERS;
        let target = name(usize::from(address.ip().octets()[3]) - 1);
        let is_open = !self.closed.contains(&(from.to_owned(), target.clone()));
        if is_open && self.passes(from, &target) {
            self.deliver(&target, Packet::Gossip(socket(from), data));
        }
    }

    /// Returns true if a frame reaches the other node.
    fn passes(&mut self, from: &str, to: &str) -> bool {
        let reaches = self.far.contains(from) == self.far.contains(to)
            && !self.mute.contains(from)
            && !self.deaf.contains(to);
        reaches && !self.random.random_bool(self.loss)
    }

    fn deliver(&mut self, to: &str, packet: Packet) {
        self.sent += 1;
        let at = self.now + self.random.random_range(100..1_500);
        self.wires.insert((at, self.sent), (to.to_owned(), packet));
    }

    /// Asks on the segment, from one node, for another node's addresses.
    pub fn ask(&mut self, from: &str, to: &str, addresses: &[IpAddr]) {
        for address in addresses {
            let answers = self.speakers(*address).contains(&to);
            if answers && self.passes(from, to) && self.passes(to, from) {
                self.deliver(from, Packet::Answer(to.to_owned(), *address));
            }
        }
    }

    /// Schedules the announcements of an address by a node.
    pub fn announces(&mut self, node: &str, address: IpAddr) {
        for number in 0..ANNOUNCEMENTS {
            self.sent += 1;
            let at = self.now + number * ANNOUNCE_US + self.random.random_range(100..1_500);
            let packet = Packet::Announcement(address);
            self.wires.insert((at, self.sent), (node.to_owned(), packet));
        }
    }

    /// Announces an address, which is received by every node that answers for it too.
    fn announce(&mut self, node: &str, address: IpAddr) {
        let speaks = |it: &Self, of: &str| it.speakers(address).contains(&of);
        let announces = |machine: &Machine| machine.announcer.announces(address);
        if !speaks(self, node) || !self.machines.get(node).is_some_and(|it| announces(it)) {
            return;
        }
        let others: Vec<_> = self.machines.keys().filter(|other| *other != node).cloned().collect();
        for other in others {
            if speaks(self, &other) && self.passes(node, &other) {
                let membership = &mut self.machines.get_mut(&other).unwrap().membership;
                membership.overheard(self.now, node, address);
                self.exchange(&other);
            }
        }
    }

    /// Counts the answers to the probes of a node whose time has passed. Another node that probes at the same time
    /// counts as an answer if its hardware address is lower.
    pub fn count_answers(&mut self, node: &str, machine: &mut Machine) {
        let now = self.now;
        let due: Vec<_> = machine.probes.extract_if(.., |_, at| *at <= now).collect();
        machine.probed.retain(|_, at| now < *at + PROBE_US);
        for (address, _) in due {
            machine.probed.insert(address, now);
            let others: Vec<_> = self.machines.keys().cloned().collect();
            let is_there = |other: &String| {
                let Machine { probes, probed, .. } = &*self.machines[other];
                let probes = probes.get(&address).is_some_and(|at| *at < now + PROBE_US);
                // The last of its probes came after the first of this node's.
                let probed = probed.get(&address).is_some_and(|at| now < *at + PROBE_US * 2 / 3);
                let rivals = (probes || probed) && **other < *node;
                rivals || self.speakers(address).contains(&other.as_str())
            };
            let there: Vec<_> = others.into_iter().filter(is_there).collect();
            // The segment is asked three times.
            let answered = there
                .iter()
                .any(|other| (0..3).any(|_| self.passes(node, other) && self.passes(other, node)));
            if machine.planner.segment_said(address, answered) {
                machine.probes.insert(address, now + PROBE_AGAIN_US);
            }
        }
    }

    /// Returns true if the node receives frames from a host: a client on the near side reaches every node that receives
    /// anything.
    pub fn hears_a_host(&self, node: &str) -> bool {
        !self.deaf.contains(node) && (!self.far.contains(node) || self.far.len() > 1)
    }

    /// Delivers a packet. Returns true if the node has handled it.
    pub fn receive(&mut self, node: &str, packet: Packet) -> bool {
        if let Some(waiting) = self.frozen.get_mut(node) {
            if let (Packet::Gossip(from, data), true) = (packet, waiting.len() < SOCKET) {
                waiting.push((from, data));
            }
            return false;
        }
        if let Packet::Announcement(address) = packet {
            self.announce(node, address);
            return false;
        }
        if let Some(machine) = self.machines.get_mut(node) {
            let membership = &mut machine.membership;
            match packet {
                Packet::Gossip(from, data) => membership.handle_datagram(self.now, from, &data),
                Packet::Announcement(_) => {}
                Packet::Answer(of, address) => membership.answered(self.now, &of, address),
            }
        }
        true
    }
}
