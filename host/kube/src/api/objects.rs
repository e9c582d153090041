//! Conditions of our own cluster-scoped objects, and the finalizer of pools in use. Must not know what makes a condition true.
use std::collections::BTreeMap;

use kube::api::{Api, Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Client, ResourceExt as _};
use outrigger_sdk::Time;
use serde_json::{Map, Value, json};

use super::services::whole_seconds;
use super::{CONTROLLER, Lead};
use crate::crd::{API_VERSION, GROUP};
use crate::state::timestamp;

/// Keeps an AddressPool until no Service holds an address of it.
const IN_USE: &str = "outrigger.dev/in-use";

/// What is to be said about one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectStatus {
    /// "AddressPool" or "Announcer".
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Type, whether it holds, reason, message.
    pub conditions: Vec<(&'static str, bool, String, String)>,
    /// The rest of its status.
    pub rest: Map<String, Value>,
    /// Whether it must not go away yet; `None` for kinds that carry no finalizer.
    pub in_use: Option<bool>,
}

/// Writes [`ObjectStatus`]es, each when it differs from the one before.
pub struct Objects {
    client: Client,
    lead: Lead,
    written: BTreeMap<(&'static str, String), ObjectStatus>,
}

impl Objects {
    /// For a leader.
    pub fn new(client: Client, lead: Lead) -> Self {
        Self { client, lead, written: BTreeMap::new() }
    }

    /// Writes what differs. What could not be written is tried again in the next call; says whether all went well.
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
        let head = |rest: (&str, Value), finalizers: Option<Value>| {
            let mut body = json!({
                "apiVersion": API_VERSION,
                "kind": wanted.kind,
                // The uid keeps an apply from making an object that is gone anew.
                "metadata": { "name": wanted.name, "uid": object.uid() },
            });
            match finalizers {
                Some(finalizers) => body["metadata"]["finalizers"] = finalizers,
                None => body[rest.0] = rest.1,
            }
            Patch::Apply(body)
        };
        let parameters = PatchParams::apply(CONTROLLER).force();
        if !self.lead.holds() {
            return Ok(());
        }
        let status = status(&object, wanted, now);
        if object.data.get("status") != Some(&status) {
            api.patch_status(&wanted.name, &parameters, &head(("status", status), None)).await?;
        }
        let has = object.finalizers().iter().any(|finalizer| finalizer == IN_USE);
        let deleted = object.metadata.deletion_timestamp.is_some();
        match wanted.in_use {
            // The API server takes no new finalizer for an object that is being deleted.
            Some(true) if !has && !deleted => {
                api.patch(
                    &wanted.name,
                    &parameters,
                    &head(("", Value::Null), Some(json!([IN_USE]))),
                )
                .await?;
            }
            Some(false) if has => {
                api.patch(&wanted.name, &parameters, &head(("", Value::Null), Some(json!([]))))
                    .await?;
            }
            _ => {}
        }
        Ok(())
    }
}

fn status(object: &DynamicObject, wanted: &ObjectStatus, now: Time) -> Value {
    let before = object.data.pointer("/status/conditions").and_then(Value::as_array);
    let generation = object.metadata.generation;
    let condition = |(kind, holds, reason, message): &(&'static str, bool, String, String)| {
        let holds = if *holds { "True" } else { "False" };
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
