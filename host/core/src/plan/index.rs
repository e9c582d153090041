//! Which Services hold an address, and which slices belong to a Service. Kept up with the facts, one key at a time.
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::facts::{Cluster, Endpoint, FactKey, Service, ServiceKey};

#[derive(Default)]
pub(super) struct Index {
    /// `ingress` as last seen.
    ingress: BTreeMap<ServiceKey, Vec<IpAddr>>,
    holders: BTreeMap<IpAddr, BTreeSet<ServiceKey>>,
    /// The Service of each slice as last seen.
    owner: BTreeMap<ServiceKey, ServiceKey>,
    slices: BTreeMap<ServiceKey, BTreeSet<ServiceKey>>,
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
        let after = cluster.services.get(key).map(|service| service.ingress.clone());
        let before = match after.clone() {
            Some(after) => self.ingress.insert(key.clone(), after),
            None => self.ingress.remove(key),
        };
        let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
        for address in &before {
            unlink(&mut self.holders, address, key);
        }
        for address in &after {
            self.holders.entry(*address).or_default().insert(key.clone());
        }
        before.into_iter().chain(after).collect()
    }

    /// Addresses of the Services that this slice belongs to or belonged to.
    pub fn slice_changed(&mut self, cluster: &Cluster, slice: &ServiceKey) -> BTreeSet<IpAddr> {
        let after = cluster.endpoints.get(slice).map(|endpoints| endpoints.service.clone());
        let before = match after.clone() {
            Some(after) => self.owner.insert(slice.clone(), after),
            None => self.owner.remove(slice),
        };
        if let Some(before) = &before {
            unlink(&mut self.slices, before, slice);
        }
        if let Some(after) = &after {
            self.slices.entry(after.clone()).or_default().insert(slice.clone());
        }
        let services = before.iter().chain(&after);
        services.filter_map(|service| self.ingress.get(service)).flatten().copied().collect()
    }

    /// Addresses that a changed fact may concern; `None` = all.
    pub fn touched(&mut self, cluster: &Cluster, change: &FactKey) -> Option<BTreeSet<IpAddr>> {
        match change {
            FactKey::Service(key) => Some(self.service_changed(cluster, key)),
            FactKey::Endpoints(slice) => {
                let before = self.owner.is_empty();
                let touched = self.slice_changed(cluster, slice);
                // Whether there are any slices at all is a condition for every address.
                (before == self.owner.is_empty()).then_some(touched)
            }
            FactKey::Node(_) | FactKey::Pool(_) | FactKey::Announcer(_) => None,
            FactKey::Namespace(_) | FactKey::Plugin(_) | FactKey::Published(_) => {
                Some(BTreeSet::new())
            }
        }
    }

    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.holders.keys().copied()
    }

    pub fn is_held(&self, address: IpAddr) -> bool {
        self.holders.contains_key(&address)
    }

    /// The Services that hold an address, each with its endpoints.
    pub fn services<'a>(
        &self,
        cluster: &'a Cluster,
        address: IpAddr,
    ) -> Vec<(&'a Service, Vec<&'a Endpoint>)> {
        let holders = self.holders.get(&address);
        let services = holders.into_iter().flatten().filter_map(|key| cluster.services.get(key));
        services.map(|service| (service, self.endpoints(cluster, &service.key))).collect()
    }

    fn endpoints<'a>(&self, cluster: &'a Cluster, service: &ServiceKey) -> Vec<&'a Endpoint> {
        let slices = self.slices.get(service);
        let slices = slices.into_iter().flatten().filter_map(|slice| cluster.endpoints.get(slice));
        slices.flat_map(|slice| &slice.endpoints).collect()
    }
}

fn unlink<K: Ord + Clone>(
    map: &mut BTreeMap<K, BTreeSet<ServiceKey>>,
    from: &K,
    member: &ServiceKey,
) {
    let Some(set) = map.get_mut(from) else { return };
    set.remove(member);
    if set.is_empty() {
        map.remove(from);
    }
}
