//! The NodeReport object: what one node says about itself, one object per node and never one per Service.
//! Must not know how any of it was found out.
use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many exceptions a report holds at most; the rest is on the node's own endpoint and in `outrigger status`.
pub const MAX_EXCEPTIONS: usize = 50;

/// How many peers an announcer's report holds at most; the rest is in `outrigger bgp peers`.
pub const MAX_PEERS: usize = 256;

/// Nothing is asked of a node by its report: everything is in the status.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "outrigger.dev",
    version = "v1alpha1",
    kind = "NodeReport",
    status = "NodeReportStatus",
    shortname = "orn",
    category = "outrigger",
    doc = "What one node says about itself. Written by Outrigger."
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

/// What one node says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeReportStatus {
    /// The node, as the object is named.
    #[schemars(length(max = 253))]
    pub node: String,
    /// Version of the daemon.
    pub version: String,
    /// When this was so (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub observed_at: Option<String>,
    /// Nothing is missing.
    pub ready: bool,
    /// What it waits for: names of watches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// The plugins it has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plugins: Vec<PluginReport>,
    /// The announcers it runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub announcers: Vec<AnnouncerReport>,
    /// The desired state it has in force.
    #[serde(default)]
    pub desired: DesiredReport,
    /// Addresses of the desired state that are not as they should be, at most [`MAX_EXCEPTIONS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub exceptions: Vec<AddressException>,
    /// The other nodes as this one sees them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<MemberReport>,
    /// Objects that stopped themselves, and how to mend them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<ProblemReport>,
}

/// One plugin on one node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PluginReport {
    /// Its name.
    pub name: String,
    /// Digest of the bytes in force.
    pub digest: String,
    /// Where they came from.
    pub origin: String,
    /// One word: "active", "refused".
    pub state: String,
    /// Why, "" when nothing is to be said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Addresses that this node is to answer for with it.
    #[serde(default)]
    pub wanted: u32,
    /// Those for which it does.
    #[serde(default)]
    pub announced: u32,
    /// Traps and other faults of it since the daemon started.
    #[serde(default)]
    pub traps: u32,
    /// The candidate that this node tries, or tried last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<TrialReport>,
}

/// A candidate on one node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrialReport {
    /// Which one, as the Plugin counts them.
    pub attempt: u32,
    /// One word: "loading", "running", "failed".
    pub state: String,
    /// Why it failed, in one CamelCase word.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Why it failed, for a person.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// One announcer on one node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AnnouncerReport {
    /// Name of the Announcer.
    pub name: String,
    /// Its plugin.
    pub plugin: String,
    /// Digest that runs.
    pub digest: String,
    /// One word: "Running", "Held" while nothing brings it to run, "NotStarted".
    pub phase: String,
    /// New instances after a fault.
    pub restarts: u32,
    /// Events put aside because they caused one.
    pub quarantined: u32,
    /// What the last fault was, "" when there was none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub last_fault: String,
    /// Why the plugin or the configuration that it should have did not take over, "" when it did. What ran before serves on.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub refused: String,
    /// Its peers, at most [`MAX_PEERS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub peers: Vec<PeerReport>,
    /// Conditions that the plugin reports. The Announcer has them of all nodes together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub conditions: Vec<ConditionReport>,
    /// What the plugin said of Services within ten minutes. Each becomes an Event.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub events: Vec<ServiceEventReport>,
    /// Effects refused by the guard, by named reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub denied: BTreeMap<String, u64>,
}

/// A condition, as one node sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConditionReport {
    /// Its type, in CamelCase.
    #[serde(rename = "type")]
    pub kind: String,
    /// "True", "False" or "Unknown".
    pub status: String,
    /// CamelCase.
    pub reason: String,
    /// For a person.
    pub message: String,
}

/// What a plugin said of a Service once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceEventReport {
    /// Namespace of the Service.
    pub namespace: String,
    /// Name of the Service.
    pub name: String,
    /// "Normal" or "Warning".
    #[serde(rename = "type")]
    pub kind: String,
    /// CamelCase.
    pub reason: String,
    /// For a person.
    pub message: String,
    /// When it was said (RFC 3339).
    #[schemars(extend("format" = "date-time"))]
    pub at: String,
}

/// One peer of an announcer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PeerReport {
    /// Its name in the announcer's configuration.
    pub peer: String,
    /// "bgp", "bfd".
    pub protocol: String,
    /// The protocol's own word: "Established".
    pub state: String,
    /// One word: "starting", "up", "degraded", "down", "disabled".
    pub health: String,
    /// What went wrong last, "" when nothing did.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub last_error: String,
}

/// The desired state that a node has in force.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DesiredReport {
    /// How many addresses.
    pub addresses: u32,
    /// Of the whole; equal on nodes that agree.
    pub hash: String,
}

/// An address that is not as it should be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AddressException {
    /// The address.
    pub address: String,
    /// One word: "pending", "conflict".
    pub state: String,
    /// CamelCase.
    pub reason: String,
    /// For a person.
    pub message: String,
}

/// Another node, as seen from this one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberReport {
    /// Its name.
    pub name: String,
    /// One word: "alive", "leaving", "unheard" where others alone say that it is alive, or "parted" where it lives and no gossip of it comes through.
    pub state: String,
}

/// One object that stopped itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProblemReport {
    /// The file it is in, or "" from the API.
    pub file: String,
    /// Kind and name, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// What is wrong and how to mend it.
    pub message: String,
}
