//! The retries of a build that keeps faulting.
use super::*;

#[test]
fn when_restarts_do_not_help_it_waits_longer_and_longer_and_comes_back_afresh() {
    let build = Build::scripted("a", Script { broken_from: Some(2), ..Script::default() });
    let mut supervised = started(&build);
    supervised.deliver(at(1), events(&["x"]));
    let out = supervised.deliver(at(2), events(&["y", "z", "v", "w", "u"]));
    assert!(matches!(&out.incidents[..], [.., Incident::Held { until_us: 2_100_000, .. }]));
    assert!(!out.incidents.iter().any(|i| matches!(i, Incident::FellBack { .. })));
    assert_eq!(out.wake, Some((2_100_000, "restart".into())));
    assert_eq!(supervised.state().phase, Phase::Held);
    // Deliveries that are too early, and instances that cannot be created: longer and longer waits, up to half a
    // minute.
    build.script().gone = true;
    let mut now = 2 * SECOND;
    let mut waits = Vec::new();
    for _ in 0..10 {
        let time = |us| Time { monotonic_us: us, utc_us: 0 };
        let before = build.script().instances;
        supervised.deliver(time(now + 1), events(&["early"]));
        assert_eq!(build.script().instances, before);
        let due = supervised.retry_at;
        supervised.deliver(time(due), vec![Event::Wake("restart".into())]);
        waits.push((supervised.retry_at - due) / 1000);
        now = due;
    }
    assert_eq!(waits, [200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000]);
    *build.script() = Script::default();
    let due = Time { monotonic_us: supervised.retry_at, utc_us: 0 };
    let out = supervised.deliver(due, events(&["again"]));
    assert_eq!(out.incidents, [Incident::Revived { digest: "a".into() }]);
    assert!(out.needs_full);
    assert_eq!(heard(&mut supervised), ["again"]);
}

#[test]
fn a_build_that_faults_for_a_while_goes_on_with_its_state() {
    let build = Build::scripted("a", Script { broken_from: Some(2), ..Script::default() });
    let mut supervised = started(&build);
    supervised.deliver(at(1), events(&["x"]));
    supervised.deliver(at(2), events(&["y", "z", "v", "w", "u"]));
    assert_eq!(supervised.state().phase, Phase::Held);
    // Still broken: it waits again, and the state is kept.
    let due = Time { monotonic_us: supervised.retry_at, utc_us: 0 };
    supervised.deliver(due, events(&["still", "as", "broken", "as", "before"]));
    assert_eq!(supervised.state().phase, Phase::Held);
    *build.script() = Script::default();
    let due = Time { monotonic_us: supervised.retry_at, utc_us: 0 };
    let out = supervised.deliver(due, events(&["again"]));
    assert_eq!(out.incidents, [Incident::Revived { digest: "a".into() }]);
    assert!(out.needs_full);
    assert_eq!(heard(&mut supervised), ["x", "again"]);
}

#[test]
fn faults_far_apart_never_use_up_the_restarts() {
    let mut supervised = started(&Build::new("a"));
    for n in 0..50 {
        let out = supervised.deliver(at(11 * n), events(&["poison"]));
        assert!(!out.incidents.iter().any(|i| matches!(i, Incident::FellBack { .. })), "{n}");
    }
}
