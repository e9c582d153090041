use std::collections::BTreeSet;

use outrigger_sdk::{Outcome, Pool as _, Refusal, ServicePort, TrafficPolicy};

use super::*;
use crate::facts::{Labels, Requirement, Selector};

mod hostile;
mod scale;
mod semantics;
mod told;

/// A cluster whose policies all give the lowest address, shared ones first.
#[derive(Default)]
struct Rig {
    allocations: Allocations,
    now: Time,
    asked: Vec<String>,
}

impl Rig {
    fn synced(pools: Vec<Pool>, services: Vec<Service>) -> Self {
        let mut rig = Self::default();
        rig.put_all(pools, services);
        rig.apply(Change::Synced);
        rig.settle();
        rig
    }

    fn put_all(&mut self, pools: Vec<Pool>, services: Vec<Service>) {
        for pool in pools {
            self.apply(Change::Upsert(Fact::from(pool)));
        }
        for service in services {
            self.apply(Change::Upsert(Fact::from(service)));
        }
    }

    fn apply(&mut self, change: Change) {
        self.allocations.apply(&change, self.now);
    }

    fn put(&mut self, service: Service) {
        self.apply(Change::Upsert(Fact::from(service)));
        self.settle();
    }

    fn put_pool(&mut self, pool: Pool) {
        self.apply(Change::Upsert(Fact::from(pool)));
        self.settle();
    }

    fn remove(&mut self, service: &str) {
        self.apply(Change::Remove(FactKey::Service(key(service))));
        self.settle();
    }

    /// Until what was given back may be given out.
    fn rest(&mut self) {
        self.now.monotonic_us += crate::ledger::REST_US;
        self.settle();
    }

    fn settle(&mut self) {
        self.settle_with(|question| Ok(lowest(question)));
    }

    fn settle_with(&mut self, policy: impl Fn(&Question) -> Result<Outcome, String>) {
        while let Some(question) = self.allocations.poll(self.now) {
            self.asked.push(format!("{} {}", question.service, question.pool));
            let outcome = policy(&question);
            self.allocations.answer(question, outcome, self.now);
        }
    }

    fn held(&self, service: &str) -> String {
        addresses(self.allocations.ledger().held(&key(service)))
    }

    /// Everything said since the last call: "a 10.0.0.1 Allocated".
    fn said(&mut self) -> Vec<String> {
        let verdicts = self.allocations.verdicts().into_iter();
        let words = |v: Verdict| {
            let addresses = addresses(&v.addresses);
            assert!(!v.writes_ingress || v.condition.status != v.addresses.is_empty(), "{v:?}");
            format!("{} {addresses} {}", v.service.name, v.condition.reason).replace("  ", " ")
        };
        verdicts.map(words).collect()
    }

    fn message_now(&mut self, service: &str) -> &str {
        self.allocations.verdicts();
        self.message(service)
    }

    fn message(&self, service: &str) -> &str {
        &self.allocations.said[&key(service)].condition.message
    }
}

fn lowest(question: &Question) -> Outcome {
    let mut out = Vec::new();
    for family in &question.request.families {
        let wanted = question.request.wanted.iter().copied().find(|at| Family::of(at) == *family);
        let shared = question.view.shareable(*family, 1).into_iter().next();
        let is_free = |at: &IpAddr| question.view.state(*at) == outrigger_sdk::AddressState::Free;
        let previous = question.request.previous.iter().copied();
        let previous = previous.filter(|at| Family::of(at) == *family).find(is_free);
        let free = || question.view.lowest_free(*family, 1).into_iter().next();
        out.extend(wanted.or(shared).or(previous).or_else(free));
    }
    Outcome::Assign(out)
}

