//! Watches deliveries while this process is the leader, and the deletion of Outrigger's copies of them: ConfigMaps with
//! Outrigger's labels. No other process watches them, because each may hold a megabyte. This module must not know how a
//! delivery is processed.
use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::{Api, Resource};
use kube::core::PartialObjectMeta;
use outrigger_core::facts::ServiceKey;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use super::super::NAMESPACE;
use super::super::watcher::{Follow, WatchEvent, key};
use super::COPY_LABEL;
use crate::convert::{Delivery, PLUGIN_LABEL, delivery};

/// Maximum number of deliveries that wait to be processed: each may hold a megabyte.
const WAITING: usize = 64;

/// An event of the watches.
pub enum Delivered {
    /// The name of a ConfigMap with the delivery label, and its delivery; `None` if it delivers nothing, or no longer does.
    ConfigMap(String, Option<Box<Delivery>>),
    /// An immutable copy that was deleted.
    CopyGone(String),
    /// Every existing delivery has been reported once.
    Listed,
}

/// Watches deliveries and copies until the receiver is dropped.
pub fn watch_deliveries(client: &Client) -> mpsc::Receiver<Delivered> {
    let (tell, told) = mpsc::channel(WAITING);
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    let see = |object: &ConfigMap| (key(object), delivery(object).map(Box::new));
    let follow = Follow::new("configmaps", api, Some(PLUGIN_LABEL), see);
    let say = |name, it: Option<_>| Some(Delivered::ConfigMap(name, it.flatten()));
    tokio::spawn(pass_on(follow, say, Some(Delivered::Listed), tell.clone()));
    // The content of the copies is not needed.
    let api: Api<PartialObjectMeta<ConfigMap>> = Api::namespaced(client.clone(), NAMESPACE);
    let see = |object: &PartialObjectMeta<ConfigMap>| (key(object), ());
    let follow = Follow::new("copies", api, Some(COPY_LABEL), see);
    let say = |name, it: Option<()>| it.is_none().then_some(Delivered::CopyGone(name));
    tokio::spawn(pass_on(follow, say, None, tell));
    told
}

/// Forwards events until the receiver is dropped. `say` converts an object, or its deletion, to an event; `listed` is sent
/// after the first complete listing.
async fn pass_on<K, T, S>(
    mut follow: Follow<K, (ServiceKey, T), S>,
    say: impl Fn(String, Option<T>) -> Option<Delivered>,
    mut listed: Option<Delivered>,
    tell: mpsc::Sender<Delivered>,
) where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
    S: Fn(&K) -> (ServiceKey, T),
{
    let mut known = BTreeSet::new();
    while let Some(heard) = follow.next().await {
        let (news, all) = news(heard, &mut known);
        let said = news.into_iter().filter_map(|(name, it)| say(name, it));
        let last = if all { listed.take() } else { None };
        for said in said.chain(last) {
            if tell.send(said).await.is_err() {
                return;
            }
        }
    }
}

/// Returns the existing and the deleted objects by name, and true if these are all that exist.
fn news<T>(
    heard: WatchEvent<(ServiceKey, T)>,
    known: &mut BTreeSet<String>,
) -> (Vec<(String, Option<T>)>, bool) {
    match heard {
        WatchEvent::Listed(seen) => {
            let listed = seen.iter().map(|(key, _)| key.name().to_owned()).collect();
            let before = std::mem::replace(known, listed);
            let gone = before.difference(known).map(|name| (name.clone(), None));
            let gone: Vec<_> = gone.collect();
            let there = seen.into_iter().map(|(key, it)| (key.name().to_owned(), Some(it)));
            (there.chain(gone).collect(), true)
        }
        WatchEvent::Seen((key, it)) => {
            known.insert(key.name().to_owned());
            (vec![(key.name().to_owned(), Some(it))], false)
        }
        WatchEvent::Gone(key) => {
            known.remove(key.name());
            (vec![(key.name().to_owned(), None)], false)
        }
        // These events are already in the log.
        WatchEvent::Failed(_) | WatchEvent::Recovered => (Vec::new(), false),
    }
}
