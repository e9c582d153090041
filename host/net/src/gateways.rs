//! The default gateways of this node, read from the kernel's current routing tables.
use std::net::{Ipv4Addr, Ipv6Addr};

/// `RTF_GATEWAY` of linux/route.h.
const GATEWAY: u32 = 2;

/// Returns the best default gateway of each family, IPv4 first; a link-local one carries its link, as in
/// `fe80::1%eth0`.
pub fn default_gateways() -> (Option<String>, Option<String>) {
    let read = |file: &str| std::fs::read_to_string(format!("/proc/thread-self/net/{file}"));
    (
        read("route").ok().and_then(|text| v4(&text)),
        read("ipv6_route").ok().and_then(|text| v6(&text)),
    )
}

/// Returns the link of the IPv4 default route, with or without a gateway.
pub fn default_link() -> Option<String> {
    v4_link(&std::fs::read_to_string("/proc/thread-self/net/route").ok()?)
}

/// Parses the link of the default route from the table that [`v4`] parses.
fn v4_link(table: &str) -> Option<String> {
    let link = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [link, "00000000", _, _, _, _, metric, "00000000", ..] = fields[..] else {
            return None;
        };
        Some((metric.parse::<u32>().ok()?, link.to_owned()))
    };
    table.lines().filter_map(link).min().map(|(_, link)| link)
}

/// Parses the IPv4 table: interface, destination, gateway, flags, three counters, metric, mask. Addresses are
/// hexadecimal numbers in the byte order of this machine.
fn v4(table: &str) -> Option<String> {
    let gateway = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, "00000000", gateway, flags, _, _, metric, "00000000", ..] = fields[..] else {
            return None;
        };
        let flags = u32::from_str_radix(flags, 16).ok()?;
        let gateway = u32::from_str_radix(gateway, 16).ok()?;
        let metric: u32 = metric.parse().ok()?;
        (flags & GATEWAY != 0).then(|| (metric, Ipv4Addr::from(gateway.to_ne_bytes())))
    };
    table.lines().filter_map(gateway).min().map(|(_, gateway)| gateway.to_string())
}

/// Parses the IPv6 table: destination, its length, source, its length, next hop, metric, two counters, flags,
/// interface. All numbers are hexadecimal.
fn v6(table: &str) -> Option<String> {
    let gateway = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [destination, "00", _, _, gateway, metric, _, _, flags, link] = fields[..] else {
            return None;
        };
        let flags = u32::from_str_radix(flags, 16).ok()?;
        let metric = u32::from_str_radix(metric, 16).ok()?;
        let gateway = Ipv6Addr::from(u128::from_str_radix(gateway, 16).ok()?);
        let is_default = destination.bytes().all(|digit| digit == b'0');
        (is_default && flags & GATEWAY != 0).then(|| (metric, gateway, link.to_owned()))
    };
    let (_, gateway, link) = table.lines().filter_map(gateway).min()?;
    let scope = if gateway.is_unicast_link_local() { format!("%{link}") } else { String::new() };
    Some(format!("{gateway}{scope}"))
}

#[cfg(test)]
mod tests {
    use super::{v4, v4_link, v6};

    #[test]
    fn the_default_route_with_the_lowest_metric_names_the_gateway() {
        let table = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
                     eth1\t00000000\t0A4D4D0A\t0003\t0\t0\t200\t00000000\t0\t0\t0\n\
                     eth0\t00000000\t0100000A\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
                     eth0\t0000000A\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n";
        let expected = if cfg!(target_endian = "little") { "10.0.0.1" } else { "1.0.0.10" };
        assert_eq!(v4(table).as_deref(), Some(expected));
        assert_eq!(v4(""), None);
        assert_eq!(v4_link(table).as_deref(), Some("eth0"));
        assert_eq!(v4_link(""), None);
    }

    #[test]
    fn a_link_local_gateway_comes_with_its_link() {
        let zero = "0".repeat(32);
        let table = format!(
            "{zero} 00 {zero} 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003 eth0\n\
             {zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200 lo\n"
        );
        assert_eq!(v6(&table).as_deref(), Some("fe80::1%eth0"));
    }
}
