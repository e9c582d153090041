//! The AddressPool object as Kubernetes holds it. Must not know what its fields lead to.
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Condition, LabelSelector, PluginConfig, rules};

/// Addresses that Services may be given, and who decides and announces them.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "outrigger.dev",
    version = "v1alpha1",
    kind = "AddressPool",
    status = "AddressPoolStatus",
    shortname = "orp",
    category = "outrigger",
    doc = "Addresses that Services may be given."
)]
#[kube(printcolumn = r#"{"name":"Addresses","type":"string","jsonPath":".spec.addresses"}"#)]
#[kube(printcolumn = r#"{"name":"Auto Assign","type":"boolean","jsonPath":".spec.autoAssign"}"#)]
#[kube(
    printcolumn = r#"{"name":"IPv4 Used","type":"integer","jsonPath":".status.ipv4.allocated"}"#
)]
#[kube(printcolumn = r#"{"name":"IPv4 Free","type":"integer","jsonPath":".status.ipv4.free"}"#)]
#[kube(
    printcolumn = r#"{"name":"IPv6 Used","type":"integer","jsonPath":".status.ipv6.allocated"}"#
)]
#[kube(
    printcolumn = r#"{"name":"IPv6 Free","type":"string","jsonPath":".status.ipv6.free","priority":1}"#
)]
#[kube(
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].status"}"#
)]
#[kube(
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].reason"}"#
)]
#[kube(
    printcolumn = r#"{"name":"Priority","type":"integer","jsonPath":".spec.priority","priority":1}"#
)]
#[kube(
    printcolumn = r#"{"name":"Allocator","type":"string","jsonPath":".spec.allocator.plugin","priority":1}"#
)]
#[kube(
    printcolumn = r#"{"name":"Message","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].message","priority":1}"#
)]
#[kube(printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AddressPoolSpec {
    /// CIDRs (192.0.2.0/28) or ranges (192.0.2.1-192.0.2.9), IPv4 and IPv6 mixed.
    #[schemars(schema_with = "rules::addresses")]
    pub addresses: Vec<String>,
    /// Lines of the same form that are never given out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "rules::exclude")]
    pub exclude: Vec<String>,
    /// False: only Services that ask for this pool, or for one of its addresses, get one.
    #[serde(default = "yes")]
    pub auto_assign: bool,
    /// Never give out IPv4 addresses ending in .0 or .255.
    #[serde(default, rename = "avoidBuggyIPs")]
    pub avoid_buggy_ips: bool,
    /// Lower is tried first; 0 is last.
    #[serde(default)]
    pub priority: u32,
    /// Namespaces that may use it, by name. With `namespaceSelector`: these too. Neither: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "rules::namespaces")]
    pub namespaces: Vec<String>,
    /// Namespaces that may use it, by label, besides those in `namespaces`. The empty selector: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,
    /// Services that may use it; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_selector: Option<LabelSelector>,
    /// The policy that picks an address.
    #[serde(default)]
    pub allocator: AllocatorSpec,
    /// Announcers by name; absent: every announcer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::announcers")]
    pub announcers: Option<Vec<String>>,
}

/// The policy that picks an address.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AllocatorSpec {
    /// Name of the allocator plugin.
    #[serde(default = "lowest_free")]
    #[schemars(schema_with = "rules::plugin")]
    pub plugin: String,
    /// What it is configured with; the plugin checks it.
    #[serde(default, skip_serializing_if = "PluginConfig::is_empty")]
    pub config: PluginConfig,
    /// The outcome for a Service for which the plugin fails (it traps, takes too long, or its answer breaks a rule): `Wait` until it
    /// works again, try the `NextPool` that suits, or let the `Builtin` policy lowest-free of this release decide.
    #[serde(default)]
    pub failure_policy: FailurePolicy,
}

/// The outcome for a Service for which a policy fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FailurePolicy {
    /// It waits until the policy works again.
    #[default]
    Wait,
    /// The next pool that suits is tried.
    NextPool,
    /// The policy lowest-free of this release decides.
    Builtin,
}

impl Default for AllocatorSpec {
    fn default() -> Self {
        Self {
            plugin: lowest_free(),
            config: PluginConfig::default(),
            failure_policy: FailurePolicy::default(),
        }
    }
}

/// What became of a pool. Written by the controller.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AddressPoolStatus {
    /// The generation that all of this is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What is well, what is not, and how to mend it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "rules::conditions")]
    pub conditions: Vec<Condition>,
    /// The last spec that was valid: what is served while the present one is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_valid: Option<AddressPoolSpec>,
    /// IPv4 addresses; absent when the pool has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<Count>,
    /// IPv6 addresses; absent when the pool has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<WideCount>,
}

/// How many addresses of one family.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Count {
    /// That can be given out: without `exclude`, and without .0 and .255 where the pool avoids them.
    pub capacity: i64,
    /// That Services hold.
    pub allocated: i64,
    /// That can still be given out.
    pub free: i64,
}

/// How many IPv6 addresses. A /64 has more than 64 bits can count, so the large numbers are decimal text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WideCount {
    /// That can be given out.
    #[schemars(regex(pattern = "^[0-9]{1,39}$"))]
    pub capacity: String,
    /// That Services hold.
    pub allocated: i64,
    /// That can still be given out.
    #[schemars(regex(pattern = "^[0-9]{1,39}$"))]
    pub free: String,
}

fn yes() -> bool {
    true
}

fn lowest_free() -> String {
    "lowest-free".to_owned()
}
