use std::collections::BTreeSet;

use outrigger_sdk::{
    AddressState, Family, IpProtocol, Pool as _, PoolCount, ServicePort, TrafficPolicy,
};
use proptest::prelude::*;

use super::*;
use crate::facts::{Labels, PluginRef, Selector, with};

fn pool(name: &str, addresses: &[&str], exclude: &[&str]) -> Arc<Pool> {
    let ranges = |lines: &[&str]| lines.iter().map(|line| line.parse().unwrap()).collect();
    Arc::new(Pool {
        name: name.into(),
        labels: Labels::from([("tier".into(), "gold".into())]),
        addresses: ranges(addresses),
        exclude: ranges(exclude),
        auto_assign: true,
        avoid_buggy_ips: false,
        priority: 0,
        namespaces: BTreeSet::new(),
        namespace_selector: None,
        service_selector: Selector::default(),
        allocator: PluginRef { plugin: "lowest-free".into(), config: "{}".into() },
        failure_policy: crate::facts::FailurePolicy::default(),
        announcers: None,
        draining: false,
        last_valid: None,
    })
}

fn service(key: &str) -> Service {
    let (namespace, name) = key.split_once('/').unwrap();
    with(Service::reserved(ServiceKey::new(namespace, name), &[]), |it| {
        it.families = vec![Family::Ipv4].into();
        it.ours = false;
    })
}

fn sharing(key: &str, sharing_key: &str, port: u16) -> Service {
    let port = ServicePort { port, ..ServicePort::default() };
    with(service(key), |it| {
        it.sharing_key = sharing_key.into();
        it.ports = vec![port];
    })
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| ip(text)).collect()
}

fn at(seconds: u64) -> Time {
    Time { monotonic_us: seconds * 1_000_000, utc_us: 0 }
}

fn view(ledger: &Ledger, pool: &str, service: &Service, now: Time) -> PoolView {
    PoolView::new(Arc::new(ledger.clone()), pool.into(), Arc::new(service.clone()), now)
}

#[test]
fn an_address_is_shared_by_key_ports_backends_and_namespace() {
    let holder = sharing("ns/a", "k", 80);
    let local = |key, app: &str| {
        with(sharing(key, "k", if key == "ns/a" { 80 } else { 443 }), |it| {
            it.traffic_policy = TrafficPolicy::Local;
            it.selector = Labels::from([("app".into(), app.into())]);
        })
    };
    let udp = ServicePort { protocol: IpProtocol::Udp, port: 80, ..ServicePort::default() };
    for (case, one, other, expected) in [
        ("other port", holder.clone(), sharing("ns/b", "k", 443), true),
        ("same port", holder.clone(), sharing("ns/b", "k", 80), false),
        (
            "other protocol",
            holder.clone(),
            with(sharing("ns/b", "k", 0), |it| it.ports = vec![udp]),
            true,
        ),
        ("other key", holder.clone(), sharing("ns/b", "l", 443), false),
        ("no keys", sharing("ns/a", "", 80), sharing("ns/b", "", 443), false),
        ("other namespace", holder.clone(), sharing("other/b", "k", 443), false),
        ("Cluster and Local", holder.clone(), local("ns/b", "x"), false),
        ("Local, one selector", local("ns/a", "x"), local("ns/b", "x"), true),
        ("Local, two selectors", local("ns/a", "x"), local("ns/b", "y"), false),
    ] {
        assert_eq!(may_share(&one, &other), expected, "{case}");
        assert_eq!(may_share(&other, &one), expected, "{case}, the other way round");
    }
}

