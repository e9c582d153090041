//! Scripts of events with exact expected effects, and property tests on a simulated host that keeps the rules of the
//! WIT and uses some of its freedom: after any sequence of steps exactly the desired work is active.
use std::fmt::Write;

use outrigger_sdk::*;

use super::*;
use crate::scripts::*;

mod ends;
mod host;

/// Formats an effect as one line, so that a script reads like a log.
fn line(effect: &Effect) -> String {
    match effect {
        Effect::WatchFrames(watch) => {
            format!("watch {} on {}", watch.topics[0].address(), watch.link)
        }
        Effect::UnwatchFrames(watch) => {
            format!("unwatch {} on {}", watch.topics[0].address(), watch.link)
        }
        Effect::JoinGroup { link, group } => format!("join {group} on {link}"),
        Effect::LeaveGroup { link, group } => format!("leave {group} on {link}"),
        Effect::Close(id) => format!("close {id}"),
        Effect::Drained => "drained".into(),
        Effect::Offload(Offload { id, work: OffloadWork::AnswerNeighbor { link, address } }) => {
            format!("answer {id}: {address} on {link}")
        }
        Effect::Offload(Offload { id, work: OffloadWork::Beacon(beacon) }) => {
            let decoded = wire::decode(&beacon.frame.data).unwrap();
            format!(
                "beacon {id}: {} at {} on {}",
                decoded.message.address(),
                decoded.source,
                beacon.frame.link
            )
        }
        Effect::Report(Report::Address(report)) => {
            let mut text = format!("report {} {:?}", report.address, report.state);
            for word in report.via.iter().chain([&report.reason]).filter(|word| !word.is_empty()) {
                write!(text, " {word}").unwrap();
            }
            text
        }
        other => format!("{other:?}"),
    }
}

fn fresh() -> Layer2 {
    let context = Context { config: "{}".into(), ..Context::default() };
    Layer2::start(context, Origin::Fresh).unwrap()
}

fn at(second: u64) -> Time {
    Time { monotonic_us: second * 1_000_000, utc_us: 0 }
}

/// Makes one call per second; `expected` holds the effects of each call, one per line.
fn check(calls: &[Vec<Event>], expected: &[&str]) {
    let mut instance = fresh();
    assert_eq!(calls.len(), expected.len());
    for (second, (events, expected)) in calls.iter().zip(expected).enumerate() {
        let reply = instance.handle(at(second as u64), events.clone());
        let lines: Vec<String> = reply.effects.iter().map(line).collect();
        let expected: Vec<&str> =
            expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        assert_eq!(lines, expected, "call {second}: {events:?}");
    }
}

const START_V4: &str = "watch 192.0.2.1 on 2
    answer 1: 192.0.2.1 on 2
    beacon 2: 192.0.2.1 at 02:00:00:00:00:02 on 2
    report 192.0.2.1 Announced eth0";

#[test]
fn an_address_is_answered_before_it_is_announced_five_times() {
    let events = start(&[("192.0.2.1", Duty::TakeOver("b".into()))]);
    let effects = fresh().handle(at(0), events).effects;
    let address = address("192.0.2.1");
    let data = wire::announcement(address, MacAddr::new(2, 0, 0, 0, 0, 2));
    let expected = [
        Effect::WatchFrames(FrameWatch { link: 2, topics: vec![Topic::about(address)] }),
        Effect::Offload(Offload { id: 1, work: OffloadWork::AnswerNeighbor { link: 2, address } }),
        Effect::Offload(Offload {
            id: 2,
            work: OffloadWork::Beacon(Beacon {
                frame: Frame { link: 2, data },
                interval_us: 1_100_000,
                jitter_percent: 10,
                count: 5,
            }),
        }),
        Effect::Report(Report::Address(AddressReport {
            address,
            state: AnnouncementState::Announced,
            via: vec!["eth0".into()],
            reason: String::new(),
            message: String::new(),
        })),
    ];
    assert_eq!(effects, expected);
}

#[test]
fn nothing_is_decided_before_both_full_lists_are_there() {
    let list = |reset, more, upsert| {
        Event::DesiredChanged(DesiredChanged { reset, remove: vec![], upsert, more })
    };
    check(
        &[
            vec![list(true, true, vec![entry("192.0.2.1", Duty::Announce)])],
            vec![list(false, false, vec![])],
            vec![links(&[link(2, "eth0")])],
        ],
        &["", "", START_V4],
    );
}

#[test]
fn addresses_of_one_group_share_it() {
    check(
        &[
            start(&[("2001:db8::1", Duty::Announce)]),
            vec![duty("2001:db8:1::1", Duty::Announce)],
            vec![removed("2001:db8::1")],
            vec![removed("2001:db8:1::1")],
        ],
        &[
            "watch 2001:db8::1 on 2
            join ff02::1:ff00:1 on 2
            answer 1: 2001:db8::1 on 2
            beacon 2: 2001:db8::1 at 02:00:00:00:00:02 on 2
            report 2001:db8::1 Announced eth0",
            "watch 2001:db8:1::1 on 2
            answer 3: 2001:db8:1::1 on 2
            beacon 4: 2001:db8:1::1 at 02:00:00:00:00:02 on 2
            report 2001:db8:1::1 Announced eth0",
            "close 2
            close 1
            unwatch 2001:db8::1 on 2
            report 2001:db8::1 Withdrawn",
            "close 4
            close 3
            unwatch 2001:db8:1::1 on 2
            leave ff02::1:ff00:1 on 2
            report 2001:db8:1::1 Withdrawn",
        ],
    );
}

