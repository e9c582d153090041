//! Facts to test with.
use std::collections::BTreeSet;

use outrigger_sdk::{Family, TrafficPolicy};

use crate::facts::*;

pub(crate) fn cluster() -> Cluster {
    let mut cluster = Cluster { synced: true, ..Cluster::default() };
    cluster.apply(Change::Upsert(Fact::from(pool("default", &["10.0.0.0/16", "2001:db8::/120"]))));
    cluster
}

pub(crate) fn pool(name: &str, addresses: &[&str]) -> Pool {
    Pool {
        name: name.to_owned(),
        labels: Labels::new(),
        addresses: addresses.iter().map(|line| line.parse().unwrap()).collect(),
        exclude: Vec::new(),
        auto_assign: true,
        avoid_buggy_ips: false,
        priority: 0,
        namespaces: BTreeSet::new(),
        namespace_selector: None,
        service_selector: Selector::default(),
        allocator: PluginRef { plugin: "lowest-free".to_owned(), config: "{}".to_owned() },
        announcers: None,
        draining: false,
        last_valid: None,
    }
}

pub(crate) fn node(name: &str) -> Node {
    Node {
        name: name.to_owned(),
        labels: [("kubernetes.io/hostname".to_owned(), name.to_owned())].into(),
        addresses: Vec::new(),
        annotations: Labels::new(),
        network_available: true,
        ready: true,
        excluded: false,
        cordoned: false,
    }
}

pub(crate) fn key(name: &str) -> ServiceKey {
    ServiceKey { namespace: "default".to_owned(), name: name.to_owned() }
}

pub(crate) fn service(name: &str, ingress: &[&str]) -> Service {
    Service {
        key: key(name),
        uid: String::new(),
        labels: [("app".to_owned(), name.to_owned())].into(),
        annotations: Labels::new(),
        ports: Vec::new(),
        traffic_policy: TrafficPolicy::Cluster,
        selector: Labels::new(),
        families: vec![Family::Ipv4],
        all_families: false,
        wanted: Vec::new(),
        pool: None,
        sharing_key: String::new(),
        hostnames: Vec::new(),
        ttl: 0,
        ingress: ingress.iter().map(|address| address.parse().unwrap()).collect(),
        ours: true,
        adopt: false,
        problem: None,
    }
}