#[test]
fn every_wrong_answer_has_a_named_reason() {
    let mut ledger = Ledger::default();
    ledger.put_pool(pool("p", &["10.0.0.0/28", "fd00::/126"], &["10.0.0.8/29"]));
    ledger.put_pool(pool("q", &["10.0.1.0/28"], &[]));
    ledger.put_pool(pool("gone", &["10.0.2.0/28"], &[]));
    let holder = Arc::new(service("ns/other"));
    for address in ["10.0.0.1", "10.0.2.1"] {
        ledger
            .hold(
                &holder,
                ledger.locate(ip(address)).map(|s| s.pool().name.clone()).as_deref(),
                ip(address),
            )
            .unwrap();
    }
    ledger.retire_pool("gone");
    let both = &[Family::Ipv4, Family::Ipv6][..];
    let picky = with(service("ns/a"), |it| it.wanted = ips(&["10.0.0.3"]));
    for (pool, service, families, addresses, expected) in [
        ("p", service("ns/a"), both, &["10.0.0.2", "fd00::1"][..], None),
        ("p", service("ns/a"), both, &["fd00::1", "10.0.0.2"], None),
        ("p", service("ns/a"), both, &["fd00::1"], None),
        ("p", picky.clone(), both, &["10.0.0.3", "fd00::1"], None),
        ("p", service("ns/a"), both, &[], Some("empty")),
        ("p", service("ns/a"), both, &["10.0.0.2", "10.0.0.2"], Some("duplicate")),
        ("p", service("ns/a"), both, &["10.0.0.2", "10.0.0.3"], Some("two-of-family")),
        ("p", service("ns/a"), &both[..1], &["fd00::1"], Some("family-not-asked")),
        ("p", service("ns/a"), both, &["10.0.1.1"], Some("outside-pool")),
        ("p", service("ns/a"), both, &["::ffff:10.0.0.2"], Some("outside-pool")),
        ("p", service("ns/a"), both, &["10.0.0.9"], Some("excluded")),
        ("p", service("ns/a"), both, &["10.0.0.1"], Some("taken")),
        ("p", picky, both, &["10.0.0.4"], Some("not-wanted")),
        ("gone", service("ns/a"), both, &["10.0.2.2"], Some("pool-gone")),
        ("never", service("ns/a"), both, &["10.0.2.2"], Some("pool-gone")),
    ] {
        let got = ledger.check(pool, &service, families, &ips(addresses)).map_err(|v| v.reason());
        assert_eq!(got.err(), expected, "{addresses:?} from {pool}");
    }
}

#[test]
fn what_a_shrunk_or_removed_pool_gave_stays_held_until_it_is_given_back() {
    let mut ledger = Ledger::default();
    ledger.put_pool(pool("p", &["10.0.0.0/30"], &[]));
    let a = Arc::new(service("ns/a"));
    ledger.hold(&a, Some("p"), ip("10.0.0.3")).unwrap();

    ledger.put_pool(pool("p", &["10.0.0.0/31"], &[]));
    let shrunk = view(&ledger, "p", &service("ns/b"), at(0));
    assert_eq!(shrunk.count(Family::Ipv4), PoolCount { total: 2, free: 2, held: 0 });
    assert_eq!(shrunk.held_by_namespace("ns"), 1);
    assert_eq!(ledger.hold(&Arc::new(service("ns/b")), None, ip("10.0.0.3")), Err(a.key.clone()));

    ledger.put_pool(pool("p", &["10.0.0.2/31"], &[]));
    assert_eq!(view(&ledger, "p", &a, at(0)).lowest_free(Family::Ipv4, 9), ips(&["10.0.0.2"]));

    ledger.retire_pool("p");
    assert!(ledger.pool_of(ip("10.0.0.3")).unwrap().standing() != PoolPhase::InForce);
    ledger.put_pool(pool("q", &["10.0.0.0/24"], &[]));
    assert_eq!(ledger.pool_of(ip("10.0.0.3")).unwrap().pool().name, "q");
    assert!(ledger.pool("p").is_none(), "its last address went to pool q");
    assert_eq!(view(&ledger, "q", &a, at(0)).count(Family::Ipv4).held, 1);

    ledger.release(&a.key, ip("10.0.0.3"), at(5));
    assert_eq!(ledger.held(&a.key), ips(&[]));
    assert_eq!(ledger.previous(&a.key), ips(&["10.0.0.3"]));
    assert_eq!(view(&ledger, "q", &a, at(65)).released_ago(ip("10.0.0.3")), 60);
    assert_eq!(view(&ledger, "q", &a, at(65)).released_ago(ip("10.0.0.4")), u32::MAX);
}

