//! Writes the conditions of Outrigger's cluster-scoped objects, the Events about them, and the finalizer of pools in use.
//! This module must not know the causes of conditions.
use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::{Api, Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Client, ResourceExt as _};
use outrigger_sdk::Time;
use serde_json::{Map, Value, json};

use super::services::whole_seconds;
use super::{CONTROLLER, Events, Lead};
use crate::crd::{API_VERSION, GROUP};
use crate::state::timestamp;

/// Finalizer that keeps an AddressPool until no Service holds one of its addresses.
const IN_USE: &str = "outrigger.dev/in-use";

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectCondition {
    /// The type of the condition.
    pub kind: Cow<'static, str>,
    /// The status of the condition; `None` if it is unknown.
    pub holds: Option<bool>,
    /// Machine-readable reason in CamelCase.
    pub reason: String,
    /// Human-readable message that names the object and the fix.
    pub message: String,
    /// True if the condition needs attention. An Event with the same text is then published once.
    pub warns: bool,
}

/// The intended status of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectStatus {
    /// The kind, "AddressPool" or "Announcer".
    pub kind: &'static str,
    /// The name of the object.
    pub name: String,
    /// The conditions of the object.
    pub conditions: Vec<ObjectCondition>,
    /// The other fields of the status.
    pub rest: Map<String, Value>,
    /// True if the object must not be deleted yet; `None` for kinds that carry no finalizer.
    pub in_use: Option<bool>,
}

/// Writes [`ObjectStatus`]es, each only if it differs from the one before.
pub struct Objects {
    client: Client,
    lead: Lead,
    events: Events,
    written: BTreeMap<(&'static str, String), ObjectStatus>,
}

impl Objects {
    /// Creates a writer for a leader.
    pub fn new(client: Client, lead: Lead, events: Events) -> Self {
        Self { client, lead, events, written: BTreeMap::new() }
    }

    /// Writes the statuses that differ. A status that could not be written is retried in the next call. Returns true if all
    /// writes succeeded.
    pub async fn write(&mut self, statuses: &[ObjectStatus], now: Time) -> bool {
        let mut well = true;
        for status in statuses {
            let key = (status.kind, status.name.clone());
            if self.written.get(&key) == Some(status) {
                continue;
            }
            match self.write_one(status, now).await {
                Ok(()) => drop(self.written.insert(key, status.clone())),
                Err(error) => {
                    well = false;
                    tracing::warn!(
                        kind = status.kind,
                        name = status.name,
                        "its status could not be written: {error}"
                    );
                }
            }
        }
        self.written.retain(|key, _| {
            statuses.iter().any(|status| (status.kind, &status.name) == (key.0, &key.1))
        });
        well
    }

    async fn write_one(&self, wanted: &ObjectStatus, now: Time) -> kube::Result<()> {
        let resource =
            ApiResource::from_gvk(&GroupVersionKind::gvk(GROUP, "v1alpha1", wanted.kind));
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
        let Some(object) = api.get_opt(&wanted.name).await? else { return Ok(()) };
        // The uid prevents the apply from recreating an object that was deleted.
        let apply = |mut metadata: Value| {
            metadata["name"] = json!(wanted.name);
            metadata["uid"] = json!(object.uid());
            json!({ "apiVersion": API_VERSION, "kind": wanted.kind, "metadata": metadata })
        };
        let parameters = PatchParams::apply(CONTROLLER).force();
        if !self.lead.holds() {
            return Ok(());
        }
        let status = status(&object, wanted, now);
        if object.data.get("status") != Some(&status) {
            let mut body = apply(json!({}));
            body["status"] = status;
            api.patch_status(&wanted.name, &parameters, &Patch::Apply(body)).await?;
            self.warn(wanted, &object).await;
        }
        let has = object.finalizers().iter().any(|finalizer| finalizer == IN_USE);
        let deleted = object.metadata.deletion_timestamp.is_some();
        let finalizers = match wanted.in_use {
            // The API server accepts no new finalizer for an object that is being deleted.
            Some(true) if !has && !deleted => json!([IN_USE]),
            Some(false) if has => json!([]),
            _ => return Ok(()),
        };
        let body = apply(json!({ "finalizers": finalizers }));
        api.patch(&wanted.name, &parameters, &Patch::Apply(body)).await.map(drop)
    }

    /// Publishes Events for conditions that the status did not contain before.
    async fn warn(&self, wanted: &ObjectStatus, object: &DynamicObject) {
        let before = object.data.pointer("/status/conditions").and_then(Value::as_array);
        let is_known = |condition: &&ObjectCondition| {
            before.into_iter().flatten().any(|known| {
                known["type"] == *condition.kind && known["message"] == *condition.message
            })
        };
        let news = wanted.conditions.iter().filter(|condition| condition.warns);
        for condition in news.filter(|condition| !is_known(condition)) {
            let regarding = ObjectReference {
                api_version: Some(API_VERSION.to_owned()),
                kind: Some(wanted.kind.to_owned()),
                name: Some(wanted.name.clone()),
                uid: object.uid(),
                ..ObjectReference::default()
            };
            self.events.warn(regarding, "Configure", &condition.reason, &condition.message).await;
        }
    }
}

fn status(object: &DynamicObject, wanted: &ObjectStatus, now: Time) -> Value {
    let before = object.data.pointer("/status/conditions").and_then(Value::as_array);
    let generation = object.metadata.generation;
    let condition = |condition: &ObjectCondition| {
        let ObjectCondition { kind, holds, reason, message, warns: _ } = condition;
        let holds = match holds {
            Some(true) => "True",
            Some(false) => "False",
            None => "Unknown",
        };
        let same = |known: &&Value| known["type"] == **kind && known["status"] == holds;
        let since = before.into_iter().flatten().find(same);
        let since = match since {
            Some(known) => known["lastTransitionTime"].clone(),
            None => json!(whole_seconds(timestamp(now.utc_us))),
        };
        json!({
            "type": kind, "status": holds, "reason": reason, "message": message,
            "observedGeneration": generation, "lastTransitionTime": since,
        })
    };
    let mut status = wanted.rest.clone();
    let conditions = wanted.conditions.iter().map(condition).collect();
    status.insert("conditions".to_owned(), Value::Array(conditions));
    Value::Object(status)
}
