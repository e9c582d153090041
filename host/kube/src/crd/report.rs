//! The NodeReport resource: the status of one node. There is one object per node and never one per Service. This module
//! must not know how the values are determined.
use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Maximum number of exceptions in a report. The node's own endpoint and `outrigger status` show the rest.
pub const MAX_EXCEPTIONS: usize = 50;

/// Maximum number of peers in an announcer's report. `outrigger bgp peers` shows the rest.
pub const MAX_PEERS: usize = 256;

/// The spec is empty: a report asks nothing of a node, and everything is in its status.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "outrigger.dev",
    version = "v1alpha1",
    kind = "NodeReport",
    status = "NodeReportStatus",
    shortname = "orn",
    category = "outrigger",
    doc = "Status that a node reports about itself. Written by Outrigger."
)]
#[kube(printcolumn = r#"{"name":"Ready","type":"boolean","jsonPath":".status.ready"}"#)]
#[kube(printcolumn = r#"{"name":"Version","type":"string","jsonPath":".status.version"}"#)]
#[kube(
    printcolumn = r#"{"name":"Addresses","type":"integer","jsonPath":".status.desired.addresses"}"#
)]
#[kube(
    printcolumn = r#"{"name":"Missing","type":"string","jsonPath":".status.missing","priority":1}"#
)]
#[kube(
    printcolumn = r#"{"name":"Exception","type":"string","jsonPath":".status.exceptions[*].address","priority":1}"#
)]
#[kube(
    printcolumn = r#"{"name":"Problem","type":"string","jsonPath":".status.problems[*].message","priority":1}"#
)]
#[kube(printcolumn = r#"{"name":"Observed","type":"date","jsonPath":".status.observedAt"}"#)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeReportSpec {}

/// Status that one node reports.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeReportStatus {
    /// Name of the node, which is also the name of the object.
    #[schemars(length(max = 253))]
    pub node: String,
    /// Version of the daemon.
    pub version: String,
    /// Time that the report describes (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub observed_at: Option<String>,
    /// True if the node waits for nothing.
    pub ready: bool,
    /// Names of watches that the node waits for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// Plugins on the node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plugins: Vec<PluginReport>,
    /// Announcers that run on the node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub announcers: Vec<AnnouncerReport>,
    /// Desired state that is active on the node.
    #[serde(default)]
    pub desired: DesiredReport,
    /// Addresses of the desired state that are not in the expected state, at most 50.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub exceptions: Vec<AddressException>,
    /// Other nodes as this node sees them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<MemberReport>,
    /// Problems with single objects, and how to fix them. A problem affects only its own object.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<ProblemReport>,
}

/// One plugin on one node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PluginReport {
    /// Name of the plugin.
    pub name: String,
    /// Digest of the active component.
    pub digest: String,
    /// Origin of the active component.
    pub origin: String,
    /// State of the plugin, "active" or "refused".
    pub state: String,
    /// Explanation of the state. "" if there is nothing to report.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Number of addresses that this node should answer for with the plugin.
    #[serde(default)]
    pub wanted: u32,
    /// Number of the addresses counted in `wanted` that the node announces.
    #[serde(default)]
    pub announced: u32,
    /// Number of traps and other faults of the plugin since the daemon started.
    #[serde(default)]
    pub traps: u32,
    /// Candidate that this node is trying, or tried last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<TrialReport>,
}

/// A candidate on one node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrialReport {
    /// Number of the candidate, as the Plugin object counts them.
    pub attempt: u32,
    /// State of the trial, one of "loading", "running" and "failed".
    pub state: String,
    /// Machine-readable reason for the failure, as one CamelCase word.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Human-readable explanation of the failure.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// One announcer on one node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AnnouncerReport {
    /// Name of the Announcer.
    pub name: String,
    /// Name of its plugin.
    pub plugin: String,
    /// Digest of the build that runs.
    pub digest: String,
    /// Phase of the announcer: "Running", "Held" while it cannot be made to run, or "NotStarted".
    pub phase: String,
    /// Number of new instances after a fault.
    pub restarts: u32,
    /// Number of events that were quarantined because they caused a fault.
    pub quarantined: u32,
    /// Last fault. "" if there was none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub last_fault: String,
    /// Reason why the intended plugin or configuration did not take over. "" if it did. The previous one keeps serving.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub refused: String,
    /// Peers of the announcer, at most 256.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub peers: Vec<PeerReport>,
    /// Conditions that the plugin reports. The Announcer object shows those of all nodes together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub conditions: Vec<ConditionReport>,
    /// Events that the plugin reported about Services within the last ten minutes. Each becomes a Kubernetes Event.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub events: Vec<ServiceEventReport>,
    /// Number of effects that the guard refused, by reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub denied: BTreeMap<String, u64>,
}

/// A condition as one node sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConditionReport {
    /// Type of the condition, in CamelCase.
    #[serde(rename = "type")]
    pub kind: String,
    /// Status of the condition: "True", "False" or "Unknown".
    pub status: String,
    /// Machine-readable reason, in CamelCase.
    pub reason: String,
    /// Human-readable explanation.
    pub message: String,
}

/// One event that a plugin reported about a Service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceEventReport {
    /// Namespace of the Service.
    pub namespace: String,
    /// Name of the Service.
    pub name: String,
    /// Type of the event: "Normal" or "Warning".
    #[serde(rename = "type")]
    pub kind: String,
    /// Machine-readable reason, in CamelCase.
    pub reason: String,
    /// Human-readable explanation.
    pub message: String,
    /// Time of the event (RFC 3339).
    #[schemars(extend("format" = "date-time"))]
    pub at: String,
}

/// One peer of an announcer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PeerReport {
    /// Name of the peer in the announcer's configuration.
    pub peer: String,
    /// Protocol of the session, such as "bgp" or "bfd".
    pub protocol: String,
    /// State of the session in the protocol's own terms, such as "Established".
    pub state: String,
    /// Health of the session, one of "starting", "up", "degraded", "down" and "disabled".
    pub health: String,
    /// Last error of the session. "" if there was none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub last_error: String,
}

/// The desired state that is active on a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DesiredReport {
    /// Number of addresses.
    pub addresses: u32,
    /// Hash of the whole desired state. Nodes that agree have equal hashes.
    pub hash: String,
}

/// An address that is not in the expected state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AddressException {
    /// The address.
    pub address: String,
    /// State of the address: "pending", "conflict", "failed", "withdrawn", or a word of the plugin.
    pub state: String,
    /// Machine-readable reason, in CamelCase.
    pub reason: String,
    /// Human-readable explanation.
    pub message: String,
}

/// Another node, as seen from this one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberReport {
    /// Name of the node.
    pub name: String,
    /// State of the node: "alive", "leaving", "unheard" if only other nodes report that it is alive, or "parted" if it is
    /// alive but none of its gossip arrives.
    pub state: String,
}

/// One problem with an object, which affects only that object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProblemReport {
    /// File that contains the object, or "" if it comes from the API server.
    pub file: String,
    /// Kind and name of the object, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// Explanation of the problem and how to fix it.
    pub message: String,
}
