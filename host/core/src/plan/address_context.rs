//! One address: its Services, the announcers that cover it, and its entry for an instance. Must not know claims or
//! members.
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use outrigger_sdk::{Duty, EndpointCount};

use super::cover::PoolBinding;
use super::index::Index;
use crate::desired::Desired;
use crate::eligibility::Eligibility;
use crate::facts::{Announcer, Cluster, Election, Endpoint, Labels, Service};
use crate::membership::View;
use crate::readiness;

/// The facts about one address.
pub(super) struct AddressContext<'a> {
    cluster: &'a Cluster,
    me: &'a str,
    pub address: IpAddr,
    pool: Arc<str>,
    services: Vec<(&'a Service, Vec<&'a Endpoint>)>,
    pub cover: Vec<&'a Announcer>,
}

impl<'a> AddressContext<'a> {
    pub fn new(
        cluster: &'a Cluster,
        me: &'a str,
        announcers: &'a BTreeMap<String, Arc<Announcer>>,
        index: &Index,
        home: Option<&'a PoolBinding>,
        address: IpAddr,
    ) -> Self {
        let services = index.services(cluster, address);
        let holders: Vec<_> = services.iter().map(|(service, _)| *service).collect();
        let cover = home.map(|home| home.cover(announcers, &holders)).unwrap_or_default();
        let pool = home.map_or_else(Arc::default, |home| home.pool.clone());
        Self { cluster, me, address, pool, services, cover }
    }

    /// Returns the announcers for which one node is elected.
    pub fn elected(&self) -> impl Iterator<Item = &'a Announcer> {
        self.cover.iter().copied().filter(|announcer| announcer.election == Election::One)
    }

    /// Returns the eligibility of nodes to be elected.
    pub fn eligibility(&self) -> Eligibility<'a> {
        self.eligible_for(self.elected().collect())
    }

    /// Returns the reported readiness of nodes to announce the address with one of the announcers for which one node is
    /// elected.
    pub fn readiness<'b>(&self, view: &'b View) -> readiness::Nodes<'b>
    where
        'a: 'b,
    {
        let elected = self.elected().map(|announcer| announcer.name.as_str());
        readiness::Nodes::new(&view.readiness, elected, self.address)
    }

    /// Returns the eligibility of nodes to announce the address with any announcer.
    pub fn any_eligibility(&self) -> Eligibility<'a> {
        self.eligible_for(self.cover.clone())
    }

    /// Returns the eligibility of nodes to announce the address with one announcer.
    pub fn eligibility_of<'b>(&'b self, announcer: &'b Announcer) -> Eligibility<'b> {
        Eligibility::new(self.cluster, self.me, vec![announcer], &self.services)
    }

    fn eligible_for(&self, announcers: Vec<&'a Announcer>) -> Eligibility<'a> {
        Eligibility::new(self.cluster, self.me, announcers, &self.services)
    }

    /// Returns true if this node is cordoned, which means that it is about to be drained.
    pub fn is_cordoned(&self) -> bool {
        self.cluster.nodes.get(self.me).is_some_and(|node| node.cordoned)
    }

    /// Returns true if the announcer runs on this node.
    pub fn selects_me(&self, announcer: &Announcer) -> bool {
        static NO_LABELS: Labels = Labels::new();
        let node = self.cluster.nodes.get(self.me);
        announcer.node_selector.matches(node.map_or(&NO_LABELS, |node| &node.labels))
    }

    /// Returns the desired entry of the address for the announcer's instance on this node.
    pub fn entry(&self, announcer: &Announcer, duty: &Duty, announcements: u32) -> Desired {
        let services = || {
            let all = self.services.iter();
            all.filter(|(service, _)| announcer.service_selector.matches(&service.labels))
        };
        let only_node = self.cluster.nodes.is_empty();
        let mut count = EndpointCount::default();
        for endpoint in services().flat_map(|(_, endpoints)| endpoints) {
            if only_node || endpoint.node.as_deref() == Some(self.me) {
                count.ready += u32::from(endpoint.ready);
                count.serving += u32::from(endpoint.serving);
                count.terminating += u32::from(endpoint.terminating);
            }
        }
        Desired {
            address: self.address,
            pool: self.pool.clone(),
            services: services().map(|(service, _)| service.spec.clone()).collect(),
            duty: duty.clone(),
            local_endpoints: count,
            announcements,
        }
    }
}
