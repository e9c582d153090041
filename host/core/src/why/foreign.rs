//! Explains a Service whose status was written by another controller. Must not know which node answers for the address.
use super::list;
use crate::allocation::{AllocationResult, PoolWord};
use crate::facts::ServiceKey;

/// Returns the headline and the fixes.
pub(super) fn left_alone(
    key: &ServiceKey,
    verdict: &AllocationResult,
    pools: &[PoolWord],
) -> (String, Vec<String>) {
    let message = &verdict.condition.message;
    let what = message.split_once(": to ").map_or(message.as_str(), |(what, _)| what);
    let what = what.split_once(": stop ").map_or(what, |(what, _)| what);
    let written = list(&verdict.addresses);
    let pool = match pools {
        [only] => only.pool.as_str(),
        _ => "NAME",
    };
    let fixes = vec![
        "if the other controller is meant to serve this Service: change nothing".to_owned(),
        format!(
            "to keep {written} and have Outrigger answer: stop the other controller, then add it to spec.addresses of a pool (kubectl edit addresspool {pool})"
        ),
        format!(
            "to have an address of a pool: stop the other controller, then kubectl -n {} annotate service {} outrigger.dev/adopt=true; Outrigger then writes a new address into the status, and clients can no longer reach {written}",
            key.namespace(),
            key.name()
        ),
    ];
    (format!("{what}."), fixes)
}
