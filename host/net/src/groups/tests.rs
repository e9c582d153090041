//! Memberships as reported by the kernel.
use std::net::Ipv6Addr;

use super::Groups;
use crate::Links;
use crate::namespace::{index, ip, namespaced, veth};

/// Returns true if eth0 is in a group, according to /proc/net/igmp6 of this namespace.
fn is_member(group: Ipv6Addr) -> bool {
    let wanted = group.octets().map(|octet| format!("{octet:02x}")).concat();
    // `self` is the namespace of the process; `/proc/net` alone is that of the thread, which is the same here.
    let table = std::fs::read_to_string("/proc/self/net/igmp6").unwrap();
    table.lines().any(|line| line.contains(" eth0 ") && line.contains(&wanted))
}

namespaced! {
    fn a_group_is_left_when_its_last_owner_leaves() {
        veth();
        let (groups, link) = (Groups::default(), index("eth0"));
        let group: Ipv6Addr = "ff02::1:ff00:10".parse().unwrap();
        for owner in [1, 1, 2] {
            groups.join(owner, link, group).unwrap();
        }
        groups.leave(1, link, group);
        assert!(is_member(group));
        groups.end_owner(2);
        assert!(!is_member(group));
        groups.join(1, link, group).unwrap();
        assert!(is_member(group));
        ip("link del eth0");
        groups.set_links(&Links::new());
        let gone = groups.join(1, link, group).unwrap_err();
        assert!(gone.to_string().contains("ff02::1:ff00:10"), "{gone}");
    }

    fn more_groups_than_one_socket_holds_are_joined_on_several() {
        veth();
        // The default before Linux 6.9. Where the setting is not per namespace it is that small already, or the test is
        // only weaker.
        let _ = std::fs::write("/proc/sys/net/core/optmem_max", "20480");
        let (groups, link) = (Groups::default(), index("eth0"));
        let group = |n: u16| Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, n);
        for n in 0..1_000 {
            groups.join(1, link, group(n)).unwrap();
        }
        assert!(is_member(group(0)) && is_member(group(999)));
        groups.end_owner(1);
        assert!(!is_member(group(0)) && !is_member(group(999)));
    }
}
