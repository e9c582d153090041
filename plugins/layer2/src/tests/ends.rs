//! Tests of the end of an instance, of an offload, and of the start of a successor.
use super::*;

#[test]
fn stopping_waits_for_those_that_another_node_takes() {
    for reason in [StopReason::Leave, StopReason::Restart, StopReason::Other] {
        let stopping = Event::Stopping(Stopping { reason, within_ms: 5_000 });
        check(
            &[
                start(&[("192.0.2.1", Duty::Announce), ("192.0.2.2", Duty::Standby("b".into()))]),
                vec![duty("192.0.2.1", Duty::HandOver("b".into())), stopping.clone()],
                vec![duty("192.0.2.1", Duty::Standby("b".into()))],
                vec![duty("192.0.2.1", Duty::Standby("c".into()))],
            ],
            &[
                &format!("{START_V4}\n report 192.0.2.2 Standby OtherNode"),
                "close 2",
                "close 1
                unwatch 192.0.2.1 on 2
                report 192.0.2.1 Standby OtherNode
                drained",
                "report 192.0.2.1 Standby OtherNode",
            ],
        );
        check(&[start(&[("192.0.2.1", Duty::Announce)]), vec![stopping]], &[START_V4, "drained"]);
    }
}

#[test]
fn a_deleted_announcer_withdraws_everything() {
    let stopping = Event::Stopping(Stopping { reason: StopReason::Remove, within_ms: 5_000 });
    check(
        &[
            start(&[("192.0.2.1", Duty::Announce)]),
            vec![stopping],
            vec![duty("192.0.2.1", Duty::Announce)],
        ],
        &[
            START_V4,
            "close 2
            close 1
            unwatch 192.0.2.1 on 2
            report 192.0.2.1 Withdrawn
            drained",
            "",
        ],
    );
}

#[test]
fn a_successor_sends_only_the_difference() {
    let resumed = |offloads: &[u32]| {
        let resumed = Event::Resumed(Resumed { offloads: offloads.to_vec(), ..Default::default() });
        [vec![resumed], start(&[("192.0.2.1", Duty::Announce)])].concat()
    };
    let first = start(&[("192.0.2.1", Duty::Announce)]);
    check(&[first.clone(), resumed(&[1, 2])], &[START_V4, ""]);
    check(&[first.clone(), resumed(&[1])], &[START_V4, ""]);
    check(&[first.clone(), resumed(&[1, 2, 9])], &[START_V4, "close 9"]);
    let again = START_V4.lines().take(3).collect::<Vec<_>>().join("\n");
    check(&[first, resumed(&[])], &[START_V4, &again]);
}

#[test]
fn an_address_that_was_removed_during_the_swap_is_withdrawn() {
    let resumed =
        [vec![Event::Resumed(Resumed { offloads: vec![1], ..Default::default() })], start(&[])]
            .concat();
    check(
        &[start(&[("192.0.2.1", Duty::Announce)]), resumed],
        &[
            START_V4,
            "close 2
            close 1
            unwatch 192.0.2.1 on 2
            report 192.0.2.1 Withdrawn",
        ],
    );
}

#[test]
fn after_a_rival_the_network_is_told_again_and_answers_go_on() {
    let again = |times: &str| {
        let mut entry = entry("192.0.2.1", Duty::Announce);
        entry.ext.push(("announcements".to_owned(), times.to_owned()));
        Event::DesiredChanged(DesiredChanged { upsert: vec![entry], ..DesiredChanged::default() })
    };
    let announces = "beacon 2: 192.0.2.1 at 02:00:00:00:00:02 on 2";
    check(
        &[
            start(&[("192.0.2.1", Duty::Announce)]),
            vec![again("1")],
            vec![again("1")],
            vec![again("2")],
        ],
        &[START_V4, announces, "", announces],
    );
}
