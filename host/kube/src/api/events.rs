//! Kubernetes Events: what went wrong with an object, for `kubectl describe`. Success writes none, and what was said is not
//! said again for a while. Must not know why it went wrong.
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
use tokio::time::Instant;

use crate::convert::DEFAULT_NAMESPACE;

/// `note` holds at most 1 kB (events.k8s.io/v1).
const LONGEST_NOTE: usize = 1000;
/// The API server keeps an Event for an hour; the same is not said again before.
const SILENCE: Duration = Duration::from_secs(3600);

/// Publishes events under one name.
#[derive(Clone)]
pub struct Events {
    client: Client,
    controller: String,
    instance: String,
    /// When what was said last, by object and text.
    said: Arc<Mutex<BTreeMap<(String, String), Instant>>>,
}

impl Events {
    /// `controller` and `instance` say who speaks.
    pub fn new(client: Client, controller: &str, instance: &str) -> Self {
        let (controller, instance) = (controller.to_owned(), instance.to_owned());
        Self { client, controller, instance, said: Arc::default() }
    }

    /// Warns about a Service.
    pub async fn service(&self, key: &ServiceKey, uid: &str, reason: &str, message: &str) {
        let regarding = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Service".to_owned()),
            namespace: Some(key.namespace().to_owned()),
            name: Some(key.name().to_owned()),
            uid: Some(uid.to_owned()),
            ..ObjectReference::default()
        };
        self.warn(regarding, "Allocate", reason, message).await;
    }

    /// Warns about any object, which must be named with its uid; `action` is what was being done.
    pub async fn warn(
        &self,
        regarding: ObjectReference,
        action: &str,
        reason: &str,
        message: &str,
    ) {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        if !self.is_news(&text(&regarding.uid), message) {
            return;
        }
        // Events about what is in no namespace are in this one (events.k8s.io/v1).
        let namespace = regarding.namespace.clone().unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned());
        let (kind, name) = (text(&regarding.kind), text(&regarding.name));
        let now = Timestamp::now();
        let event = Event {
            action: Some(action.to_owned()),
            event_time: Some(MicroTime(now)),
            metadata: ObjectMeta {
                name: Some(format!("{name}.{:x}", now.as_nanosecond())),
                ..ObjectMeta::default()
            },
            note: Some(message.chars().take(LONGEST_NOTE).collect()),
            reason: Some(reason.to_owned()),
            regarding: Some(regarding),
            reporting_controller: Some(self.controller.clone()),
            reporting_instance: Some(self.instance.clone()),
            type_: Some("Warning".to_owned()),
            ..Event::default()
        };
        let api: Api<Event> = Api::namespaced(self.client.clone(), &namespace);
        if let Err(error) = api.create(&PostParams::default(), &event).await {
            tracing::debug!(kind, namespace, name, "an event could not be published: {error}");
        }
    }

    fn is_news(&self, uid: &str, message: &str) -> bool {
        let mut said = self.said.lock().expect("nothing panics while it holds what was said");
        said.retain(|_, at| at.elapsed() < SILENCE);
        let key = (uid.to_owned(), message.to_owned());
        said.insert(key, Instant::now()).is_none()
    }
}
