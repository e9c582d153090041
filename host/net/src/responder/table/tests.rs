//! Tests of the bookkeeping: all indexes agree after operations in any order.
use std::net::{IpAddr, Ipv4Addr};

use outrigger_sdk::{Beacon, Frame};
use proptest::prelude::*;

use super::{Emission, Table, Taken, Work};

fn address(n: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, n).into()
}

fn beacon(link: u32, n: u8, due: u64) -> Work {
    let frame = Frame { link, data: vec![] };
    let beacon = Beacon { frame, interval_us: 1, jitter_percent: 0, count: 0 };
    Work::Beacon(Emission { address: address(n), beacon, left: None, due })
}

#[derive(Debug, Clone)]
enum Step {
    Answer(u32, u32, u32, u8),
    Beacon(u32, u32, u32, u8, u64),
    Close(u32, u32),
    TakeDue(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let (owner, id, link, n) = (0..2_u32, 0..4_u32, 0..2_u32, 0..3_u8);
    prop_oneof![
        (owner.clone(), id.clone(), link.clone(), n.clone())
            .prop_map(|(o, i, l, n)| Step::Answer(o, i, l, n)),
        (owner.clone(), id.clone(), link, n, 0..10_u64)
            .prop_map(|(o, i, l, n, d)| Step::Beacon(o, i, l, n, d)),
        (owner, id).prop_map(|(o, i)| Step::Close(o, i)),
        (0..10_u64).prop_map(Step::TakeDue),
    ]
}

proptest! {
    #[test]
    fn every_index_agrees_with_the_offloads_in_force(steps in proptest::collection::vec(step(), 0..60)) {
        let mut table = Table::default();
        for step in steps {
            match step {
                Step::Answer(owner, id, link, n) => {
                    let taken = table.answers.get(&(link, address(n))).is_some_and(|it| it.owner != owner);
                    let set = table.set(owner, id, Work::Answer((link, address(n))));
                    prop_assert_eq!(set.is_err(), taken);
                }
                Step::Beacon(owner, id, link, n, due) => {
                    table.set(owner, id, beacon(link, n, due)).unwrap();
                }
                Step::Close(owner, id) => {
                    let there = table.offloads(owner).contains(&id);
                    prop_assert_eq!(table.close(owner, id).is_some(), there);
                }
                Step::TakeDue(now) => {
                    let due = table.next_due().is_some_and(|due| due <= now);
                    prop_assert_eq!(table.take_due(now).is_some(), due);
                }
            }
            prop_assert_eq!(table.by_address.len(), table.offloads.len());
            let answers = table.offloads_where(|work| matches!(work, Work::Answer(_)));
            let ids: usize = table.answers.values().map(|answer| answer.ids.len()).sum();
            prop_assert_eq!(ids, answers.len());
            prop_assert_eq!(table.due.len(), table.offloads.len() - answers.len());
            for (&(owner, id), work) in &table.offloads {
                prop_assert!(table.offloads_for(owner, work.spot().1).contains(&id));
            }
        }
    }
}

#[test]
fn refused_work_leaves_what_the_number_did() {
    let mut table = Table::default();
    table.set(1, 1, Work::Answer((1, address(1)))).unwrap();
    table.set(2, 7, Work::Answer((1, address(2)))).unwrap();
    assert_eq!(table.set(2, 7, Work::Answer((1, address(1)))), Err(Taken));
    assert!(table.answers((1, address(2))));
}

#[test]
fn a_topic_is_wanted_until_its_last_watcher_leaves() {
    let mut table = Table::default();
    let spot = (1, address(1));
    table.watch(1, spot);
    table.watch(2, spot);
    table.unwatch(1, spot);
    assert!(table.wants(spot));
    assert_eq!(table.watched_by(2), [spot]);
    table.unwatch_link(1);
    assert!(!table.wants(spot));
}
