use super::test_facts::{cluster, key, node, pool, service};
use super::*;
use crate::facts::{
    Change, Endpoint, Endpoints, Fact, Node, PluginRef, Pool, Requirement, Selector, Service,
    ServiceKey,
};
use crate::membership::Member;

/// One node's planner, its facts and its view.
struct Bench {
    cluster: Cluster,
    planner: Planner,
    view: View,
}

impl Bench {
    fn new(facts: Vec<Fact>) -> Self {
        let mut cluster = cluster();
        for fact in facts {
            cluster.apply(Change::Upsert(fact));
        }
        let mut bench =
            Self { cluster, planner: Planner::new("me".to_owned()), view: View::default() };
        bench.member("me", false);
        bench
    }

    fn apply(&mut self, change: Change) {
        let key = match &change {
            Change::Upsert(fact) => fact.key(),
            Change::Remove(key) => key.clone(),
            Change::Synced => panic!("has no key"),
        };
        self.cluster.apply(change);
        self.planner.facts_changed(&self.cluster, &key);
    }

    fn upsert(&mut self, fact: Fact) {
        self.apply(Change::Upsert(fact));
    }

    fn member(&mut self, name: &str, leaving: bool) {
        let address = "192.0.2.1:7950".parse().unwrap();
        self.view.members.insert(name.to_owned(), Member { leaving, address });
        self.planner.view_changed(&ViewChange { members: true, ..ViewChange::default() });
    }

    fn other_claims(&mut self, node: &str, address: &str, claim: Option<Claim>) {
        let address = address.parse().unwrap();
        let claims = self.view.claims.entry(address).or_default();
        match claim {
            Some(claim) => claims.insert(node.to_owned(), claim),
            None => claims.remove(node),
        };
        let addresses = [address].into();
        self.planner.view_changed(&ViewChange { members: false, addresses });
    }

    fn plan(&mut self) -> String {
        let planned = self.planner.plan(&self.cluster, &self.view, true);
        let mut lines = Vec::new();
        for change in planned.changes {
            let InstanceChange { announcer, remove, upsert } = change;
            lines.extend(remove.iter().map(|address| format!("{announcer} -{address}")));
            let entry = |entry: DesiredAddress| {
                let services: Vec<_> = entry.services.into_iter().map(|one| one.name).collect();
                let (address, services) = (entry.address, services.join("+"));
                format!("{announcer} +{address} {} {services} {:?}", entry.pool, entry.duty)
            };
            lines.extend(upsert.into_iter().map(entry));
        }
        for (address, claim) in planned.claims {
            lines.push(match claim {
                Some(claim) => format!("claim {address} {} {}", claim.term, claim.announced),
                None => format!("claim {address} no"),
            });
        }
        lines.join("\n")
    }
}

fn web() -> Service {
    service("web", &["10.0.0.1"])
}

fn announcer(name: &str) -> Announcer {
    Announcer {
        name: name.to_owned(),
        plugin: PluginRef { plugin: name.to_owned(), config: "{}".to_owned() },
        ..Announcer::default()
    }
}

fn only(key: &str, value: &str) -> Selector {
    Selector { requirements: vec![Requirement::In(key.into(), [value.into()].into())] }
}

const ANNOUNCED: &str = "layer2 +10.0.0.1 default web Announce\nclaim 10.0.0.1 1 false";

#[test]
fn nothing_is_planned_before_the_facts_are_listed() {
    let mut bench = Bench::new(vec![Fact::Service(web())]);
    bench.cluster.synced = false;
    assert_eq!(bench.plan(), "");
    bench.cluster.apply(Change::Synced);
    assert_eq!(bench.plan(), ANNOUNCED);
    assert_eq!(bench.plan(), "");
}

#[test]
fn nothing_new_is_announced_before_the_view_is_settled() {
    let mut bench = Bench::new(vec![Fact::Service(web())]);
    let planned = bench.planner.plan(&bench.cluster, &bench.view, false);
    assert_eq!(planned.changes[0].upsert[0].duty, Duty::Standby(String::new()));
    assert_eq!(bench.plan(), ANNOUNCED);
}

