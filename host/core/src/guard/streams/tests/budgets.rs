//! Budgets of streams: the needs of a well-behaved speaker always fit, and excess writes wait without affecting other
//! streams.
use super::*;

const PEERS: u32 = 32;
const SERVICES: u32 = 10_000;
/// Number of routes in a message of 4,096 octets: IPv4 with 5 octets each, IPv6 with 17.
const PACKED: [usize; 2] = [800, 230];

fn address(service: u32) -> IpAddr {
    Ipv4Addr::from_bits(0xc612_0000 + service).into()
}

/// Returns a guard with this number of sessions and desired addresses.
fn sessions(peers: u32, addresses: u32) -> Guard {
    let mut guard = Guard::default();
    guard.allow(grant());
    link(&mut guard);
    let desired: Vec<_> =
        (0..addresses).map(|it| Desired::bare(address(it), Duty::Announce)).collect();
    guard.desire(&[], &desired);
    for id in 0..peers {
        let remote = SocketAddr::new(Ipv4Addr::new(10, 0, 0, 10 + id as u8).into(), 179);
        let (protocol, options) = (Protocol::Bgp, vec![]);
        guard.check(0, Effect::Connect(Connect { id, remote, protocol, options })).unwrap();
        let local = SocketAddr::new(SELF.into(), 1);
        guard.hear(&Event::Opened(Opened { id, local, remote, credit: 1 }));
        guard.check(0, on(id, open(64512).encode())).unwrap();
        guard.hear(&Event::Data(StreamBytes { id, data: open(64513).encode() }));
    }
    guard
}

fn on(id: u32, data: Vec<u8>) -> Effect {
    Effect::Write(StreamBytes { id, data })
}

/// Returns the whole table, packed like a well-behaved speaker does.
fn table(addresses: u32) -> Vec<Vec<u8>> {
    let prefixes: Vec<IpNet> = (0..addresses).map(|it| IpNet::from(address(it))).collect();
    let packed = bgp::announcements(&attributes(), NextHop::V4(SELF), &prefixes, &sending());
    packed.unwrap().map(|packed| packed.message).collect()
}

/// Writes a table. Returns the time until which credit is held back; `None` if it is not. Fails if anything is refused.
fn tell(guard: &mut Guard, now: u64, id: u32, table: &[Vec<u8>]) -> Option<u64> {
    let mut held = None;
    for message in table {
        for granted in guard.check(now, on(id, message.clone())).expect("never refused") {
            match granted {
                Granted::Write(_) => {}
                Granted::Hold(stream, until) => {
                    assert_eq!(stream, id, "at nobody else's cost");
                    held = Some(until);
                }
                other => panic!("{other:?}"),
            }
        }
    }
    held
}

#[test]
fn ten_thousand_dual_stack_services_and_thirty_two_peers_are_told_without_a_wait() {
    // Arithmetic: eight tables for each stream, whatever the others announce, and as many messages as their packing
    // needs.
    use crate::guard::budget::UPDATES;
    use crate::guard::churn::ANNOUNCEMENTS;
    let (desired, routes) = (2 * u64::from(SERVICES), 2 * u64::from(SERVICES));
    assert!(ANNOUNCEMENTS.burst + ANNOUNCEMENTS.rounds * desired >= 8 * routes);
    let messages: u64 = PACKED.iter().map(|each| u64::from(SERVICES).div_ceil(*each as u64)).sum();
    assert!(UPDATES.burst + UPDATES.rounds * desired >= 8 * messages);

    // The real guard, with fewer addresses.
    let mut guard = sessions(PEERS, 1_000);
    let table = table(1_000);
    for round in 0..8 {
        for id in 0..PEERS {
            assert_eq!(tell(&mut guard, 0, id, &table), None, "round {round}, peer {id}");
        }
    }
}

#[test]
fn sixteen_refreshes_in_a_minute_hurt_nobody() {
    let mut guard = sessions(2, 2_000);
    let table = table(2_000);
    tell(&mut guard, 0, 1, &table);
    let mut now = 0;
    for _ in 0..16 {
        now += 60_000_000 / 16;
        if let Some(held) = tell(&mut guard, now, 0, &table) {
            assert!(held - now < 60_000_000, "{held} {now}");
        }
    }
    assert_eq!(tell(&mut guard, now, 1, &table), None, "the other peer's budget is its own");
    let another = Connect {
        id: 77,
        remote: "10.0.0.99:179".parse().unwrap(),
        protocol: Protocol::Bgp,
        options: vec![],
    };
    guard.check(now, Effect::Connect(another)).expect("nor does it keep anybody from dialling");
}

#[test]
fn a_withdrawal_passes_when_nothing_else_does() {
    let mut guard = session();
    let message = update(&attributes(), SELF, &["192.0.2.1/32"]);
    while guard.check(0, write(message.clone())).is_ok() {}
    let prefixes = ["192.0.2.1/32".parse().unwrap()];
    let withdrawal = bgp::withdrawals(&prefixes, &sending()).next().unwrap().message;
    guard.check(0, write(withdrawal.clone())).expect("what was told is taken back");
    let refused = guard.check(0, write(withdrawal)).unwrap_err().reason;
    assert_eq!(refused, Reason::ChurnLimit, "once: the peer knows nothing of it any more");
    guard.check(0, write(bgp::keepalive())).expect("nor is a KEEPALIVE charged for routes");
}
