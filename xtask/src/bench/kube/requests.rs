//! Counts a load balancer's requests to the API server, from the audit log.
use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use outrigger_tests::kubernetes::Lab;
use outrigger_tests::kubernetes::audit::Request;
use outrigger_tests::wait;
use serde_json::json;

use super::figure::Figure;
use super::system::System;

/// Time without a write after which pending work counts as finished.
const CALM: Duration = Duration::from_secs(4);
/// Longest time to wait for this calm.
const LIMIT: Duration = Duration::from_secs(90);
/// Time over which the steady state is measured.
const WINDOW: Duration = Duration::from_secs(30);

/// Waits until the load balancer writes only Leases.
pub fn quiet(lab: &Lab, system: System) -> Result<()> {
    wait::until(&format!("{} is quiet", system.name()), LIMIT, || {
        let mark = lab.audit_mark()?;
        std::thread::sleep(CALM);
        let mut writes = of(system, lab.audit(mark)?).into_iter().filter(Request::writes);
        Ok(writes.all(|request| request.resource == "leases").then_some(()))
    })
}

/// Measures the requests per minute in the steady state.
pub fn steady(lab: &Lab, system: System, services: usize) -> Result<Figure> {
    let mark = lab.audit_mark()?;
    std::thread::sleep(WINDOW);
    let requests = of(system, lab.audit(mark)?);
    let per_minute = |count: usize| round(count as f64 * 60.0 / WINDOW.as_secs_f64());
    let kinds = kinds(&requests, per_minute);
    let all = per_minute(requests.len());
    Ok(Figure {
        name: format!("API requests per minute, {services} Services, steady"),
        text: format!("{all}{}", listed(&kinds)),
        values: json!({ "services": services, "per_minute": all, "kinds": kinds }),
    })
}

/// Counts the writes since a mark, per Service.
pub fn writes(lab: &Lab, system: System, mark: u64, services: usize) -> Result<Figure> {
    let mut requests = of(system, lab.audit(mark)?);
    requests.retain(Request::writes);
    let each = |count: usize| round(count as f64 / services as f64);
    let kinds = kinds(&requests, each);
    let all = each(requests.len());
    Ok(Figure {
        name: format!("API writes per Service in a burst of {services}"),
        text: format!("{all}{}", listed(&kinds)),
        values: json!({ "services": services, "writes": all, "kinds": kinds }),
    })
}

fn of(system: System, mut requests: Vec<Request>) -> Vec<Request> {
    requests.retain(|request| system.is_user(&request.user));
    requests
}

/// Groups requests by account, verb and kind, with the status code if the request was refused.
fn kinds(requests: &[Request], share: impl Fn(usize) -> f64) -> BTreeMap<String, f64> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for Request { user, verb, resource, code, .. } in requests {
        let account = user.rsplit(':').next().unwrap_or(user);
        let mut kind = format!("{account}: {verb} {resource}");
        if *code >= 400 {
            kind += &format!(" ({code})");
        }
        *counts.entry(kind).or_default() += 1;
    }
    counts.into_iter().map(|(kind, count)| (kind, share(count))).collect()
}

fn listed(kinds: &BTreeMap<String, f64>) -> String {
    kinds.iter().map(|(kind, share)| format!("\n    {share:8} {kind}")).collect()
}

fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
