//! Kernel settings of this node that keep clients from reaching an announced address. The frames that the node sends do
//! not show them, so they are reported to the user. Changes none of them.
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use outrigger_net::{Links, default_link, sysctl};
use outrigger_sdk::{IpNet, Link};
use tokio::sync::Notify;

/// Interval between two checks: the kernel does not notify anyone of a change.
const PAUSE: Duration = Duration::from_secs(5);
/// The link on which kube-proxy in IPVS mode has every address of every Service.
const IPVS: &str = "kube-ipvs0";
/// Value of `rp_filter` for strict filtering (RFC 3704 section 2.2): packets are dropped unless the way back to their
/// sender leaves by the same link.
const STRICT: u32 = 1;

/// The settings as of the last check.
pub(super) struct Kernel {
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    /// Names of the links that addresses are announced on.
    links: BTreeSet<String>,
    settings: Settings,
}

#[derive(Debug, Default, PartialEq)]
struct Settings {
    /// Links with strict filtering, which drop packets from networks that they do not lead to.
    strict: BTreeSet<String>,
    /// Links on which the kernel answers for addresses of other links.
    answering: BTreeSet<String>,
    /// True if kube-proxy is in IPVS mode.
    ipvs: bool,
    default_link: Option<String>,
}

impl Settings {
    fn read(links: &BTreeSet<String>) -> Self {
        let having = |name: &str, value: u32| {
            links
                .iter()
                .filter(|link| sysctl::setting(link, name) == Some(value))
                .cloned()
                .collect()
        };
        Self {
            strict: having("rp_filter", STRICT),
            answering: having("arp_ignore", 0),
            ipvs: sysctl::is_there(IPVS),
            default_link: default_link(),
        }
    }
}

impl Kernel {
    /// Starts to check the settings, and notifies `changed` when one differs. Must be called within a runtime.
    pub fn start(changed: Arc<Notify>) -> Self {
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let looked = Arc::downgrade(&seen);
        tokio::spawn(async move {
            while let Some(seen) = looked.upgrade() {
                if look(&seen) {
                    changed.notify_one();
                }
                drop(seen);
                tokio::time::sleep(PAUSE).await;
            }
        });
        Self { seen }
    }

    /// Sets the links to check, which are those that addresses are announced on.
    pub fn set_links<'a>(&self, links: impl Iterator<Item = &'a Link>) {
        let links: BTreeSet<_> = links.map(|link| link.name.clone()).collect();
        let before = std::mem::replace(&mut lock(&self.seen).links, links.clone());
        if before != links {
            look(&self.seen);
        }
    }

    /// Returns the problems of these links, each with its fix. `has` returns true if an address of a network is or may
    /// be announced.
    pub fn problems(&self, links: &Links, has: impl Fn(&IpNet) -> bool) -> Vec<String> {
        let seen = lock(&self.seen);
        let Settings { strict, answering, ipvs, default_link } = &seen.settings;
        let covers = |name: &String| {
            let link = links.values().find(|link| link.name == *name);
            let networks = link.into_iter().flat_map(|link| &link.addresses);
            networks.filter(|net| net.addr().is_ipv4()).any(&has)
        };
        let elsewhere = default_link.as_ref();
        let dropping = strict.iter().filter(|link| elsewhere.is_some_and(|other| other != *link));
        let mut problems: Vec<_> = dropping
            .filter(|link| covers(link))
            .map(|link| {
                // A dot in the name of a VLAN is no separator.
                let setting = match link.contains('.') {
                    true => format!("net/ipv4/conf/{link}/rp_filter"),
                    false => format!("net.ipv4.conf.{link}.rp_filter"),
                };
                format!(
                    "the kernel drops requests for announced addresses that arrive on {link} from other networks than its own, because the \
                     default route uses {} and {setting} is 1 (strict, RFC 3704). Set {setting}=2, and \
                     net.ipv4.conf.all.rp_filter too if that is 1",
                    elsewhere.map_or("", |name| name.as_str())
                )
            })
            .collect();
        let has_any = || IpNet::new(IpAddr::from([0; 4]), 0).is_ok_and(|any| has(&any));
        if *ipvs && !answering.is_empty() && has_any() {
            problems.push(format!(
                "kube-proxy is in IPVS mode without strictARP, so that the kernel of every node answers ARP for every Service's address on {}. Set \
                 ipvs.strictARP: true in ConfigMap kube-system/kube-proxy and restart it (kubectl -n kube-system rollout restart daemonset \
                 kube-proxy)",
                answering.iter().cloned().collect::<Vec<_>>().join(", ")
            ));
        }
        problems
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Checks the settings. Returns true if they differ from the last check.
fn look(seen: &Mutex<Seen>) -> bool {
    // The lock is not held while the settings are read: the kernel may be slow.
    let links = lock(seen).links.clone();
    let settings = Settings::read(&links);
    let mut seen = lock(seen);
    let differs = seen.settings != settings;
    seen.settings = settings;
    differs
}

#[cfg(test)]
mod tests {
    use outrigger_sdk::MacAddr;

    use super::*;

    fn links() -> Links {
        let link = |index, name: &str, network: &str| Link {
            index,
            generation: 1,
            name: name.to_owned(),
            mac: MacAddr::zero(),
            mtu: 1500,
            up: true,
            arp: true,
            addresses: vec![network.parse().unwrap()],
        };
        [link(1, "eth0", "10.0.0.1/24"), link(2, "eth1", "192.0.2.1/24")]
            .map(|link| (link.index, link))
            .into()
    }

    fn problems(settings: Settings, announced: &str) -> Vec<String> {
        let announced: IpAddr = announced.parse().unwrap();
        let kernel = Kernel { seen: Arc::new(Mutex::new(Seen { settings, ..Seen::default() })) };
        kernel.problems(&links(), |net| net.contains(&announced))
    }

    #[test]
    fn strict_filtering_is_named_where_it_drops_what_clients_send() {
        let strict = || Settings {
            strict: ["eth0", "eth1"].map(str::to_owned).into(),
            default_link: Some("eth0".to_owned()),
            ..Settings::default()
        };
        let found = problems(strict(), "192.0.2.200");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("Set net.ipv4.conf.eth1.rp_filter=2"), "{found:?}");
        // No problem: the way back leaves by the same link, nothing is announced there, or there is no other way.
        assert!(problems(strict(), "10.0.0.200").is_empty());
        assert!(problems(strict(), "203.0.113.1").is_empty());
        assert!(problems(Settings { default_link: None, ..strict() }, "192.0.2.200").is_empty());
    }

    #[test]
    fn ipvs_without_strict_arp_is_named() {
        let answering: BTreeSet<_> = ["eth1".to_owned()].into();
        let ipvs = Settings { ipvs: true, answering: answering.clone(), ..Settings::default() };
        let found = problems(ipvs, "192.0.2.200");
        assert!(found.len() == 1 && found[0].contains("strictARP"), "{found:?}");
        let strict = Settings { ipvs: true, ..Settings::default() };
        assert!(problems(strict, "192.0.2.200").is_empty());
        assert!(problems(Settings { answering, ..Settings::default() }, "192.0.2.200").is_empty());
    }
}
