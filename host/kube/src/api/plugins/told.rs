//! What a leader has to hear for roll-outs: deliveries, copies that go, Plugins, reports of nodes. One watch each, on a task of
//! its own.
use std::collections::BTreeSet;

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, Resource};
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{self, DefaultBackoff, Event};
use kube::runtime::{WatchStreamExt as _, watcher as watch};
use kube::{Client, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use super::super::NAMESPACE;
use super::COPY_LABEL;
use crate::convert::{Delivery, PLUGIN_LABEL, delivery};
use crate::crd::{NodeReport, NodeReportStatus, Plugin, PluginStatus};

/// Deliveries that wait to be looked at: each may hold a megabyte.
const WAITING: usize = 64;

/// What a watch has to say: the name of an object, and what it says; `None` when it is gone.
pub enum Told {
    /// A ConfigMap with our label.
    Delivery(String, Option<Box<Delivery>>),
    /// A NodeReport.
    Report(String, Option<Box<NodeReportStatus>>),
    /// A Plugin, with its version.
    Plugin(String, Option<(String, Box<PluginStatus>)>),
    /// An immutable copy that is no more.
    CopyGone(String),
    /// Everything of one of these four kinds has been told once.
    Listed(&'static str),
}

/// Watches all four, until the receiver is dropped.
pub fn watch_deliveries(client: &Client) -> mpsc::Receiver<Told> {
    let (tell, told) = mpsc::channel(WAITING);
    let all = watcher::Config::default;
    let config_maps: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    let say = |name, object: Option<ConfigMap>| {
        Some(Told::Delivery(name, object.as_ref().and_then(delivery).map(Box::new)))
    };
    tokio::spawn(follow("configmaps", config_maps, all().labels(PLUGIN_LABEL), tell.clone(), say));
    // Their octets are of no interest.
    let copies: Api<PartialObjectMeta<ConfigMap>> = Api::namespaced(client.clone(), NAMESPACE);
    let say = |name, object: Option<_>| object.is_none().then_some(Told::CopyGone(name));
    tokio::spawn(follow("copies", copies, all().labels(COPY_LABEL), tell.clone(), say));
    let reports: Api<NodeReport> = Api::all(client.clone());
    let say = |name, object: Option<NodeReport>| {
        Some(Told::Report(name, object.and_then(|object| object.status).map(Box::new)))
    };
    tokio::spawn(follow("nodereports", reports, all(), tell.clone(), say));
    let plugins: Api<Plugin> = Api::all(client.clone());
    let say = |name, object: Option<Plugin>| {
        let read = |object: Plugin| {
            let version = object.resource_version().unwrap_or_default();
            (version, Box::new(object.status.unwrap_or_default()))
        };
        Some(Told::Plugin(name, object.map(read)))
    };
    tokio::spawn(follow("plugins", plugins, all(), tell, say));
    told
}

async fn follow<K>(
    kind: &'static str,
    api: Api<K>,
    config: watcher::Config,
    tell: mpsc::Sender<Told>,
    say: impl Fn(String, Option<K>) -> Option<Told>,
) where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    let mut events = watch(api, config).backoff(DefaultBackoff::default()).boxed();
    let (mut known, mut listing) = (BTreeSet::new(), BTreeSet::new());
    while let Some(event) = events.next().await {
        let mut news = Vec::new();
        match event {
            Ok(Event::Init) => listing.clear(),
            Ok(Event::InitApply(object)) => {
                listing.insert(object.name_any());
                news.extend(say(object.name_any(), Some(object)));
            }
            Ok(Event::InitDone) => {
                let gone: Vec<String> = known.difference(&listing).cloned().collect();
                news.extend(gone.into_iter().filter_map(|name| say(name, None)));
                known = std::mem::take(&mut listing);
                news.push(Told::Listed(kind));
            }
            Ok(Event::Apply(object)) => {
                known.insert(object.name_any());
                news.extend(say(object.name_any(), Some(object)));
            }
            Ok(Event::Delete(object)) => {
                known.remove(&object.name_any());
                news.extend(say(object.name_any(), None));
            }
            Err(error) => tracing::warn!(kind, "the watch failed: {error}"),
        }
        for said in news {
            if tell.send(said).await.is_err() {
                return;
            }
        }
    }
}
