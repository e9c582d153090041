//! The invariants hold for any sequence of events and any answers of policies.
use proptest::prelude::*;

use super::*;
use crate::ledger::may_share;

#[derive(Debug, Clone)]
enum Step {
    Put(Box<Service>),
    Remove(String),
    PutPool(Box<Pool>),
    RemovePool(String),
    Sync,
    /// Poll for one Service and give this answer; `None` = fault.
    Answer(Option<Vec<IpAddr>>),
    /// Poll, but answer only after the next steps.
    AskOnly,
    Later(u64),
    /// The only node has this address now.
    Node(IpAddr),
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        8 => (0u8..12).prop_map(|n| IpAddr::from([10, 0, 0, n])),
        2 => (0u16..6).prop_map(|n| IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, n])),
        1 => Just(ip("::ffff:10.0.0.1")),
    ]
}

fn any_service() -> impl Strategy<Value = Service> {
    let names = prop::sample::select(vec!["x/a", "x/b", "x/c", "y/a", "y/d"]);
    let families = prop::sample::select(vec![
        vec![Family::Ipv4],
        vec![Family::Ipv6],
        vec![Family::Ipv4, Family::Ipv6],
    ]);
    let wanted = prop_oneof![3 => Just(vec![]), 1 => prop::collection::vec(address(), 1..3)];
    let pools = prop::sample::select(vec![None, None, None, Some("p"), Some("q"), Some("none")]);
    let ingress = prop::collection::vec(address(), 0..3);
    let rest = (0u16..2, 0usize..3, any::<bool>(), any::<bool>(), 0u8..8, any::<bool>());
    (names, families, wanted, pools, ingress, rest).prop_map(
        |(name, families, wanted, pool, ingress, (port, key, local, all_families, uid, ours))| {
            with(sharing(name, ["", "k", "l"][key], port), |it| {
                it.families = families.into();
                it.all_families = all_families;
                it.wanted = wanted;
                it.pool = pool.map(str::to_owned);
                it.ingress = ingress.into();
                it.uid = (uid / 7).to_string();
                it.ours = ours;
                it.traffic_policy =
                    if local { TrafficPolicy::Local } else { TrafficPolicy::Cluster };
            })
        },
    )
}