fn key(text: &str) -> ServiceKey {
    let (namespace, name) = text.split_once('/').unwrap_or(("ns", text));
    ServiceKey { namespace: namespace.into(), name: name.into() }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn service(name: &str) -> Service {
    Service {
        key: key(name),
        uid: String::new(),
        labels: Labels::new(),
        annotations: Labels::new(),
        ports: vec![ServicePort { port: 80, ..ServicePort::default() }],
        traffic_policy: TrafficPolicy::Cluster,
        selector: Labels::new(),
        families: vec![Family::Ipv4],
        all_families: true,
        wanted: Vec::new(),
        pool: None,
        sharing_key: String::new(),
        hostnames: Vec::new(),
        ttl: 0,
        ingress: Vec::new(),
        ours: false,
        adopt: false,
        problem: None,
    }
}

fn holding(name: &str, address: &str) -> Service {
    Service { ingress: vec![ip(address)], ours: true, ..service(name) }
}

fn wanting(name: &str, address: &str) -> Service {
    Service { wanted: vec![ip(address)], ..service(name) }
}

fn sharing(name: &str, sharing_key: &str, port: u16) -> Service {
    let ports = vec![ServicePort { port, ..ServicePort::default() }];
    Service { sharing_key: sharing_key.into(), ports, ..service(name) }
}

fn dual(name: &str, all_families: bool) -> Service {
    Service { families: vec![Family::Ipv4, Family::Ipv6], all_families, ..service(name) }
}

fn pool(name: &str, addresses: &[&str]) -> Pool {
    Pool {
        name: name.into(),
        labels: Labels::new(),
        addresses: addresses.iter().map(|line| line.parse().unwrap()).collect(),
        exclude: Vec::new(),
        auto_assign: true,
        avoid_buggy_ips: false,
        priority: 0,
        namespaces: BTreeSet::new(),
        namespace_selector: None,
        service_selector: Selector::default(),
        allocator: PluginRef { plugin: "lowest-free".into(), config: "{}".into() },
        announcers: None,
        draining: false,
        last_valid: None,
    }
}

#[test]
fn nothing_is_asked_before_everything_was_listed() {
    let mut rig = Rig::default();
    rig.put_all(
        vec![pool("p", &["10.0.0.1-10.0.0.9"])],
        vec![service("a"), holding("b", "10.0.0.1")],
    );
    rig.settle();
    assert_eq!((rig.asked.len(), rig.said()), (0, vec![]));
    rig.apply(Change::Synced);
    rig.settle();
    assert_eq!(rig.said(), ["a 10.0.0.2 Allocated", "b 10.0.0.1 Allocated"]);
    assert_eq!(rig.asked, ["ns/a p"]);
    rig.apply(Change::Synced);
    rig.settle();
    assert_eq!(rig.said(), Vec::<String>::new());
}

#[test]
fn of_two_services_with_one_address_the_first_in_order_keeps_it() {
    let services = vec![holding("b", "10.0.0.1"), holding("a", "10.0.0.1")];
    let mut rig = Rig::synced(vec![pool("p", &["10.0.0.1-10.0.0.9"])], services);
    assert_eq!(rig.said(), ["a 10.0.0.1 Allocated", "b 10.0.0.2 Allocated"]);
    assert!(rig.message("b").contains("10.0.0.1 in its status is held by Service ns/a"));
}

#[test]
fn a_restart_changes_nothing_that_is_held() {
    let restricted =
        Pool { namespaces: BTreeSet::from(["other".into()]), ..pool("p", &["10.0.0.0/28"]) };
    let shared =
        |name: &str, port| Service { ingress: vec![ip("10.0.0.7")], ..sharing(name, "k", port) };
    let services = vec![
        holding("a", "10.0.0.3"),
        holding("b", "192.0.2.1"),
        Service { pool: Some("q".into()), ..holding("c", "10.0.0.4") },
        shared("d", 80),
        shared("e", 81),
        wanting("f", "10.0.0.9"),
        Service { ingress: vec![ip("10.0.0.5")], ..wanting("g", "10.0.0.8") },
        Service { ingress: vec![ip("10.0.0.6"), ip("10.0.0.2")], ..service("h") },
    ];
    let mut rig = Rig::synced(vec![restricted, pool("q", &["10.0.1.0/28"])], services);
    assert_eq!(
        rig.said(),
        [
            "a 10.0.0.3 Allocated",
            "b 192.0.2.1 Draining",
            "c 10.0.0.4 Allocated",
            "d 10.0.0.7 Allocated",
            "e 10.0.0.7 Allocated",
            "f AddressNotInPool",
            "g AddressNotInPool",
            "h 10.0.0.6 Allocated",
        ]
    );
    assert_eq!(rig.asked, Vec::<String>::new());
}

#[test]
fn an_address_is_kept_until_its_service_asks_otherwise() {
    let start = || service("a");
    for (case, edited, expected) in [
        ("nothing", start(), "10.0.0.1"),
        ("labels", Service { labels: [("x".into(), "y".into())].into(), ..start() }, "10.0.0.1"),
        ("ports", Service { ports: vec![], ..start() }, "10.0.0.1"),
        ("sharing key", sharing("a", "k", 80), "10.0.0.1"),
        ("the same one by name", wanting("a", "10.0.0.1"), "10.0.0.1"),
        ("another by name", wanting("a", "10.0.0.5"), "10.0.0.5"),
        ("one in no pool", wanting("a", "192.0.2.1"), ""),
        ("the same pool", Service { pool: Some("p".into()), ..start() }, "10.0.0.1"),
        ("another pool", Service { pool: Some("q".into()), ..start() }, "10.0.1.0"),
        ("a pool that is not there", Service { pool: Some("r".into()), ..start() }, ""),
        ("another family", Service { families: vec![Family::Ipv6], ..start() }, "fd00::"),
        ("one more family", dual("a", true), "10.0.0.1, fd00::"),
        ("another uid", Service { uid: "2".into(), ..start() }, "10.0.0.1"),
        ("an empty status", Service { ingress: vec![], ..start() }, "10.0.0.1"),
    ] {
        let pools =
            vec![pool("p", &["10.0.0.1-10.0.0.9"]), pool("q", &["10.0.1.0/28", "fd00::/64"])];
        let mut rig = Rig::synced(pools, vec![start()]);
        rig.put(edited);
        assert_eq!(rig.held("a"), expected, "{case}");
    }
}

#[test]
fn pools_are_tried_in_one_order() {
    let pinned = |name: &str, priority, line: &str| Pool {
        priority,
        namespaces: BTreeSet::from(["ns".into()]),
        ..pool(name, &[line])
    };
    let selected = Pool {
        service_selector: Selector { requirements: vec![Requirement::Exists("gold".into())] },
        priority: 1,
        ..pool("gold", &["10.0.9.0/32"])
    };
    let pools = vec![
        pool("a", &["10.0.0.0/32"]),
        Pool { priority: 5, ..pool("z", &["10.0.1.0/32"]) },
        Pool { auto_assign: false, ..pool("manual", &["10.0.2.0/32"]) },
        pinned("late", 0, "10.0.3.0/32"),
        pinned("soon", 7, "10.0.4.0/32"),
        pinned("now", 2, "10.0.5.0/32"),
        selected,
    ];
    let services = (0..7).map(|n| service(&format!("s{n}"))).collect();
    let mut rig = Rig::synced(pools, services);
    let held: Vec<String> = (0..7).map(|n| rig.held(&format!("s{n}"))).collect();
    let expected = ["10.0.5.0", "10.0.4.0", "10.0.3.0", "10.0.1.0", "10.0.0.0", "", ""];
    assert_eq!(held, expected);
    let label = [("gold".to_owned(), String::new())].into();
    for (service, expected) in [
        (Service { labels: label, ..service("t") }, "10.0.9.0"),
        (Service { pool: Some("manual".into()), ..service("u") }, "10.0.2.0"),
        (service("elsewhere/v"), ""),
    ] {
        let name = service.key.to_string();
        rig.put(service);
        assert_eq!(rig.held(&name), expected, "{name}");
    }
}

#[test]
fn every_reason_names_the_object_and_the_fix() {
    let pools = || {
        vec![
            Pool {
                exclude: vec!["10.0.0.2/32".parse().unwrap()],
                ..pool("p", &["10.0.0.1-10.0.0.2"])
            },
            Pool { namespaces: BTreeSet::from(["other".into()]), ..pool("q", &["10.0.1.0/28"]) },
            pool("z", &["10.0.1.8/29"]),
        ]
    };
    let in_pool = |name: &str| Service { pool: Some(name.into()), ..service("b") };
    let two = Service { wanted: vec![ip("10.0.0.1"), ip("10.0.0.2")], ..service("b") };
    for (service, reason, words) in [
        (
            service("b"),
            "PoolExhausted",
            "pool \"p\" has no free IPv4 address (all 1 held): add addresses",
        ),
        (
            in_pool("r"),
            "PoolNotFound",
            "there is no pool \"r\": create it or correct the annotation",
        ),
        (in_pool("z"), "PoolNotFound", "pool \"z\" overlaps pool \"q\" in 10.0.1.8-10.0.1.15"),
        (
            in_pool("q"),
            "PoolNotAllowed",
            "check the pool's namespaces, namespaceSelector and serviceSelector",
        ),
        (wanting("b", "10.0.0.1"), "AddressTaken", "10.0.0.1 is asked for, but held by ns/a"),
        (wanting("b", "10.0.0.2"), "AddressExcluded", "pool \"p\" excludes it"),
        (wanting("b", "10.0.1.1"), "AddressNotInPool", "add it to a pool or ask for another"),
        (wanting("b", "fd00::1"), "InvalidAddresses", "the Service has no IPv6 family"),
        (two, "InvalidAddresses", "ask for one IPv4 address"),
        (
            Service { families: vec![Family::Ipv6], ..service("b") },
            "NoPool",
            "no pool with IPv6 addresses",
        ),
        (dual("b", true), "PoolExhausted", "no pool with IPv6 addresses"),
    ] {
        let mut rig = Rig::synced(pools(), vec![holding("a", "10.0.0.1")]);
        rig.said();
        rig.put(service);
        assert_eq!(rig.said(), [format!("b {reason}")]);
        assert!(rig.message("b").contains(words), "{words:?} is not in {:?}", rig.message("b"));
    }
    let mut rig = Rig::synced(vec![], vec![service("b")]);
    assert_eq!(rig.said(), ["b NoPool"]);
    assert!(rig.message("b").contains("there is no AddressPool: create one"));
}

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
    rig.put(Service { ingress: vec![ip("10.0.0.1")], ours: true, ..dual("a", false) });
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

#[test]
fn waiting_services_are_asked_again_when_it_may_help_and_only_then() {
    let mut rig = Rig::synced(
        vec![pool("p", &["10.0.0.1-10.0.0.1"])],
        vec![service("a"), service("b"), wanting("c", "10.0.0.1")],
    );
    assert_eq!(rig.said(), ["a 10.0.0.1 Allocated", "b PoolExhausted", "c AddressTaken"]);
    assert_eq!(rig.asked, ["ns/a p"], "a pool with nothing to give is not asked");
    rig.put(holding("a", "10.0.0.1"));
    assert_eq!(rig.said(), Vec::<String>::new());
    rig.remove("a");
    rig.rest();
    assert_eq!(rig.said(), ["b 10.0.0.1 Allocated", "c AddressTaken"]);
    assert!(rig.message("c").contains("held by ns/b"));
    rig.put_pool(pool("q", &["10.0.1.0/32"]));
    rig.put(service("d"));
    assert_eq!(rig.said(), ["d 10.0.1.0 Allocated"]);
    rig.remove("b");
    assert_eq!((rig.said(), rig.asked.len()), (vec![], 3), "it may still be announced");
    rig.rest();
    assert_eq!(
        (rig.said(), rig.held("c")),
        (vec!["c 10.0.0.1 Allocated".to_owned()], "10.0.0.1".into())
    );
}

#[test]
fn sharing_services_join_and_part() {
    let one = vec![pool("p", &["10.0.0.1-10.0.0.2"])];
    let services = vec![sharing("a", "k", 80), sharing("b", "k", 81), sharing("c", "k", 80)];
    let mut rig = Rig::synced(one, services);
    assert_eq!(
        rig.said(),
        ["a 10.0.0.1 Allocated", "b 10.0.0.1 Allocated", "c 10.0.0.2 NotShared"]
    );
    // It brought the conflict, so it goes; nothing is left for it.
    rig.put(sharing("b", "", 81));
    assert_eq!(rig.said(), ["b PoolExhausted"]);
    assert!(rig.message("b").contains("10.0.0.1 was shared"));
    rig.put(sharing("b", "k", 81));
    assert_eq!(rig.said(), ["b 10.0.0.1 Allocated"]);
    // Another's change of key makes room.
    rig.put(sharing("d", "l", 443));
    assert_eq!(rig.said(), ["d PoolExhausted"]);
    rig.put(sharing("c", "l", 80));
    assert_eq!(rig.said(), ["c 10.0.0.2 Allocated", "d 10.0.0.2 Allocated"]);
}

#[test]
fn overlapping_pools_stop_only_the_later_one() {
    let (a, b) = (pool("a", &["10.0.0.1-10.0.0.9"]), pool("b", &["10.0.0.9-10.0.0.12"]));
    let mut rig = Rig::synced(vec![b.clone(), a.clone()], vec![]);
    let problems = |rig: &Rig| rig.allocations.problems().into_iter().collect::<Vec<_>>();
    let text =
        "pool \"b\" overlaps pool \"a\" in 10.0.0.9: remove these addresses from one of them";
    assert_eq!(problems(&rig), [("b".to_owned(), text.to_owned())]);

    rig.put_pool(pool("a", &["10.0.0.1-10.0.0.8"]));
    assert_eq!(problems(&rig), []);
    // Now b was there first, although a sorts first: a keeps what it had.
    rig.put_pool(a);
    let (name, text) = problems(&rig).pop().unwrap();
    assert_eq!(name, "a");
    assert!(text.ends_with("until then its last valid version stays in force"), "{text}");
    rig.put(wanting("s", "10.0.0.9"));
    assert_eq!(rig.allocations.verdicts().pop().unwrap().pool, Some("b".into()));

    rig.apply(Change::Remove(FactKey::Pool("b".into())));
    rig.settle();
    assert_eq!(problems(&rig), []);
    assert_eq!(rig.held("s"), "10.0.0.9");
    assert_eq!(rig.allocations.ledger().pool_of(ip("10.0.0.9")).unwrap().pool().name, "a");
}

#[test]
fn a_removed_or_changed_pool_takes_nothing_away() {
    let mut rig = Rig::synced(vec![pool("p", &["10.0.0.1-10.0.0.9"])], vec![service("a")]);
    rig.said();
    for (change, expected) in [
        (Change::Upsert(Fact::from(pool("p", &["10.0.0.8-10.0.0.9"]))), "a 10.0.0.1 Draining"),
        (Change::Upsert(Fact::from(pool("p", &["10.0.0.0/24"]))), "a 10.0.0.1 Allocated"),
        (Change::Remove(FactKey::Pool("p".into())), "a 10.0.0.1 Draining"),
        (Change::Upsert(Fact::from(pool("renamed", &["10.0.0.0/24"]))), "a 10.0.0.1 Allocated"),
    ] {
        rig.apply(change);
        rig.settle();
        assert_eq!(rig.said(), [expected]);
    }
    let other = PluginRef { plugin: "random".into(), config: "{\"x\":1}".into() };
    rig.put_pool(Pool { allocator: other, ..pool("renamed", &["10.0.0.0/24"]) });
    assert_eq!((rig.said(), rig.held("a")), (vec![], "10.0.0.1".into()));
}

#[test]
fn faults_and_refusals_are_told_and_tried_again_in_time() {
    let refuse = |reason: &str, ms| {
        let message = "no\u{7} luck".to_owned();
        Ok(Outcome::Refuse(Refusal { reason: reason.into(), message, retry_after_ms: ms }))
    };
    for (outcome, reason, words, retry_us) in [
        (refuse("QuotaReached", 0), "QuotaReached", "pool \"p\": no luck", None),
        (refuse("QuotaReached", 5_000), "QuotaReached", "no luck", Some(5_000_000)),
        (refuse("QuotaReached", 1), "QuotaReached", "no luck", Some(1_000_000)),
        (refuse("not camel", 0), "PolicyRefused", "no luck", None),
        (
            Err("trap: unreachable".into()),
            "PolicyFault",
            "its policy failed: trap",
            Some(10_000_000),
        ),
        (Ok(Outcome::Ask(vec![])), "PolicyFault", "HTTP", Some(10_000_000)),
        (Ok(Outcome::Assign(vec![ip("10.9.9.9")])), "PolicyAnswerRefused", "(outside-pool)", None),
        (Ok(Outcome::Assign(vec![])), "PolicyAnswerRefused", "(empty)", None),
    ] {
        let mut rig = Rig::default();
        rig.put_all(vec![pool("p", &["10.0.0.1-10.0.0.9"])], vec![service("a")]);
        rig.apply(Change::Synced);
        rig.settle_with(|_| outcome.clone());
        assert_eq!(rig.said(), [format!("a {reason}")]);
        assert!(rig.message("a").contains(words), "{}", rig.message("a"));
        assert_eq!(rig.allocations.next_deadline(), retry_us);
        match retry_us {
            Some(at) => rig.now.monotonic_us = at,
            None => rig.allocations.plugin_changed("lowest-free"),
        }
        rig.settle();
        assert_eq!(rig.said(), ["a 10.0.0.1 Allocated"]);
        assert_eq!(rig.allocations.next_deadline(), None);
    }
}

#[test]
fn an_answer_that_comes_too_late_is_asked_anew() {
    let mut rig = Rig::default();
    rig.put_all(vec![pool("p", &["10.0.0.1-10.0.0.9"])], vec![service("a"), service("b")]);
    rig.apply(Change::Synced);
    let (a, b) = (rig.allocations.poll(rig.now).unwrap(), rig.allocations.poll(rig.now).unwrap());
    assert!(rig.allocations.poll(rig.now).is_none());
    rig.apply(Change::Upsert(Fact::from(wanting("a", "10.0.0.7"))));
    let lowest_of = |question: &Question| Ok(lowest(question));
    let (for_a, for_b) = (lowest_of(&a), lowest_of(&b));
    rig.allocations.answer(a, for_a, rig.now);
    rig.allocations.answer(b, for_b, rig.now);
    assert_eq!(rig.said(), Vec::<String>::new());
    rig.settle();
    assert_eq!(rig.said(), ["a 10.0.0.7 Allocated", "b 10.0.0.1 Allocated"]);
    // The same seed whenever the same is asked, another for another pool.
    let seed = |service: &Service, pool| turn::seed(service, pool);
    assert_eq!(seed(&service("a"), "p"), seed(&wanting("a", "10.0.0.1"), "p"));
    assert_ne!(seed(&service("a"), "p"), seed(&service("a"), "q"));
}

#[test]
fn two_answers_with_one_address_are_settled_by_the_ledger() {
    let mut rig = Rig::default();
    rig.put_all(vec![pool("p", &["10.0.0.1-10.0.0.9"])], vec![service("a"), service("b")]);
    rig.apply(Change::Synced);
    let (a, b) = (rig.allocations.poll(rig.now).unwrap(), rig.allocations.poll(rig.now).unwrap());
    let (for_a, for_b) = (lowest(&a), lowest(&b));
    assert_eq!(for_a, for_b);
    rig.allocations.answer(a, Ok(for_a), rig.now);
    rig.allocations.answer(b, Ok(for_b), rig.now);
    rig.settle();
    assert_eq!((rig.held("a"), rig.held("b")), ("10.0.0.1".into(), "10.0.0.2".into()));
}

#[test]
fn a_status_that_somebody_else_wrote_is_said_again() {
    let mut rig = Rig::synced(vec![pool("p", &["10.0.0.1-10.0.0.9"])], vec![service("a")]);
    assert_eq!(rig.said(), ["a 10.0.0.1 Allocated"]);
    rig.put(holding("a", "10.0.0.1"));
    assert_eq!(rig.said(), Vec::<String>::new());
    rig.put(service("a"));
    assert_eq!(rig.said(), ["a 10.0.0.1 Allocated"]);
}

#[test]
fn a_service_that_comes_back_is_told_what_it_held() {
    let mut rig = Rig::synced(vec![pool("p", &["10.0.0.1-10.0.0.9"])], vec![service("a")]);
    rig.remove("a");
    rig.apply(Change::Upsert(Fact::from(service("a"))));
    let question = rig.allocations.poll(rig.now).unwrap();
    assert_eq!(question.request.previous, [ip("10.0.0.1")]);
    assert_eq!(question.view.released_ago(ip("10.0.0.1")), 0);
}
