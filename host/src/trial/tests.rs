//! Tests of the effects that a candidate may and may not have, reply by reply.
use std::sync::Arc;

use outrigger_core::desired::Desired;
use outrigger_core::guard::Guard;
use outrigger_sdk::{
    Duty, Effect, EndpointCount, Link, LinksChanged, MacAddr, Offload, OffloadWork,
};

use super::*;

mod routes;

fn address(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

/// Returns a guard for `count` addresses on link 1, and answers for all of them under their own numbers.
fn stage(count: u8) -> (Guard, AnswerOffloads) {
    let mut guard = Guard::default();
    let link = Link {
        index: 1,
        name: "eth0".into(),
        mac: MacAddr(2, 0, 0, 0, 0, 1),
        mtu: 1500,
        up: true,
        arp: true,
        generation: 0,
        addresses: Vec::new(),
    };
    guard.link(&LinksChanged { reset: true, upsert: vec![link], ..Default::default() });
    desire(&mut guard, 1..=count);
    (guard, (1..=count).map(|last| (u32::from(last), (1, address(last)))).collect())
}

fn desire(guard: &mut Guard, which: std::ops::RangeInclusive<u8>) {
    let entry = |last| Desired {
        address: address(last),
        pool: "lan".into(),
        services: [].into(),
        duty: Duty::Announce,
        local_endpoints: EndpointCount::default(),
        announcements: 0,
    };
    let before: Vec<_> = guard.desired().keys().copied().collect();
    let upsert: Vec<_> = which.map(entry).map(Arc::new).collect();
    guard.desire(&before, &upsert);
}

fn closes(which: std::ops::RangeInclusive<u32>) -> Vec<Granted> {
    which.map(Granted::Close).collect()
}

#[test]
fn a_reply_that_withdraws_a_tenth_and_two_at_least_has_no_effect_at_all() {
    for (count, closed, reason) in [
        (8, 1, ""),
        (8, 2, "Withdrawing"),
        (20, 2, ""),
        (20, 3, "Withdrawing"),
        (1, 1, ""),
        (2, 2, "Withdrawing"),
    ] {
        let (guard, answers) = stage(count);
        let mut trial = Trial::new("d", &guard);
        let now = trial.review(closes(1..=closed), &answers, &guard);
        assert!(now.is_empty(), "a withdrawal happens no earlier than the end of the trial");
        assert_eq!(trial.failed().map_or("", |it| it.1.reason), reason, "{closed} of {count}");
    }
}

#[test]
fn withdrawals_add_up_over_replies_and_a_new_answer_makes_one_good() {
    let (guard, answers) = stage(8);
    let mut trial = Trial::new("d", &guard);
    let again = Granted::Answer { id: 99, link: 1, address: address(1) };
    trial.review(closes(1..=1), &answers, &guard);
    let now = trial.review(vec![again.clone()], &answers, &guard);
    assert_eq!(now.len(), 1);
    let mut answers = answers;
    account(&mut answers, &again);
    trial.review(closes(2..=2), &answers, &guard);
    assert_eq!(trial.failed(), None, "one is gone, the other one came back");
    trial.review(closes(3..=3), &answers, &guard);
    assert_eq!(trial.failed().map(|it| it.1.reason), Some("Withdrawing"));
}

#[test]
fn another_build_may_give_everything_other_numbers() {
    let (guard, answers) = stage(8);
    let mut trial = Trial::new("d", &guard);
    let renumbered = (1..=8).map(|last| Granted::Answer {
        id: 100 + u32::from(last),
        link: 1,
        address: address(last),
    });
    let effects: Vec<Granted> = closes(1..=8).into_iter().chain(renumbered).collect();
    assert_eq!(trial.review(effects.clone(), &answers, &guard), effects);
    assert_eq!(trial.failed(), None);
}

#[test]
fn a_number_that_is_used_for_something_else_withdraws_too() {
    let (guard, answers) = stage(3);
    let mut trial = Trial::new("d", &guard);
    let same = |id| Granted::Answer { id, link: 1, address: address(3) };
    assert!(trial.review(vec![same(1), same(2)], &answers, &guard).is_empty());
    assert_eq!(trial.failed().map(|it| it.1.reason), Some("Withdrawing"));
}

#[test]
fn what_is_no_longer_desired_may_go_and_what_was_withheld_is_released() {
    let (mut guard, answers) = stage(8);
    let mut trial = Trial::new("d", &guard);
    assert!(trial.review(closes(1..=1), &answers, &guard).is_empty());
    let closed_again = Granted::Answer { id: 1, link: 1, address: address(1) };
    desire(&mut guard, 1..=1);
    assert_eq!(trial.review(closes(2..=8), &answers, &guard).len(), 7);
    assert_eq!(trial.failed(), None);
    assert_eq!(trial.withheld, closes(1..=1));
    trial.review(vec![closed_again], &answers, &guard);
    assert_eq!(trial.release(), [], "it answers again under the same number");
}

#[test]
fn announcing_without_end_is_flooding() {
    let (mut guard, answers) = stage(1);
    let mut trial = Trial::new("d", &guard);
    let work = OffloadWork::AnswerNeighbor { link: 1, address: address(1) };
    let announce =
        |guard: &mut Guard| guard.check(0, Effect::Offload(Offload { id: 1, work: work.clone() }));
    let granted: Vec<Granted> =
        std::iter::from_fn(|| announce(&mut guard).ok()).flatten().collect();
    assert!(granted.len() > 1000, "a re-announcement of everything always fits");
    assert!(trial.review(granted, &answers, &guard).is_empty());
    assert_eq!(trial.failed().map(|it| it.1.reason), Some("Flooding"));
}

#[test]
fn any_fault_fails_the_trial_though_the_supervisor_could_help() {
    let (guard, answers) = stage(3);
    for (fault, reason) in [
        (Fault::Trap { message: "boom".into() }, "Trapped"),
        (Fault::Memory { limit_mib: 64 }, "MemoryLimit"),
        (Fault::Deadline { after_ms: 50 }, "TookTooLong"),
    ] {
        let mut trial = Trial::new("d", &guard);
        let swapped = Incident::Swapped { from: "a".into(), to: "d".into(), fresh: false };
        trial.incidents(&[swapped]);
        assert_eq!(trial.failed(), None, "that it took over is none");
        trial.incidents(&[Incident::Restarted { why: fault }]);
        assert_eq!(trial.failed().map(|it| it.1.reason), Some(reason));
        let again = Granted::Answer { id: 9, link: 1, address: address(1) };
        assert!(trial.review(vec![again], &answers, &guard).is_empty(), "nothing more");
    }
}

#[test]
fn asking_again_and_again_for_what_is_not_granted_fails_the_trial() {
    let (mut guard, answers) = stage(1);
    let deny = |guard: &mut Guard| {
        let foreign = Effect::JoinGroup { link: 7, group: "ff02::1".parse().unwrap() };
        guard.check(0, foreign).unwrap_err();
    };
    (0..500).for_each(|_| deny(&mut guard));
    let mut trial = Trial::new("d", &guard);
    (0..MOST_DENIED).for_each(|_| deny(&mut guard));
    trial.review(Vec::new(), &answers, &guard);
    assert_eq!(trial.failed(), None, "what was denied before is not held against it");
    deny(&mut guard);
    trial.review(Vec::new(), &answers, &guard);
    let (_, verdict) = trial.failed().unwrap();
    assert_eq!(verdict.reason, "Denied");
    assert!(verdict.message.contains("link-not-granted 101"), "{}", verdict.message);
}
