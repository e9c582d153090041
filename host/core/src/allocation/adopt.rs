//! Adoption of a Service's status that was not written from a verdict: what an earlier leader assigned, what a person
//! restored, and what another controller wrote. Does not know what Services still lack.
use std::net::IpAddr;
use std::sync::Arc;

use outrigger_sdk::Family;

use super::{Allocations, LastPublished, asks_for};
use crate::facts::{Service, ServiceKey};

impl Allocations {
    /// Adopts the addresses that a Service holds according to its status: at most one address per family, and none
    /// that it no longer asks for or that another Service, earlier in order, holds.
    ///
    /// An address in a pool is kept regardless of which controller wrote it, so that people can migrate from another
    /// load balancer without renumbering. If another controller wrote an address that cannot be kept, the whole
    /// status is left alone.
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
            // An address that it released under this leader is in the status only because the watch lags.
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
                    "{address} in its status is held by Service {holder}, which takes \
                     precedence; set the same sharing key on both if they are meant to share"
                );
                known.set(|trouble| trouble.lost = Some(lost));
            }
        }
    }

    /// Handles a status that was written. What another controller wrote is observed; if anything else differs from
    /// what this controller would write, the verdict is published again.
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
        let is_ours =
            |said: &LastPublished| *said.addresses == *new.ingress && (new.ours || !said.status);
        if !self.said.get(key).is_some_and(is_ours) {
            self.said.remove(key);
            self.unsaid.insert(key.clone());
        }
    }

    /// Returns true if its status belongs to another controller.
    pub(super) fn is_foreign(&self, key: &ServiceKey) -> bool {
        self.services.get(key).is_some_and(|known| !known.trouble().foreign.is_empty())
    }

    /// Re-examines foreign addresses after pools changed, since they may be in a pool now.
    pub(super) fn look_at_foreign(&mut self) {
        let foreign = self.services.iter().filter(|(_, known)| !known.trouble().foreign.is_empty());
        let keys: Vec<ServiceKey> = foreign.map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.adopt(&key);
            self.look_at(&key);
        }
    }

    /// Returns the addresses in its status that another controller wrote and that cannot be kept. Addresses that the
    /// Service holds or released lately are its own, although a watch may show them late.
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
