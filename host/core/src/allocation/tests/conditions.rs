//! The messages for people: each names the object, the affected parties and the fix.
use super::*;
use crate::facts::Node;
use crate::plan::test_facts::node;

/// Checks the condition's message, or that of the pool's condition of this type.
fn check(got: impl AsRef<str>, words: &[&str]) {
    let got = got.as_ref();
    for part in words {
        assert!(got.contains(part), "{part:?} is not in {got:?}");
    }
}

fn condition(rig: &Rig, pool: &str, kind: PoolConditionType) -> PoolCondition {
    let status = rig.allocations.pool_status(pool).unwrap();
    let condition = status.conditions.iter().find(|condition| condition.kind == kind);
    condition.unwrap_or_else(|| panic!("{status:?} has no {kind:?}")).clone()
}

#[test]
fn a_pool_says_for_whom_it_waits() {
    let seven = (0..7).map(|n| service(&format!("s{n}"))).collect();
    let mut rig = Rig::synced(vec![pool("p", &["10.0.0.0/28"])], seven);
    let users: Vec<String> =
        rig.allocations.pool_users("p").iter().map(ServiceKey::to_string).collect();
    assert_eq!((users.len(), users[0].as_str(), users[6].as_str()), (7, "ns/s0", "ns/s6"));
    rig.said();

    rig.put_pool(pool("p", &["10.0.0.6-10.0.0.8"]));
    let shrunk = condition(&rig, "p", PoolConditionType::Shrunk);
    let names = "ns/s0, ns/s1, ns/s2, ns/s3, ns/s4 and 1 more";
    check(&shrunk.message, &[names, "hold 10.0.0.0 and 5 more", "add these addresses back"]);

    rig.put_pool(Pool { draining: true, ..pool("p", &["10.0.0.6-10.0.0.8"]) });
    let draining = condition(&rig, "p", PoolConditionType::Draining);
    check(&draining.message, &["ns/s4 and 2 more", "delete them, or set another pool"]);
    assert!(!condition(&rig, "p", PoolConditionType::Ready).status);
    for n in 0..7 {
        rig.remove(&format!("s{n}"));
    }
    assert_eq!(rig.allocations.pool_users("p"), []);
    let status = rig.allocations.pool_status("p").unwrap();
    assert_eq!((status.conditions.len(), status.ipv4.allocated), (1, 0));
}

#[test]
fn nothing_is_said_of_a_pool_before_everything_was_listed() {
    let mut rig = Rig::default();
    let draining = Pool { draining: true, ..pool("p", &["10.0.0.0/30"]) };
    rig.put_all(vec![draining], vec![holding("a", "10.0.0.1")]);
    assert_eq!(rig.allocations.pool_status("p"), None, "or its finalizer would be taken off");
    assert_eq!(rig.allocations.pool_statuses(), BTreeMap::new());
    rig.apply(Change::Synced);
    assert_eq!(rig.allocations.pool_users("p"), [key("a")]);
    assert!(rig.allocations.pool_status("p").is_some());
}

#[test]
fn a_pool_says_what_it_cannot_give_out() {
    let machine = Node { addresses: vec![ip("10.0.0.1")], ..node("worker-1") };
    let mut rig = Rig::synced(vec![pool("p", &["10.0.0.0/30"])], vec![]);
    rig.apply(Change::Upsert(Fact::from(machine)));
    let overlap = condition(&rig, "p", PoolConditionType::Overlap);
    assert_eq!(overlap.reason, "NodeAddress");
    check(&overlap.message, &["10.0.0.1, the address of node worker-1", "exclude it"]);
    rig.put(wanting("a", "10.0.0.1"));
    check(rig.message_now("a"), &["is the address of node worker-1: request another"]);

    rig.put_pool(pool("q", &["10.0.0.2-10.0.0.9"]));
    let overlap = condition(&rig, "q", PoolConditionType::Overlap);
    check(&overlap.message, &["pool \"q\" overlaps pool \"p\"", "remove these addresses"]);
    assert_eq!(condition(&rig, "q", PoolConditionType::Ready).message, overlap.message);
    rig.put_pool(Pool {
        exclude: vec!["10.1.0.0/32".parse().unwrap()],
        ..pool("r", &["10.1.0.0/32"])
    });
    assert_eq!(condition(&rig, "r", PoolConditionType::Ready).reason, "Empty");
    rig.put_pool(pool("s", &["10.2.0.0/32"]));
    rig.put(with(service("b"), |it| it.pool = Some("s".into())));
    let ready = condition(&rig, "s", PoolConditionType::Ready);
    assert_eq!((ready.status, ready.reason), (true, "Exhausted"));
}

#[test]
fn counts_are_as_wide_as_the_pool_and_saturate() {
    for (line, capacity) in
        [("fd00::/64", 1 << 64), ("fd00::/62", 1 << 66), ("::/0", u128::MAX), ("fd00::/127", 2)]
    {
        let six = with(service("a"), |it| it.families = vec![Family::Ipv6].into());
        let rig = Rig::synced(vec![pool("p", &[line])], vec![six]);
        let counts = rig.allocations.pool_status("p").unwrap().ipv6;
        assert_eq!(counts, Counts { capacity, allocated: 1, free: capacity - 1 }, "{line}");
    }
}

