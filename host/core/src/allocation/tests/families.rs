//! Dual stack: one pool or two, and all or none.
use super::*;

#[test]
fn families_may_come_from_two_pools_and_all_or_none_is_meant() {
    let v4 = || pool("v4", &["10.0.0.1-10.0.0.1"]);
    let v6 = || pool("v6", &["fd00::1-fd00::1"]);
    for (case, pools, all_families, expected) in [
        ("both", vec![v4(), v6()], true, "10.0.0.1, fd00::1"),
        ("both preferred", vec![v4(), v6()], false, "10.0.0.1, fd00::1"),
        ("one required", vec![v4()], true, ""),
        ("one preferred", vec![v4()], false, "10.0.0.1"),
        ("the other preferred", vec![v6()], false, "fd00::1"),
    ] {
        let rig = Rig::synced(pools, vec![dual("a", all_families)]);
        assert_eq!(rig.held("a"), expected, "{case}");
    }
}

#[test]
fn a_second_family_is_added_when_a_pool_offers_it() {
    let mut rig = Rig::synced(vec![pool("p", &["10.0.0.1-10.0.0.9"])], vec![dual("a", false)]);
    assert_eq!(rig.said(), ["a 10.0.0.1 PartlyAllocated"]);
    rig.put(Service { ingress: vec![ip("10.0.0.1")].into(), ours: true, ..dual("a", false) });
    rig.put(service("b"));
    assert_eq!(rig.said(), ["b 10.0.0.2 Allocated"], "nothing new about a");
    rig.apply(Change::Upsert(Fact::from(pool("q", &["fd00::/64"]))));
    let question = rig.allocations.poll(rig.now).unwrap();
    assert_eq!(question.request.families, [Family::Ipv6]);
    assert_eq!(question.request.holds, [ip("10.0.0.1")]);
    let outcome = lowest(&question);
    rig.allocations.answer(question, Ok(outcome), rig.now);
    rig.settle();
    assert_eq!(rig.said(), ["a 10.0.0.1, fd00:: Allocated"]);
}
