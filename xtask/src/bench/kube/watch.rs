//! Watches Services and records when each was first seen and when it first had an address: one stream for both, so that both
//! have the same delay.
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::IpAddr;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use outrigger_tests::kubernetes::Lab;
use outrigger_tests::kubernetes::objects::ingress;
use outrigger_tests::{clock, wait};
use serde_json::Value;

/// Longest time for all Services of a batch to get an address.
const LIMIT: Duration = Duration::from_secs(180);

/// A bookmark follows the initial objects (Kubernetes, "API concepts", streaming lists).
const FROM_THE_BEGINNING: &str =
    "watch=1&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan";

/// Service as seen by the watch.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// Time at which the Service was first seen.
    pub at: Instant,
    /// First address of the Service.
    pub address: Option<IpAddr>,
    /// Time at which the Service was first seen with an address.
    pub served: Option<Instant>,
}

type Services = Arc<Mutex<BTreeMap<String, Seen>>>;

/// Watch that runs until it is dropped.
pub struct Watcher {
    services: Services,
    curl: Child,
}

impl Watcher {
    /// Starts a watch where no Services exist yet, and waits until the API server has begun to send.
    pub fn start(lab: &Lab, namespace: &str) -> Result<Self> {
        let mut curl = lab.curl();
        let path = format!("/api/v1/namespaces/{namespace}/services?{FROM_THE_BEGINNING}");
        curl.arg("--no-buffer").arg(lab.url(&path));
        let mut curl = curl
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .context("cannot run curl")?;
        let mut events = BufReader::new(curl.stdout.take().context("a pipe was asked for")?);
        let mut line = String::new();
        // No byte arrives before the first event, which is a bookmark when there are no Services.
        events.read_line(&mut line).context("the API server does not start the watch")?;
        let services = Services::default();
        let seen = Arc::clone(&services);
        std::thread::spawn(move || {
            for line in events.lines().map_while(Result::ok) {
                keep(&seen, clock::now(), &line);
            }
        });
        Ok(Self { services, curl })
    }

    /// Waits until this number of Services that were first seen after `since` have an address, and returns them in the order
    /// they were seen.
    pub fn served(&self, since: Instant, count: usize) -> Result<Vec<Seen>> {
        let fresh = || -> Vec<Seen> {
            lock(&self.services).values().filter(|seen| seen.at >= since).copied().collect()
        };
        let served = |seen: &[Seen]| seen.iter().filter(|seen| seen.served.is_some()).count();
        let what = format!("{count} Services have an address");
        let mut seen = wait::until(&what, LIMIT, || {
            let fresh = fresh();
            Ok((served(&fresh) >= count).then_some(fresh))
        })
        .with_context(|| format!("{} have", served(&fresh())))?;
        seen.sort_by_key(|seen| seen.at);
        Ok(seen)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // curl may have ended with the API server; either way its output is no longer read.
        let _ = self.curl.kill();
        let _ = self.curl.wait();
    }
}

/// Records one line of the stream, which is an event with a whole object (Kubernetes, "API concepts", watches).
fn keep(services: &Services, now: Instant, line: &str) {
    let Ok(event) = serde_json::from_str::<Value>(line) else { return };
    let service = &event["object"];
    // A bookmark has no name.
    let Some(name) = service["metadata"]["name"].as_str() else { return };
    let mut services = lock(services);
    let fresh = Seen { at: now, address: None, served: None };
    let seen = services.entry(name.to_owned()).or_insert(fresh);
    if let (None, Some(address)) = (seen.served, ingress(service).first()) {
        (seen.served, seen.address) = (Some(now), Some(*address));
    }
}

fn lock(services: &Services) -> MutexGuard<'_, BTreeMap<String, Seen>> {
    services.lock().unwrap_or_else(PoisonError::into_inner)
}
