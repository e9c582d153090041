//! Tests of the capabilities that an OPEN may offer: the guard must parse the same routes as the peer.
use outrigger_sdk::wire::bgp::GracefulRestart;
use outrigger_sdk::{IpNet, OpenSocket};

use super::*;

/// Writes the OPEN of AS 64512 with one more capability, on its own stream. Returns the number of messages written, and
/// the refusals.
fn offered(capability: Capability, restart_s: u16) -> (usize, Vec<String>) {
    let mut guard = Guard::default();
    guard.allow(Grant { restart_s, ..grant() });
    guard.check(0, connect("10.0.0.9")).unwrap();
    let mut open = open(64512);
    open.capabilities.push(capability);
    let granted = guard.check(0, write(open.encode())).unwrap();
    let written = granted.iter().filter(|it| matches!(it, Granted::Write(_))).count();
    let refused = granted.iter().filter_map(|it| match it {
        Granted::Refused(refusal) => {
            assert_eq!(refusal.reason, Reason::CapabilityNotAllowed);
            Some(refusal.subject.clone())
        }
        _ => None,
    });
    (written, refused.collect())
}

fn restart(restart_time: u16) -> Capability {
    let families = vec![(Family::IPV4_UNICAST, true)];
    Capability::GracefulRestart(GracefulRestart { restart_time, families, ..Default::default() })
}

#[test]
fn an_open_offers_what_the_guard_reads_and_nothing_else() {
    for allowed in [
        Capability::RouteRefresh,
        Capability::EnhancedRouteRefresh,
        Capability::ExtendedMessage,
        Capability::Multiprotocol(Family::IPV6_UNICAST),
        restart(120),
    ] {
        assert_eq!(offered(allowed.clone(), 120), (1, vec![]), "{allowed:?}");
    }
    // RFC 7911; RFC 9494; an unknown capability; multicast.
    let multicast = Family { afi: 1, safi: 2 };
    for (refused, name) in [
        (Capability::AddPath(vec![(Family::IPV4_UNICAST, 2)]), "7 ADD-PATH"),
        (Capability::Unknown { code: 71, value: vec![0; 7] }, "7 capability 71"),
        (Capability::Unknown { code: 239, value: vec![] }, "7 capability 239"),
        (Capability::Multiprotocol(multicast), "7 multiprotocol IPv4 multicast"),
        (restart(4095), "7 graceful restart for 4095 s"),
    ] {
        let (written, subjects) = offered(refused.clone(), 120);
        assert_eq!(written, 0, "{refused:?}");
        assert_eq!(subjects.len(), 1, "{refused:?}");
        assert!(subjects[0].starts_with(&name[..6]), "{subjects:?} {name}");
    }
    assert_eq!(offered(restart(1), 0).0, 0, "the owner allows none");
    assert_eq!(offered(restart(0), 0).0, 1, "no time is none");
}

#[test]
fn who_names_nobody_opens_nothing() {
    let mut guard = session();
    let open = |remotes: Vec<IpNet>| {
        Effect::OpenSocket(OpenSocket {
            id: 9,
            port: 3784,
            remotes,
            protocol: Protocol::Bfd,
            options: vec![],
        })
    };
    assert_eq!(guard.check(0, open(vec![])).unwrap_err().reason, Reason::PeerNotGranted);
    guard.check(0, open(vec!["10.0.0.9/32".parse().unwrap()])).unwrap();
}

#[test]
fn what_the_host_could_not_open_leaves_no_record() {
    let mut guard = Guard::default();
    guard.allow(grant());
    guard.check(0, connect("10.0.0.9")).unwrap();
    assert_eq!(guard.check(0, connect("10.0.0.9")).unwrap_err().reason, Reason::NumberInUse);
    guard.not_opened(STREAM);
    guard.check(0, connect("10.0.0.9")).expect("the number is free again");
}
