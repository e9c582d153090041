//! The checks that every answer of a policy must pass, regardless of the policy (invariant 3).
use std::net::IpAddr;

use outrigger_sdk::Family;

use super::{Blocked, Ledger, PoolPhase, Stock};
use crate::facts::{NodeName, Service, ServiceKey};

/// The reason why an answer is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The pool was removed while the policy was running.
    #[error("pool {pool:?} is no longer active")]
    PoolGone {
        /// The pool.
        pool: String,
    },
    /// The assignment is empty.
    #[error("the policy assigned an empty list: it must refuse with a reason instead")]
    Empty,
    /// The same address occurs twice.
    #[error("the policy gave {address} twice")]
    Duplicate {
        /// The address.
        address: IpAddr,
    },
    /// The address is of a family that was not requested.
    #[error("the policy gave {address}, but no {} address was requested", Family::of(address))]
    FamilyNotAsked {
        /// The address.
        address: IpAddr,
    },
    /// There are two addresses of one family.
    #[error("the policy gave {address} and {other}, but one address per family is allowed")]
    TwoOfFamily {
        /// The first address.
        other: IpAddr,
        /// The second address.
        address: IpAddr,
    },
    /// The address is not in the pool.
    #[error("the policy gave {address}, which is not in pool {pool:?}")]
    OutsidePool {
        /// The address.
        address: IpAddr,
        /// The pool.
        pool: String,
    },
    /// The address is in the pool, but is never assigned.
    #[error("the policy gave {address}, which pool {pool:?} excludes")]
    Excluded {
        /// The address.
        address: IpAddr,
        /// The pool.
        pool: String,
    },
    /// The Service asks for a different, specific address.
    #[error("the policy gave {address}, but the Service requests {}", list(wanted))]
    NotWanted {
        /// The address.
        address: IpAddr,
        /// The addresses that the Service asks for in this family.
        wanted: Vec<IpAddr>,
    },
    /// The address is the address of a node.
    #[error("the policy gave {address}, which is the address of node {node}")]
    NodeAddress {
        /// The address.
        address: IpAddr,
        /// The node.
        node: NodeName,
    },
    /// The address was released a moment ago.
    #[error(
        "the policy gave {address}, which was released a moment ago and may still be announced"
    )]
    Resting {
        /// The address.
        address: IpAddr,
    },
    /// Another Service holds the address, and the two may not share it.
    #[error("the policy gave {address}, which Service {holder} holds and cannot share")]
    Taken {
        /// The address.
        address: IpAddr,
        /// The holder that prevents it.
        holder: ServiceKey,
    },
}

impl Violation {
    /// Returns a fixed name for counters and logs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::PoolGone { .. } => "pool-gone",
            Self::Empty => "empty",
            Self::Duplicate { .. } => "duplicate",
            Self::FamilyNotAsked { .. } => "family-not-asked",
            Self::TwoOfFamily { .. } => "two-of-family",
            Self::OutsidePool { .. } => "outside-pool",
            Self::Excluded { .. } => "excluded",
            Self::NotWanted { .. } => "not-wanted",
            Self::NodeAddress { .. } => "node-address",
            Self::Resting { .. } => "resting",
            Self::Taken { .. } => "taken",
        }
    }
}

impl Ledger {
    /// Checks that this pool may give these addresses to this Service, for which these families were requested.
    pub fn check(
        &self,
        pool: &str,
        service: &Service,
        families: &[Family],
        addresses: &[IpAddr],
    ) -> Result<(), Violation> {
        if addresses.is_empty() {
            return Err(Violation::Empty);
        }
        for (n, &address) in addresses.iter().enumerate() {
            for &other in &addresses[..n] {
                if other == address {
                    return Err(Violation::Duplicate { address });
                }
                if Family::of(&other) == Family::of(&address) {
                    return Err(Violation::TwoOfFamily { other, address });
                }
            }
            if !families.contains(&Family::of(&address)) {
                return Err(Violation::FamilyNotAsked { address });
            }
            self.check_one(pool, service, address)?;
        }
        Ok(())
    }

    fn check_one(&self, pool: &str, service: &Service, address: IpAddr) -> Result<(), Violation> {
        let in_force = |stock: &&Stock| stock.standing() == PoolPhase::InForce;
        let Some(stock) = self.pool(pool).filter(in_force) else {
            return Err(Violation::PoolGone { pool: pool.to_owned() });
        };
        if !stock.covers(address) || address != address.to_canonical() {
            return Err(Violation::OutsidePool { address, pool: pool.to_owned() });
        }
        if !stock.offers(address) {
            return Err(Violation::Excluded { address, pool: pool.to_owned() });
        }
        match self.blocked(address, &service.key) {
            Some(Blocked::Node(node)) => return Err(Violation::NodeAddress { address, node }),
            Some(Blocked::Resting) => return Err(Violation::Resting { address }),
            None => {}
        }
        let family = Family::of(&address);
        let of_family = service.wanted.iter().filter(|wanted| Family::of(wanted) == family);
        let wanted: Vec<IpAddr> = of_family.copied().collect();
        if !wanted.is_empty() && !wanted.contains(&address) {
            return Err(Violation::NotWanted { address, wanted });
        }
        self.may_hold(service, address)
            .map_err(|holder| Violation::Taken { address, holder: holder.clone() })
    }
}

fn list(addresses: &[IpAddr]) -> String {
    addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(" or ")
}
