//! Reads delivered plugins from the API server, and writes Plugin objects and immutable copies of components while this
//! process is the leader. This module must not know which build runs when.
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, Resource as _, ResourceExt as _};
use outrigger_sdk::Time;
use serde_json::json;

use super::services::whole_seconds;
use super::{CONTROLLER, Events, Lead, NAMESPACE, WriteError};
use crate::convert::{Delivery, PLUGIN_KEYS, component, copy_name, delivery};
use crate::crd::{
    API_VERSION, Condition, ConditionStatus, Plugin, PluginSpec, PluginStatus, READY,
};
use crate::state::timestamp;

mod deliveries;

pub use deliveries::{Delivered, watch_deliveries};

/// The label of an immutable copy; its value is the plugin's name. It differs from the label of a delivery, because a copy
/// is not a delivery.
const COPY_LABEL: &str = "outrigger.dev/plugin-copy";
/// Annotation with the whole digest of a copy.
const DIGEST: &str = "outrigger.dev/digest";

/// Writes Plugins and copies while this process is the leader.
#[derive(Clone)]
pub struct PluginWriter {
    client: Client,
    lead: Lead,
    events: Events,
}

/// Reason why a node could not read a copy.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The copy does not exist.
    #[error("ConfigMap {NAMESPACE}/{0} does not exist")]
    Gone(String),
    /// The ConfigMap exists but is not a valid copy.
    #[error("ConfigMap {NAMESPACE}/{0}: {1}")]
    Damaged(String, String),
    /// The API server returned an error.
    #[error("ConfigMap {NAMESPACE}/{0} cannot be read: {1}")]
    Api(String, Box<kube::Error>),
}

/// Returns the component with this digest as it was delivered, possibly compressed.
///
/// # Errors
/// Returns a [`CopyError`] if the copy does not exist, is damaged or cannot be read.
pub async fn read_copy(client: &Client, name: &str, digest: &str) -> Result<Vec<u8>, CopyError> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    let name = copy_name(name, digest);
    match api.get_opt(&name).await {
        Ok(Some(object)) => component(&object)
            .map(|(_, octets)| octets.to_vec())
            .map_err(|unusable| CopyError::Damaged(name, unusable.to_string())),
        Ok(None) => Err(CopyError::Gone(name)),
        Err(error) => Err(CopyError::Api(name, Box::new(error))),
    }
}

impl PluginWriter {
    /// Creates a writer for a leader.
    pub fn new(client: Client, lead: Lead, events: Events) -> Self {
        Self { client, lead, events }
    }

    fn fenced(&self) -> Result<(), WriteError> {
        if self.lead.holds() { Ok(()) } else { Err(WriteError::NotLeading) }
    }

    /// Writes a status, bound to the version that it was decided on; `None` if the object does not exist yet. Returns the
    /// resulting version. A delivery that was refused or rolled back is also published as an Event.
    ///
    /// # Errors
    /// Returns [`WriteError::Conflict`] if another writer changed the object, and [`WriteError::Gone`] if it was deleted.
    pub async fn write(
        &self,
        name: &str,
        version: Option<String>,
        status: &PluginStatus,
    ) -> Result<String, WriteError> {
        self.fenced()?;
        let api: Api<Plugin> = Api::all(self.client.clone());
        let version = match version {
            Some(version) => version,
            None => {
                let mut object = Plugin::new(name, PluginSpec {});
                object.metadata.labels =
                    Some([("app.kubernetes.io/part-of".to_owned(), "outrigger".to_owned())].into());
                let made = api.create(&PostParams::default(), &object).await;
                made.map_err(write_error)?.resource_version().unwrap_or_default()
            }
        };
        let body = json!({
            "apiVersion": API_VERSION,
            "kind": "Plugin",
            "metadata": { "name": name, "resourceVersion": version },
            "status": status,
        });
        self.fenced()?;
        let parameters = PatchParams::apply(CONTROLLER).force();
        let written = api.patch_status(name, &parameters, &Patch::Apply(body)).await;
        let written = written.map_err(write_error)?;
        let condition = status.conditions.iter().find(|one| one.kind == READY);
        if let Some(condition) = condition
            && matches!(status.phase.as_str(), "Refused" | "RolledBack")
        {
            let regarding = written.object_ref(&());
            self.events.warn(regarding, "RollOut", &condition.reason, &condition.message).await;
        }
        Ok(written.resource_version().unwrap_or_default())
    }

