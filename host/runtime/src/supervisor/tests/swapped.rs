//! One build takes the place of another, and is replaced by it when it is worse.
use super::*;

fn swap(
    supervised: &mut Supervisor,
    now: u64,
    build: &Arc<Build>,
    config: &str,
    catch_up: &[&str],
) -> Result<Delivered, SwapError> {
    let context = Context { config: config.into(), ..Context::default() };
    supervised.swap(at(now), Arc::new(Maker(Arc::clone(build))), context, events(catch_up))
}

#[test]
fn a_swap_hands_the_state_over_and_tells_the_difference() {
    let mut supervised = started(&Build::new("a"));
    supervised.deliver(at(1), events(&["x"]));
    let out = swap(&mut supervised, 2, &Build::new("b"), "", &["full"]).expect("it swaps");
    assert_eq!(echoed(&out), ["full"]);
    assert_eq!(
        out.incidents,
        [Incident::Swapped { from: "a".into(), to: "b".into(), fresh: false }]
    );
    assert!(!out.needs_full);
    assert_eq!(supervised.digest(), "b");
    supervised.deliver(at(3), events(&["y"]));
    assert_eq!(heard(&mut supervised), ["x", "full", "y"]);
}

#[test]
fn a_state_that_the_new_one_does_not_know_is_given_up() {
    let mut supervised = started(&Build::new("a"));
    supervised.deliver(at(1), events(&["x"]));
    let out = swap(&mut supervised, 2, &Build::new("b"), "amnesia", &["full"]).expect("it swaps");
    assert_eq!(
        out.incidents,
        [Incident::Swapped { from: "a".into(), to: "b".into(), fresh: true }]
    );
    assert_eq!(heard(&mut supervised), ["full"]);
}

#[test]
fn a_swap_that_fails_at_any_step_changes_nothing_and_names_the_step() {
    let cases: [(&str, Script, &str, SwapStep); 4] = [
        ("", Script { gone: true, ..Script::default() }, "", SwapStep::Instantiate),
        ("wrong", Script::default(), "", SwapStep::Validate),
        ("trap", Script::default(), "", SwapStep::Start),
        ("", Script::default(), "poison", SwapStep::CatchUp),
    ];
    for (config, script, catch_up, step) in cases {
        let mut supervised = started(&Build::new("a"));
        supervised.deliver(at(1), events(&["x"]));
        let next = Build::scripted("b", script);
        let error =
            swap(&mut supervised, 2, &next, config, &[catch_up]).expect_err("it does not swap");
        assert_eq!(error.step, step, "{error}");
        assert_eq!(supervised.digest(), "a");
        let out = supervised.deliver(at(3), events(&["y"]));
        assert_eq!(echoed(&out), ["y"]);
        assert!(out.incidents.is_empty() && !out.needs_full);
        assert_eq!(heard(&mut supervised), ["x", "y"]);
    }
}

#[test]
fn a_plugin_that_cannot_be_asked_for_its_state_can_be_replaced() {
    let mute = Build::scripted("a", Script { mute: true, ..Script::default() });
    let mut supervised = started(&mute);
    supervised.deliver(at(1), events(&["x"]));
    swap(&mut supervised, 2, &Build::new("b"), "", &["full"]).expect("it swaps");
    assert_eq!(heard(&mut supervised), ["full"]);
}

#[test]
fn a_plugin_that_runs_no_more_can_be_replaced() {
    let broken = Build::scripted("a", Script { broken_from: Some(1), ..Script::default() });
    let mut supervised = started(&broken);
    broken.script().gone = true;
    supervised.deliver(at(1), events(&["x"]));
    assert_eq!(supervised.state().phase, Phase::Held);
    let out = swap(&mut supervised, 2, &Build::new("b"), "", &["full"]).expect("it swaps");
    assert_eq!(out.wake, Some((2 * SECOND + 10_000, "after 1".into())));
    assert_eq!((supervised.state().phase, supervised.digest()), (Phase::Running, "b"));
}

#[test]
fn a_new_build_that_keeps_faulting_gives_way_to_the_one_before() {
    let mut supervised = started(&Build::new("a"));
    supervised.deliver(at(1), events(&["x"]));
    let bad = Build::scripted("b", Script { broken_from: Some(2), ..Script::default() });
    swap(&mut supervised, 2, &bad, "", &["full"]).expect("it swaps");
    let out = supervised.deliver(at(3), events(&["y", "z"]));
    let fell = out.incidents.iter().find(|i| matches!(i, Incident::FellBack { .. }));
    let expected = Incident::FellBack {
        from: "b".into(),
        to: "a".into(),
        fresh: false,
        why: Fault::Deadline { after_ms: 50 },
    };
    assert_eq!(fell, Some(&expected));
    assert!(out.needs_full);
    assert_eq!(supervised.digest(), "a");
    // The state at the swap, and the events that the failed build had not yet tried.
    assert_eq!(heard(&mut supervised)[0], "x");
    // The previous build works, and its record is clean.
    supervised.deliver(at(100), events(&["v"]));
    assert_eq!(supervised.rung, FallbackLevel::Own);
}

#[test]
fn a_build_is_fallen_back_to_only_if_it_had_shown_that_it_works() {
    let mut supervised = started(&Build::new("a"));
    supervised.deliver(at(1), events(&["x"]));
    // "b" runs for a second only, so "a" remains the build to fall back to when "c" fails.
    swap(&mut supervised, 100, &Build::new("b"), "", &[]).expect("it swaps");
    let bad = Build::scripted("c", Script { broken_from: Some(1), ..Script::default() });
    swap(&mut supervised, 101, &bad, "", &[]).expect("it swaps");
    supervised.deliver(at(102), events(&["y", "z", "v"]));
    assert_eq!(supervised.digest(), "a");
}

#[test]
fn going_back_gives_up_what_the_harmful_one_made_of_the_state() {
    let (good, bad) = (Build::new("good"), Build::new("bad"));
    let mut supervised = started(&good);
    supervised.deliver(at(1), events(&["x"]));
    swap(&mut supervised, 2, &bad, "", &["full"]).expect("it swaps");
    supervised.deliver(at(3), events(&["lie"]));
    let back = |supervised: &mut Supervisor, build: &Arc<Build>| {
        let factory = Arc::new(Maker(Arc::clone(build)));
        supervised.go_back(at(4), factory, Context::default(), events(&["full again"]))
    };
    let out = back(&mut supervised, &good).expect("it goes back");
    assert_eq!(echoed(&out), ["full again"]);
    assert_eq!(supervised.digest(), "good");
    assert_eq!(heard(&mut supervised), ["x", "full again"], "the state before the swap");
    // A build other than the previous one has no state that could be trusted.
    swap(&mut supervised, 5, &bad, "", &["full"]).expect("it swaps");
    back(&mut supervised, &Build::new("other")).expect("it goes back");
    assert_eq!(heard(&mut supervised), ["full again"]);
}
