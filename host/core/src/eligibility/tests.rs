use outrigger_sdk::Family;

use super::*;
use crate::facts::{
    Change, Endpoints, Fact, Node, NodeName, Requirement, Selector, ServiceKey, with,
};
use crate::plan::test_facts::{cluster, key, node, service};

/// Returns an endpoint on a node with the given conditions: r = ready, s = serving, t = terminating.
fn endpoint(node: &str, conditions: &str) -> Endpoint {
    Endpoint {
        node: (!node.is_empty()).then(|| NodeName::from(node)),
        ready: conditions.contains('r'),
        serving: conditions.contains('s'),
        terminating: conditions.contains('t'),
    }
}

fn slice(name: &str, endpoints: &[Endpoint]) -> Endpoints {
    let slice = ServiceKey::new("default", &format!("{name}-1"));
    Endpoints { slice, service: key(name), family: Family::Ipv4, endpoints: endpoints.to_vec() }
}

fn check(
    cluster: &Cluster,
    services: &[(Service, Vec<Endpoint>)],
    expected: [Result<(), Ineligible>; 3],
) {
    let everywhere = Announcer::default();
    let services: Vec<_> =
        services.iter().map(|(service, endpoints)| (service, endpoints.iter().collect())).collect();
    let eligibility = Eligibility::new(cluster, "a", vec![&everywhere], &services);
    assert_eq!(["a", "b", "c"].map(|node| eligibility.check(node)), expected, "{services:#?}");
}

fn local(name: &str) -> Service {
    with(service(name, &["10.0.0.1"]), |it| it.traffic_policy = TrafficPolicy::Local)
}

#[test]
fn without_nodes_or_slices_the_machine_is_the_only_node() {
    let no = Err(Ineligible::NoNode);
    let mut cluster = cluster();
    check(&cluster, &[(local("web"), vec![])], [Ok(()), no, no]);

    let there = vec![endpoint("elsewhere", "rs")];
    cluster.apply(Change::Upsert(Fact::from(slice("web", &there))));
    check(&cluster, &[(local("web"), there)], [Ok(()), no, no]);
    check(&cluster, &[(local("web"), vec![])], [Err(Ineligible::NoEndpoint), no, no]);
}

#[test]
fn a_node_may_be_unfit_itself() {
    let mut cluster = cluster();
    for fit in [
        node("a"),
        Node { excluded: true, ..node("b") },
        Node { network_available: false, ..node("c") },
    ] {
        cluster.apply(Change::Upsert(Fact::from(fit)));
    }
    let expected = [Ok(()), Err(Ineligible::Excluded), Err(Ineligible::NetworkUnavailable)];
    check(&cluster, &[(service("web", &[]), vec![])], expected);

    cluster.apply(Change::Upsert(Fact::from(Node { ready: false, ..node("b") })));
    let expected = [Ok(()), Err(Ineligible::NotReady), Err(Ineligible::NetworkUnavailable)];
    check(&cluster, &[(service("web", &[]), vec![])], expected);
    let last: Vec<bool> =
        expected.iter().map(|one| one.is_err_and(Ineligible::is_last_resort)).collect();
    assert_eq!(last, [false, true, false]);

    // Not ready takes precedence over cordoned, and excluded over both.
    cluster.apply(Change::Upsert(Fact::from(Node { cordoned: true, ..node("a") })));
    cluster.apply(Change::Upsert(Fact::from(Node { cordoned: true, ready: false, ..node("b") })));
    cluster.apply(Change::Upsert(Fact::from(Node { cordoned: true, excluded: true, ..node("c") })));
    let expected =
        [Err(Ineligible::Cordoned), Err(Ineligible::NotReady), Err(Ineligible::Excluded)];
    check(&cluster, &[(service("web", &[]), vec![])], expected);
    assert!(Ineligible::Cordoned.is_last_resort());

    let nowhere = Eligibility::new(&cluster, "a", vec![], &[]);
    assert_eq!(nowhere.check("a"), Err(Ineligible::NoAnnouncer));
    let on = |name: &str| Selector {
        requirements: vec![Requirement::In(
            "kubernetes.io/hostname".into(),
            [name.to_owned()].into(),
        )],
    };
    let on_b = Announcer { node_selector: on("b"), ..Announcer::default() };
    assert_eq!(
        Eligibility::new(&cluster, "a", vec![&on_b], &[]).check("a"),
        Err(Ineligible::NotSelected)
    );

    // Excluded from external load balancers: an announcer may be configured to ignore that.
    let obeying = Announcer::default();
    let ignoring = Announcer { ignore_exclude_label: true, ..Announcer::default() };
    let check =
        |announcers: Vec<&Announcer>| Eligibility::new(&cluster, "a", announcers, &[]).check("c");
    assert_eq!(check(vec![&ignoring]), Err(Ineligible::Cordoned));
    assert_eq!(check(vec![&obeying, &ignoring]), Err(Ineligible::Excluded));
    let elsewhere = Announcer { node_selector: on("b"), ..ignoring.clone() };
    assert_eq!(check(vec![&obeying, &elsewhere]), Err(Ineligible::Excluded));
    assert_eq!(check(vec![&elsewhere]), Err(Ineligible::NotSelected));
}