#[test]
fn a_duty_that_means_the_same_changes_nothing() {
    let same =
        vec![duty("192.0.2.1", Duty::Announce), duty("192.0.2.1", Duty::TakeOver("b".into()))];
    check(&[start(&[("192.0.2.1", Duty::Announce)]), same], &[START_V4, ""]);
}

#[test]
fn what_is_removed_and_added_again_is_announced_again() {
    check(
        &[
            start(&[("192.0.2.1", Duty::Announce)]),
            vec![removed("192.0.2.1"), duty("192.0.2.1", Duty::Announce)],
            vec![Event::DesiredChanged(DesiredChanged {
                remove: vec![address("192.0.2.1")],
                upsert: vec![entry("192.0.2.1", Duty::Announce)],
                ..DesiredChanged::default()
            })],
        ],
        &[
            START_V4,
            "close 2
            close 1
            unwatch 192.0.2.1 on 2
            report 192.0.2.1 Withdrawn
            watch 192.0.2.1 on 2
            answer 3: 192.0.2.1 on 2
            beacon 4: 192.0.2.1 at 02:00:00:00:00:02 on 2
            report 192.0.2.1 Announced eth0",
            "close 4
            close 3
            unwatch 192.0.2.1 on 2
            report 192.0.2.1 Withdrawn
            watch 192.0.2.1 on 2
            answer 5: 192.0.2.1 on 2
            beacon 6: 192.0.2.1 at 02:00:00:00:00:02 on 2
            report 192.0.2.1 Announced eth0",
        ],
    );
}

#[test]
fn a_node_that_hands_over_answers_to_the_end_but_announces_no_more() {
    check(
        &[
            start(&[("192.0.2.1", Duty::Announce)]),
            vec![duty("192.0.2.1", Duty::HandOver("b".into()))],
            vec![duty("192.0.2.1", Duty::Announce)],
            vec![duty("192.0.2.1", Duty::HandOver("b".into()))],
            vec![duty("192.0.2.1", Duty::Standby("b".into()))],
            vec![duty("192.0.2.1", Duty::Standby(String::new()))],
        ],
        &[
            START_V4,
            "close 2",
            "beacon 2: 192.0.2.1 at 02:00:00:00:00:02 on 2",
            "close 2",
            "close 1
            unwatch 192.0.2.1 on 2
            report 192.0.2.1 Standby OtherNode",
            "report 192.0.2.1 Standby NoEligibleNode",
        ],
    );
}

#[test]
fn without_a_usable_link_the_report_says_so() {
    let pointless = Link { arp: false, ..link(3, "wg0") };
    let down = Link { up: false, ..link(2, "eth0") };
    check(
        &[
            start(&[("192.0.2.1", Duty::Announce)]),
            vec![Event::Ended(1), Event::Ended(2), link_change(&[], &[down, pointless])],
            vec![link_change(&[], &[link(2, "eth0")])],
            vec![Event::Ended(3), Event::Ended(4), link_change(&[2], &[])],
        ],
        &[
            START_V4,
            "unwatch 192.0.2.1 on 2
            report 192.0.2.1 Failed NoUsableLink",
            "watch 192.0.2.1 on 2
            answer 3: 192.0.2.1 on 2
            beacon 4: 192.0.2.1 at 02:00:00:00:00:02 on 2
            report 192.0.2.1 Announced eth0",
            "report 192.0.2.1 Failed NoUsableLink",
        ],
    );
}

#[test]
fn a_link_that_moved_is_announced_on_again_under_the_same_numbers() {
    let moved = Link { generation: 2, mac: MacAddr::new(2, 0, 0, 0, 0, 0xee), ..link(2, "eth0") };
    check(
        &[
            start(&[("192.0.2.1", Duty::Announce)]),
            vec![link_change(&[], &[link(3, "eth1")])],
            vec![link_change(&[], &[moved])],
            vec![link_change(&[], &[Link { mtu: 9000, ..link(3, "eth1") }])],
        ],
        &[
            START_V4,
            "watch 192.0.2.1 on 3
            answer 3: 192.0.2.1 on 3
            beacon 4: 192.0.2.1 at 02:00:00:00:00:03 on 3
            report 192.0.2.1 Announced eth0 eth1",
            "answer 1: 192.0.2.1 on 2
            beacon 2: 192.0.2.1 at 02:00:00:00:00:ee on 2",
            "",
        ],
    );
}

#[test]
fn an_offload_the_host_ended_is_set_again_if_it_is_still_wanted() {
    check(
        &[start(&[("192.0.2.1", Duty::Announce)]), vec![Event::Ended(1)], vec![Event::Ended(9)]],
        &[START_V4, "answer 1: 192.0.2.1 on 2", ""],
    );
}

