//! Kubernetes Events: what went wrong with an object, for `kubectl describe`. Success writes none. Must not know objects.
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use outrigger_core::facts::ServiceKey;

use super::NAMESPACE;
use crate::crd::API_VERSION;

/// `note` holds at most 1 kB (events.k8s.io/v1).
const LONGEST_NOTE: usize = 1000;

/// Publishes events under one name.
#[derive(Clone)]
pub struct Events {
    recorder: Recorder,
}

impl Events {
    /// `controller` and `instance` say who speaks.
    pub fn new(client: Client, controller: &str, instance: &str) -> Self {
        let reporter =
            Reporter { controller: controller.to_owned(), instance: Some(instance.to_owned()) };
        Self { recorder: Recorder::new(client, reporter) }
    }

    /// Warns about a Service.
    pub async fn service(&self, key: &ServiceKey, uid: &str, reason: &str, message: &str) {
        let object = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Service".to_owned()),
            namespace: Some(key.namespace.clone()),
            name: Some(key.name.clone()),
            uid: Some(uid.to_owned()),
            ..ObjectReference::default()
        };
        self.warn(object, reason, message).await;
    }

    /// Warns about an object of ours, which is cluster-scoped.
    pub async fn object(&self, kind: &str, name: &str, uid: &str, reason: &str, message: &str) {
        let object = ObjectReference {
            api_version: Some(API_VERSION.to_owned()),
            kind: Some(kind.to_owned()),
            // Events about cluster-scoped objects live in "default", as those of nodes do.
            namespace: None,
            name: Some(name.to_owned()),
            uid: Some(uid.to_owned()),
            ..ObjectReference::default()
        };
        self.warn(object, reason, message).await;
    }

    async fn warn(&self, object: ObjectReference, reason: &str, message: &str) {
        let note: String = message.chars().take(LONGEST_NOTE).collect();
        let event = Event {
            type_: EventType::Warning,
            reason: reason.to_owned(),
            note: Some(note),
            action: "Allocate".to_owned(),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, &object).await {
            tracing::debug!(namespace = NAMESPACE, "an event could not be published: {error}");
        }
    }
}
