//! One watch: what it lists, then what changes, with a pause after each failure. Objects are converted as they come and dropped,
//! so that only what is used of them is kept. Must not know what that is.
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use kube::ResourceExt as _;
use kube::api::{Api, Resource};
use kube::runtime::watcher::{self, Event};
use outrigger_core::facts::ServiceKey;
use serde::de::DeserializeOwned;

/// Between two attempts to open a watch.
const BACK_OFF: [Duration; 6] = [
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
];

/// Objects in one answer of a listing. An object is many times larger in the API server's words than as a fact, above all its
/// `managedFields`, and an answer is in memory as a whole.
const PAGE: u32 = 50;

/// A watch that was opened again and failed no more for this long works.
const CALM: Duration = Duration::from_secs(5);

/// What a watch has to say.
pub(super) enum Heard<T> {
    /// Everything there is; what is not in it does not exist.
    Listed(Vec<T>),
    /// One object is so now.
    Seen(T),
    /// One object is gone.
    Gone(ServiceKey),
    /// The API server cannot be heard, and why.
    Failed(String),
    /// It can be heard again, and has nothing new to say.
    Recovered,
}

/// A watch of the objects of one kind, each as `see` sees it.
pub(super) struct Follow<K, T, S> {
    kind: &'static str,
    events: BoxStream<'static, watcher::Result<Event<K>>>,
    see: S,
    /// What was listed so far.
    listing: Vec<T>,
    failures: usize,
}

impl<K, T, S> Follow<K, T, S>
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
    S: Fn(&K) -> T,
{
    /// Of everything, or of what has this label. `kind` is for the log.
    pub fn new(kind: &'static str, api: Api<K>, label: Option<&str>, see: S) -> Self {
        let mut config = watcher::Config::default().page_size(PAGE);
        if let Some(label) = label {
            config = config.labels(label);
        }
        let events = watcher::watcher(api, config).boxed();
        Self { kind, events, see, listing: Vec::new(), failures: 0 }
    }

    /// Waits for the next. Ends never: only with the runtime.
    pub async fn next(&mut self) -> Option<Heard<T>> {
        // What the last call said has been passed on meanwhile.
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
                        return Some(Heard::Recovered);
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
                Ok(Event::InitDone) => Heard::Listed(std::mem::take(&mut self.listing)),
                Ok(Event::Apply(object)) => Heard::Seen((self.see)(&object)),
                Ok(Event::Delete(object)) => Heard::Gone(key(&object)),
                Err(error) => {
                    tracing::warn!(kind = self.kind, "the watch failed: {error}");
                    self.failures += 1;
                    return Some(Heard::Failed(error.to_string()));
                }
            };
            self.failures = 0;
            return Some(heard);
        }
    }
}

/// Namespace ("" when cluster-scoped) and name.
pub(super) fn key<K: Resource>(object: &K) -> ServiceKey {
    ServiceKey::new(&object.namespace().unwrap_or_default(), &object.name_any())
}