#[test]
fn endpoints_decide_by_traffic_policy() {
    let mut cluster = cluster();
    for name in ["a", "b", "c"] {
        cluster.apply(Change::Upsert(Fact::from(node(name))));
    }
    cluster.apply(Change::Upsert(Fact::from(slice("any", &[]))));
    let yes = [Ok(()); 3];
    let none = [Err(Ineligible::NoEndpoint); 3];
    let only_b = [Err(Ineligible::NoLocalEndpoint), Ok(()), Err(Ineligible::NoLocalEndpoint)];
    let only_c = [Err(Ineligible::NoLocalEndpoint), Err(Ineligible::NoLocalEndpoint), Ok(())];
    let going_on_b = [
        Err(Ineligible::NoLocalEndpoint),
        Err(Ineligible::OnlyTerminating),
        Err(Ineligible::NoLocalEndpoint),
    ];
    let nowhere = [Err(Ineligible::NoLocalEndpoint); 3];
    let web = || service("web", &["10.0.0.1"]);
    for (services, expected) in [
        (vec![(web(), vec![])], none),
        (vec![(web(), vec![endpoint("b", "t")])], none),
        (vec![(web(), vec![endpoint("b", "rs")])], yes),
        (vec![(web(), vec![endpoint("", "s")])], yes),
        (vec![(local("web"), vec![endpoint("b", "rs")])], only_b),
        // A terminating endpoint that still serves counts while there is no better one (KEP-1669).
        (vec![(local("web"), vec![endpoint("b", "st")])], going_on_b),
        (vec![(local("web"), vec![endpoint("b", "st"), endpoint("b", "rs")])], only_b),
        (
            vec![(local("web"), vec![endpoint("b", "st"), endpoint("c", "rs")])],
            [Err(Ineligible::NoLocalEndpoint), Err(Ineligible::OnlyTerminating), Ok(())],
        ),
        // A terminating endpoint that no longer serves does not count.
        (vec![(local("web"), vec![endpoint("b", "t"), endpoint("c", "rs")])], only_c),
        // publishNotReadyAddresses: ready without serving.
        (vec![(local("web"), vec![endpoint("b", "r")])], only_b),
        // With policy Cluster any node forwards to the endpoint.
        (vec![(web(), vec![endpoint("b", "st")])], yes),
        (vec![(local("web"), vec![endpoint("", "rs")])], nowhere),
        // A shared address needs a node that suits all Services with an endpoint that can serve.
        (vec![(local("web"), vec![endpoint("b", "rs")]), (service("x", &[]), vec![])], only_b),
        (vec![(local("web"), vec![endpoint("b", "rs")]), (local("x"), vec![])], only_b),
        (
            vec![
                (local("web"), vec![endpoint("b", "rs"), endpoint("c", "rs")]),
                (local("x"), vec![endpoint("a", "rs"), endpoint("b", "rs")]),
            ],
            only_b,
        ),
        (
            vec![(local("web"), vec![endpoint("b", "rs")]), (local("x"), vec![endpoint("a", "r")])],
            nowhere,
        ),
    ] {
        check(&cluster, &services, expected);
    }
}
