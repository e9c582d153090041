//! Tests of an announcer for which every eligible node announces.
use super::*;

const ANNOUNCED: &str = "bgp +10.0.0.1 default web Announce";
const STANDS_BY: &str = "bgp +10.0.0.1 default web Standby(\"\")";

/// Returns a bench with the nodes `me` and `other`, and a speaker on both.
fn bench(me: Node) -> Bench {
    let bgp = Announcer { election: Election::All, ..announcer("bgp") };
    let named = Some(vec!["bgp".to_owned()]);
    let pool = Pool { announcers: named, ..pool("default", &["10.0.0.0/16"]) };
    let facts = [
        Fact::from(pool),
        Fact::from(web()),
        Fact::from(me),
        Fact::from(node("other")),
        Fact::from(bgp),
    ];
    let mut bench = Bench::new(facts.into());
    bench.member("other", false);
    bench
}

#[test]
fn every_node_that_may_announces_and_none_claims() {
    let mut bench = bench(node("me"));
    assert_eq!(bench.plan(), ANNOUNCED);
    // In addition, one node answers on a segment.
    bench.upsert(Fact::from(announcer("layer2")));
    let named = Some(vec!["bgp".to_owned(), "layer2".to_owned()]);
    bench.upsert(Fact::from(Pool { announcers: named, ..pool("default", &["10.0.0.0/16"]) }));
    bench.other_claims("other", "10.0.0.1", Some(Claim { term: 1, announced: true }));
    assert_eq!(bench.plan(), "layer2 +10.0.0.1 default web Standby(\"other\")");
    bench.upsert(Fact::from(Node { excluded: true, ..node("me") }));
    assert_eq!(bench.plan(), STANDS_BY);
}

#[test]
fn a_new_address_waits_until_its_traffic_can_be_forwarded_here_too() {
    let mut bench = bench(node("me"));
    bench.planner = Planner::new("me".to_owned()).with_delay(100);
    bench.planner.time(1_000);
    assert_eq!(bench.plan(), ANNOUNCED, "it was there before");
    bench.upsert(Fact::from(service("dns", &["10.0.0.2"])));
    bench.planner.time(2_000);
    assert_eq!(bench.plan(), "bgp +10.0.0.2 default dns Standby(\"\")");
    bench.planner.time(2_100);
    assert_eq!(bench.plan(), "bgp +10.0.0.2 default dns Announce");
}

#[test]
fn a_cordoned_node_goes_on_as_the_least_preferred() {
    let mut bench = bench(node("me"));
    assert_eq!(bench.plan(), ANNOUNCED);
    bench.upsert(Fact::from(Node { cordoned: true, ..node("me") }));
    assert_eq!(bench.plan(), "bgp +10.0.0.1 default web HandOver(\"\")");
    bench.upsert(Fact::from(node("me")));
    assert_eq!(bench.plan(), ANNOUNCED);
}

#[test]
fn a_node_that_is_not_ready_announces_only_while_no_other_can() {
    let mut bench = bench(Node { ready: false, ..node("me") });
    assert_eq!(bench.plan(), STANDS_BY);
    bench.member("other", true);
    assert_eq!(bench.plan(), ANNOUNCED);
}

#[test]
fn the_first_announcer_of_bgp_leaves_layer_2_to_those_who_are_reached_there() {
    let mut bench = Bench::new(vec![Fact::from(web()), Fact::from(node("me"))]);
    assert_eq!(bench.plan(), super::ANNOUNCED);
    let plugin = PluginRef { plugin: "bgp".to_owned(), config: "{}".to_owned() };
    let bgp = Announcer { plugin, election: Election::All, ..announcer("racks") };
    bench.upsert(Fact::from(bgp));
    assert_eq!(bench.plan(), "racks +10.0.0.1 default web Announce");
    let note = built_in_beside(&bench.cluster).unwrap();
    assert!(note.contains("addresses of default in addition to racks"), "{note}");
    assert!(note.contains("set spec.announcers: [racks] in the pool"), "{note}");

    let named = Some(vec!["racks".to_owned()]);
    bench.upsert(Fact::from(Pool { announcers: named, ..pool("default", &["10.0.0.0/16"]) }));
    assert_eq!(bench.plan(), "layer2 -10.0.0.1\nclaim 10.0.0.1 no");
    assert_eq!(built_in_beside(&bench.cluster), None);
}
