//! The order of pools, and the effects of changing or removing one.
use super::*;

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
        (with(service("t"), |it| it.labels = label), "10.0.9.0"),
        (with(service("u"), |it| it.pool = Some("manual".into())), "10.0.2.0"),
        (service("elsewhere/v"), ""),
    ] {
        let name = service.key.to_string();
        rig.put(service);
        assert_eq!(rig.held(&name), expected, "{name}");
    }
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
    // Now b was there first, although a sorts first: a keeps its last valid version.
    rig.put_pool(a);
    let (name, text) = problems(&rig).pop().unwrap();
    assert_eq!(name, "a");
    assert!(text.ends_with("until then its last valid version stays active"), "{text}");
    rig.put(wanting("s", "10.0.0.9"));
    assert_eq!(rig.allocations.verdicts().last().unwrap().pool, Some("b".into()));

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

/// A pool is removed, put back with other addresses or filled up while Services wait in its line: none of them is
/// forgotten.
#[test]
fn who_stands_in_line_for_a_pool_that_changes_asks_again() {
    let changes: [fn(&mut Rig); 3] = [
        |rig| rig.apply(Change::Remove(FactKey::Pool("a".into()))),
        |rig| rig.put_all(vec![pool("a", &["10.0.9.0/24"])], vec![]),
        |rig| rig.put_all(vec![pool("a", &["10.0.0.7/32"])], vec![]),
    ];
    for change in changes {
        let mut rig = Rig::default();
        let names: Vec<_> = (0..20).map(|n| format!("s{n:02}")).collect();
        let services = names.iter().map(|name| service(name)).collect();
        rig.put_all(vec![pool("a", &["10.0.0.0/24"]), pool("b", &["10.0.1.0/24"])], services);
        rig.apply(Change::Synced);
        let question = rig.allocations.poll(rig.now).expect("all stand in line");
        assert_eq!(rig.allocations.verdicts().count(), 0, "nobody has an answer yet");
        change(&mut rig);
        rig.apply(Change::Remove(FactKey::Service(key("s19"))));
        rig.allocations.answer(question, Err("too late".into()), rig.now);
        rig.settle();
        let held: BTreeSet<_> = names[..19].iter().map(|name| rig.held(name)).collect();
        assert_eq!(held.len(), 19, "{held:?}");
        assert!(held.iter().all(|address| !address.is_empty()));
        assert_eq!(rig.allocations.verdicts().count(), 19);
    }
}
