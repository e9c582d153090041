//! The outbox against a plain map: whatever is merged, the receiver ends where the sender is.
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use outrigger_sdk::{DesiredAddress, DesiredChanged, Duty, Event, Frame};
use proptest::prelude::*;

use super::{FRAMES, Outbox, full_lists};
use crate::desired::Desired;

fn entry(last_octet: u8, pool: u8) -> DesiredAddress {
    DesiredAddress {
        address: Ipv4Addr::new(192, 0, 2, last_octet).into(),
        pool: pool.to_string(),
        services: vec![],
        duty: Duty::Announce,
        local_endpoints: Default::default(),
        ext: vec![],
    }
}

/// What a plugin does with a change: `remove` first, then `upsert`. Says which addresses were gone in between.
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
        steps in proptest::collection::vec((0u8..4, proptest::option::of(0u8..3)), 0..40),
    ) {
        let mut outbox = Outbox::default();
        let mut expected = BTreeMap::new();
        let mut removed = BTreeSet::new();
        for (octet, pool) in steps {
            let address = entry(octet, 0).address;
            let change = match pool {
                Some(pool) => {
                    expected.insert(address, entry(octet, pool));
                    DesiredChanged { upsert: vec![entry(octet, pool)], ..Default::default() }
                }
                None => {
                    if expected.remove(&address).is_some() {
                        removed.insert(address);
                    }
                    DesiredChanged { remove: vec![address], ..Default::default() }
                }
            };
            outbox.push(Event::DesiredChanged(change));
        }
        let mut state = BTreeMap::new();
        let gone = receive(&mut state, outbox.take());
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
    let events = outbox.take();
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
        shape(full_lists(&links, &desired)),
        [(true, 100, true), (false, 100, true), (false, 50, false)]
    );
    assert_eq!(shape(full_lists(&links, &BTreeMap::new())), [(true, 0, false)]);
}
