//! What people deliver, while this process leads: ConfigMaps with our label. Nobody else watches them, each of which may hold a
//! megabyte. Must not know what becomes of a delivery.
use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::Api;
use outrigger_core::facts::ServiceKey;
use tokio::sync::mpsc;

use super::super::NAMESPACE;
use super::super::follow::{Follow, Heard, key};
use crate::convert::{Delivery, PLUGIN_LABEL, delivery};

/// Deliveries that wait to be looked at: each may hold a megabyte.
const WAITING: usize = 64;

/// What the watch has to say.
pub enum Delivered {
    /// The name of a ConfigMap with our label, and what it delivers; `None` when that is nothing, or no more.
    ConfigMap(String, Option<Box<Delivery>>),
    /// Every one of them has been told once.
    Listed,
}

/// Watches until the receiver is dropped.
pub fn watch_deliveries(client: &Client) -> mpsc::Receiver<Delivered> {
    let (tell, told) = mpsc::channel(WAITING);
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    let see = |object: &ConfigMap| (key(object), delivery(object).map(Box::new));
    let mut follow = Follow::new("configmaps", api, Some(PLUGIN_LABEL), see);
    tokio::spawn(async move {
        let mut known = BTreeSet::new();
        while let Some(heard) = follow.next().await {
            for said in news(heard, &mut known) {
                if tell.send(said).await.is_err() {
                    return;
                }
            }
        }
    });
    told
}

type Seen = (ServiceKey, Option<Box<Delivery>>);

fn news(heard: Heard<Seen>, known: &mut BTreeSet<String>) -> Vec<Delivered> {
    match heard {
        Heard::Listed(seen) => {
            let listed = seen.iter().map(|(key, _)| key.name.clone()).collect();
            let before = std::mem::replace(known, listed);
            let gone =
                before.difference(known).map(|name| Delivered::ConfigMap(name.clone(), None));
            let gone: Vec<_> = gone.collect();
            let there = seen.into_iter().map(|(key, it)| Delivered::ConfigMap(key.name, it));
            there.chain(gone).chain([Delivered::Listed]).collect()
        }
        Heard::Seen((key, delivery)) => {
            known.insert(key.name.clone());
            vec![Delivered::ConfigMap(key.name, delivery)]
        }
        Heard::Gone(key) => {
            known.remove(&key.name);
            vec![Delivered::ConfigMap(key.name, None)]
        }
        // The log has it.
        Heard::Failed(_) | Heard::Recovered => Vec::new(),
    }
}
