//! A single watch: it returns the listed objects, then the changes, with a pause after each failure. Objects are converted
//! as they arrive and then dropped, so that only the needed parts are kept. This module must not know which parts those
//! are.
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use kube::ResourceExt as _;
use kube::api::{Api, Resource};
use kube::runtime::watcher::{self, Event};
use outrigger_core::facts::ServiceKey;
use serde::de::DeserializeOwned;

/// Backoff between two attempts to open a watch.
const BACK_OFF: [Duration; 6] = [
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
];

/// Number of objects in one page of a listing. An object is many times larger in the API server's encoding than as a fact,
/// mainly because of its `managedFields`, and a whole page is held in memory.
const PAGE: u32 = 50;

/// Time without a failure after which a reopened watch is considered healthy.
const CALM: Duration = Duration::from_secs(5);

/// An event of a watch.
pub(super) enum WatchEvent<T> {
    /// All existing objects: an object that is not in the list does not exist.
    Listed(Vec<T>),
    /// The current state of one object.
    Seen(T),
    /// One object was deleted.
    Gone(ServiceKey),
    /// The watch failed, with the reason.
    Failed(String),
    /// The watch works again and has nothing new to report.
    Recovered,
}

/// A watch of the objects of one kind, each converted by `see`.
pub(super) struct Follow<K, T, S> {
    kind: &'static str,
    events: BoxStream<'static, watcher::Result<Event<K>>>,
    see: S,
    /// The objects of the current listing so far.
    listing: Vec<T>,
    failures: usize,
}

impl<K, T, S> Follow<K, T, S>
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
    S: Fn(&K) -> T,
{
    /// Creates a watch of all objects, or of those with this label. `kind` is used for the log.
    pub fn new(kind: &'static str, api: Api<K>, label: Option<&str>, see: S) -> Self {
        let mut config = watcher::Config::default().page_size(PAGE);
        if let Some(label) = label {
            config = config.labels(label);
        }
        let events = watcher::watcher(api, config).boxed();
        Self { kind, events, see, listing: Vec::new(), failures: 0 }
    }

    /// Waits for the next event. The stream ends only with the runtime.
    pub async fn next(&mut self) -> Option<WatchEvent<T>> {
        // The caller has processed the previous failure, so that the pause delays no message.
        if let Some(last) = self.failures.checked_sub(1) {
            tokio::time::sleep(BACK_OFF[last.min(BACK_OFF.len() - 1)]).await;
        }
        loop {
            let event = match self.failures {
                0 => self.events.next().await,
                _ => match tokio::time::timeout(CALM, self.events.next()).await {
                    Ok(event) => event,
                    Err(_) => {
                        self.failures = 0;
                        return Some(WatchEvent::Recovered);
                    }
                },
            };
            let heard = match event? {
                Ok(Event::Init) => {
                    self.listing.clear();
                    continue;
                }
                Ok(Event::InitApply(object)) => {
                    self.listing.push((self.see)(&object));
                    continue;
                }
                Ok(Event::InitDone) => WatchEvent::Listed(std::mem::take(&mut self.listing)),
                Ok(Event::Apply(object)) => WatchEvent::Seen((self.see)(&object)),
                Ok(Event::Delete(object)) => WatchEvent::Gone(key(&object)),
                Err(error) => {
                    tracing::warn!(kind = self.kind, "the watch failed: {error}");
                    self.failures += 1;
                    return Some(WatchEvent::Failed(error.to_string()));
                }
            };
            self.failures = 0;
            return Some(heard);
        }
    }
}

/// Returns the namespace ("" if cluster-scoped) and name of an object.
pub(super) fn key<K: Resource>(object: &K) -> ServiceKey {
    ServiceKey::new(&object.namespace().unwrap_or_default(), &object.name_any())
}