#[test]
fn a_view_tells_what_the_asking_service_may_do() {
    let mut ledger = Ledger::default();
    ledger.put_pool(pool("p", &["10.0.0.0-10.0.0.5", "fd00::/64"], &["10.0.0.0/32"]));
    ledger.put_pool(pool("q", &["10.0.1.0/28"], &[]));
    for (service, pool, address) in [
        (sharing("ns/a", "k", 80), "p", "10.0.0.1"),
        (sharing("ns/b", "k", 81), "p", "10.0.0.1"),
        (sharing("ns/c", "", 80), "p", "10.0.0.2"),
        (sharing("ns/d", "k", 443), "p", "10.0.0.4"),
        (sharing("ns/e", "k", 82), "q", "10.0.1.1"),
    ] {
        ledger.hold(&Arc::new(service), Some(pool), ip(address)).unwrap();
    }
    let view = view(&ledger, "p", &sharing("ns/x", "k", 443), at(0));
    for (address, state, holders) in [
        ("10.0.0.0", AddressState::Excluded, 0),
        ("10.0.0.1", AddressState::Shareable, 2),
        ("10.0.0.2", AddressState::Taken, 1),
        ("10.0.0.3", AddressState::Free, 0),
        ("10.0.0.4", AddressState::Taken, 1),
        ("10.0.1.1", AddressState::Outside, 0),
        ("fd00::", AddressState::Free, 0),
    ] {
        assert_eq!(view.state(ip(address)), state, "{address}");
        assert_eq!(view.holders(ip(address)).len(), holders, "{address}");
    }
    assert_eq!(view.name(), "p");
    assert_eq!(view.labels(), [("tier".to_owned(), "gold".to_owned())]);
    let prefixes: Vec<String> = view.prefixes().iter().map(ToString::to_string).collect();
    assert_eq!(prefixes, ["10.0.0.0/30", "10.0.0.4/31", "fd00::/64"]);
    assert_eq!(view.count(Family::Ipv4), PoolCount { total: 5, free: 2, held: 3 });
    assert_eq!(view.count(Family::Ipv6).total, u32::MAX);
    assert_eq!(view.lowest_free(Family::Ipv4, 9), ips(&["10.0.0.3", "10.0.0.5"]));
    assert_eq!(view.lowest_free(Family::Ipv6, u32::MAX).len(), 4096);
    assert_eq!(view.free_after(ip("10.0.0.3"), 9), ips(&["10.0.0.5"]));
    assert_eq!(view.free_after(ip("9.9.9.9"), 1), ips(&["10.0.0.3"]));
    assert_eq!(view.nth_free(Family::Ipv4, 1), Some(ip("10.0.0.5")));
    assert_eq!(view.nth_free(Family::Ipv4, 2), None);
    assert_eq!(view.shareable(Family::Ipv4, 9), ips(&["10.0.0.1"]));
    let held: Vec<IpAddr> = view.held_after(ip("10.0.0.1"), 9).iter().map(|h| h.address).collect();
    assert_eq!(held, ips(&["10.0.0.2", "10.0.0.4"]));
    assert_eq!((view.held_by_namespace("ns"), view.held_by_namespace("other")), (3, 0));
}

#[test]
fn a_freed_address_rests_and_only_its_service_may_have_it_back_meanwhile() {
    let mut ledger = Ledger::default();
    ledger.put_pool(pool("p", &["10.0.0.0/31"], &[]));
    let (a, b) = (Arc::new(service("ns/a")), Arc::new(service("ns/b")));
    let address = ip("10.0.0.0");
    ledger.hold(&a, Some("p"), address).unwrap();
    ledger.release(&a.key, address, at(10));
    let check = |ledger: &Ledger, service: &Service| {
        ledger.check("p", service, &[Family::Ipv4], &[address]).map_err(|why| why.reason())
    };
    assert_eq!((check(&ledger, &a), check(&ledger, &b)), (Ok(()), Err("resting")));
    let seen = view(&ledger, "p", &b, at(10));
    assert_eq!(seen.count(Family::Ipv4), PoolCount { total: 2, free: 1, held: 0 });
    assert_eq!(seen.state(address), AddressState::Taken);
    assert_eq!(view(&ledger, "p", &a, at(10)).state(address), AddressState::Free);
    assert!(view(&ledger, "p", &a, at(10)).may_return(Family::Ipv4));

    // Also true for a new version of the pool.
    ledger.put_pool(pool("p", &["10.0.0.0/30"], &[]));
    assert_eq!(view(&ledger, "p", &b, at(10)).lowest_free(Family::Ipv4, 1), ips(&["10.0.0.1"]));
    assert_eq!(ledger.next_rest_end(), Some(12_000_000));
    assert_eq!(ledger.end_rests(at(11)), BTreeSet::new());
    assert_eq!(ledger.end_rests(at(12)), BTreeSet::from(["p".to_owned()]));
    assert_eq!((check(&ledger, &b), ledger.next_rest_end()), (Ok(()), None));

    // An address that its Service takes back before the end of its rest is held and no longer rests.
    ledger.hold(&a, Some("p"), address).unwrap();
    ledger.release(&a.key, address, at(20));
    ledger.hold(&a, Some("p"), address).unwrap();
    assert_eq!((ledger.next_rest_end(), ledger.pool("p").unwrap().held_by("ns")), (None, 1));
}

