//! The times at which a policy is asked and asked again, and the handling of its answers.
use super::*;

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
    // The seed is the same for the same request, and different for another pool.
    let seed = |service: &Service, pool| attempt::seed(service, pool);
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
