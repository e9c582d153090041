//! The default allocation policy: a shareable address first, then the address held before, then the lowest free one.
//! The state of the pool is read only through [`Pool`].
#![forbid(unsafe_code)]
use std::collections::BTreeMap;
use std::net::IpAddr;

use outrigger_sdk::announcer::parse_config;
use outrigger_sdk::{AddressState, Family, Outcome, Policy, Pool, Refusal, Request};

/// The lowest-free allocation policy.
pub struct LowestFree;

impl Policy for LowestFree {
    fn allocate(request: &Request, pool: &impl Pool) -> Outcome {
        match decide(request, pool) {
            Ok(addresses) => Outcome::Assign(addresses),
            Err(refusal) => Outcome::Refuse(refusal),
        }
    }
}

/// The policy's configuration, which has no settings.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {}

fn decide(request: &Request, pool: &impl Pool) -> Result<Vec<IpAddr>, Refusal> {
    if let Err(errors) = parse_config::<Config>(&request.config) {
        let message = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        return Err(refusal("InvalidConfig", message));
    }
    let wanted = wanted(request, pool)?;
    let mut assigned = Vec::new();
    let mut missing = None;
    for &family in &request.families {
        match wanted.get(&family).copied().or_else(|| choose(family, request, pool)) {
            Some(address) => assigned.push(address),
            None if request.all_families => return Err(exhausted(family, pool)),
            None => missing = missing.or(Some(family)),
        }
    }
    match missing {
        Some(family) if assigned.is_empty() => Err(exhausted(family, pool)),
        _ => Ok(assigned),
    }
}

/// Returns the explicitly requested addresses, one per family. Refuses if this request may not have one of them.
fn wanted(request: &Request, pool: &impl Pool) -> Result<BTreeMap<Family, IpAddr>, Refusal> {
    let mut wanted = BTreeMap::new();
    // An address that the Service already holds must not be assigned again.
    for &address in request.wanted.iter().filter(|address| !request.holds.contains(address)) {
        let family = Family::of(&address);
        if !request.families.contains(&family) {
            let message =
                format!("{address} is requested, but the Service needs no {family} address");
            return Err(refusal("WrongFamily", message));
        }
        may_have(address, pool)?;
        if let Some(other) = wanted.insert(family, address).filter(|other| *other != address) {
            let message = format!(
                "{other} and {address} are requested, but a Service has only one {family} address"
            );
            return Err(refusal("WrongFamily", message));
        }
    }
    Ok(wanted)
}

fn may_have(address: IpAddr, pool: &impl Pool) -> Result<(), Refusal> {
    let name = pool.name();
    match pool.state(address) {
        AddressState::Free | AddressState::Shareable => Ok(()),
        AddressState::Taken => {
            let holders: Vec<_> = pool
                .holders(address)
                .iter()
                .map(|holder| format!("{}/{}", holder.service.namespace, holder.service.name))
                .collect();
            let message = format!("{address} is held by {}", holders.join(", "));
            Err(refusal("AddressTaken", message))
        }
        AddressState::Excluded => {
            let message = format!("{address} is excluded from pool \"{name}\"");
            Err(refusal("AddressExcluded", message))
        }
        AddressState::Outside => {
            let message = format!("{address} is not in pool \"{name}\"");
            Err(refusal("AddressOutsidePool", message))
        }
    }
}

fn choose(family: Family, request: &Request, pool: &impl Pool) -> Option<IpAddr> {
    // Services with the same sharing key get the same address, which saves addresses.
    if !request.sharing_key.is_empty()
        && let Some(&address) = pool.shareable(family, 1).first()
    {
        return Some(address);
    }
    let previous = request.previous.iter().copied().find(|address| {
        Family::of(address) == family && pool.state(*address) == AddressState::Free
    });
    previous.or_else(|| pool.lowest_free(family, 1).first().copied())
}

fn exhausted(family: Family, pool: &impl Pool) -> Refusal {
    let (name, count) = (pool.name(), pool.count(family));
    let message = if count.total == 0 {
        format!("pool \"{name}\" has no {family} addresses")
    } else {
        format!(
            "pool \"{name}\" has no free {family} address: {} of {} are held",
            count.held, count.total
        )
    };
    refusal("PoolExhausted", message)
}

/// Creates a refusal without a retry delay, because waiting does not help: the host asks again when the Service or
/// the pool changes.
fn refusal(reason: &str, message: String) -> Refusal {
    Refusal { reason: reason.to_owned(), message, retry_after_ms: 0 }
}

#[cfg(test)]
mod tests;
