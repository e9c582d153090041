//! The Announcer resource as Kubernetes stores it. This module must not know the effects of its fields.
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Condition, LabelSelector, PluginConfig, rules};

/// A configured announcer plugin.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "outrigger.dev",
    version = "v1alpha1",
    kind = "Announcer",
    status = "AnnouncerStatus",
    shortname = "ora",
    category = "outrigger",
    doc = "A configured announcer plugin."
)]
#[kube(printcolumn = r#"{"name":"Plugin","type":"string","jsonPath":".spec.plugin"}"#)]
#[kube(
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].status"}"#
)]
#[kube(
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].reason"}"#
)]
#[kube(
    printcolumn = r#"{"name":"Interfaces","type":"string","jsonPath":".spec.interfaces","priority":1}"#
)]
#[kube(
    printcolumn = r#"{"name":"Message","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].message","priority":1}"#
)]
#[kube(printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AnnouncerSpec {
    /// Name of the announcer plugin.
    #[schemars(schema_with = "rules::plugin")]
    pub plugin: String,
    /// Configuration of the plugin, which validates it.
    #[serde(default, skip_serializing_if = "PluginConfig::is_empty")]
    pub config: PluginConfig,
    /// Nodes that the announcer runs on. If absent, it runs on all nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_selector: Option<LabelSelector>,
    /// Network interfaces by exact name. If empty, every interface that is not excluded is used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "rules::interfaces")]
    pub interfaces: Vec<String>,
    /// Services that the announcer announces. If absent, it announces all Services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_selector: Option<LabelSelector>,
    /// Also announce from nodes with the label node.kubernetes.io/exclude-from-external-load-balancers. Useful on small
    /// kubeadm clusters, whose control plane nodes have this label.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ignore_exclude_label: bool,
    /// Number of nodes that announce an address: "one", or "all" nodes that may announce it. If absent, "all" for the
    /// plugin bgp and "one" for every other plugin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub election: Option<Election>,
    /// Permissions of the announcer besides announcing the addresses of its Services. If absent, it has none.
    #[serde(default, skip_serializing_if = "Allow::is_empty")]
    pub allow: Allow,
    /// Secrets in Outrigger's namespace that may be used on behalf of the plugin. The plugin knows only their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    // The cost of `rules::prefixes` below counts against the API server's budget once for each entry.
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub secret_refs: Vec<SecretEntry>,
}

/// Number of nodes that announce an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Election {
    /// One node, which the nodes elect.
    One,
    /// Every node that may announce the address. Routers distribute the traffic among these nodes.
    All,
}

/// Permissions granted to an Announcer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Allow {
    /// Peers that BGP and BFD may communicate with, as addresses or CIDRs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "rules::prefixes")]
    pub peers: Vec<String>,
    /// CIDRs that may be announced as a whole, or in parts wider than one address, while one of their addresses is in use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "rules::prefixes")]
    pub aggregates: Vec<String>,
    /// Longest time, in seconds, for which a BGP peer may be asked to keep the routes of a session that has ended (graceful
    /// restart, RFC 4724). 0 disables graceful restart. If absent, 120.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4095))]
    pub restart_time: Option<i32>,
    /// Communities that may be sent, written as `64512:100`, `64512:*`, `64512:1:*` or `no-export`. If absent, all
    /// communities may be sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), inner(length(max = 64)))]
    pub communities: Option<Vec<String>>,
}

impl Allow {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A Secret that the plugin may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretEntry {
    /// Name by which the plugin's configuration refers to the Secret.
    #[schemars(schema_with = "rules::plugin")]
    pub name: String,
    /// Name of the Secret in Outrigger's namespace. If absent, it equals `name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: Option<String>,
    /// Peers that the Secret may be used with, as addresses or CIDRs. If empty, all peers that are allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "rules::prefixes")]
    pub peers: Vec<String>,
}

/// Status of an Announcer. Written by the controller.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AnnouncerStatus {
    /// Generation of the spec that the conditions describe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Conditions of the Announcer. Their messages explain problems and how to fix them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "rules::conditions")]
    pub conditions: Vec<Condition>,
}
