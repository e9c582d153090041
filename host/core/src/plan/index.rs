//! Index of the Services that hold an address, and of the slices that belong to a Service. Updated with the facts, one
//! key at a time.
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use outrigger_sdk::Family;

use crate::facts::{Cluster, Endpoint, Endpoints, Fact, FactKey, Service, ServiceKey};

/// The index. It consists of sets of pairs and not of maps of sets, because a set per address would usually contain one
/// Service but allocate space for eleven.
#[derive(Default)]
pub(super) struct Index {
    holders: BTreeSet<(IpAddr, ServiceKey)>,
    /// Pairs of Service and slice.
    of_service: BTreeSet<(ServiceKey, ServiceKey)>,
}

impl Index {
    pub fn of(cluster: &Cluster) -> Self {
        let mut index = Self::default();
        for service in cluster.services.values() {
            index.service_changed(None, Some(service));
        }
        for slice in cluster.endpoints.values() {
            index.slice_changed(None, Some(slice));
        }
        index
    }

    /// Updates the index. Returns the addresses that a changed fact may concern; `None` = all.
    pub fn touched(
        &mut self,
        cluster: &Cluster,
        key: &FactKey,
        before: Option<&Fact>,
    ) -> Option<BTreeSet<IpAddr>> {
        match key {
            FactKey::Service(key) => {
                let before = match before {
                    Some(Fact::Service(service)) => Some(&**service),
                    _ => None,
                };
                let after = cluster.services.get(key).map(AsRef::as_ref);
                self.service_changed(before, after);
                Some(addresses_of([before, after]))
            }
            FactKey::Endpoints(key) => {
                let before = match before {
                    Some(Fact::Endpoints(slice)) => Some(&**slice),
                    _ => None,
                };
                let after = cluster.endpoints.get(key).map(AsRef::as_ref);
                let was_empty = self.of_service.is_empty();
                self.slice_changed(before, after);
                let owners = [before, after].map(|slice| cluster.services.get(&slice?.service));
                // The presence of any slices at all is a condition for every address.
                let same = was_empty == self.of_service.is_empty();
                same.then(|| addresses_of(owners.map(|service| service.map(AsRef::as_ref))))
            }
            FactKey::Node(_) | FactKey::Pool(_) | FactKey::Announcer(_) => None,
            FactKey::Namespace(_) | FactKey::Plugin(_) | FactKey::Published(_) => {
                Some(BTreeSet::new())
            }
        }
    }

    fn service_changed(&mut self, before: Option<&Service>, after: Option<&Service>) {
        for (address, key) in before.into_iter().flat_map(holdings) {
            self.holders.remove(&(address, key));
        }
        self.holders.extend(after.into_iter().flat_map(holdings));
    }

    fn slice_changed(&mut self, before: Option<&Endpoints>, after: Option<&Endpoints>) {
        let owner = |slice: &Endpoints| (slice.service.clone(), slice.slice.clone());
        if let Some(before) = before {
            self.of_service.remove(&owner(before));
        }
        self.of_service.extend(after.map(owner));
    }

    /// Returns every address that is held, in order; an address shared by several Services occurs several times.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.holders.iter().map(|(address, _)| *address)
    }

    pub fn is_held(&self, address: IpAddr) -> bool {
        self.holders(address).next().is_some()
    }

    /// Returns the Services that hold an address, each with its endpoints of that family.
    pub fn services<'a>(
        &self,
        cluster: &'a Cluster,
        address: IpAddr,
    ) -> Vec<(&'a Service, Vec<&'a Endpoint>)> {
        let services = self.holders(address).filter_map(|key| cluster.services.get(key));
        let family = Family::of(&address);
        let with_endpoints = |service: &'a Arc<Service>| {
            (service.as_ref(), self.endpoints(cluster, &service.key, family))
        };
        services.map(with_endpoints).collect()
    }

    fn endpoints<'a>(
        &self,
        cluster: &'a Cluster,
        service: &ServiceKey,
        family: Family,
    ) -> Vec<&'a Endpoint> {
        let from = (service.clone(), ServiceKey::default());
        let slices = self.of_service.range(from..).take_while(|(of, _)| of == service);
        let slices = slices.filter_map(|(_, slice)| cluster.endpoints.get(slice));
        let slices: Vec<_> = slices.collect();
        // Kubernetes makes a slice for each family of a Service, even an empty one. Where there is none for this family, another controller
        // made the slices (Cilium's Gateways have an IPv4 placeholder), and the family says nothing.
        let has_family = slices.iter().any(|slice| slice.family == family);
        let suits = |slice: &&&'a Arc<Endpoints>| !has_family || slice.family == family;
        slices.iter().filter(suits).flat_map(|slice| &slice.endpoints).collect()
    }

    fn holders(&self, address: IpAddr) -> impl Iterator<Item = &ServiceKey> {
        let from = (address, ServiceKey::default());
        let holders = self.holders.range(from..).take_while(move |(held, _)| *held == address);
        holders.map(|(_, key)| key)
    }
}

/// Returns each address of a Service, with the Service's key.
fn holdings(service: &Service) -> impl Iterator<Item = (IpAddr, ServiceKey)> {
    service.ingress.iter().map(|address| (*address, service.key.clone()))
}

fn addresses_of(services: [Option<&Service>; 2]) -> BTreeSet<IpAddr> {
    services.into_iter().flatten().flat_map(|service| &service.ingress).copied().collect()
}