#[test]
fn a_service_that_no_node_can_answer_for_says_so() {
    let excluded = |name: &str| Fact::from(Node { excluded: true, ..node(name) });
    let mut rig = Rig::synced(vec![pool("p", &["10.0.0.0/30"])], vec![service("a")]);
    for name in ["n1", "n2", "n3", "n4"] {
        rig.apply(Change::Upsert(excluded(name)));
    }
    assert_eq!(rig.said(), ["a 10.0.0.0 NoEligibleNode"]);
    let label = "node.kubernetes.io/exclude-from-external-load-balancers";
    assert!(rig.verdict("a").condition.warns());
    check(rig.message("a"), &["no node may answer for it", "n1, n2, n3 and 1 more", label]);
    // Not ready is no obstacle: such a node serves while no other can.
    rig.apply(Change::Upsert(Fact::from(Node { ready: false, ..node("n4") })));
    assert_eq!(rig.said(), ["a 10.0.0.0 Allocated"]);
    // Cordoned is no obstacle either.
    rig.apply(Change::Upsert(Fact::from(Node { cordoned: true, ..node("n4") })));
    assert_eq!(rig.said(), [""; 0]);
    rig.put_pool(Pool { announcers: Some(vec!["lan".into()]), ..pool("p", &["10.0.0.0/30"]) });
    assert_eq!(rig.said(), ["a 10.0.0.0 NoEligibleNode"]);
    check(rig.message("a"), &["10.0.0.0 is not announced: no announcer covers the address"]);
}

#[test]
fn an_address_that_is_not_shared_says_why() {
    let holder = || with(sharing("a", "k", 80), |it| it.wanted = vec![ip("10.0.0.1")]);
    let wants = |service: Service| with(service, |it| it.wanted = vec![ip("10.0.0.1")]);
    let local = with(sharing("b", "k", 81), |it| it.traffic_policy = TrafficPolicy::Local);
    for (service, words) in [
        (sharing("b", "k", 80), "both have port 80/TCP: change one"),
        (sharing("b", "l", 81), "their sharing keys \"l\" and \"k\" differ"),
        (sharing("b", "", 81), "set the annotation outrigger.dev/sharing-key"),
        (sharing("other/b", "k", 81), "ns/a is in another"),
        (local, "both need the same policy"),
    ] {
        let mut rig = Rig::synced(vec![pool("p", &["10.0.0.0/30"])], vec![holder()]);
        let key = service.key.to_string();
        rig.put(wants(service));
        check(rig.message_now(&key), &["10.0.0.1 is requested, but held by ns/a", words]);
    }
    let mut rig = Rig::synced(vec![pool("p", &["10.0.0.0/30"])], vec![holder()]);
    rig.put(sharing("b", "k", 80));
    check(
        rig.message_now("b"),
        &["does not share 10.0.0.1 with ns/a, which has the same sharing key \"k\"", "port 80/TCP"],
    );
    rig.remove("b");
    rig.remove("a");
    rig.put(wanting("c", "10.0.0.1"));
    check(rig.message_now("c"), &["released a moment ago and may still be announced"]);
}

#[test]
fn what_another_controller_wrote_is_named_with_the_ways_out() {
    let pools = || vec![pool("p", &["10.0.0.0/30"])];
    let theirs = |name: &str, at: &str| Service { ours: false, ..holding(name, at) };
    let mut rig = Rig::synced(pools(), vec![theirs("a", "192.0.2.1"), service("b")]);
    let verdicts: Vec<_> = rig.allocations.verdicts().collect();
    let shown: Vec<_> =
        verdicts.iter().map(|v| (v.writes_ingress, addresses(&v.addresses))).collect();
    assert_eq!(shown, [(false, "192.0.2.1".to_owned()), (true, "10.0.0.0".to_owned())]);
    let adopt = "outrigger.dev/adopt: \"true\"";
    check(
        rig.message("a"),
        &["192.0.2.1", "another controller", "add it to an AddressPool", adopt],
    );

    rig.put(theirs("b", "192.0.2.2"));
    check(rig.message_now("b"), &["wrote 192.0.2.2", "in place of 10.0.0.0", "loadBalancerClass"]);
    rig.put(theirs("c", "10.0.0.0"));
    check(rig.message_now("c"), &["10.0.0.0 in its status", "Service ns/b holds it", adopt]);
}

#[test]
fn a_status_that_is_emptied_again_and_again_is_left_alone_for_a_while() {
    let mut rig = Rig::synced(vec![pool("p", &["10.0.0.0/30"])], vec![service("a")]);
    assert_eq!(rig.said(), ["a 10.0.0.0 Allocated"]);
    let ip = ip("10.0.0.0");
    let write = |rig: &mut Rig, ingress: Vec<IpAddr>| {
        rig.put(Service { ours: !ingress.is_empty(), ingress: ingress.into(), ..service("a") });
        rig.said()
    };
    for _ in 0..2 {
        assert_eq!(write(&mut rig, vec![ip]), Vec::<String>::new());
        assert_eq!(write(&mut rig, vec![]), ["a 10.0.0.0 Allocated"], "it is written again");
    }
    assert_eq!(write(&mut rig, vec![ip]), Vec::<String>::new());
    assert_eq!(write(&mut rig, vec![]), ["a StatusContested"]);
    assert_eq!(write(&mut rig, vec![]), Vec::<String>::new(), "nothing is written any more");
    assert_eq!(rig.held("a"), "10.0.0.0", "and nobody else gets it");
    rig.now.monotonic_us = rig.allocations.next_deadline().expect("it is tried again");
    rig.settle();
    assert_eq!(rig.said(), ["a 10.0.0.0 Allocated"]);
}
