//! The Announcer object as Kubernetes holds it. Must not know what its fields lead to.
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
    /// What it is configured with; the plugin checks it.
    #[serde(default, skip_serializing_if = "PluginConfig::is_empty")]
    pub config: PluginConfig,
    /// Nodes it runs on; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_selector: Option<LabelSelector>,
    /// Interfaces by exact name; empty: every interface that is not excluded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "rules::interfaces")]
    pub interfaces: Vec<String>,
    /// Services it announces; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_selector: Option<LabelSelector>,
    /// Announce from nodes with the label node.kubernetes.io/exclude-from-external-load-balancers too, as on small kubeadm clusters, whose
    /// control plane nodes have it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ignore_exclude_label: bool,
    /// Whether one node announces an address or every node that may; absent: "all" for the plugin bgp, else "one".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub election: Option<Election>,
    /// What it may do besides announcing the addresses of its Services; absent: nothing.
    #[serde(default, skip_serializing_if = "Allow::is_empty")]
    pub allow: Allow,
    /// Secrets in Outrigger's namespace that may be used on its behalf. The plugin knows their names and nothing else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    // The cost of `rules::prefixes` below counts against the API server's budget for each of them.
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub secret_refs: Vec<SecretEntry>,
}

/// How many nodes announce an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Election {
    /// One, which the nodes elect.
    One,
    /// Every node that may: routers share the traffic out between them.
    All,
}

/// The grant of an Announcer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Allow {
    /// Whom BGP and BFD may speak with: addresses or CIDRs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "rules::prefixes")]
    pub peers: Vec<String>,
    /// CIDRs that may be announced as a whole, or in parts wider than one address, while one of their addresses is in use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "rules::prefixes")]
    pub aggregates: Vec<String>,
    /// The longest time, in seconds, that a BGP peer may be asked to keep routes of a session that is gone (graceful restart, RFC 4724);
    /// 0: none. Absent: 120.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4095))]
    pub restart_time: Option<i32>,
    /// Communities that may be sent, as `64512:100`, `64512:*`, `64512:1:*` or `no-export`; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), inner(length(max = 64)))]
    pub communities: Option<Vec<String>>,
}

impl Allow {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A Secret that the plugin may name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretEntry {
    /// What the plugin's configuration calls it.
    #[schemars(schema_with = "rules::plugin")]
    pub name: String,
    /// Name of the Secret in Outrigger's namespace; absent: the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: Option<String>,
    /// Peers it may be used with: addresses or CIDRs; empty: all that are allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "rules::prefixes")]
    pub peers: Vec<String>,
}

/// What became of an Announcer. Written by the controller.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AnnouncerStatus {
    /// The generation that the conditions are about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What is well, what is not, and how to mend it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "rules::conditions")]
    pub conditions: Vec<Condition>,
}