#[test]
fn a_new_version_of_a_service_gives_back_what_it_may_no_longer_share() {
    let mut ledger = Ledger::default();
    ledger.put_pool(pool("p", &["10.0.0.0/28"], &[]));
    let address = ip("10.0.0.1");
    for service in [sharing("ns/a", "k", 80), sharing("ns/b", "k", 81)] {
        ledger.hold(&Arc::new(service), Some("p"), address).unwrap();
    }
    assert_eq!(ledger.update(&Arc::new(sharing("ns/a", "k", 82)), at(0)), ips(&[]));
    assert_eq!(ledger.update(&Arc::new(sharing("ns/a", "l", 82)), at(0)), [address]);
    // A sole holder may change its key, and others find it under the new one.
    assert_eq!(ledger.update(&Arc::new(sharing("ns/b", "l", 81)), at(0)), ips(&[]));
    let view = view(&ledger, "p", &sharing("ns/a", "l", 82), at(0));
    assert_eq!(view.shareable(Family::Ipv4, 9), [address]);
}

proptest! {
    #[test]
    fn a_ledger_counts_as_an_enumeration_does(
        steps in prop::collection::vec((0u8..5, 0u8..6, 0u8..40), 1..60),
    ) {
        let mut ledger = Ledger::default();
        let address = |n: u8| IpAddr::from([10, 0, 0, n]);
        let services: Vec<Arc<Service>> =
            (0..6).map(|n| Arc::new(sharing(&format!("ns{}/s{n}", n % 2), "k", 80 + n % 3))).collect();
        let mut resting: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for (now, (action, who, n)) in steps.into_iter().enumerate() {
            let service = &services[usize::from(who)];
            let before: BTreeSet<IpAddr> = ledger.addresses().map(|(at, _)| at).collect();
            ledger.end_rests(at(now as u64));
            match action {
                0 => {
                    let last = format!("10.0.0.{}", 8 + n % 32);
                    ledger.put_pool(pool("p", &[&format!("10.0.0.4-{last}")], &["10.0.0.6/31"]));
                }
                1 if n == 0 => ledger.retire_pool("p"),
                1 | 2 => {
                    let origin = ledger.locate(address(n)).map(|s| s.pool().name.clone());
                    let _ = ledger.hold(service, origin.as_deref(), address(n));
                }
                _ => ledger.release(&service.key, address(n), at(now as u64)),
            }
            let held: BTreeSet<IpAddr> = ledger.addresses().map(|(at, _)| at).collect();
            resting.extend(before.difference(&held).map(|address| (*address, now)));
            resting.retain(|address, since| now - *since < 2 && !held.contains(address));
            let Some(stock) = ledger.pool("p") else { continue };
            let own: BTreeSet<IpAddr> = stock.addresses().collect();
            let expected: BTreeSet<IpAddr> = held.iter().copied()
                .filter(|at| ledger.pool_of(*at).is_some_and(|s| s.pool().name == "p")).collect();
            prop_assert_eq!(&own, &expected);
            for namespace in ["ns0", "ns1"] {
                let count = ledger.addresses()
                    .filter(|(at, by)| own.contains(at) && by.iter().any(|s| s.namespace() == namespace)).count();
                prop_assert_eq!(stock.held_by(namespace) as usize, count);
            }
            let free: Vec<IpAddr> = (0..=255).map(address)
                .filter(|at| stock.covers(*at) && !["10.0.0.6", "10.0.0.7"].map(ip).contains(at))
                .filter(|at| !held.contains(at) && !resting.contains_key(at)).collect();
            let seen = view(&ledger, "p", &services[0], at(0));
            prop_assert_eq!(seen.lowest_free(Family::Ipv4, 300), free);
            for (_, holders) in ledger.addresses() {
                let holders: Vec<&ServiceKey> = holders.iter().collect();
                for (i, one) in holders.iter().enumerate() {
                    for other in &holders[..i] {
                        let find = |key: &ServiceKey| services.iter().find(|s| s.key == *key).unwrap();
                        prop_assert!(may_share(find(one), find(other)));
                    }
                }
            }
        }
    }
}
