//! Metrics as OpenMetrics text, built for every scrape from the reports of the roles.
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::atomic::AtomicU64;

use outrigger_core::allocation::{Counts, PoolStatus};
use outrigger_core::guard::reports::Series;
use outrigger_net::Counters;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Metric, Registry};

use outrigger_kube::crd::NodeReportStatus;
use outrigger_sdk::{PeerHealth, PeerReport};

use crate::controller::ControllerStatus;

type Labels = Vec<(&'static str, String)>;
/// Labels with names chosen by a plugin.
type PluginLabels = Vec<(String, String)>;

/// One page of metrics.
pub struct Page {
    registry: Registry,
    /// A name that is registered twice makes a page that no scraper accepts.
    names: BTreeSet<String>,
}

impl Default for Page {
    fn default() -> Self {
        let registry = Registry::with_prefix("outrigger");
        let mut page = Self { registry, names: BTreeSet::new() };
        let version = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
        page.gauges("build_info", "Version of the program", [(version, 1)]);
        page
    }
}

impl Page {
    /// Adds the metrics of the controller role.
    pub fn controller(&mut self, standing: &ControllerStatus) {
        self.gauge("leader", "Whether this process is the leader", standing.leads.into());
        self.gauge(
            "services",
            "Services of type LoadBalancer that Outrigger serves",
            standing.services as i64,
        );
        self.gauge(
            "services_pending",
            "Services that wait for an address",
            standing.pending as i64,
        );
        self.counter("status_writes", "Writes of a Service's status", standing.writes);
        self.counter(
            "status_conflicts",
            "Writes of a Service's status refused because another client wrote first",
            standing.conflicts,
        );
        self.pools(&standing.pools);
    }

    /// Adds capacity, use and free addresses by pool and family, like MetalLB's `allocator_addresses_total` and
    /// `allocator_addresses_in_use_total`. The values are floating-point numbers, because an IPv6 pool has more
    /// addresses than an integer can count.
    fn pools(&mut self, pools: &BTreeMap<String, PoolStatus>) {
        let capacity = counts(pools, |counts| counts.capacity);
        self.register("pool_addresses", "Addresses of the pool that can be allocated", capacity);
        let in_use = counts(pools, |counts| counts.allocated);
        self.register("pool_addresses_in_use", "Addresses of the pool that are allocated", in_use);
        let free = counts(pools, |counts| counts.free);
        self.register("pool_addresses_free", "Addresses of the pool that are free", free);
    }

    /// Adds the metrics of the node role.
    pub fn node(&mut self, status: &NodeReportStatus) {
        self.gauge(
            "ready",
            "Whether all objects are listed and the other nodes are found",
            status.ready.into(),
        );
        self.gauge(
            "addresses_desired",
            "Addresses for which this node is announcer or standby",
            status.desired.addresses.into(),
        );
        self.gauge(
            "addresses_exceptional",
            "Addresses that are not in the desired state (at most 50 are reported)",
            status.exceptions.len() as i64,
        );
        self.gauge(
            "members",
            "Nodes that are alive, including this one",
            status.members.len() as i64,
        );
        self.gauge("problems", "Problems that the node reports", status.problems.len() as i64);
        let of = |name: &str| vec![("announcer", name.to_owned())];
        let announcers = &status.announcers;
        self.counters(
            "plugin_restarts",
            "Restarts of the plugin after a fault",
            announcers.iter().map(|it| (of(&it.name), it.restarts.into())),
        );
        self.counters(
            "plugin_quarantined_events",
            "Events quarantined because they caused a fault",
            announcers.iter().map(|it| (of(&it.name), it.quarantined.into())),
        );
        self.gauges(
            "plugin_running",
            "Whether the announcer's plugin runs",
            announcers.iter().map(|it| (of(&it.name), (it.phase == "Running").into())),
        );
        let denied = announcers.iter().flat_map(|it| {
            it.denied.iter().map(|(reason, count)| {
                (vec![("announcer", it.name.clone()), ("reason", reason.clone())], *count)
            })
        });
        self.counters("effects_denied", "Effects of plugins refused by the guard", denied);
    }

    /// Adds sessions with peers: `outrigger_bgp_session_up`, as dashboards for MetalLB expect it, and the plugin's
    /// counters under the names it gives them: `outrigger_bgp_prefixes_sent`.
    pub fn peers(&mut self, peers: Vec<(String, PeerReport)>) {
        let mut up: BTreeMap<String, Vec<(Labels, i64)>> = BTreeMap::new();
        let mut counters: BTreeMap<String, Vec<(Labels, f64)>> = BTreeMap::new();
        for (announcer, report) in peers {
            let labels = vec![("announcer", announcer), ("peer", report.peer.clone())];
            let is_up = matches!(report.health, PeerHealth::Up | PeerHealth::Degraded);
            up.entry(word(&report.protocol)).or_default().push((labels.clone(), is_up.into()));
            for (name, value) in &report.counters {
                let name = word(&format!("{}_{name}", report.protocol));
                counters.entry(name).or_default().push((labels.clone(), *value));
            }
        }
        for (protocol, values) in up {
            self.gauges(&format!("{protocol}_session_up"), "Whether the session is up", values);
        }
        for (name, values) in counters {
            let family = Family::<Labels, Gauge<f64, AtomicU64>>::default();
            for (labels, value) in values {
                family.get_or_create(&labels).set(value);
            }
            self.register(name, "As counted by the announcer's plugin", family);
        }
    }

    /// Adds the metrics of plugins, by announcer: `outrigger_plugin_<name>` with the labels that the plugin gave.
    pub fn plugins(&mut self, metrics: Vec<(String, Series, f64)>) {
        let mut families: BTreeMap<String, Vec<(PluginLabels, f64)>> = BTreeMap::new();
        for (announcer, (name, labels), value) in metrics {
            let labels = [("announcer".to_owned(), announcer)].into_iter().chain(labels);
            families.entry(name).or_default().push((labels.collect(), value));
        }
        for (name, values) in families {
            let family = Family::<PluginLabels, Gauge<f64, AtomicU64>>::default();
            for (labels, value) in values {
                family.get_or_create(&labels).set(value);
            }
            self.register(
                format!("plugin_{name}"),
                "As reported by the announcer's plugin",
                family,
            );
        }
    }

    /// Adds the counters of frames.
    pub fn frames(&mut self, counters: &Counters) {
        let answered = [("arp", counters.answered_arp), ("ndp", counters.answered_ndp)];
        self.counters(
            "answers",
            "ARP requests and neighbor solicitations answered",
            answered.map(|(protocol, count)| (vec![("protocol", protocol.to_owned())], count)),
        );
        self.counter(
            "frames_received",
            "Frames that passed the kernel's filter",
            counters.received,
        );
        self.counter("frames_sent", "Frames that a plugin sent", counters.sent);
        self.counter("beacons", "Frames repeated on behalf of a plugin", counters.beacons);
        self.counter(
            "frames_overflowed",
            "Frames dropped because a queue was full",
            counters.overflowed,
        );
        let dropped = counters.dropped.iter();
        let dropped = dropped.map(|(why, count)| (vec![("reason", (*why).to_owned())], *count));
        self.counters("frames_dropped", "Frames that could not be sent", dropped);
    }

    /// Encodes the page as OpenMetrics text.
    pub fn text(self) -> String {
        let mut text = String::new();
        if encode(&mut text, &self.registry).is_err() {
            // Writing to a string does not fail; if it did, the page would be valid and empty.
            let _ = writeln!(text, "# EOF");
        }
        text
    }

    fn gauge(&mut self, name: &str, help: &str, value: i64) {
        let gauge = Gauge::<i64>::default();
        gauge.set(value);
        self.register(name, help, gauge);
    }

    /// Adds metrics under a name that is free. Names that plugins choose come last.
    fn register(&mut self, name: impl Into<String>, help: &str, metric: impl Metric) {
        let name = name.into();
        if self.names.insert(name.clone()) {
            // The name under which a counter appears.
            self.names.insert(format!("{name}_total"));
            self.registry.register(name, help, metric);
        }
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        let counter = Counter::<u64>::default();
        counter.inc_by(value);
        self.register(name, help, counter);
    }

    fn gauges(&mut self, name: &str, help: &str, values: impl IntoIterator<Item = (Labels, i64)>) {
        let family = Family::<Labels, Gauge>::default();
        for (labels, value) in values {
            family.get_or_create(&labels).set(value);
        }
        self.register(name, help, family);
    }

    fn counters(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels, u64)>,
    ) {
        let family = Family::<Labels, Counter>::default();
        for (labels, value) in values {
            family.get_or_create(&labels).inc_by(value);
        }
        self.register(name, help, family);
    }
}

