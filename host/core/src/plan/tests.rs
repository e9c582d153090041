use outrigger_sdk::Family;

use super::test_facts::{cluster, key, node, pool, service};
use super::*;
use crate::eligibility::Ineligible;
use crate::facts::{
    Change, Endpoint, Endpoints, Fact, FactKey, Node, PluginRef, Pool, Requirement, Selector,
    Service, ServiceKey, with,
};
use crate::membership::Hearing;
use crate::membership::Member;

mod all_nodes;
mod families;
mod handed_over;

/// The planner of one node, with its facts and its view.
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
        if let Some(difference) = self.cluster.apply(change) {
            self.planner.facts_changed(&self.cluster, &difference);
        }
    }

    fn upsert(&mut self, fact: Fact) {
        self.apply(Change::Upsert(fact));
    }

    fn member(&mut self, name: &str, leaving: bool) {
        let address = "192.0.2.1:7950".parse().unwrap();
        self.view
            .members
            .insert(name.to_owned(), Member { leaving, hearing: Hearing::Itself, address });
        self.planner.view_changed(&ViewChange { members: true, ..ViewChange::default() });
    }

    fn other_claims(&mut self, node: &str, address: &str, claim: Option<Claim>) {
        let address = address.parse().unwrap();
        let key = (address, node.to_owned());
        match claim {
            Some(claim) => self.view.claims.insert(key, claim),
            None => self.view.claims.remove(&key),
        };
        let addresses = [address].into();
        self.planner.view_changed(&ViewChange { addresses, ..ViewChange::default() });
    }

    fn plan(&mut self) -> String {
        let planned = self.planner.plan(&self.cluster, &self.view, Outlook::UNDISTURBED);
        let mut lines = Vec::new();
        for change in planned.changes {
            let InstanceChange { announcer, remove, upsert } = change;
            lines.extend(remove.iter().map(|address| format!("{announcer} -{address}")));
            let entry = |entry: Arc<Desired>| {
                let services: Vec<_> = entry.services.iter().map(|one| one.key.name()).collect();
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

const ANNOUNCED: &str = "layer2 +10.0.0.1 default web Announce\nclaim 10.0.0.1 1026 false";

#[test]
fn nothing_is_planned_before_the_facts_are_listed() {
    let mut bench = Bench::new(vec![Fact::from(web())]);
    bench.cluster.synced = false;
    assert_eq!(bench.plan(), "");
    bench.cluster.apply(Change::Synced);
    assert_eq!(bench.plan(), ANNOUNCED);
    assert_eq!(bench.plan(), "");
}

#[test]
fn nothing_new_is_announced_before_the_view_is_settled() {
    let mut bench = Bench::new(vec![Fact::from(web())]);
    let planned = bench.planner.plan(&bench.cluster, &bench.view, Outlook::default());
    assert_eq!(planned.changes[0].upsert[0].duty, Duty::Standby(String::new()));
    assert_eq!(bench.plan(), ANNOUNCED);
}

#[test]
fn a_new_address_is_announced_when_its_traffic_can_be_forwarded() {
    let mut bench = Bench::new(vec![Fact::from(web()), Fact::from(node("me"))]);
    bench.planner = Planner::new("me".to_owned()).with_delay(100);
    bench.planner.time(1_000);
    assert_eq!(bench.plan(), ANNOUNCED, "it was there before");

    bench.upsert(Fact::from(service("dns", &["10.0.0.2", "10.0.0.3"])));
    bench.planner.time(2_000);
    assert_eq!(
        bench.plan(),
        "layer2 +10.0.0.2 default dns Standby(\"\")\nlayer2 +10.0.0.3 default dns Standby(\"\")"
    );
    assert_eq!(bench.planner.next_deadline(), Some(2_100));
    // Another node answers for one of them already, so it need not wait.
    bench.member("other", false);
    bench.upsert(Fact::from(node("other")));
    bench.member("other", true);
    bench.other_claims("other", "10.0.0.3", Some(Claim { term: 1, announced: true }));
    assert_eq!(
        bench.plan(),
        "layer2 +10.0.0.3 default dns TakeOver(\"other\")\nclaim 10.0.0.3 1026 false"
    );
    // Neither a change of the Service nor another Service restarts the delay.
    bench.upsert(Fact::from(service("more", &["10.0.0.2"])));
    bench.planner.time(2_099);
    assert_eq!(bench.plan(), "layer2 +10.0.0.2 default dns+more Standby(\"\")");
    bench.planner.time(2_100);
    assert_eq!(
        bench.plan(),
        "layer2 +10.0.0.2 default dns+more Announce\nclaim 10.0.0.2 1026 false"
    );
    assert_eq!(bench.planner.next_deadline(), None);

    // An address that was released and assigned again is new.
    bench.apply(Change::Remove(FactKey::Service(key("web"))));
    assert_eq!(bench.plan(), "layer2 -10.0.0.1\nclaim 10.0.0.1 no");
    bench.upsert(Fact::from(web()));
    bench.planner.time(3_000);
    assert_eq!(bench.plan(), "layer2 +10.0.0.1 default web Standby(\"\")");
    assert_eq!(bench.planner.next_deadline(), Some(3_100));
    bench.apply(Change::Remove(FactKey::Service(key("web"))));
    bench.plan();
    assert_eq!(bench.planner.next_deadline(), None);
}

#[test]
fn a_service_comes_changes_and_goes() {
    let mut bench = Bench::new(vec![]);
    assert_eq!(bench.plan(), "");
    bench.upsert(Fact::from(web()));
    assert_eq!(bench.plan(), ANNOUNCED);

    // An address outside every pool is not announced.
    let foreign = service("web", &["10.0.0.1", "198.51.100.1"]);
    bench.upsert(Fact::from(Service { ours: false, ..foreign }));
    assert_eq!(bench.plan(), "");
    bench.upsert(Fact::from(service("web", &["10.0.0.2"])));
    assert_eq!(
        bench.plan(),
        "layer2 -10.0.0.1\nlayer2 +10.0.0.2 default web Announce\nclaim 10.0.0.1 no\nclaim 10.0.0.2 1026 false"
    );
    bench.upsert(Fact::from(service("dns", &["10.0.0.2"])));
    assert_eq!(bench.plan(), "layer2 +10.0.0.2 default dns+web Announce");
    bench.apply(Change::Remove(FactKey::Service(key("web"))));
    assert_eq!(bench.plan(), "layer2 +10.0.0.2 default dns Announce");
    bench.apply(Change::Remove(FactKey::Service(key("dns"))));
    assert_eq!(bench.plan(), "layer2 -10.0.0.2\nclaim 10.0.0.2 no");
    assert!(bench.planner.desired("layer2").is_empty());
}

#[test]
fn a_removal_followed_by_an_addition_is_never_merged_away() {
    let mut bench = Bench::new(vec![Fact::from(web())]);
    bench.plan();
    bench.apply(Change::Remove(FactKey::Service(key("web"))));
    bench.upsert(Fact::from(web()));
    assert_eq!(bench.plan(), "layer2 -10.0.0.1\nlayer2 +10.0.0.1 default web Announce");
}

#[test]
fn a_pool_that_is_deleted_or_shrunk_keeps_serving() {
    let mut bench = Bench::new(vec![Fact::from(web())]);
    bench.plan();
    bench.upsert(Fact::from(pool("default", &["10.1.0.0/24"])));
    assert_eq!(bench.plan(), "");
    bench.apply(Change::Remove(FactKey::Pool("default".to_owned())));
    assert_eq!(bench.plan(), "");
    assert_eq!(bench.planner.desired("layer2").len(), 1);
    // A released address is not announced.
    bench.apply(Change::Remove(FactKey::Service(key("web"))));
    assert_eq!(bench.plan(), "layer2 -10.0.0.1\nclaim 10.0.0.1 no");
    bench.upsert(Fact::from(Service { ours: false, ..web() }));
    assert_eq!(bench.plan(), "");
}

#[test]
fn what_a_pool_gave_is_served_by_a_daemon_that_never_saw_the_pool() {
    let mut bench = Bench::new(vec![Fact::from(web())]);
    bench.apply(Change::Remove(FactKey::Pool("default".to_owned())));
    assert_eq!(bench.plan(), "layer2 +10.0.0.1  web Announce\nclaim 10.0.0.1 1026 false");
}

#[test]
fn of_two_pools_that_overlap_the_one_that_was_in_force_says_who_announces() {
    let named = |name: &str| Some(vec![name.to_owned()]);
    let was = |name: &str, addresses: &[&str], pool: Pool| {
        let last =
            Pool { announcers: named(name), ..super::test_facts::pool(&pool.name, addresses) };
        Fact::from(Pool { announcers: named(name), last_valid: Some(Box::new(last)), ..pool })
    };
    let mut bench = Bench::new(vec![
        Fact::from(web()),
        Fact::from(announcer("one")),
        Fact::from(announcer("two")),
        was("one", &["10.9.0.0/24"], pool("default", &["10.0.0.0/16"])),
        was("two", &["10.0.0.0/24"], pool("other", &["10.0.0.0/24"])),
    ]);
    assert_eq!(bench.plan(), "two +10.0.0.1 other web Announce\nclaim 10.0.0.1 1026 false");
    // An address that only the last valid version contains also belongs to that pool.
    bench.upsert(was("two", &["10.0.0.0/24"], pool("other", &["10.8.0.0/24"])));
    bench.upsert(Fact::from(pool("default", &["10.9.0.0/24"])));
    assert_eq!(bench.plan(), "");
}

#[test]
fn a_node_that_is_not_ready_serves_only_while_no_other_can() {
    let not_ready = |name: &str| Fact::from(Node { ready: false, ..node(name) });
    let facts = vec![Fact::from(web()), Fact::from(node("me")), not_ready("other")];
    let mut bench = Bench::new(facts);
    bench.member("other", false);
    assert_eq!(bench.plan(), ANNOUNCED);
    // If no node is ready, this one continues, and no other begins.
    bench.upsert(not_ready("me"));
    assert_eq!(bench.plan(), "");
    // One node is ready again: make before break.
    bench.upsert(Fact::from(node("other")));
    assert_eq!(bench.plan(), "layer2 +10.0.0.1 default web HandOver(\"other\")");
    bench.other_claims("other", "10.0.0.1", Some(Claim { term: 2, announced: true }));
    assert_eq!(bench.plan(), "layer2 +10.0.0.1 default web Standby(\"other\")\nclaim 10.0.0.1 no");
    let why = bench.planner.why(&bench.cluster, &bench.view, "10.0.0.1".parse().unwrap());
    assert_eq!(why["me"], Err(Ineligible::NotReady));
    // The ready node is gone: a node that is not ready is better than none.
    bench.view.members.remove("other");
    bench.view.claims.clear();
    bench.planner.view_changed(&ViewChange { members: true, ..ViewChange::default() });
    assert_eq!(bench.plan(), "layer2 +10.0.0.1 default web Announce\nclaim 10.0.0.1 1028 false");
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
        let slice = ServiceKey::new("default", "web-1");
        Fact::from(Endpoints { slice, service: key("web"), family: Family::Ipv4, endpoints })
    };
    let local = with(web(), |it| it.traffic_policy = outrigger_sdk::TrafficPolicy::Local);
    let facts = vec![
        Fact::from(local),
        Fact::from(node("me")),
        Fact::from(node("other")),
        slice(vec![endpoint("me", true, false)]),
    ];
    let mut bench = Bench::new(facts);
    bench.member("other", false);
    assert_eq!(bench.plan(), ANNOUNCED);
    // Our endpoint is terminating, and is the only one.
    bench.upsert(slice(vec![endpoint("me", false, true)]));
    assert_eq!(bench.plan(), "layer2 +10.0.0.1 default web Announce", "only the counts changed");
    // Another endpoint is ready elsewhere, while ours still serves.
    bench.upsert(slice(vec![endpoint("me", false, true), endpoint("other", true, false)]));
    assert_eq!(bench.plan(), "layer2 +10.0.0.1 default web HandOver(\"other\")");
    bench.upsert(slice(vec![endpoint("other", true, false)]));
    bench.other_claims("other", "10.0.0.1", Some(Claim { term: 2, announced: true }));
    assert_eq!(bench.plan(), "layer2 +10.0.0.1 default web Standby(\"other\")\nclaim 10.0.0.1 no");
}

#[test]
fn a_pool_chooses_announcers_and_they_choose_services_and_nodes() {
    let mut bench = Bench::new(vec![Fact::from(web()), Fact::from(node("me"))]);
    assert_eq!(bench.plan(), ANNOUNCED);
    bench.upsert(Fact::from(announcer("other")));
    bench.planner.reported("layer2", "10.0.0.1".parse().unwrap(), true);
    assert_eq!(bench.plan(), "layer2 -10.0.0.1\nother +10.0.0.1 default web Announce");
    bench.planner.reported("other", "10.0.0.1".parse().unwrap(), true);
    assert_eq!(bench.plan(), "claim 10.0.0.1 1026 true");

    // A pool that names the built-in announcer gets it, although no Announcer of that name is configured.
    let named = Some(vec!["layer2".to_owned()]);
    bench.upsert(Fact::from(Pool { announcers: named, ..pool("default", &["10.0.0.0/16"]) }));
    assert_eq!(
        bench.plan(),
        "layer2 +10.0.0.1 default web Announce\nother -10.0.0.1\nclaim 10.0.0.1 1026 false"
    );
    assert_eq!(announcers(&bench.cluster).len(), 2);

    let not_web = Announcer { service_selector: only("app", "dns"), ..announcer("layer2") };
    bench.upsert(Fact::from(not_web));
    assert_eq!(bench.plan(), "layer2 -10.0.0.1\nclaim 10.0.0.1 no");
    let why = bench.planner.why(&bench.cluster, &bench.view, "10.0.0.1".parse().unwrap());
    assert_eq!(why["me"], Err(Ineligible::NoAnnouncer));

    bench.upsert(Fact::from(announcer("layer2")));
    assert!(bench.plan().starts_with("layer2 +10.0.0.1 default web Announce\nclaim"));
    let elsewhere = only("kubernetes.io/hostname", "you");
    bench.upsert(Fact::from(Announcer { node_selector: elsewhere, ..announcer("layer2") }));
    assert_eq!(bench.plan(), "layer2 -10.0.0.1\nclaim 10.0.0.1 no");
    let why = bench.planner.why(&bench.cluster, &bench.view, "10.0.0.1".parse().unwrap());
    assert_eq!(why["me"], Err(Ineligible::NotSelected));
}

#[test]
fn local_endpoints_are_counted_and_their_loss_is_followed() {
    let endpoint =
        |ready| Endpoint { node: Some("me".into()), ready, serving: ready, terminating: !ready };
    let slice = |endpoints: Vec<Endpoint>| {
        let slice = ServiceKey::new("default", "web-1");
        Fact::from(Endpoints { slice, service: key("web"), family: Family::Ipv4, endpoints })
    };
    let mut bench = Bench::new(vec![Fact::from(web()), Fact::from(node("me"))]);
    assert_eq!(bench.plan(), ANNOUNCED);
    bench.upsert(slice(vec![endpoint(true), endpoint(true)]));
    assert_eq!(bench.plan(), "layer2 +10.0.0.1 default web Announce");
    let count =
        |bench: &Bench| bench.planner.desired("layer2").values().next().unwrap().local_endpoints;
    assert_eq!((count(&bench).ready, count(&bench).serving, count(&bench).terminating), (2, 2, 0));
    bench.upsert(slice(vec![endpoint(false)]));
    assert_eq!(bench.plan(), "layer2 +10.0.0.1 default web Standby(\"\")\nclaim 10.0.0.1 no");
    assert_eq!((count(&bench).ready, count(&bench).terminating), (0, 1));
    bench.apply(Change::Remove(FactKey::Endpoints(ServiceKey::new("default", "web-1"))));
    assert!(bench.plan().starts_with("layer2 +10.0.0.1 default web Announce"));
}

#[test]
fn why_names_a_reason_for_every_node() {
    let mut bench = Bench::new(vec![
        Fact::from(web()),
        Fact::from(node("me")),
        Fact::from(node("down")),
        Fact::from(crate::facts::Node { excluded: true, ..node("excluded") }),
        Fact::from(node("leaving")),
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
