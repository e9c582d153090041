//! Publishes Kubernetes Events for `kubectl describe`: problems of objects, and messages of plugins about Services. The
//! same Event is not repeated within an hour. This module must not know the reasons for the messages.
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, PostParams};
use outrigger_core::facts::ServiceKey;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use crate::convert::DEFAULT_NAMESPACE;
use crate::crd::ServiceEventReport;

/// Maximum length of `note`, which holds at most 1 kB (events.k8s.io/v1).
const LONGEST_NOTE: usize = 1000;
/// Time within which the same Event is not repeated: the API server keeps an Event for an hour.
const SILENCE: Duration = Duration::from_secs(3600);

/// One Event.
struct Saying<'a> {
    name: String,
    regarding: ObjectReference,
    kind: &'a str,
    action: &'a str,
    reason: &'a str,
    message: &'a str,
    /// Together with the object's uid, the key that prevents the Event from being repeated while it is remembered.
    once: &'a str,
}

/// Publishes Events under one name.
#[derive(Clone)]
pub struct Events {
    client: Client,
    controller: String,
    instance: String,
    /// Time of the last Event by object and text.
    said: Arc<Mutex<BTreeMap<(String, String), Instant>>>,
}

impl Events {
    /// Creates a publisher. `controller` and `instance` identify it in the Events.
    pub fn new(client: Client, controller: &str, instance: &str) -> Self {
        let (controller, instance) = (controller.to_owned(), instance.to_owned());
        Self { client, controller, instance, said: Arc::default() }
    }

    /// Publishes a warning about a Service.
    pub async fn service(&self, key: &ServiceKey, uid: &str, reason: &str, message: &str) {
        self.warn(service(key, uid), "Allocate", reason, message).await;
    }

    /// Publishes what an announcer on a node reported about a Service. Several leaders in succession may publish it: the
    /// result is one Event.
    pub async fn of_plugin(
        &self,
        uid: &str,
        node: &str,
        announcer: &str,
        said: &ServiceEventReport,
    ) {
        let message = format!("{} (announcer {announcer} on {node})", said.message);
        // The hash is the same for every node and every leader.
        let said_of = [uid, &said.kind, &said.reason, &said.message].join("\n");
        let hash = format!("{:x}", Sha256::digest(&said_of));
        self.publish(Saying {
            name: format!("{:.200}.{hash:.16}", said.name),
            regarding: service(&ServiceKey::new(&said.namespace, &said.name), uid),
            kind: &said.kind,
            action: "Announce",
            reason: &said.reason,
            message: &message,
            once: &said_of,
        })
        .await;
    }

    /// Publishes a warning about any object, which must be named with its uid. `action` is the action that failed.
    pub async fn warn(
        &self,
        regarding: ObjectReference,
        action: &str,
        reason: &str,
        message: &str,
    ) {
        let named = regarding.name.clone().unwrap_or_default();
        let name = format!("{named}.{:x}", Timestamp::now().as_nanosecond());
        self.publish(Saying {
            name,
            regarding,
            kind: "Warning",
            action,
            reason,
            message,
            once: message,
        })
        .await;
    }

    async fn publish(
        &self,
        Saying { name, regarding, kind, action, reason, message, once }: Saying<'_>,
    ) {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        if !self.is_news(&text(&regarding.uid), once) {
            return;
        }
        // Events about cluster-scoped objects are in this namespace (events.k8s.io/v1).
        let namespace = regarding.namespace.clone().unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned());
        let (of_kind, about) = (text(&regarding.kind), text(&regarding.name));
        let event = Event {
            action: Some(action.to_owned()),
            event_time: Some(MicroTime(Timestamp::now())),
            metadata: ObjectMeta { name: Some(name), ..ObjectMeta::default() },
            note: Some(message.chars().take(LONGEST_NOTE).collect()),
            reason: Some(reason.to_owned()),
            regarding: Some(regarding),
            reporting_controller: Some(self.controller.clone()),
            reporting_instance: Some(self.instance.clone()),
            type_: Some(kind.to_owned()),
            ..Event::default()
        };
        let api: Api<Event> = Api::namespaced(self.client.clone(), &namespace);
        match api.create(&PostParams::default(), &event).await {
            Ok(_) => {}
            // Another leader has published it.
            Err(kube::Error::Api(error)) if error.code == 409 => {}
            Err(error) => {
                tracing::debug!(of_kind, namespace, about, "an event was not published: {error}");
            }
        }
    }

    fn is_news(&self, uid: &str, message: &str) -> bool {
        let mut said = self.said.lock().expect("nothing panics while it holds what was said");
        said.retain(|_, at| at.elapsed() < SILENCE);
        let key = (uid.to_owned(), message.to_owned());
        said.insert(key, Instant::now()).is_none()
    }
}

fn service(key: &ServiceKey, uid: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Service".to_owned()),
        namespace: Some(key.namespace().to_owned()),
        name: Some(key.name().to_owned()),
        uid: Some(uid.to_owned()),
        ..ObjectReference::default()
    }
}
