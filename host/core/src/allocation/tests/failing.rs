//! A policy that fails: the outcome for its Services, and the effect on Services of other pools.
use super::*;
use crate::facts::FailurePolicy;

/// Returns pool "dmz", which goes before pool "public", which any Service may use.
fn dmz_before_public(failure_policy: FailurePolicy) -> Vec<Pool> {
    let dmz = with_policy(pool("dmz", &["10.0.0.1-10.0.0.9"]), "quota");
    let public = pool("public", &["192.0.2.1-192.0.2.9"]);
    vec![Pool { priority: 1, failure_policy, ..dmz }, Pool { priority: 2, ..public }]
}

fn with_policy(pool: Pool, plugin: &str) -> Pool {
    let allocator = PluginRef { plugin: plugin.into(), ..pool.allocator };
    Pool { allocator, ..pool }
}

/// Lets the policy of "dmz" give this answer; every other policy gives the lowest address.
fn dmz(result: Result<Outcome, String>) -> impl Fn(&Question) -> Result<Outcome, String> {
    move |question| match question.plugin.plugin.as_str() {
        "quota" => result.clone(),
        _ => Ok(lowest(question)),
    }
}

fn put_with(
    rig: &mut Rig,
    service: Service,
    policy: impl Fn(&Question) -> Result<Outcome, String>,
) {
    rig.apply(Change::Upsert(Fact::from(service)));
    rig.settle_with(policy);
}

#[test]
fn what_becomes_of_a_service_is_its_pools_owners_to_say() {
    let failures: [Result<Outcome, String>; 4] = [
        Err("trap".into()),
        Ok(Outcome::Assign(vec![ip("192.0.2.7")])),
        Ok(Outcome::Assign(vec![])),
        Ok(Outcome::Ask(vec![])),
    ];
    for (failure_policy, held) in [
        (FailurePolicy::Wait, ""),
        (FailurePolicy::NextPool, "192.0.2.1"),
        (FailurePolicy::Builtin, "10.0.0.1"),
    ] {
        for failure in &failures {
            let mut rig = Rig::synced(dmz_before_public(failure_policy), vec![]);
            put_with(&mut rig, service("a"), dmz(failure.clone()));
            assert_eq!(rig.held("a"), held, "{failure_policy:?}, {failure:?}");
            if held.is_empty() {
                let reason = rig.verdict("a").condition.reason;
                assert!(reason.starts_with("Policy"), "{reason}");
                assert!(!rig.message("a").contains("public"), "{}", rig.message("a"));
            }
        }
        let mut rig = Rig::synced(dmz_before_public(failure_policy), vec![]);
        let (reason, message) = ("QuotaReached".into(), "no".into());
        let no = Refusal { reason, message, retry_after_ms: 0 };
        put_with(&mut rig, service("a"), dmz(Ok(Outcome::Refuse(no))));
        assert_eq!(rig.held("a"), "192.0.2.1", "a refusal is no failure");
    }
}

#[test]
fn a_built_in_policy_that_fails_as_well_ends_it() {
    let mut rig = Rig::synced(dmz_before_public(FailurePolicy::Builtin), vec![]);
    put_with(&mut rig, service("a"), |question| match question.pool.as_str() {
        "dmz" => Err(format!("trap in {}", question.plugin.plugin)),
        _ => Ok(lowest(question)),
    });
    assert_eq!((rig.held("a"), rig.asked.len()), (String::new(), 2));
    assert_eq!(rig.allocations.next_deadline(), Some(10_000_000));
}

/// Two hundred Services use a pool whose policy takes its whole time, and one of another pool arrives in the middle.
#[test]
fn a_policy_that_loops_costs_other_pools_next_to_nothing() {
    let looping = with_policy(pool("p", &["10.0.0.0/24"]), "loop");
    let services = (0..200).map(|n| {
        with(service(&format!("a{n:03}")), |it| {
            it.pool = Some("p".into());
        })
    });
    let mut rig = Rig::default();
    rig.put_all(vec![looping, pool("q", &["10.0.1.0/24"])], services.collect());
    rig.apply(Change::Synced);
    let mut asked = BTreeMap::<String, u64>::new();
    for second in 0..60 {
        rig.now.monotonic_us = second * 1_000_000;
        let begun_us = rig.now.monotonic_us;
        rig.put_all(
            vec![],
            vec![with(service(&format!("z{second:02}")), |it| it.pool = Some("q".into()))],
        );
        while let Some(question) = rig.allocations.poll(rig.now) {
            *asked.entry(question.pool.clone()).or_default() += 1;
            let loops = question.pool == "p";
            rig.now.monotonic_us += if loops { 100_000 } else { 100 };
            let result = if loops { Err("too long".into()) } else { Ok(lowest(&question)) };
            rig.allocations.answer(question, result, rig.now);
            if rig.held(&format!("z{second:02}")).is_empty() {
                assert!(rig.now.monotonic_us - begun_us < 200_000, "it waits for others");
            }
        }
        assert!(!rig.held(&format!("z{second:02}")).is_empty());
    }
    assert_eq!(asked["q"], 60);
    assert!(asked["p"] <= 9, "asked {} times in a minute", asked["p"]);
    let failing = rig.allocations.pool_status("p").expect("there");
    let kinds: Vec<_> = failing.conditions.iter().map(|it| it.kind.name()).collect();
    assert_eq!(kinds, ["Ready", "PolicyFailed"]);
    assert!(failing.conditions[1].message.contains("too long"));

    // Another build is active: all Services are asked for at once, and no trace of the failure is left.
    rig.allocations.plugin_changed("loop");
    rig.settle();
    assert!((0..200).all(|n| !rig.held(&format!("a{n:03}")).is_empty()));
    assert_eq!(rig.allocations.pool_status("p").expect("there").conditions.len(), 1);
}

#[test]
fn services_for_which_a_policy_traps_do_not_stand_before_the_others() {
    let names = ["a", "b", "c", "d", "e", "x", "y", "z"];
    let mut rig = Rig::default();
    rig.put_all(vec![pool("p", &["10.0.0.0/24"])], names.map(service).into());
    rig.apply(Change::Synced);
    for _ in 0..2 {
        rig.settle_with(|question| match question.service.name() < "m" {
            true => Err("it has a label that I do not like".into()),
            false => Ok(lowest(question)),
        });
        rig.now.monotonic_us += 10_000_000;
    }
    for name in ["x", "y", "z"] {
        assert!(!rig.held(name).is_empty(), "{name}: asked {:?}", rig.asked);
    }
}