#[test]
fn a_service_comes_changes_and_goes() {
    let mut bench = Bench::new(vec![]);
    assert_eq!(bench.plan(), "");
    bench.upsert(Fact::Service(web()));
    assert_eq!(bench.plan(), ANNOUNCED);

    // Outside every pool: nobody's.
    let foreign = service("web", &["10.0.0.1", "198.51.100.1"]);
    bench.upsert(Fact::Service(Service { ours: false, ..foreign }));
    assert_eq!(bench.plan(), "");
    bench.upsert(Fact::Service(service("web", &["10.0.0.2"])));
    assert_eq!(
        bench.plan(),
        "layer2 -10.0.0.1\nlayer2 +10.0.0.2 default web Announce\nclaim 10.0.0.1 no\nclaim 10.0.0.2 1 false"
    );
    bench.upsert(Fact::Service(service("dns", &["10.0.0.2"])));
    assert_eq!(bench.plan(), "layer2 +10.0.0.2 default dns+web Announce");
    bench.apply(Change::Remove(FactKey::Service(key("web"))));
    assert_eq!(bench.plan(), "layer2 +10.0.0.2 default dns Announce");
    bench.apply(Change::Remove(FactKey::Service(key("dns"))));
    assert_eq!(bench.plan(), "layer2 -10.0.0.2\nclaim 10.0.0.2 no");
    assert!(bench.planner.desired("layer2").is_empty());
}

#[test]
fn a_removal_followed_by_an_addition_is_never_merged_away() {
    let mut bench = Bench::new(vec![Fact::Service(web())]);
    bench.plan();
    bench.apply(Change::Remove(FactKey::Service(key("web"))));
    bench.upsert(Fact::Service(web()));
    assert_eq!(bench.plan(), "layer2 -10.0.0.1\nlayer2 +10.0.0.1 default web Announce");
}

#[test]
fn a_pool_that_is_deleted_or_shrunk_keeps_serving() {
    let mut bench = Bench::new(vec![Fact::Service(web())]);
    bench.plan();
    bench.upsert(Fact::Pool(pool("default", &["10.1.0.0/24"])));
    assert_eq!(bench.plan(), "");
    bench.apply(Change::Remove(FactKey::Pool("default".to_owned())));
    assert_eq!(bench.plan(), "");
    assert_eq!(bench.planner.desired("layer2").len(), 1);
    // Once given back, the address is nobody's.
    bench.apply(Change::Remove(FactKey::Service(key("web"))));
    assert_eq!(bench.plan(), "layer2 -10.0.0.1\nclaim 10.0.0.1 no");
    bench.upsert(Fact::Service(Service { ours: false, ..web() }));
    assert_eq!(bench.plan(), "");
}

#[test]
fn what_a_pool_gave_is_served_by_a_daemon_that_never_saw_the_pool() {
    let mut bench = Bench::new(vec![Fact::Service(web())]);
    bench.apply(Change::Remove(FactKey::Pool("default".to_owned())));
    assert_eq!(bench.plan(), "layer2 +10.0.0.1  web Announce\nclaim 10.0.0.1 1 false");
}

#[test]
fn a_node_that_is_not_ready_serves_only_while_no_other_can() {
    let not_ready = |name: &str| Fact::Node(Node { ready: false, ..node(name) });
    let facts = vec![Fact::Service(web()), Fact::Node(node("me")), not_ready("other")];
    let mut bench = Bench::new(facts);
    bench.member("other", false);
    assert_eq!(bench.plan(), ANNOUNCED);
    // All are not ready: it goes on, and nobody else begins.
    bench.upsert(not_ready("me"));
    assert_eq!(bench.plan(), "");
    // One is ready again: make before break.
    bench.upsert(Fact::Node(node("other")));
    assert_eq!(bench.plan(), "layer2 +10.0.0.1 default web HandOver(\"other\")");
    bench.other_claims("other", "10.0.0.1", Some(Claim { term: 2, announced: true }));
    assert_eq!(bench.plan(), "layer2 +10.0.0.1 default web Standby(\"other\")\nclaim 10.0.0.1 no");
    let why = bench.planner.why(&bench.cluster, &bench.view, "10.0.0.1".parse().unwrap());
    assert_eq!(why["me"], Err(Ineligible::NotReady));
    // The ready one is gone: better a node that is not ready than none.
    bench.view.members.remove("other");
    bench.view.claims.clear();
    bench.planner.view_changed(&ViewChange { members: true, ..ViewChange::default() });
    assert_eq!(bench.plan(), "layer2 +10.0.0.1 default web Announce\nclaim 10.0.0.1 3 false");
}

