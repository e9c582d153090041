//! Conversions for the request and the outcome of an allocator. WIT: `policy`.
use std::net::IpAddr;

use outrigger_sdk as sdk;

use super::allocator::exports::outrigger::plugin::policy as wit;
use super::convert::each;

impl From<&sdk::Request> for wit::Request {
    fn from(request: &sdk::Request) -> Self {
        Self {
            service: (&request.service).into(),
            families: each(request.families.iter().copied()),
            all_families: request.all_families,
            wanted: each(request.wanted.iter().copied()),
            holds: each(request.holds.iter().copied()),
            previous: each(request.previous.iter().copied()),
            sharing_key: request.sharing_key.clone(),
            config: request.config.clone(),
            seed: request.seed.clone(),
            ext: request.ext.clone(),
        }
    }
}

impl From<wit::Outcome> for sdk::Outcome {
    fn from(outcome: wit::Outcome) -> Self {
        match outcome {
            wit::Outcome::Assign(addresses) => Self::Assign(each::<_, IpAddr>(addresses)),
            wit::Outcome::Refuse(refusal) => Self::Refuse(sdk::Refusal {
                reason: refusal.reason,
                message: refusal.message,
                retry_after_ms: refusal.retry_after_ms,
            }),
            wit::Outcome::Ask(requests) => {
                Self::Ask(requests.into_iter().map(|request| request.url).collect())
            }
        }
    }
}
