//! The addresses that an instance is to announce, as the host stores them: one entry for each address and announcer,
//! with shared data that is the same for many entries. Must not know how duties are decided or how changes are
//! delivered.
use std::net::IpAddr;
use std::sync::Arc;

use outrigger_sdk::{DesiredAddress, Duty, EndpointCount, Pair};

use crate::facts::ServiceSpec;

/// An address that is sent to an instance as desired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired {
    /// The address.
    pub address: IpAddr,
    /// Name of the pool that the address comes from.
    pub pool: Arc<str>,
    /// The Services that use the address, at least one, ordered by namespace and name.
    pub services: Box<[Arc<ServiceSpec>]>,
    /// This node's duty for the address.
    pub duty: Duty,
    /// Number of endpoints on this node.
    pub local_endpoints: EndpointCount,
    /// Counter that is raised when the address must be announced to the network again, because another node had
    /// answered for it.
    pub announcements: u32,
}

impl Desired {
    /// Returns the copy that is sent to a plugin.
    pub fn to_sdk(&self) -> DesiredAddress {
        DesiredAddress {
            address: self.address,
            pool: self.pool.to_string(),
            services: self.services.iter().map(|service| service.to_sdk()).collect(),
            duty: self.duty.clone(),
            local_endpoints: self.local_endpoints,
            ext: self.ext(),
        }
    }

    fn ext(&self) -> Vec<Pair> {
        let again = (self.announcements > 0).then(|| self.announcements.to_string());
        again.into_iter().map(|times| ("announcements".to_owned(), times)).collect()
    }

    /// Returns an entry without Services, for tests that do not look at Services.
    #[cfg(test)]
    pub(crate) fn bare(address: IpAddr, duty: Duty) -> Arc<Self> {
        let (pool, services, local_endpoints) = ("default".into(), [].into(), Default::default());
        Arc::new(Self { address, pool, services, duty, local_endpoints, announcements: 0 })
    }
}