#[test]
fn an_address_of_policy_local_follows_the_endpoints_that_stay() {
    let endpoint = |node: &str, ready, terminating| Endpoint {
        node: Some(node.to_owned()),
        ready,
        serving: true,
        terminating,
    };
    let slice = |endpoints: Vec<Endpoint>| {
        let slice = ServiceKey { namespace: "default".to_owned(), name: "web-1".to_owned() };
        Fact::Endpoints(Endpoints { slice, service: key("web"), endpoints })
    };
    let local = Service { traffic_policy: outrigger_sdk::TrafficPolicy::Local, ..web() };
    let facts = vec![
        Fact::Service(local),
        Fact::Node(node("me")),
        Fact::Node(node("other")),
        slice(vec![endpoint("me", true, false)]),
    ];
    let mut bench = Bench::new(facts);
    bench.member("other", false);
    assert_eq!(bench.plan(), ANNOUNCED);
    // Ours terminates, and is all there is.
    bench.upsert(slice(vec![endpoint("me", false, true)]));
    assert_eq!(bench.plan(), "layer2 +10.0.0.1 default web Announce", "only the counts changed");
    // Another one is ready elsewhere, while ours still serves.
    bench.upsert(slice(vec![endpoint("me", false, true), endpoint("other", true, false)]));
    assert_eq!(bench.plan(), "layer2 +10.0.0.1 default web HandOver(\"other\")");
    bench.upsert(slice(vec![endpoint("other", true, false)]));
    bench.other_claims("other", "10.0.0.1", Some(Claim { term: 2, announced: true }));
    assert_eq!(bench.plan(), "layer2 +10.0.0.1 default web Standby(\"other\")\nclaim 10.0.0.1 no");
}

#[test]
fn a_pool_chooses_announcers_and_they_choose_services_and_nodes() {
    let mut bench = Bench::new(vec![Fact::Service(web()), Fact::Node(node("me"))]);
    assert_eq!(bench.plan(), ANNOUNCED);
    bench.upsert(Fact::Announcer(announcer("other")));
    bench.planner.reported("layer2", "10.0.0.1".parse().unwrap(), true);
    assert_eq!(bench.plan(), "layer2 -10.0.0.1\nother +10.0.0.1 default web Announce");
    bench.planner.reported("other", "10.0.0.1".parse().unwrap(), true);
    assert_eq!(bench.plan(), "claim 10.0.0.1 1 true");

    // A pool that names the built-in one gets it, though nobody wrote it down.
    let named = Some(vec!["layer2".to_owned()]);
    bench.upsert(Fact::Pool(Pool { announcers: named, ..pool("default", &["10.0.0.0/16"]) }));
    assert_eq!(
        bench.plan(),
        "layer2 +10.0.0.1 default web Announce\nother -10.0.0.1\nclaim 10.0.0.1 1 false"
    );
    assert_eq!(announcers(&bench.cluster).len(), 2);

    let not_web = Announcer { service_selector: only("app", "dns"), ..announcer("layer2") };
    bench.upsert(Fact::Announcer(not_web));
    assert_eq!(bench.plan(), "layer2 -10.0.0.1\nclaim 10.0.0.1 no");
    let why = bench.planner.why(&bench.cluster, &bench.view, "10.0.0.1".parse().unwrap());
    assert_eq!(why["me"], Err(Ineligible::NoAnnouncer));

    bench.upsert(Fact::Announcer(announcer("layer2")));
    assert!(bench.plan().starts_with("layer2 +10.0.0.1 default web Announce\nclaim"));
    let elsewhere = only("kubernetes.io/hostname", "you");
    bench.upsert(Fact::Announcer(Announcer { node_selector: elsewhere, ..announcer("layer2") }));
    assert_eq!(bench.plan(), "layer2 -10.0.0.1\nclaim 10.0.0.1 no");
    let why = bench.planner.why(&bench.cluster, &bench.view, "10.0.0.1".parse().unwrap());
    assert_eq!(why["me"], Err(Ineligible::NotSelected));
}

