//! Suitability of pools for a Service, as the pool owners and the Service itself declare it. Does not know which
//! addresses are free.
use std::net::IpAddr;

use outrigger_sdk::Family;

use super::Allocations;
use super::pools::is_for_all_namespaces;
use crate::facts::{Pool, Service};

/// The reason why a pool is not considered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unsuited {
    /// The Service asks for this other pool.
    OtherPool(String),
    /// The pool is only for Services that ask for it.
    NotAutomatic,
    /// The pool is not for Services of this namespace.
    Namespace,
    /// The pool is not for Services with these labels.
    Labels,
    /// The pool has no addresses of this family.
    Family(Family),
    /// The pool has none of these addresses, which the Service asks for.
    Wishes(Vec<IpAddr>),
}

impl Allocations {
    /// Returns true if the owner of the pool and the Service both allow an address of this family from this pool.
    pub(super) fn suits(&self, pool: &Pool, service: &Service, family: Family) -> bool {
        self.unsuited(pool, service, family).is_none()
    }

    /// Returns the reason why the pool does not suit; `None` if it does.
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

    /// Returns true if the owner of a pool lets a Service use it.
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
