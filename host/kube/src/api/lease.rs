//! Leader election by a Lease (coordination.k8s.io/v1) with fencing: a leader stops writing well before another process may
//! start. This module must not know what a leader does.
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease as Object, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff;
use kube::Client;
use kube::api::{Api, PostParams};
use tokio::sync::watch;
use tokio::time::Instant;

use super::NAMESPACE;

/// Name of the Lease object.
const NAME: &str = "outrigger-controller";
/// Lease duration: a holder that does not renew for this long has lost it.
const DURATION: Duration = Duration::from_secs(10);
/// Time between two renewals, and between two attempts to acquire another holder's Lease.
const INTERVAL: Duration = Duration::from_secs(2);
/// Time before the end of its Lease at which a holder stops writing: a write may be in transit for this long.
const MARGIN: Duration = Duration::from_secs(3);
/// Timeout of one request to the API server.
const REQUEST: Duration = Duration::from_secs(3);

/// A candidate for leadership.
pub struct Lease {
    api: Api<Object>,
    identity: String,
    /// The last observed spec of the Lease, and the time when it was first observed: the clocks of other processes are not trusted.
    seen: Option<(LeaseSpec, Instant)>,
}

/// Leadership, while it [`holds`](Self::holds). Clones represent the same leadership.
#[derive(Clone)]
pub struct Lead {
    start: Instant,
    /// Microseconds after `start` until which writes are allowed; 0 once leadership is lost.
    until: Arc<AtomicU64>,
    lost: watch::Receiver<bool>,
}

/// The next step, given the current state of the Lease.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Take the Lease: no process holds it, or it belongs to this process from before.
    Take,
    /// Wait: another process holds the Lease, which cannot end before this time.
    Wait(Instant),
}

impl Lease {
    /// Creates a candidate. `identity` distinguishes this process from every other: the pod's name and a random part.
    pub fn new(client: Client, identity: String) -> Self {
        Self { api: Api::namespaced(client, NAMESPACE), identity, seen: None }
    }

