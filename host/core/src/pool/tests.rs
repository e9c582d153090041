use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use outrigger_sdk::Family;
use proptest::prelude::*;

use super::*;
use crate::facts::{PluginRef, Selector};

fn pool(addresses: &[&str], exclude: &[&str], avoid_buggy_ips: bool) -> Pool {
    let ranges = |lines: &[&str]| lines.iter().map(|line| line.parse().unwrap()).collect();
    Pool {
        name: "p".into(),
        labels: Default::default(),
        addresses: ranges(addresses),
        exclude: ranges(exclude),
        auto_assign: true,
        avoid_buggy_ips,
        priority: 0,
        namespaces: BTreeSet::new(),
        namespace_selector: None,
        service_selector: Selector::default(),
        allocator: PluginRef { plugin: "lowest-free".into(), config: "{}".into() },
        failure_policy: crate::facts::FailurePolicy::default(),
        announcers: None,
        draining: false,
        last_valid: None,
    }
}

#[test]
fn a_space_counts_what_may_be_given_out() {
    for (addresses, exclude, buggy, v4, v6) in [
        (&["10.0.0.0/24"][..], &[][..], false, 256, 0),
        (&["10.0.0.0/24"], &[], true, 254, 0),
        (&["10.0.0.0/8"], &[], true, 65_536 * 254, 0),
        (&["0.0.0.0/0"], &[], true, (1 << 24) * 254, 0),
        (&["10.0.0.0/24", "10.0.0.128/25"], &["10.0.0.0/28"], false, 240, 0),
        (&["10.0.0.255-10.0.1.0"], &[], true, 0, 0),
        (&["10.0.0.0/30"], &["10.0.0.0/24"], false, 0, 0),
        (
            &["2001:db8::/64", "10.0.0.1-10.0.0.2"],
            &["2001:db8::-2001:db8::f"],
            true,
            2,
            (1 << 64) - 16,
        ),
        (&["::/0"], &[], false, 0, u128::MAX),
        (&["::/0"], &["::1-::2"], false, 0, u128::MAX - 1),
    ] {
        let space = PoolSpace::new(&pool(addresses, exclude, buggy));
        let totals = (space.total(Family::Ipv4), space.total(Family::Ipv6));
        assert_eq!(totals, (v4, v6), "{addresses:?} without {exclude:?}");
    }
}

#[test]
fn a_mapped_address_is_in_no_pool() {
    let space = PoolSpace::new(&pool(&["::/0", "10.0.0.0/24"], &[], false));
    assert_eq!(space.index("::ffff:10.0.0.1".parse().unwrap()), None);
    assert_eq!(space.index("10.0.0.1".parse().unwrap()), Some(1));
}

fn at(offset: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + offset))
}

fn line() -> impl Strategy<Value = (u32, u32)> {
    (0u32..1000, 0u32..300).prop_map(|(first, length)| (first, first + length))
}

proptest! {
    #[test]
    fn numbers_and_addresses_agree_with_an_enumeration(
        addresses in prop::collection::vec(line(), 0..5),
        exclude in prop::collection::vec(line(), 0..4),
        buggy: bool,
    ) {
        let text = |lines: &[(u32, u32)]| -> Vec<String> {
            lines.iter().map(|(first, last)| format!("{}-{}", at(*first), at(*last))).collect()
        };
        let (allowed, excluded) = (text(&addresses), text(&exclude));
        let allowed: Vec<&str> = allowed.iter().map(String::as_str).collect();
        let excluded: Vec<&str> = excluded.iter().map(String::as_str).collect();
        let space = PoolSpace::new(&pool(&allowed, &excluded, buggy));

        let inside = |lines: &[(u32, u32)], n| lines.iter().any(|(a, b)| (*a..=*b).contains(&n));
        let model: Vec<u32> = (0..1400)
            .filter(|n| inside(&addresses, *n) && !inside(&exclude, *n))
            .filter(|n| !buggy || !matches!(n & 255, 0 | 255))
            .collect();
        prop_assert_eq!(space.total(Family::Ipv4), model.len() as u128);
        for n in 0..1400 {
            let index = model.binary_search(&n).ok().map(|index| index as u128);
            prop_assert_eq!(space.index(at(n)), index);
            let up_to = model.partition_point(|m| *m <= n) as u128;
            prop_assert_eq!(space.up_to(at(n)), up_to);
        }
        for (index, n) in model.iter().enumerate() {
            prop_assert_eq!(space.address(Family::Ipv4, index as u128), Some(at(*n)));
        }
        prop_assert_eq!(space.address(Family::Ipv4, model.len() as u128), None);
    }

    #[test]
    fn order_statistics_agree_with_an_enumeration(
        steps in prop::collection::vec((any::<bool>(), 0u128..60), 0..80),
    ) {
        let (mut held, mut model) = (Held::default(), BTreeSet::new());
        for (take, number) in steps {
            if take {
                prop_assert_eq!(held.insert(number), model.insert(number));
            } else {
                prop_assert_eq!(held.remove(number), model.remove(&number));
            }
        }
        let free: Vec<u128> = (0..200).filter(|n| !model.contains(n)).collect();
        for (n, number) in free.iter().enumerate() {
            prop_assert_eq!(held.nth_free(n as u128), *number);
            prop_assert_eq!(held.free_below(*number), n as u128);
        }
        prop_assert_eq!(held.from(20).collect::<Vec<_>>(), model.range(20..).copied().collect::<Vec<_>>());
        prop_assert_eq!(held.len(), model.len());
        prop_assert_eq!(held.is_empty(), model.is_empty());
        prop_assert!((0..60).all(|n| held.contains(n) == model.contains(&n)));
    }
}
