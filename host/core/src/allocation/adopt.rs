//! What the status of a Service says when it was not written from a verdict: what an earlier leader gave, what a person
//! restored, and what another controller wrote. Knows nothing of what Services still lack.
use std::net::IpAddr;
use std::sync::Arc;

use outrigger_sdk::Family;

use super::{Allocations, Said, asks_for};
use crate::facts::{Service, ServiceKey};

impl Allocations {
    /// Takes over what a Service holds according to its status: at most one address per family, and nothing that it no
    /// longer asks for or that another Service, earlier in order, holds.
    ///
    /// An address in a pool is kept whoever wrote it, so that people can move from another load balancer without
    /// renumbering. One that another controller wrote and that cannot be kept is left alone, with the whole status.
    pub(super) fn adopt(&mut self, key: &ServiceKey) {
        let foreign = self.foreign(key);
        let Some(known) = self.services.get_mut(key) else { return };
        let is_foreign = !foreign.is_empty();
        known.set(|trouble| trouble.foreign = foreign);
        if is_foreign {
            return;
        }
        let service = known.service.clone();
        for &address in &service.ingress {
            let has_family = |held: &IpAddr| Family::of(held) == Family::of(&address);
            // What it gave back in this life of the leader is only shown late.
            let is_late = self.ledger.previous(key).contains(&address);
            let has_one = self.ledger.held(key).iter().any(has_family);
            if !asks_for(&service, address) || is_late || has_one {
                continue;
            }
            let pool = self.ledger.locate(address).map(|stock| stock.pool().name.clone());
            if pool.is_none() && !service.ours {
                continue; // its annotation says that it is to be replaced
            }
            let ledger = Arc::make_mut(&mut self.ledger);
            if let Err(holder) = ledger.hold(&service, pool.as_deref(), address) {
                let lost = format!(
                    "{address} in its status is held by Service {holder}, which comes first in \
                     order; give both one sharing key if they are meant to share"
                );
                known.set(|trouble| trouble.lost = Some(lost));
            }
        }
    }

    /// Somebody wrote the status. What another controller wrote is observed; anything else that is not what we would
    /// write is said again.
    pub(super) fn status_changed(&mut self, old: &Service, new: &Service) {
        let key = &new.key;
        if old.ingress == new.ingress && old.ours == new.ours {
            return;
        }
        if old.ingress != new.ingress {
            let was_foreign = self.is_foreign(key);
            self.adopt(key);
            if was_foreign || self.is_foreign(key) || self.ledger.held(key).is_empty() {
                self.look_at(key);
            }
        }
        let is_ours = |said: &Said| *said.addresses == *new.ingress && (new.ours || !said.status);
        if !self.said.get(key).is_some_and(is_ours) {
            self.said.remove(key);
            self.unsaid.insert(key.clone());
        }
    }

    /// Whether its status is another controller's.
    pub(super) fn is_foreign(&self, key: &ServiceKey) -> bool {
        self.services.get(key).is_some_and(|known| !known.trouble().foreign.is_empty())
    }

    /// Pools changed: what was nobody's may be in one of them now.
    pub(super) fn look_at_foreign(&mut self) {
        let foreign = self.services.iter().filter(|(_, known)| !known.trouble().foreign.is_empty());
        let keys: Vec<ServiceKey> = foreign.map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.adopt(&key);
            self.look_at(&key);
        }
    }

    /// The addresses in its status that another controller wrote and that cannot be kept. What the Service holds or gave
    /// back lately is ours, though a watch may show it late.
    fn foreign(&self, key: &ServiceKey) -> Vec<IpAddr> {
        let Some(service) = self.services.get(key).map(|known| &known.service) else {
            return Vec::new();
        };
        if service.adopt {
            return Vec::new();
        }
        let (held, previous) = (self.ledger.held(key), self.ledger.previous(key));
        let is_foreign = |address: &&IpAddr| {
            let contested = held.iter().any(|held| Family::of(held) == Family::of(address));
            let unknown = !service.ours && self.ledger.locate(**address).is_none();
            let taken = !service.ours && self.ledger.may_hold(service, **address).is_err();
            !held.contains(address)
                && !previous.contains(address)
                && (contested || unknown || taken)
        };
        service.ingress.iter().filter(is_foreign).copied().collect()
    }
}
