//! Traffic to an address goes to endpoints of its own family, so only those make a node eligible for it.
use super::*;

fn slice(family: Family, on: &str) -> Fact {
    let endpoint =
        Endpoint { node: Some(on.to_owned()), ready: true, serving: true, terminating: false };
    let slice = ServiceKey::new("default", &format!("web-{family}"));
    Fact::from(Endpoints { slice, service: key("web"), family, endpoints: vec![endpoint] })
}

#[test]
fn each_address_of_a_dual_stack_service_follows_the_endpoints_of_its_family() {
    let both = with(service("web", &["10.0.0.1", "2001:db8::1"]), |it| {
        it.traffic_policy = outrigger_sdk::TrafficPolicy::Local;
    });
    let pool = pool("default", &["10.0.0.0/24", "2001:db8::/120"]);
    let mut bench = Bench::new(vec![
        Fact::from(both),
        Fact::from(pool),
        Fact::from(node("me")),
        Fact::from(node("you")),
        slice(Family::Ipv4, "me"),
        slice(Family::Ipv6, "you"),
    ]);
    bench.member("you", false);
    let (v4, v6) = ("10.0.0.1".parse().unwrap(), "2001:db8::1".parse().unwrap());
    bench.plan();
    let duty = |bench: &Bench, address| bench.planner.desired("layer2")[&address].duty.clone();
    assert_eq!(duty(&bench, v4), Duty::Announce);
    assert_eq!(duty(&bench, v6), Duty::Standby("you".to_owned()));
    let why = |address| bench.planner.why(&bench.cluster, &bench.view, address);
    assert_eq!(why(v4)["you"], Err(Ineligible::NoLocalEndpoint));
    assert_eq!(why(v6)["me"], Err(Ineligible::NoLocalEndpoint));
    // The endpoint count of an instance is also by family.
    let count = |address| bench.planner.desired("layer2")[&address].local_endpoints.ready;
    assert_eq!((count(v4), count(v6)), (1, 0));

    // With endpoints of the other family alone, no client can be served.
    let slice_of_v6 = ServiceKey::new("default", "web-IPv6");
    let (slice, family) = (slice_of_v6.clone(), Family::Ipv6);
    bench.upsert(Fact::from(Endpoints { slice, service: key("web"), family, endpoints: vec![] }));
    let why = bench.planner.why(&bench.cluster, &bench.view, v6);
    assert_eq!(why["you"], Err(Ineligible::NoEndpoint));

    // A Service whose slices were not made by Kubernetes may have them of one family alone.
    bench.apply(Change::Remove(FactKey::Endpoints(slice_of_v6)));
    let why = bench.planner.why(&bench.cluster, &bench.view, v6);
    assert_eq!(why["me"], Ok(()));
}

#[test]
fn an_excluded_node_announces_where_every_announcer_of_the_address_ignores_that() {
    let excluded = crate::facts::Node { excluded: true, ..node("me") };
    let ignoring = || Announcer { ignore_exclude_label: true, ..announcer("ignores") };
    let mut bench = Bench::new(vec![
        Fact::from(web()),
        Fact::from(excluded),
        Fact::from(node("you")),
        Fact::from(ignoring()),
        Fact::from(announcer("obeys")),
    ]);
    bench.member("you", false);
    // Another node can serve the segments of both.
    let planned = bench.plan();
    assert!(planned.contains("ignores +10.0.0.1 default web Standby(\"you\")"), "{planned}");
    bench.apply(Change::Remove(FactKey::Announcer("obeys".to_owned())));
    bench.plan();
    let why = bench.planner.why(&bench.cluster, &bench.view, "10.0.0.1".parse().unwrap());
    assert_eq!(why["me"], Ok(()));
}