/// Converts a plugin's word to a part of a metric's name.
fn word(said: &str) -> String {
    said.replace(|octet: char| !octet.is_ascii_alphanumeric(), "_")
}

/// Returns one figure of every pool, for each family that it has.
fn counts(
    pools: &BTreeMap<String, PoolStatus>,
    figure: fn(&Counts) -> u128,
) -> Family<Labels, Gauge<f64, AtomicU64>> {
    let family = Family::<Labels, Gauge<f64, AtomicU64>>::default();
    for (pool, status) in pools {
        for (version, counts) in [("IPv4", &status.ipv4), ("IPv6", &status.ipv6)] {
            if counts.capacity > 0 || counts.allocated > 0 {
                let labels = vec![("pool", pool.clone()), ("family", version.to_owned())];
                family.get_or_create(&labels).set(figure(counts) as f64);
            }
        }
    }
    family
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_plugin_says_forges_no_line_of_the_page() {
        let mut page = Page::default();
        let peer = PeerReport {
            peer: "tor-a".to_owned(),
            protocol: "bgp\noutrigger_leader 7".to_owned(),
            counters: vec![("routes\noutrigger_leader 8".to_owned(), 1.0)],
            ..PeerReport::default()
        };
        page.peers(vec![("tor".to_owned(), peer)]);
        let series = ("queue".to_owned(), vec![("zone".to_owned(), "a\"b".to_owned())]);
        page.plugins(vec![("tor".to_owned(), series, 2.5)]);
        let text = page.text();
        assert!(!text.contains("\noutrigger_leader"), "{text}");
        let line = "outrigger_plugin_queue{announcer=\"tor\",zone=\"a\\\"b\"} 2.5";
        assert!(text.lines().any(|it| it == line), "{text}");
    }

    #[test]
    fn no_plugin_takes_a_name_that_the_page_has() {
        let mut page = Page::default();
        page.controller(&ControllerStatus::default());
        let report = |protocol: &str, counter: &str| PeerReport {
            peer: "tor-a".to_owned(),
            protocol: protocol.to_owned(),
            counters: vec![(counter.to_owned(), 1.0)],
            ..PeerReport::default()
        };
        let reports = [report("bgp", "session-up"), report("status", "writes-total")];
        page.peers(reports.map(|report| ("tor".to_owned(), report)).into());
        let text = page.text();
        let types = text.lines().filter(|line| line.starts_with("# TYPE")).collect::<Vec<_>>();
        let names: BTreeSet<_> = types.iter().collect();
        assert_eq!(names.len(), types.len(), "{text}");
        assert!(text.contains("outrigger_bgp_session_up{"), "{text}");
    }

    #[test]
    fn every_figure_has_a_name_a_help_and_a_value() {
        let mut page = Page::default();
        let lan = PoolStatus {
            ipv4: Counts { capacity: 10, allocated: 3, free: 6 },
            ipv6: Counts { capacity: 1 << 66, allocated: 0, free: 1 << 66 },
            conditions: Vec::new(),
        };
        page.controller(&ControllerStatus {
            leads: true,
            services: 3,
            writes: 4,
            pools: [("lan".to_owned(), lan)].into(),
            ..ControllerStatus::default()
        });
        let text = page.text();
        for line in [
            "outrigger_leader 1",
            "outrigger_services 3",
            "outrigger_status_writes_total 4",
            "outrigger_pool_addresses{pool=\"lan\",family=\"IPv4\"} 10.0",
            "outrigger_pool_addresses_in_use{pool=\"lan\",family=\"IPv4\"} 3.0",
            "outrigger_pool_addresses_free{pool=\"lan\",family=\"IPv4\"} 6.0",
            "outrigger_pool_addresses{pool=\"lan\",family=\"IPv6\"} 73786976294838210000.0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in:\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