    /// Returns what a ConfigMap currently delivers; `None` if it delivers nothing.
    ///
    /// # Errors
    /// Returns an error if the API server refuses the request or cannot be reached.
    pub async fn delivered(&self, config_map: &str) -> Result<Option<Delivery>, WriteError> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), NAMESPACE);
        let object = api.get_opt(config_map).await.map_err(write_error)?;
        Ok(object.as_ref().and_then(delivery))
    }

    /// Deletes a Plugin that has neither a delivery nor a build left.
    ///
    /// # Errors
    /// Returns an error if the API server refuses the request, or if this process is no longer the leader.
    pub async fn delete(&self, name: &str) -> Result<(), WriteError> {
        self.fenced()?;
        let api: Api<Plugin> = Api::all(self.client.clone());
        match api.delete(name, &DeleteParams::default()).await.map_err(write_error) {
            Ok(_) | Err(WriteError::Gone) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Creates the immutable copy of a component, under the key that it was delivered with, unless it exists.
    ///
    /// # Errors
    /// Returns an error if the API server refuses the request, or if this process is no longer the leader.
    pub async fn copy(
        &self,
        name: &str,
        digest: &str,
        key: &str,
        octets: Vec<u8>,
    ) -> Result<(), WriteError> {
        debug_assert!(PLUGIN_KEYS.contains(&key), "{key}");
        self.fenced()?;
        let mut copy = ConfigMap { immutable: Some(true), ..ConfigMap::default() };
        copy.metadata.name = Some(copy_name(name, digest));
        copy.metadata.labels = Some(
            [(COPY_LABEL, name), ("app.kubernetes.io/part-of", "outrigger")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
        );
        copy.metadata.annotations = Some([(DIGEST.to_owned(), digest.to_owned())].into());
        copy.binary_data = Some([(key.to_owned(), ByteString(octets))].into());
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), NAMESPACE);
        match api.create(&PostParams::default(), &copy).await.map_err(write_error) {
            // The copy is immutable and named by its digest, so that an existing one has the right content.
            Ok(_) | Err(WriteError::Conflict) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Deletes the copies for which `needed` returns false for their name and digest.
    ///
    /// # Errors
    /// Returns an error if the API server refuses the request, or if this process is no longer the leader.
    pub async fn sweep(&self, needed: impl Fn(&str, &str) -> bool) -> Result<(), WriteError> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), NAMESPACE);
        let copies = ListParams::default().labels(COPY_LABEL);
        for copy in api.list_metadata(&copies).await.map_err(write_error)? {
            let name = copy.labels().get(COPY_LABEL).cloned().unwrap_or_default();
            let digest = copy.annotations().get(DIGEST).cloned().unwrap_or_default();
            if !needed(&name, &digest) {
                self.fenced()?;
                let deleted = api.delete(&copy.name_any(), &DeleteParams::default()).await;
                match deleted.map_err(write_error) {
                    Ok(_) | Err(WriteError::Gone) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }
}

/// Returns the condition `Ready` with this content. Its time is that of the condition before, if the status is the same.
pub fn ready(
    before: &[Condition],
    holds: bool,
    reason: &str,
    message: &str,
    now: Time,
) -> Condition {
    let status = if holds { ConditionStatus::True } else { ConditionStatus::False };
    let known = before.iter().find(|known| known.kind == READY && known.status == status);
    let since = || whole_seconds(timestamp(now.utc_us)).0.to_string();
    Condition {
        kind: READY.to_owned(),
        status,
        reason: reason.to_owned(),
        message: message.to_owned(),
        observed_generation: None,
        last_transition_time: known.map_or_else(since, |known| known.last_transition_time.clone()),
    }
}

fn write_error(error: kube::Error) -> WriteError {
    match error {
        kube::Error::Api(status) if status.code == 409 => WriteError::Conflict,
        kube::Error::Api(status) if status.code == 404 => WriteError::Gone,
        error => WriteError::Api(Box::new(error)),
    }
}