fn any_pool() -> impl Strategy<Value = Pool> {
    let names = prop::sample::select(vec!["p", "q", "r"]);
    (names, 0u8..12, 0u8..6, any::<bool>(), any::<bool>(), any::<bool>(), 0u8..4).prop_map(
        |(name, first, length, ipv6, auto_assign, pinned, age)| {
            let mut lines = vec![format!("10.0.0.{first}-10.0.0.{}", first + length)];
            if ipv6 {
                lines.push(format!("fd00::{}-fd00::{}", first % 4, first % 4 + 1));
            }
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let namespaces =
                if pinned { BTreeSet::from(["x".to_owned()]) } else { BTreeSet::new() };
            Pool {
                auto_assign,
                namespaces,
                avoid_buggy_ips: pinned,
                draining: age == 0,
                ..pool(name, &lines)
            }
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => any_service().prop_map(|service| Step::Put(Box::new(service))),
        1 => any_service().prop_map(|service| Step::Remove(service.key.to_string())),
        3 => any_pool().prop_map(|pool| Step::PutPool(Box::new(pool))),
        1 => any_pool().prop_map(|pool| Step::RemovePool(pool.name)),
        1 => Just(Step::Sync),
        8 => prop::option::of(prop::collection::vec(address(), 0..3)).prop_map(Step::Answer),
        2 => Just(Step::AskOnly),
        1 => (0u64..20_000_000).prop_map(Step::Later),
        1 => (0u64..2_500_000).prop_map(Step::Later),
        1 => address().prop_map(Step::Node),
    ]
}

/// Takes a step and returns the Service that caused it: only that Service may lose addresses by it.
fn take(rig: &mut Rig, open: &mut Vec<Question>, step: Step) -> Option<ServiceKey> {
    match step {
        Step::Put(service) => {
            let key = service.key.clone();
            rig.apply(Change::Upsert(Fact::from(*service)));
            return Some(key);
        }
        Step::Remove(name) => {
            rig.apply(Change::Remove(FactKey::Service(key(&name))));
            return Some(key(&name));
        }
        Step::PutPool(pool) => rig.apply(Change::Upsert(Fact::from(*pool))),
        Step::RemovePool(name) => rig.apply(Change::Remove(FactKey::Pool(name))),
        Step::Sync => rig.apply(Change::Synced),
        Step::Answer(addresses) => {
            if let Some(question) = open.pop().or_else(|| rig.allocations.poll(rig.now)) {
                let result = addresses.map(Outcome::Assign).ok_or_else(|| "trap".to_owned());
                rig.allocations.answer(question, result, rig.now);
            }
        }
        Step::AskOnly => open.extend(rig.allocations.poll(rig.now)),
        Step::Later(us) => rig.now.monotonic_us += us,
        Step::Node(address) => {
            let mut node = crate::plan::test_facts::node("n");
            node.addresses.push(address);
            rig.apply(Change::Upsert(Fact::from(node)));
        }
    }
    None
}

fn picture(rig: &Rig) -> BTreeMap<ServiceKey, BTreeSet<IpAddr>> {
    let mut held: BTreeMap<ServiceKey, BTreeSet<IpAddr>> = BTreeMap::new();
    for (address, holders) in rig.allocations.ledger().addresses() {
        for holder in holders {
            held.entry(holder.clone()).or_default().insert(address);
        }
    }
    held
}

/// The time at which each address was released, and the Services that released it.
#[derive(Default)]
struct Rests(BTreeMap<IpAddr, (u64, BTreeSet<ServiceKey>)>);

impl Rests {
    /// Checks that no other Service gets an address while it may still be announced (invariant 6), unless it was in
    /// that Service's status already.
    fn follow(
        &mut self,
        before: &BTreeMap<ServiceKey, BTreeSet<IpAddr>>,
        after: &BTreeMap<ServiceKey, BTreeSet<IpAddr>>,
        rig: &Rig,
    ) -> Result<(), TestCaseError> {
        let now = rig.now.monotonic_us;
        let (before, after) = (by_address(before), by_address(after));
        for (address, holders) in &after {
            let Some((since, by)) = self.0.remove(address) else { continue };
            for holder in holders.difference(&by) {
                let stood = rig.allocations.services[holder].service.ingress.contains(address);
                let rested = now >= since + crate::ledger::REST_US;
                prop_assert!(
                    rested || stood,
                    "{} got {} after {} us",
                    holder,
                    address,
                    now - since
                );
            }
        }
        for (address, holders) in before.into_iter().filter(|(at, _)| !after.contains_key(at)) {
            self.0.insert(address, (now, holders));
        }
        Ok(())
    }
}

fn by_address(
    held: &BTreeMap<ServiceKey, BTreeSet<IpAddr>>,
) -> BTreeMap<IpAddr, BTreeSet<ServiceKey>> {
    let mut holders: BTreeMap<IpAddr, BTreeSet<ServiceKey>> = BTreeMap::new();
    for (key, addresses) in held {
        for address in addresses {
            holders.entry(*address).or_default().insert(key.clone());
        }
    }
    holders
}

fn assert_sound(rig: &Rig) -> Result<(), TestCaseError> {
    let services = &rig.allocations.services;
    for (address, holders) in rig.allocations.ledger().addresses() {
        for one in holders {
            for other in holders.iter().filter(|other| *other != one) {
                let (a, b) = (&services[one].service, &services[other].service);
                prop_assert!(may_share(a, b), "{} and {} hold {}", one, other, address);
            }
        }
    }
    for (key, held) in picture(rig) {
        let service = &services[&key].service;
        for address in &held {
            prop_assert!(asks_for(service, *address), "{} holds {} unasked", key, address);
        }
        let families: BTreeSet<Family> = held.iter().map(Family::of).collect();
        prop_assert_eq!(families.len(), held.len(), "two of a family for {}", key);
    }
    let pools: Vec<&Arc<Pool>> = rig.allocations.order.iter().collect();
    for (n, a) in pools.iter().enumerate() {
        for b in &pools[..n] {
            let overlap = a.addresses.iter().any(|x| b.addresses.iter().any(|y| x.overlaps(y)));
            prop_assert!(!overlap, "{} and {} overlap", a.name, b.name);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn no_two_services_hold_one_address_and_nothing_held_moves_by_itself(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let (mut rig, mut open, mut rests) = (Rig::default(), Vec::new(), Rests::default());
        for step in steps {
            let before = picture(&rig);
            let whose = take(&mut rig, &mut open, step);
            assert_sound(&rig)?;
            let after = picture(&rig);
            rests.follow(&before, &after, &rig)?;
            for (key, held) in before.iter().filter(|(key, _)| Some(*key) != whose.as_ref()) {
                let now = after.get(key);
                prop_assert!(now.is_some_and(|now| held.is_subset(now)), "{} lost {:?}", key, held);
            }
        }
        // In the end every Service has a verdict, and none is left on the way.
        rig.apply(Change::Synced);
        for question in open {
            rig.allocations.answer(question, Err("late".into()), rig.now);
        }
        rig.settle();
        rig.allocations.verdicts().for_each(drop);
        assert_sound(&rig)?;
        prop_assert_eq!(rig.allocations.said.len(), rig.allocations.services.len());
        for (key, known) in &rig.allocations.services {
            let verdict = rig.allocations.verdict(known);
            prop_assert!(verdict.condition.reason != "Pending");
            prop_assert_eq!(rig.allocations.said.get(key), Some(&LastPublished::from(&verdict)));
            if !verdict.writes_ingress {
                continue;
            }
            let held: BTreeSet<IpAddr> = rig.allocations.ledger().held(key).iter().copied().collect();
            prop_assert_eq!(&held, &verdict.addresses.iter().copied().collect::<BTreeSet<_>>());
        }
    }
}

/// A policy that only looks at the holders.
fn naive(question: &Question) -> Outcome {
    let unheld = (1u8..=3).map(|n| IpAddr::from([10, 0, 0, n]));
    let mut unheld = unheld.filter(|at| question.view.holders(*at).is_empty());
    let wanted = question.request.wanted.first().copied();
    Outcome::Assign(wanted.or_else(|| unheld.next()).into_iter().collect())
}

proptest! {
    #[test]
    fn a_freed_address_is_given_to_nobody_else_before_it_is_out(
        steps in prop::collection::vec((0u8..6, 0u8..5, 1u8..6), 1..40),
    ) {
        let (mut rig, mut rests) = (Rig::synced(vec![pool("p", &["10.0.0.1-10.0.0.3"])], vec![]), Rests::default());
        for (action, who, n) in steps {
            let before = picture(&rig);
            let name = format!("s{who}");
            match action {
                0 | 1 => rig.apply(Change::Upsert(Fact::from(service(&name)))),
                2 if n < 4 => rig.apply(Change::Upsert(Fact::from(wanting(&name, &format!("10.0.0.{n}"))))),
                2 | 3 => rig.apply(Change::Remove(FactKey::Service(key(&name)))),
                _ => rig.now.monotonic_us += u64::from(n) * 300_000,
            }
            // Releases and assignments are checked in two steps, since they could not be told apart in one.
            rests.follow(&before, &picture(&rig), &rig)?;
            let before = picture(&rig);
            rig.settle_with(|question| Ok(naive(question)));
            rests.follow(&before, &picture(&rig), &rig)?;
        }
        // In the end every Service has an address, or there is none left.
        for who in 0..5 {
            if rig.allocations.services.contains_key(&key(&format!("s{who}"))) {
                rig.put(service(&format!("s{who}")));
            }
        }
        rig.rest();
        let held = picture(&rig).len();
        prop_assert_eq!(held, rig.allocations.services.len().min(3));
    }
}
