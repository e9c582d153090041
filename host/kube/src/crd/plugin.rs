//! The Plugin object as Kubernetes holds it: what the controller made of a delivered plugin, and how far it has got.
//! Must not know how that is decided.
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Condition;

/// Nothing is asked by this object: a plugin is delivered as a ConfigMap, and everything here is in the status.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "outrigger.dev",
    version = "v1alpha1",
    kind = "Plugin",
    status = "PluginStatus",
    shortname = "orpl",
    category = "outrigger",
    doc = "What became of a delivered plugin. Written by Outrigger."
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

/// What became of a delivered plugin.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PluginStatus {
    /// "allocator" or "announcer", "" while nothing is known of it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub world: String,
    /// Counts candidates.
    #[serde(default)]
    pub attempt: u32,
    /// What runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<BuildStatus>,
    /// What ran before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<BuildStatus>,
    /// What some nodes try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate: Option<CandidateStatus>,
    /// The last delivery that was tried and put aside. It is tried again when its ConfigMap changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<FailedStatus>,
    /// One word: "Active", "RollingOut", "Waiting", "RolledBack", "Refused".
    #[serde(default)]
    pub phase: String,
    /// Nodes that have proved the candidate, of nodes that are there: "2/5". "" when nothing is under way.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub progress: String,
    /// What is well, what is not, and how to mend it.
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
    /// "embedded", or how its digest begins.
    pub build: String,
    /// SHA-256 of the component; "" for the one that comes with the program.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub digest: String,
    /// The immutable copy that nodes load; "" for the one that comes with the program.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub config_map: String,
}

/// A build that some nodes try.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CandidateStatus {
    /// The build.
    #[serde(flatten)]
    pub build: BuildStatus,
    /// The delivery it came with: another one of the same bytes is another chance.
    pub delivery: String,
    /// Who tries it. "controller" for a policy, which runs in no node.
    #[serde(default)]
    pub nodes: Vec<String>,
    /// How long compiling it may take; 0: as long as usual.
    #[serde(default)]
    pub compile_within_seconds: u32,
}

/// A build that was tried and put aside.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailedStatus {
    /// The build.
    #[serde(flatten)]
    pub build: BuildStatus,
    /// The delivery it came with.
    pub delivery: String,
    /// Where.
    pub node: String,
    /// In one CamelCase word.
    pub reason: String,
    /// For a person.
    pub message: String,
}
