//! Which pools a Service may use: what their owners and the Service itself say. Knows nothing of what is free.
use std::net::IpAddr;

use outrigger_sdk::Family;

use super::Allocations;
use super::pools::is_for_all_namespaces;
use crate::facts::{Pool, Service};

/// Why a pool is not even asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unsuited {
    /// The Service asks for this one.
    OtherPool(String),
    /// Only for Services that ask for it.
    NotAutomatic,
    /// Not for Services of this namespace.
    Namespace,
    /// Not for Services with these labels.
    Labels,
    /// It has no addresses of this family.
    Family(Family),
    /// It has none of these, which the Service asks for.
    Wishes(Vec<IpAddr>),
}

impl Allocations {
    /// Whether a Service may have an address of this family from this pool, as the owner of the pool and the Service
    /// say.
    pub(super) fn suits(&self, pool: &Pool, service: &Service, family: Family) -> bool {
        self.unsuited(pool, service, family).is_none()
    }

    /// Why it may not.
    pub(super) fn unsuited(
        &self,
        pool: &Pool,
        service: &Service,
        family: Family,
    ) -> Option<Unsuited> {
        let mut wanted =
            service.wanted.iter().filter(|at| Family::of(at) == family).copied().peekable();
        let contains = |at: &IpAddr| pool.addresses.iter().any(|range| range.contains(*at));
        match &service.pool {
            Some(name) if *name != pool.name => return Some(Unsuited::OtherPool(name.clone())),
            None if !pool.auto_assign && wanted.peek().is_none() => {
                return Some(Unsuited::NotAutomatic);
            }
            _ => {}
        }
        if !self.admits_namespace(pool, service.key.namespace()) {
            return Some(Unsuited::Namespace);
        }
        if !pool.service_selector.matches(&service.labels) {
            return Some(Unsuited::Labels);
        }
        if !pool.addresses.iter().any(|range| range.family() == family) {
            return Some(Unsuited::Family(family));
        }
        let wanted: Vec<IpAddr> = wanted.collect();
        let has_one = wanted.is_empty() || wanted.iter().any(contains);
        (!has_one).then_some(Unsuited::Wishes(wanted))
    }

    /// Whether the owner of a pool lets a Service use it.
    pub(super) fn admits(&self, pool: &Pool, service: &Service) -> bool {
        self.admits_namespace(pool, service.key.namespace())
            && pool.service_selector.matches(&service.labels)
    }

    fn admits_namespace(&self, pool: &Pool, namespace: &str) -> bool {
        let selected = || {
            let labels = self.reach.cluster().namespace_labels(namespace);
            let selector = pool.namespace_selector.as_ref();
            selector.zip(labels).is_some_and(|(selector, labels)| selector.matches(&labels))
        };
        is_for_all_namespaces(pool) || pool.namespaces.contains(namespace) || selected()
    }
}
