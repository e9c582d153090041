//! Which Services hold an address, and which slices belong to a Service. Kept up with the facts, one key at a time.
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::facts::{Cluster, Endpoint, Endpoints, FactKey, Service, ServiceKey};

/// Sets of pairs and not maps of sets: a set for each address would hold one Service, and cost what eleven do.
#[derive(Default)]
pub(super) struct Index {
    /// As last seen.
    services: BTreeMap<ServiceKey, Arc<Service>>,
    holders: BTreeSet<(IpAddr, ServiceKey)>,
    /// As last seen.
    slices: BTreeMap<ServiceKey, Arc<Endpoints>>,
    /// Service and slice.
    of_service: BTreeSet<(ServiceKey, ServiceKey)>,
}

impl Index {
    pub fn of(cluster: &Cluster) -> Self {
        let mut index = Self::default();
        for key in cluster.services.keys() {
            index.service_changed(cluster, key);
        }
        for slice in cluster.endpoints.keys() {
            index.slice_changed(cluster, slice);
        }
        index
    }

    /// Addresses that this Service holds now or held before.
    pub fn service_changed(&mut self, cluster: &Cluster, key: &ServiceKey) -> BTreeSet<IpAddr> {
        let after = cluster.services.get(key);
        let before = remember(&mut self.services, key, after);
        let mut touched = BTreeSet::new();
        for address in before.iter().flat_map(|service| &service.ingress) {
            self.holders.remove(&(*address, key.clone()));
            touched.insert(*address);
        }
        for address in after.iter().flat_map(|service| &service.ingress) {
            self.holders.insert((*address, key.clone()));
            touched.insert(*address);
        }
        touched
    }

    /// Addresses of the Services that this slice belongs to or belonged to.
    pub fn slice_changed(&mut self, cluster: &Cluster, slice: &ServiceKey) -> BTreeSet<IpAddr> {
        let after = cluster.endpoints.get(slice);
        let before = remember(&mut self.slices, slice, after);
        if let Some(before) = &before {
            self.of_service.remove(&(before.service.clone(), slice.clone()));
        }
        if let Some(after) = after {
            self.of_service.insert((after.service.clone(), slice.clone()));
        }
        let services = before.iter().chain(after).map(|slice| &slice.service);
        let services = services.filter_map(|service| self.services.get(service));
        services.flat_map(|service| &service.ingress).copied().collect()
    }

    /// Addresses that a changed fact may concern; `None` = all.
    pub fn touched(&mut self, cluster: &Cluster, change: &FactKey) -> Option<BTreeSet<IpAddr>> {
        match change {
            FactKey::Service(key) => Some(self.service_changed(cluster, key)),
            FactKey::Endpoints(slice) => {
                let before = self.slices.is_empty();
                let touched = self.slice_changed(cluster, slice);
                // Whether there are any slices at all is a condition for every address.
                (before == self.slices.is_empty()).then_some(touched)
            }
            FactKey::Node(_) | FactKey::Pool(_) | FactKey::Announcer(_) => None,
            FactKey::Namespace(_) | FactKey::Plugin(_) | FactKey::Published(_) => {
                Some(BTreeSet::new())
            }
        }
    }

    /// Every address that is held, in order; one that several Services share comes several times.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.holders.iter().map(|(address, _)| *address)
    }

    pub fn is_held(&self, address: IpAddr) -> bool {
        self.holders(address).next().is_some()
    }

    /// The Services that hold an address, each with its endpoints.
    pub fn services<'a>(
        &self,
        cluster: &'a Cluster,
        address: IpAddr,
    ) -> Vec<(&'a Service, Vec<&'a Endpoint>)> {
        let services = self.holders(address).filter_map(|key| cluster.services.get(key));
        services.map(|service| (service.as_ref(), self.endpoints(cluster, &service.key))).collect()
    }

    fn endpoints<'a>(&self, cluster: &'a Cluster, service: &ServiceKey) -> Vec<&'a Endpoint> {
        let from = (service.clone(), ServiceKey::default());
        let slices = self.of_service.range(from..).take_while(|(of, _)| of == service);
        let slices = slices.filter_map(|(_, slice)| cluster.endpoints.get(slice));
        slices.flat_map(|slice| &slice.endpoints).collect()
    }

    fn holders(&self, address: IpAddr) -> impl Iterator<Item = &ServiceKey> {
        let from = (address, ServiceKey::default());
        let holders = self.holders.range(from..).take_while(move |(held, _)| *held == address);
        holders.map(|(_, key)| key)
    }
}

/// Puts what is so now in the place of what was, and gives that.
fn remember<T>(
    seen: &mut BTreeMap<ServiceKey, Arc<T>>,
    key: &ServiceKey,
    now: Option<&Arc<T>>,
) -> Option<Arc<T>> {
    match now {
        Some(now) => seen.insert(key.clone(), now.clone()),
        None => seen.remove(key),
    }
}
