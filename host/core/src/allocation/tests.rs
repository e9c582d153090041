use std::collections::BTreeSet;

use outrigger_sdk::{Outcome, Pool as _, Refusal, ServicePort, TrafficPolicy};

use super::*;
use crate::facts::{Labels, Requirement, Selector, with};

mod asked;
mod conditions;
mod failing;
mod families;
mod hostile;
mod pools;
mod scale;
mod semantics;

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

    /// Advances the time until released addresses may be assigned again.
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

    /// Returns everything that was published since the last call: "a 10.0.0.1 Allocated".
    fn said(&mut self) -> Vec<String> {
        let verdicts = self.allocations.verdicts();
        let words = |v: AllocationResult| {
            let addresses = addresses(&v.addresses);
            assert!(!v.writes_ingress || v.condition.status != v.addresses.is_empty(), "{v:?}");
            format!("{} {addresses} {}", v.service.name(), v.condition.reason).replace("  ", " ")
        };
        verdicts.map(words).collect()
    }

    fn message_now(&mut self, service: &str) -> String {
        self.allocations.verdicts().for_each(drop);
        self.message(service)
    }

    fn message(&self, service: &str) -> String {
        self.verdict(service).condition.message
    }

    fn verdict(&self, service: &str) -> AllocationResult {
        self.allocations.verdict(&self.allocations.services[&key(service)])
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
    ServiceKey::new(namespace, name)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn service(name: &str) -> Service {
    with(Service::reserved(key(name), &[]), |it| {
        it.ports = vec![ServicePort { port: 80, ..ServicePort::default() }];
        it.families = vec![Family::Ipv4].into();
        it.ours = false;
    })
}

fn holding(name: &str, address: &str) -> Service {
    Service { ingress: vec![ip(address)].into(), ours: true, ..service(name) }
}

fn wanting(name: &str, address: &str) -> Service {
    with(service(name), |it| it.wanted = vec![ip(address)])
}

fn sharing(name: &str, sharing_key: &str, port: u16) -> Service {
    let ports = vec![ServicePort { port, ..ServicePort::default() }];
    with(service(name), |it| {
        it.sharing_key = sharing_key.into();
        it.ports = ports;
    })
}

fn dual(name: &str, all_families: bool) -> Service {
    with(service(name), |it| {
        it.families = vec![Family::Ipv4, Family::Ipv6].into();
        it.all_families = all_families;
    })
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
        failure_policy: crate::facts::FailurePolicy::default(),
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
    let shared = |name: &str, port| Service {
        ingress: vec![ip("10.0.0.7")].into(),
        ..sharing(name, "k", port)
    };
    let services = vec![
        holding("a", "10.0.0.3"),
        holding("b", "192.0.2.1"),
        with(holding("c", "10.0.0.4"), |it| it.pool = Some("q".into())),
        shared("d", 80),
        shared("e", 81),
        wanting("f", "10.0.0.9"),
        Service { ingress: vec![ip("10.0.0.5")].into(), ..wanting("g", "10.0.0.8") },
        Service { ingress: vec![ip("10.0.0.6"), ip("10.0.0.2")].into(), ..service("h") },
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
        ("labels", with(start(), |it| it.labels = [("x".into(), "y".into())].into()), "10.0.0.1"),
        ("ports", with(start(), |it| it.ports = vec![]), "10.0.0.1"),
        ("sharing key", sharing("a", "k", 80), "10.0.0.1"),
        ("the same one by name", wanting("a", "10.0.0.1"), "10.0.0.1"),
        ("another by name", wanting("a", "10.0.0.5"), "10.0.0.5"),
        ("one in no pool", wanting("a", "192.0.2.1"), ""),
        ("the same pool", with(start(), |it| it.pool = Some("p".into())), "10.0.0.1"),
        ("another pool", with(start(), |it| it.pool = Some("q".into())), "10.0.1.0"),
        ("a pool that is not there", with(start(), |it| it.pool = Some("r".into())), ""),
        ("another family", with(start(), |it| it.families = vec![Family::Ipv6].into()), "fd00::"),
        ("one more family", dual("a", true), "10.0.0.1, fd00::"),
        ("another uid", with(start(), |it| it.uid = "2".into()), "10.0.0.1"),
        ("an empty status", Service { ingress: vec![].into(), ..start() }, "10.0.0.1"),
    ] {
        let pools =
            vec![pool("p", &["10.0.0.1-10.0.0.9"]), pool("q", &["10.0.1.0/28", "fd00::/64"])];
        let mut rig = Rig::synced(pools, vec![start()]);
        rig.put(edited);
        assert_eq!(rig.held("a"), expected, "{case}");
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
    let in_pool = |name: &str| with(service("b"), |it| it.pool = Some(name.into()));
    let two = with(service("b"), |it| it.wanted = vec![ip("10.0.0.1"), ip("10.0.0.2")]);
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
        (wanting("b", "10.0.0.1"), "AddressTaken", "10.0.0.1 is requested, but held by ns/a"),
        (wanting("b", "10.0.0.2"), "AddressExcluded", "pool \"p\" excludes it"),
        (wanting("b", "10.0.1.1"), "AddressNotInPool", "add it to a pool or request another"),
        (wanting("b", "fd00::1"), "InvalidAddresses", "the Service has no IPv6 family"),
        (two, "InvalidAddresses", "request one IPv4 address"),
        (
            with(service("b"), |it| it.families = vec![Family::Ipv6].into()),
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
fn sharing_services_join_and_part() {
    let one = vec![pool("p", &["10.0.0.1-10.0.0.2"])];
    let services = vec![sharing("a", "k", 80), sharing("b", "k", 81), sharing("c", "k", 80)];
    let mut rig = Rig::synced(one, services);
    assert_eq!(
        rig.said(),
        ["a 10.0.0.1 Allocated", "b 10.0.0.1 Allocated", "c 10.0.0.2 NotShared"]
    );
    // It caused the conflict, so it loses the address; nothing is left for it.
    rig.put(sharing("b", "", 81));
    assert_eq!(rig.said(), ["b PoolExhausted"]);
    assert!(rig.message("b").contains("10.0.0.1 was shared"));
    rig.put(sharing("b", "k", 81));
    assert_eq!(rig.said(), ["b 10.0.0.1 Allocated"]);
    // A key change of another Service makes room.
    rig.put(sharing("d", "l", 443));
    assert_eq!(rig.said(), ["d PoolExhausted"]);
    rig.put(sharing("c", "l", 80));
    assert_eq!(rig.said(), ["c 10.0.0.2 Allocated", "d 10.0.0.2 Allocated"]);
}
