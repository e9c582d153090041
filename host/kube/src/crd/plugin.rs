//! The Plugin resource as Kubernetes stores it: the state of a delivered plugin and the progress of its rollout. This
//! module must not know how rollouts are decided.
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Condition;

/// The spec is empty: a plugin is delivered as a ConfigMap, and this object only reports its status.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "outrigger.dev",
    version = "v1alpha1",
    kind = "Plugin",
    status = "PluginStatus",
    shortname = "orpl",
    category = "outrigger",
    doc = "Rollout status of a delivered plugin. Written by Outrigger."
)]
#[kube(printcolumn = r#"{"name":"Active","type":"string","jsonPath":".status.active.build"}"#)]
#[kube(
    printcolumn = r#"{"name":"Candidate","type":"string","jsonPath":".status.candidate.build"}"#
)]
#[kube(printcolumn = r#"{"name":"Phase","type":"string","jsonPath":".status.phase"}"#)]
#[kube(printcolumn = r#"{"name":"Progress","type":"string","jsonPath":".status.progress"}"#)]
#[kube(
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].reason"}"#
)]
#[kube(printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#)]
#[kube(
    printcolumn = r#"{"name":"Failed","type":"string","jsonPath":".status.failed.build","priority":1}"#
)]
#[kube(
    printcolumn = r#"{"name":"On","type":"string","jsonPath":".status.failed.node","priority":1}"#
)]
#[kube(
    printcolumn = r#"{"name":"Message","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].message","priority":1}"#
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PluginSpec {}

/// Status of a delivered plugin.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PluginStatus {
    /// Kind of the plugin, "allocator" or "announcer". "" while it is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub world: String,
    /// Number of candidates so far.
    #[serde(default)]
    pub attempt: u32,
    /// Build that is active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<BuildStatus>,
    /// Build that was active before the current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<BuildStatus>,
    /// Build that some nodes are trying.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate: Option<CandidateStatus>,
    /// Last delivery that was tried and rejected. It is tried again when its ConfigMap changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<FailedStatus>,
    /// Phase of the rollout, one of "Active", "RollingOut", "Waiting", "RolledBack" and "Refused".
    #[serde(default)]
    pub phase: String,
    /// Number of nodes that have verified the candidate, out of the number of nodes that are present, as in "2/5". "" if no
    /// rollout is in progress.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub progress: String,
    /// Conditions of the plugin. Their messages explain problems and how to fix them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"])
    )]
    pub conditions: Vec<Condition>,
}

/// One build of a plugin.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BuildStatus {
    /// Short name of the build: "embedded", or the first digits of its digest.
    pub build: String,
    /// SHA-256 digest of the component. "" for the build that is embedded in the program.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub digest: String,
    /// Name of the ConfigMap with the immutable copy that nodes load. "" for the build that is embedded in the program.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub config_map: String,
}

/// A build that some nodes are trying.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CandidateStatus {
    /// The build.
    #[serde(flatten)]
    pub build: BuildStatus,
    /// Identifier of the delivery that the build came with. A further delivery of the same bytes is another attempt.
    pub delivery: String,
    /// Nodes that try the build. "controller" for an allocation policy, which does not run on nodes.
    #[serde(default)]
    pub nodes: Vec<String>,
    /// Longest time that compiling may take, in seconds. 0 means the default.
    #[serde(default)]
    pub compile_within_seconds: u32,
}

/// A build that was tried and rejected.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailedStatus {
    /// The build.
    #[serde(flatten)]
    pub build: BuildStatus,
    /// Identifier of the delivery that the build came with.
    pub delivery: String,
    /// Node that the build failed on.
    pub node: String,
    /// Machine-readable reason, as one CamelCase word.
    pub reason: String,
    /// Human-readable explanation.
    pub message: String,
}
