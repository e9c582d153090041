//! Facts for tests.
use std::collections::BTreeSet;

use outrigger_sdk::Family;

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
        failure_policy: crate::facts::FailurePolicy::default(),
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
    ServiceKey::new("default", name)
}

pub(crate) fn service(name: &str, ingress: &[&str]) -> Service {
    with(Service::reserved(key(name), &[]), |it| {
        it.labels = [("app".to_owned(), name.to_owned())].into();
        it.families = vec![Family::Ipv4].into();
        it.all_families = false;
        it.ingress = ingress.iter().map(|address| address.parse().unwrap()).collect();
    })
}
