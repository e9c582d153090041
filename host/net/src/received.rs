//! The kernel's counters of received frames: traffic from other hosts shows that a segment works.

/// Returns the number of frames received so far on the interfaces of these names, in the calling thread's network
/// namespace (proc_pid_net(5)). `None` if the kernel does not report it.
pub fn received<'a>(names: impl Iterator<Item = &'a str>) -> Option<u64> {
    let table = std::fs::read_to_string("/proc/thread-self/net/dev").ok()?;
    let names: Vec<&str> = names.collect();
    Some(
        table
            .lines()
            .filter_map(frames)
            .filter(|(name, _)| names.contains(name))
            .map(|it| it.1)
            .sum(),
    )
}

/// Parses a line "name: octets frames …".
fn frames(line: &str) -> Option<(&str, u64)> {
    let (name, counts) = line.split_once(':')?;
    Some((name.trim(), counts.split_whitespace().nth(1)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_counts_what_is_received() {
        assert_eq!(frames("  eth0: 4096 17 0 0 0 0 0 0 1 2 0 0 0 0 0 0"), Some(("eth0", 17)));
        assert_eq!(frames("Inter-|   Receive"), None);
        assert_eq!(received(["no-such-link"].into_iter()), Some(0));
        let before = received(["lo"].into_iter()).unwrap();
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.send_to(&[0], socket.local_addr().unwrap()).unwrap();
        assert!(received(["lo"].into_iter()).unwrap() > before);
    }
}
