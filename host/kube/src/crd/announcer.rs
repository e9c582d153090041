//! The Announcer object as Kubernetes holds it. Must not know what its fields lead to.
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{LabelSelector, PluginConfig};

/// A configured announcer plugin.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "outrigger.dev",
    version = "v1alpha1",
    kind = "Announcer",
    doc = "A configured announcer plugin."
)]
#[kube(printcolumn = r#"{"name":"Plugin","type":"string","jsonPath":".spec.plugin"}"#)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AnnouncerSpec {
    /// Name of the announcer plugin.
    #[schemars(length(min = 1))]
    pub plugin: String,
    /// What it is configured with; the plugin checks it.
    #[serde(default, skip_serializing_if = "PluginConfig::is_empty")]
    pub config: PluginConfig,
    /// Nodes it runs on; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_selector: Option<LabelSelector>,
    /// Interfaces by exact name; empty: every interface that is not excluded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<String>,
    /// Services it announces; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_selector: Option<LabelSelector>,
}
