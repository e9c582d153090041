//! The reasons why a pool gives a Service no address: it has none, its policy refused, or its policy failed. Does not
//! know the other pools.
use std::net::IpAddr;

use outrigger_sdk::{AddressState, Family, Pool as _, Refusal};

use super::breaker::FIRST_PAUSE_US;
use crate::facts::{Pool, Service};
use crate::ledger::{Blocked, PoolView, REST_US, Violation};

/// Shortest retry interval that a policy can ask for.
const SOONEST_RETRY_MS: u32 = 1_000;
/// Interval after which a policy that failed is asked again.
const FAULT_RETRY_MS: u32 = (FIRST_PAUSE_US / 1_000) as u32;
/// Interval after which an address that rested at the time of the answer no longer rests.
const REST_RETRY_MS: u32 = (REST_US / 1_000) as u32;
/// Maximum number of characters from a policy's own message, so that a condition stays readable.
const LONGEST_MESSAGE: usize = 256;

/// The reason why a pool gave nothing, or not everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AttemptFailure {
    pub(super) reason: String,
    pub(super) message: String,
    pub(super) retry_ms: u32,
}

impl AttemptFailure {
    pub(super) fn new(reason: &str, message: String) -> Self {
        Self { reason: reason.to_owned(), message, retry_ms: 0 }
    }
}

/// Returns the reason why a pool has nothing to give, regardless of its policy; `None` if it may have something.
pub(super) fn obstacle(
    view: &PoolView,
    pool: &Pool,
    service: &Service,
    family: Family,
) -> Option<AttemptFailure> {
    let name = &pool.name;
    let wanted = service.wanted.iter().filter(|at| Family::of(at) == family);
    let mut why_not = None;
    for &address in wanted {
        match view.state(address) {
            AddressState::Free | AddressState::Shareable => return None,
            AddressState::Outside => {}
            AddressState::Excluded => {
                let message = match view.blocked(address) {
                    Some(Blocked::Node(node)) => {
                        format!(
                            "{address} is requested, but is the address of node {node}: request another"
                        )
                    }
                    _ => format!("{address} is requested, but pool {name:?} excludes it"),
                };
                why_not = Some(AttemptFailure::new("AddressExcluded", message));
            }
            AddressState::Taken => why_not = Some(taken(view, address)),
        }
    }
    let count = view.count(family);
    if why_not.is_some()
        || count.free > 0
        || view.may_return(family)
        || !view.shareable(family, 1).is_empty()
    {
        return why_not;
    }
    let message = match count.total {
        0 => format!("pool {name:?} excludes all of its {family} addresses: exclude fewer"),
        total => format!(
            "pool {name:?} has no free {family} address (all {total} held): add addresses or delete Services"
        ),
    };
    Some(AttemptFailure::new("PoolExhausted", message))
}

fn taken(view: &PoolView, address: IpAddr) -> AttemptFailure {
    let Some((holder, why)) = view.in_the_way(address) else {
        let message = format!(
            "{address} is requested, but was released a moment ago and may still be announced: it is assigned within a few seconds"
        );
        return AttemptFailure::new("AddressTaken", message);
    };
    let message = format!(
        "{address} is requested, but held by {holder} and cannot be shared: {}",
        why.join("; and ")
    );
    AttemptFailure::new("AddressTaken", message)
}

/// Returns the note for a policy that trapped, took too long, or asked for something that is not carried out.
pub(super) fn fault(pool: &str, text: &str) -> AttemptFailure {
    let message = format!("pool {pool:?}: its policy failed: {}", printable(text));
    AttemptFailure { retry_ms: FAULT_RETRY_MS, ..AttemptFailure::new("PolicyFault", message) }
}

/// Returns the note for an answer that violates the ledger's rules. Asking again would give the same answer, unless
/// the address only rests.
pub(super) fn violated(pool: &str, violation: &Violation) -> AttemptFailure {
    let message = format!("pool {pool:?}: {violation} ({})", violation.reason());
    let retry_ms = match violation {
        Violation::Resting { .. } => REST_RETRY_MS,
        _ => 0,
    };
    AttemptFailure { retry_ms, ..AttemptFailure::new("PolicyAnswerRefused", message) }
}

/// Returns the note for a refusal. Its reason is a plugin's own text: it becomes a condition's reason only if
/// Kubernetes would accept it.
pub(super) fn refused(pool: &str, refusal: Refusal) -> AttemptFailure {
    let reason = &refusal.reason;
    let is_camel_case = reason.starts_with(|c: char| c.is_ascii_uppercase())
        && reason.len() <= 64
        && reason.chars().all(|c| c.is_ascii_alphanumeric());
    let retry_ms = match refusal.retry_after_ms {
        0 => 0,
        ms => ms.max(SOONEST_RETRY_MS),
    };
    let message = format!("pool {pool:?}: {}", printable(&refusal.message));
    AttemptFailure {
        retry_ms,
        ..AttemptFailure::new(if is_camel_case { reason } else { "PolicyRefused" }, message)
    }
}

pub(super) fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(LONGEST_MESSAGE).collect()
}
