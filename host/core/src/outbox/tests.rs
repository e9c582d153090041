//! Compares the outbox with a plain map: after any merge, the receiver ends in the sender's state.
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use outrigger_sdk::{DesiredAddress, Duty, Event, Frame};
use proptest::prelude::*;

use super::{CHUNK, FRAMES, Outbox, PendingChange, events, full_lists};
use crate::desired::Desired;

fn entry(number: u16, pool: u8) -> Arc<Desired> {
    let address = Ipv4Addr::from(0x0a00_0000 + u32::from(number)).into();
    let bare = Desired::clone(&Desired::bare(address, Duty::Announce));
    Arc::new(Desired { pool: pool.to_string().into(), ..bare })
}

/// Applies events as a plugin does: `remove` first, then `upsert`. Returns the addresses that were absent in between.
fn receive(state: &mut BTreeMap<IpAddr, DesiredAddress>, events: Vec<Event>) -> BTreeSet<IpAddr> {
    let mut gone = BTreeSet::new();
    for event in events {
        let Event::DesiredChanged(change) = event else { continue };
        if change.reset {
            state.clear();
        }
        for address in change.remove {
            state.remove(&address);
            gone.insert(address);
        }
        for entry in change.upsert {
            state.insert(entry.address, entry);
        }
    }
    gone
}

proptest! {
    #[test]
    fn merged_changes_end_where_single_ones_do_and_no_removal_is_lost(
        steps in proptest::collection::vec(proptest::collection::vec((0u16..350, proptest::option::of(0u8..3)), 0..200), 0..6),
    ) {
        let mut outbox = Outbox::default();
        let mut expected = BTreeMap::new();
        let mut removed = BTreeSet::new();
        for step in steps {
            let mut change = PendingChange::default();
            // One entry for each address, as the planner creates them.
            for (number, pool) in step.into_iter().collect::<BTreeMap<_, _>>() {
                let address = entry(number, 0).address;
                match pool {
                    Some(pool) => {
                        expected.insert(address, entry(number, pool).to_sdk());
                        change.upsert.push(entry(number, pool));
                    }
                    None => {
                        if expected.remove(&address).is_some() {
                            removed.insert(address);
                        }
                        change.remove.push(address);
                    }
                }
            }
            outbox.change(change);
        }
        let mut state = BTreeMap::new();
        let told = events(outbox.take());
        for event in &told {
            let Event::DesiredChanged(change) = event else { panic!("only changes were pushed") };
            prop_assert!(change.upsert.len() <= CHUNK && change.remove.len() <= CHUNK);
        }
        let gone = receive(&mut state, told);
        prop_assert_eq!(state, expected);
        prop_assert!(removed.is_subset(&gone), "a removal followed by an addition was merged into nothing");
    }
}

#[test]
fn the_oldest_frames_go_first_when_the_instance_is_slow() {
    let mut outbox = Outbox::default();
    for n in 0..FRAMES as u32 + 3 {
        outbox.push(Event::Frame(Frame { link: n, data: vec![] }));
    }
    assert_eq!(outbox.dropped_frames(), 3);
    let events = events(outbox.take());
    assert_eq!(events.len(), FRAMES);
    assert!(matches!(&events[0], Event::Frame(frame) if frame.link == 3));
}

#[test]
fn a_full_list_is_cut_into_chunks_and_an_empty_one_is_still_told() {
    let desired: BTreeMap<_, _> = (0..250u32)
        .map(|n| Desired::bare(Ipv4Addr::from(n).into(), Duty::Announce))
        .map(|entry| (entry.address, entry))
        .collect();
    let shape = |events: Vec<Event>| -> Vec<(bool, usize, bool)> {
        events
            .into_iter()
            .filter_map(|event| match event {
                Event::DesiredChanged(change) => {
                    Some((change.reset, change.upsert.len(), change.more))
                }
                _ => None,
            })
            .collect()
    };
    let links = BTreeMap::new();
    assert_eq!(
        shape(events(full_lists(&links, &desired))),
        [(true, 100, true), (false, 100, true), (false, 50, false)]
    );
    assert_eq!(shape(events(full_lists(&links, &BTreeMap::new()))), [(true, 0, false)]);
}