#[test]
fn a_refused_address_is_tried_again_and_counts_only_when_that_was_not_refused() {
    let refused = |subject: &str| {
        let (effect, subject, reason) = ("offload".into(), subject.into(), "churn-limit".into());
        vec![Event::Denied(Denied { effect, subject, reason })]
    };
    let again = "answer 1: 192.0.2.1 on 2
        beacon 2: 192.0.2.1 at 02:00:00:00:00:02 on 2";
    let failed = "report 192.0.2.1 Failed ChurnLimit";
    let calls = [
        start(&[("192.0.2.1", Duty::Announce)]),
        refused("192.0.2.1"),
        vec![],
        vec![],
        refused("1"),
        vec![],
        vec![],
        vec![],
        vec![],
        refused("203.0.113.1"),
    ];
    check(
        &calls,
        &[START_V4, failed, "", again, "", "", again, "", "report 192.0.2.1 Announced eth0", ""],
    );

    let mut instance = fresh();
    let mut wakes = calls
        .iter()
        .zip(0..)
        .map(|(events, second)| instance.handle(at(second), events.clone()).wake);
    let after = |ms| Wake::After { ms, reason: "retry".into() };
    let expected = [Wake::Never, after(2_000), after(1_000), after(2_000), after(2_000)];
    assert_eq!(wakes.by_ref().take(5).collect::<Vec<_>>(), expected);
    assert_eq!(wakes.last(), Some(Wake::Never));
}

#[test]
fn a_group_that_was_not_joined_is_a_failure_and_joined_again() {
    let denied = Event::Denied(Denied {
        effect: "join-group".into(),
        subject: "ff02::1:ff00:1".into(),
        reason: "no memory".into(),
    });
    check(
        &[start(&[("2001:db8::1", Duty::Announce)]), vec![denied], vec![], vec![], vec![], vec![]],
        &[
            "watch 2001:db8::1 on 2
            join ff02::1:ff00:1 on 2
            answer 1: 2001:db8::1 on 2
            beacon 2: 2001:db8::1 at 02:00:00:00:00:02 on 2
            report 2001:db8::1 Announced eth0",
            "report 2001:db8::1 Failed NoMemory",
            "",
            "watch 2001:db8::1 on 2
            join ff02::1:ff00:1 on 2
            answer 1: 2001:db8::1 on 2
            beacon 2: 2001:db8::1 at 02:00:00:00:00:02 on 2",
            "",
            "report 2001:db8::1 Announced eth0",
        ],
    );
}

#[test]
fn on_a_link_without_ipv6_no_ipv6_address_is_announced() {
    let without = Link { addresses: vec![], ..link(2, "eth0") };
    check(
        &[
            start(&[("2001:db8::1", Duty::Announce)]),
            vec![Event::Ended(1), Event::Ended(2), link_change(&[], &[without])],
        ],
        &[
            "watch 2001:db8::1 on 2
            join ff02::1:ff00:1 on 2
            answer 1: 2001:db8::1 on 2
            beacon 2: 2001:db8::1 at 02:00:00:00:00:02 on 2
            report 2001:db8::1 Announced eth0",
            "unwatch 2001:db8::1 on 2
            leave ff02::1:ff00:1 on 2
            report 2001:db8::1 Failed NoUsableLink",
        ],
    );
}

#[test]
fn a_configuration_has_no_fields() {
    assert_eq!(Layer2::validate("{}"), Ok(()));
    for wrong in ["{\"interfaces\": []}", "", "nonsense"] {
        assert!(Layer2::validate(wrong).is_err_and(|errors| errors.len() == 1), "{wrong}");
    }
    let context = Context { config: "{\"x\": 1}".into(), ..Context::default() };
    assert!(matches!(Layer2::start(context, Origin::Fresh), Err(StartError::InvalidConfig(_))));
}

#[test]
fn a_snapshot_of_another_format_or_a_damaged_one_is_refused() {
    let restore = |state| {
        let context = Context { config: "{}".into(), ..Context::default() };
        Layer2::start(context, Origin::Restored(state))
    };
    let good = fresh().snapshot();
    assert_eq!(restore(good.clone()), Ok(fresh()));
    let other = SavedState { format: "layer2/1".into(), ..good.clone() };
    assert!(matches!(restore(other), Err(StartError::UnknownSnapshot(_))));
    let damaged = SavedState { data: vec![0xff; 3], ..good };
    assert!(matches!(restore(damaged), Err(StartError::UnknownSnapshot(_))));
}

#[test]
fn the_same_script_twice_has_the_same_effects_and_a_snapshot_loses_nothing() {
    for (name, calls) in scripts() {
        let (mut one, mut two) = (fresh(), fresh());
        for (now, events) in calls {
            let reply = one.handle(now, events.clone());
            assert_eq!(two.handle(now, events), reply, "{name}");
            assert_eq!(one.snapshot(), two.snapshot(), "{name}");
            let context = Context { config: "{}".into(), ..Context::default() };
            two = Layer2::start(context, Origin::Restored(two.snapshot())).unwrap();
        }
        assert_eq!(one, two, "{name}");
    }
}
