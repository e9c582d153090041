//! What an instance is to announce, as the host keeps it: one for each address and announcer, sharing what is the same for
//! many. Must not know who decides or who is told.
use std::net::IpAddr;
use std::sync::Arc;

use outrigger_sdk::{DesiredAddress, Duty, EndpointCount, Pair};

use crate::facts::ServiceSpec;

/// An address that an instance is told about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired {
    /// The address.
    pub address: IpAddr,
    /// Name of the pool it comes from.
    pub pool: Arc<str>,
    /// At least one, by namespace and name.
    pub services: Box<[Arc<ServiceSpec>]>,
    /// What this node is to do about it.
    pub duty: Duty,
    /// Endpoints on this node.
    pub local_endpoints: EndpointCount,
    /// Raised when the network is to be told anew, because another node had answered for it.
    pub announcements: u32,
}

impl Desired {
    /// The copy that a plugin is told.
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

    /// Without Services, for tests of what does not look at them.
    #[cfg(test)]
    pub(crate) fn bare(address: IpAddr, duty: Duty) -> Arc<Self> {
        let (pool, services, local_endpoints) = ("default".into(), [].into(), Default::default());
        Arc::new(Self { address, pool, services, duty, local_endpoints, announcements: 0 })
    }
}