#[test]
fn make_before_break_from_both_sides() {
    let nodes = || vec![Fact::Service(web()), Fact::Node(node("me")), Fact::Node(node("you"))];
    let theirs = |term, announced| Some(Claim { term, announced });

    let mut bench = Bench::new(nodes());
    bench.plan();
    bench.planner.reported("layer2", "10.0.0.1".parse().unwrap(), true);
    assert_eq!(bench.plan(), "claim 10.0.0.1 1 true");
    bench.member("you", false);
    assert_eq!(bench.plan(), "", "sticky");
    bench.member("me", true);
    assert_eq!(bench.plan(), "layer2 +10.0.0.1 default web HandOver(\"you\")");
    bench.other_claims("you", "10.0.0.1", theirs(2, false));
    assert_eq!(bench.plan(), "");
    bench.other_claims("you", "10.0.0.1", theirs(2, true));
    assert_eq!(bench.plan(), "layer2 +10.0.0.1 default web Standby(\"you\")\nclaim 10.0.0.1 no");

    let mut bench = Bench::new(nodes());
    bench.member("you", false);
    bench.other_claims("you", "10.0.0.1", theirs(4, true));
    assert_eq!(bench.plan(), "layer2 +10.0.0.1 default web Standby(\"you\")");
    bench.member("you", true);
    assert_eq!(
        bench.plan(),
        "layer2 +10.0.0.1 default web TakeOver(\"you\")\nclaim 10.0.0.1 5 false"
    );
    bench.other_claims("you", "10.0.0.1", None);
    assert_eq!(bench.plan(), "layer2 +10.0.0.1 default web Announce");
}

#[test]
fn a_rival_of_better_rank_is_yielded_to_and_its_term_remembered() {
    let nodes = vec![Fact::Service(web()), Fact::Node(node("me")), Fact::Node(node("you"))];
    let mut bench = Bench::new(nodes);
    bench.plan();
    bench.member("you", false);
    bench.other_claims("you", "10.0.0.1", Some(Claim { term: 7, announced: false }));
    assert_eq!(bench.plan(), "layer2 +10.0.0.1 default web Standby(\"you\")\nclaim 10.0.0.1 no");
    bench.view.members.remove("you");
    bench.other_claims("you", "10.0.0.1", None);
    bench.member("me", false);
    assert_eq!(bench.plan(), "layer2 +10.0.0.1 default web Announce\nclaim 10.0.0.1 8 false");
}

#[test]
fn local_endpoints_are_counted_and_their_loss_is_followed() {
    let endpoint =
        |ready| Endpoint { node: Some("me".into()), ready, serving: ready, terminating: !ready };
    let slice = |endpoints: Vec<Endpoint>| {
        let slice = ServiceKey { namespace: "default".into(), name: "web-1".into() };
        Fact::Endpoints(Endpoints { slice, service: key("web"), endpoints })
    };
    let mut bench = Bench::new(vec![Fact::Service(web()), Fact::Node(node("me"))]);
    assert_eq!(bench.plan(), ANNOUNCED);
    bench.upsert(slice(vec![endpoint(true), endpoint(true)]));
    assert_eq!(bench.plan(), "layer2 +10.0.0.1 default web Announce");
    let count =
        |bench: &Bench| bench.planner.desired("layer2").values().next().unwrap().local_endpoints;
    assert_eq!((count(&bench).ready, count(&bench).serving, count(&bench).terminating), (2, 2, 0));
    bench.upsert(slice(vec![endpoint(false)]));
    assert_eq!(bench.plan(), "layer2 +10.0.0.1 default web Standby(\"\")\nclaim 10.0.0.1 no");
    assert_eq!((count(&bench).ready, count(&bench).terminating), (0, 1));
    bench.apply(Change::Remove(FactKey::Endpoints(ServiceKey {
        namespace: "default".into(),
        name: "web-1".into(),
    })));
    assert!(bench.plan().starts_with("layer2 +10.0.0.1 default web Announce"));
}

#[test]
fn why_names_a_reason_for_every_node() {
    let mut bench = Bench::new(vec![
        Fact::Service(web()),
        Fact::Node(node("me")),
        Fact::Node(node("down")),
        Fact::Node(crate::facts::Node { excluded: true, ..node("excluded") }),
        Fact::Node(node("leaving")),
    ]);
    bench.member("excluded", false);
    bench.member("leaving", true);
    bench.member("stranger", false);
    let why = bench.planner.why(&bench.cluster, &bench.view, "10.0.0.1".parse().unwrap());
    let names: Vec<_> = why
        .iter()
        .map(|(node, verdict)| (node.as_str(), verdict.err().map_or("", |no| no.name())))
        .collect();
    assert_eq!(
        names,
        [
            ("down", "NotAlive"),
            ("excluded", "Excluded"),
            ("leaving", "Leaving"),
            ("me", ""),
            ("stranger", "NoNode")
        ]
    );
}
