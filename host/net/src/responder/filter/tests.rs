//! Tests of the prefixes. The responder's tests show in the kernel that the programs match the same addresses.
use std::collections::BTreeSet;
use std::net::IpAddr;

use outrigger_sdk::Family;
use proptest::prelude::*;

use super::{Filter, PREFIXES, cover, width};

proptest! {
    #[test]
    fn a_few_addresses_are_matched_exactly_and_many_are_all_covered(
        addresses in proptest::collection::btree_set(any::<u128>(), 0..300),
        narrow in any::<bool>(),
        near in any::<bool>(),
    ) {
        let width = if narrow { 32 } else { 128 };
        let clip = |bits: u128| {
            let bits = if narrow { bits & 0xffff_ffff } else { bits };
            if near { bits & 0xfff } else { bits }
        };
        let addresses: BTreeSet<u128> = addresses.into_iter().map(clip).collect();
        let sorted: Vec<u128> = addresses.iter().copied().collect();
        let prefixes = cover(&sorted, width);
        prop_assert!(prefixes.len() <= PREFIXES);
        for address in &sorted {
            prop_assert!(prefixes.iter().any(|prefix| prefix.contains(*address, width)));
        }
        if sorted.len() <= PREFIXES {
            prop_assert!(prefixes.iter().all(|prefix| prefix.length == width));
            prop_assert_eq!(prefixes.len(), sorted.len());
        }
    }
}

#[test]
fn the_program_is_installed_again_only_when_it_would_not_pass_an_address() {
    let mut filter = Filter::new(Family::Ipv4);
    let address = |n: u32| IpAddr::from((0x0a00_0000 + n).to_be_bytes());
    let mut installs = 0;
    for n in 0..10_000 {
        if filter.insert(address(n)) {
            let (prefixes, program) = filter.program();
            assert!(program.len() <= 2 + 3 * 3 + 2 * (2 + 4 * PREFIXES));
            filter.installed(prefixes);
            installs += 1;
        }
        assert!(!filter.insert(address(n)), "{n} passes");
    }
    assert!(installs < 1_200, "{installs}");
    let removals = (0..10_000).filter(|&n| {
        let outdated = filter.remove(address(n));
        if outdated {
            let (prefixes, _) = filter.program();
            filter.installed(prefixes);
        }
        outdated
    });
    assert!(removals.count() < 200);
    assert_eq!(filter.program().0, []);
    assert!(!filter.remove(address(1)));
    assert_eq!(width(Family::Ipv6), 128);
}
