//! Tests in which a node hands an address over to another, or finds that another has it.
use super::*;

#[test]
fn make_before_break_from_both_sides() {
    let nodes = || vec![Fact::from(web()), Fact::from(node("me")), Fact::from(node("you"))];
    let theirs = |term, announced| Some(Claim { term, announced });

    let mut bench = Bench::new(nodes());
    bench.plan();
    bench.planner.reported("layer2", "10.0.0.1".parse().unwrap(), true);
    assert_eq!(bench.plan(), "claim 10.0.0.1 1026 true");
    bench.member("you", false);
    assert_eq!(bench.plan(), "", "sticky");
    bench.member("me", true);
    assert_eq!(bench.plan(), "layer2 +10.0.0.1 default web HandOver(\"you\")");
    bench.other_claims("you", "10.0.0.1", theirs(1028, false));
    assert_eq!(bench.plan(), "");
    bench.other_claims("you", "10.0.0.1", theirs(1028, true));
    assert_eq!(bench.plan(), "layer2 +10.0.0.1 default web Standby(\"you\")\nclaim 10.0.0.1 no");

    let mut bench = Bench::new(nodes());
    bench.member("you", false);
    bench.other_claims("you", "10.0.0.1", theirs(1028, true));
    assert_eq!(bench.plan(), "layer2 +10.0.0.1 default web Standby(\"you\")");
    bench.member("you", true);
    assert_eq!(
        bench.plan(),
        "layer2 +10.0.0.1 default web TakeOver(\"you\")\nclaim 10.0.0.1 1030 false"
    );
    bench.other_claims("you", "10.0.0.1", None);
    assert_eq!(bench.plan(), "layer2 +10.0.0.1 default web Announce");
}

#[test]
fn a_rival_of_better_rank_is_yielded_to_and_its_term_remembered() {
    let nodes = vec![Fact::from(web()), Fact::from(node("me")), Fact::from(node("you"))];
    let mut bench = Bench::new(nodes);
    bench.plan();
    bench.member("you", false);
    bench.other_claims("you", "10.0.0.1", Some(Claim { term: 1031, announced: false }));
    assert_eq!(bench.plan(), "layer2 +10.0.0.1 default web Standby(\"you\")\nclaim 10.0.0.1 no");
    bench.view.members.remove("you");
    bench.other_claims("you", "10.0.0.1", None);
    bench.member("me", false);
    assert_eq!(bench.plan(), "layer2 +10.0.0.1 default web Announce\nclaim 10.0.0.1 1032 false");
}