    /// Waits until this process is the leader. From then on a task of the current runtime renews the Lease.
    pub async fn acquire(&mut self) -> Lead {
        loop {
            let sent = Instant::now();
            match tokio::time::timeout(REQUEST, self.attempt(sent)).await {
                Ok(Ok(Some(object))) => return self.lead(sent, object),
                Ok(Ok(None)) => {}
                Ok(Err(error)) => tracing::debug!("the lease cannot be acquired: {error}"),
                Err(_) => {
                    tracing::debug!("the lease cannot be acquired: the API server does not answer")
                }
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Takes the Lease from any holder, and keeps it for this duration even if this process ends. Returns once the previous
    /// holder cannot write any more.
    ///
    /// # Errors
    /// Returns an error if the API server refuses the request or cannot be reached.
    pub async fn seize(&mut self, duration: Duration) -> Result<Lead, kube::Error> {
        let seconds = i32::try_from(duration.as_secs()).ok();
        let spec = LeaseSpec { lease_duration_seconds: seconds, ..self.spec(None) };
        let start = Instant::now();
        match self.api.get_opt(NAME).await? {
            Some(mut object) => {
                object.spec = Some(spec);
                self.api.replace(NAME, &PostParams::default(), &object).await?;
            }
            None => {
                let metadata = ObjectMeta { name: Some(NAME.to_owned()), ..ObjectMeta::default() };
                let object = Object { metadata, spec: Some(spec) };
                self.api.create(&PostParams::default(), &object).await?;
            }
        }
        tokio::time::sleep(DURATION).await;
        let until = Arc::new(AtomicU64::new(micros(duration.saturating_sub(MARGIN))));
        // No task renews this Lease, and no caller waits for its end.
        let (_, lost) = watch::channel(false);
        Ok(Lead { start, until, lost })
    }

    /// Reads the Lease once, and tries to take it if that is allowed.
    async fn attempt(&mut self, now: Instant) -> Result<Option<Object>, kube::Error> {
        let Some(mut object) = self.api.get_opt(NAME).await? else {
            let object = Object {
                metadata: ObjectMeta { name: Some(NAME.to_owned()), ..ObjectMeta::default() },
                spec: Some(self.spec(None)),
            };
            return written(self.api.create(&PostParams::default(), &object).await);
        };
        let spec = object.spec.clone().unwrap_or_default();
        if self.seen.as_ref().is_none_or(|(seen, _)| *seen != spec) {
            self.seen = Some((spec.clone(), now));
        }
        let since = self.seen.as_ref().map_or(now, |(_, since)| *since);
        match step(&spec, since, &self.identity, now) {
            Step::Wait(_) => Ok(None),
            Step::Take => {
                object.spec = Some(self.spec(Some(&spec)));
                // The write is bound to the resourceVersion that was read: if two processes try, one gets a conflict.
                written(self.api.replace(NAME, &PostParams::default(), &object).await)
            }
        }
    }

    fn spec(&self, before: Option<&LeaseSpec>) -> LeaseSpec {
        let ours =
            before.filter(|spec| spec.holder_identity.as_deref() == Some(self.identity.as_str()));
        let transitions = before.and_then(|spec| spec.lease_transitions).unwrap_or(0);
        let now = MicroTime(jiff::Timestamp::now());
        LeaseSpec {
            acquire_time: ours.and_then(|spec| spec.acquire_time.clone()).or(Some(now.clone())),
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            lease_transitions: Some(transitions + i32::from(ours.is_none() && before.is_some())),
            renew_time: Some(now),
            ..LeaseSpec::default()
        }
    }

    fn lead(&self, sent: Instant, object: Object) -> Lead {
        let (lose, lost) = watch::channel(false);
        let until = Arc::new(AtomicU64::new(micros(DURATION - MARGIN)));
        let lead = Lead { start: sent, until: until.clone(), lost };
        let renewal = Renewal {
            api: self.api.clone(),
            identity: self.identity.clone(),
            object,
            start: sent,
            until,
            lose,
        };
        tokio::spawn(renewal.run());
        lead
    }
}

impl Lead {
    /// Returns true if a write may be sent now.
    pub fn holds(&self) -> bool {
        micros(self.start.elapsed()) < self.until.load(Ordering::SeqCst)
    }

    /// Resolves when leadership has ended.
    pub async fn lost(&mut self) {
        let _ = self.lost.wait_for(|lost| *lost).await;
    }

    /// Releases the Lease at once, so that another process need not wait until it expires. No write may be in transit.
    pub async fn resign(self, client: Client) {
        self.until.store(0, Ordering::SeqCst);
        let api: Api<Object> = Api::namespaced(client, NAMESPACE);
        let resign = async {
            let mut object = api.get(NAME).await?;
            let spec = object.spec.get_or_insert_default();
            spec.holder_identity = None;
            spec.lease_duration_seconds = Some(1);
            api.replace(NAME, &PostParams::default(), &object).await
        };
        if let Ok(Err(error)) = tokio::time::timeout(REQUEST, resign).await {
            tracing::warn!("the lease could not be released, and will expire: {error}");
        }
    }
}

/// Task that renews a Lease.
struct Renewal {
    api: Api<Object>,
    identity: String,
    object: Object,
    start: Instant,
    until: Arc<AtomicU64>,
    lose: watch::Sender<bool>,
}

impl Renewal {
    async fn run(mut self) {
        while self.until.load(Ordering::SeqCst) > micros(self.start.elapsed()) {
            tokio::time::sleep(INTERVAL).await;
            let sent = Instant::now();
            match tokio::time::timeout(REQUEST, self.renew()).await {
                Ok(Ok(true)) => {
                    let until = sent.duration_since(self.start) + DURATION - MARGIN;
                    // A Lease that was released or expired meanwhile must never become valid again.
                    let alive = |before: u64| {
                        (before > micros(self.start.elapsed())).then(|| micros(until))
                    };
                    if self.until.fetch_update(Ordering::SeqCst, Ordering::SeqCst, alive).is_err() {
                        break;
                    }
                }
                Ok(Ok(false)) => break,
                Ok(Err(error)) => tracing::warn!("the lease could not be renewed: {error}"),
                Err(_) => {
                    tracing::warn!("the lease could not be renewed: the API server does not answer")
                }
            }
        }
        self.until.store(0, Ordering::SeqCst);
        tracing::warn!("this process is no longer the leader");
        let _ = self.lose.send(true);
    }

    /// Renews the Lease. Returns true if this process still holds it.
    async fn renew(&mut self) -> Result<bool, kube::Error> {
        if let Some(spec) = &mut self.object.spec {
            spec.renew_time = Some(MicroTime(jiff::Timestamp::now()));
        }
        match written(self.api.replace(NAME, &PostParams::default(), &self.object).await)? {
            Some(object) => self.object = object,
            None => {
                // A renewal whose answer was lost has changed the version. That does not mean that there is another holder.
                let object = self.api.get(NAME).await?;
                let holder = object.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref());
                if holder != Some(self.identity.as_str()) {
                    return Ok(false);
                }
                self.object = object;
            }
        }
        Ok(true)
    }
}

/// Returns the next step. `since` is the time when this process first observed the current spec of the Lease.
fn step(spec: &LeaseSpec, since: Instant, identity: &str, now: Instant) -> Step {
    let holder = spec.holder_identity.as_deref().unwrap_or_default();
    if holder.is_empty() || holder == identity {
        return Step::Take;
    }
    let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    let end = since + seconds.map_or(DURATION, Duration::from_secs);
    if now >= end { Step::Take } else { Step::Wait(end) }
}

/// Returns the written object; `None` if another process wrote first.
fn written(result: kube::Result<Object>) -> kube::Result<Option<Object>> {
    match result {
        Ok(object) => Ok(Some(object)),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(None),
        Err(error) => Err(error),
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held_by(identity: &str) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(identity.to_owned()),
            lease_duration_seconds: Some(10),
            ..LeaseSpec::default()
        }
    }

    #[tokio::test]
    async fn a_lease_that_nobody_holds_is_taken_at_once() {
        let now = Instant::now();
        assert_eq!(step(&LeaseSpec::default(), now, "me", now), Step::Take);
        assert_eq!(step(&held_by(""), now, "me", now), Step::Take);
        assert_eq!(step(&held_by("me"), now, "me", now), Step::Take);
    }

    #[tokio::test]
    async fn a_rivals_lease_is_waited_out_by_our_own_clock() {
        let since = Instant::now();
        let end = since + Duration::from_secs(10);
        assert_eq!(step(&held_by("other"), since, "me", since), Step::Wait(end));
        let just_before = end - Duration::from_millis(1);
        assert_eq!(step(&held_by("other"), since, "me", just_before), Step::Wait(end));
        assert_eq!(step(&held_by("other"), since, "me", end), Step::Take);
    }

    #[test]
    fn a_holder_stops_writing_before_another_may_start() {
        assert!(MARGIN >= REQUEST, "a write that left in time arrives in time");
        assert!(DURATION > MARGIN + INTERVAL + REQUEST, "one lost renewal costs nothing");
    }
}
