//! Kernel settings that affect an announced address, in the calling thread's network namespace. Changes none.

/// Returns the folder of one link's settings (ip-sysctl, `/proc/sys/net/ipv4/conf`).
fn folder(link: &str) -> std::path::PathBuf {
    ["/proc/sys/net/ipv4/conf", link].iter().collect()
}

/// Returns true if there is a link of this name.
pub fn is_there(link: &str) -> bool {
    folder(link).exists()
}

/// Returns `rp_filter` (RFC 3704) or `arp_ignore` of an IPv4 link as the kernel applies it: the larger of the link's
/// value and the value for all links. `None` if there is no such link or setting.
pub fn setting(link: &str, name: &str) -> Option<u32> {
    let read = |link: &str| -> Option<u32> {
        std::fs::read_to_string(folder(link).join(name)).ok()?.trim().parse().ok()
    };
    Some(read(link)?.max(read("all")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_larger_of_two_settings_is_in_force() {
        let plain = |link: &str| {
            let file = format!("/proc/sys/net/ipv4/conf/{link}/rp_filter");
            std::fs::read_to_string(file).unwrap().trim().parse::<u32>().unwrap()
        };
        assert_eq!(setting("lo", "rp_filter"), Some(plain("lo").max(plain("all"))));
        assert_eq!(setting("no-such-link", "rp_filter"), None);
        assert!(is_there("lo") && !is_there("no-such-link"));
    }
}
