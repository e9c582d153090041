//! Numbers of offloads, and the address that each belongs to. Independent of the offloads' work.
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use outrigger_sdk::Endpoint;
use serde::{Deserialize, Serialize};

/// The first number reserved for the host.
const HOST: Endpoint = 0x8000_0000;

/// Allocates numbers in ascending order, so that a late event about an old number is not mistaken for one about a new
/// offload.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Numbers {
    last: Endpoint,
    owners: BTreeMap<Endpoint, IpAddr>,
    /// Offloads that are active at the host but unknown here, because an earlier instance set them after our snapshot
    /// was taken.
    strange: BTreeSet<Endpoint>,
}

impl Numbers {
    pub(crate) fn take(&mut self, owner: IpAddr) -> Endpoint {
        loop {
            self.last = (self.last + 1) % HOST;
            if !self.owners.contains_key(&self.last) && !self.strange.contains(&self.last) {
                self.owners.insert(self.last, owner);
                return self.last;
            }
        }
    }

    pub(crate) fn give_back(&mut self, number: Endpoint) {
        self.owners.remove(&number);
    }

    pub(crate) fn owner(&self, number: Endpoint) -> Option<IpAddr> {
        self.owners.get(&number).copied()
    }

    /// Remembers the active offloads that this instance did not request.
    pub(crate) fn find_strange(&mut self, in_force: &[Endpoint]) {
        self.strange =
            in_force.iter().copied().filter(|number| !self.owners.contains_key(number)).collect();
    }

    pub(crate) fn take_strange(&mut self) -> BTreeSet<Endpoint> {
        std::mem::take(&mut self.strange)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_wrap_below_the_hosts_and_skip_those_in_use() {
        let owner: IpAddr = "192.0.2.1".parse().unwrap();
        let mut numbers = Numbers::default();
        assert_eq!((numbers.take(owner), numbers.take(owner)), (1, 2));
        numbers.give_back(1);
        numbers.find_strange(&[2, 4]);
        assert_eq!((numbers.take(owner), numbers.take(owner)), (3, 5));
        numbers.last = HOST - 2;
        assert_eq!(
            (numbers.take(owner), numbers.take(owner), numbers.take(owner)),
            (HOST - 1, 0, 1)
        );
        assert_eq!((numbers.take_strange(), numbers.owner(5)), (BTreeSet::from([4]), Some(owner)));
    }
}
