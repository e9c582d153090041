//! The AddressPool resource as Kubernetes stores it. This module must not know the effects of its fields.
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Condition, LabelSelector, PluginConfig, rules};

/// Addresses that can be allocated to Services, the policy that picks them, and the announcers that announce them.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "outrigger.dev",
    version = "v1alpha1",
    kind = "AddressPool",
    status = "AddressPoolStatus",
    shortname = "orp",
    category = "outrigger",
    doc = "Addresses that can be allocated to Services."
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
    /// CIDRs (192.0.2.0/28) or ranges (192.0.2.1-192.0.2.9). IPv4 and IPv6 may be mixed.
    #[schemars(schema_with = "rules::addresses")]
    pub addresses: Vec<String>,
    /// CIDRs or ranges that are never allocated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "rules::exclude")]
    pub exclude: Vec<String>,
    /// Allocate addresses of this pool automatically. If false, only Services that ask for this pool, or for one of its
    /// addresses, get one.
    #[serde(default = "yes")]
    pub auto_assign: bool,
    /// Never allocate IPv4 addresses that end in .0 or .255.
    #[serde(default, rename = "avoidBuggyIPs")]
    pub avoid_buggy_ips: bool,
    /// Priority of the pool. Pools with lower numbers are tried first; 0 comes last.
    #[serde(default)]
    pub priority: u32,
    /// Names of namespaces that may use the pool, in addition to those that `namespaceSelector` selects. If neither is set,
    /// all namespaces may use it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "rules::namespaces")]
    pub namespaces: Vec<String>,
    /// Labels of namespaces that may use the pool, in addition to those in `namespaces`. The empty selector selects all namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,
    /// Services that may use the pool. If absent, all Services may use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_selector: Option<LabelSelector>,
    /// Policy that picks an address.
    #[serde(default)]
    pub allocator: AllocatorSpec,
    /// Names of the announcers that announce addresses of the pool. If absent, every announcer does.
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
    /// Configuration of the plugin, which validates it.
    #[serde(default, skip_serializing_if = "PluginConfig::is_empty")]
    pub config: PluginConfig,
    /// Outcome for a Service for which the plugin fails (it traps, takes too long, or its answer breaks a rule): `Wait`
    /// until it works again, try the `NextPool` that suits the Service, or let the `Builtin` policy lowest-free of this
    /// release decide.
    #[serde(default)]
    pub failure_policy: FailurePolicy,
}

/// Outcome for a Service for which the policy fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FailurePolicy {
    /// The Service waits until the policy works again.
    #[default]
    Wait,
    /// The next pool that suits the Service is tried.
    NextPool,
    /// The built-in policy lowest-free of this release decides.
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

/// Status of an AddressPool. Written by the controller.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AddressPoolStatus {
    /// Generation of the spec that the status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Conditions of the pool. Their messages explain problems and how to fix them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "rules::conditions")]
    pub conditions: Vec<Condition>,
    /// Last spec that was valid. It stays active while the current spec is invalid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_valid: Option<AddressPoolSpec>,
    /// Number of IPv4 addresses. Absent if the pool has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<Count>,
    /// Number of IPv6 addresses. Absent if the pool has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<WideCount>,
}

/// Number of addresses of one family.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Count {
    /// Number of addresses that can be allocated: without `exclude`, and without .0 and .255 if the pool avoids them.
    pub capacity: i64,
    /// Number of addresses that Services hold.
    pub allocated: i64,
    /// Number of addresses that can still be allocated.
    pub free: i64,
}

/// Number of IPv6 addresses. The large numbers are decimal text, because a /64 has more addresses than 64 bits can count.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WideCount {
    /// Number of addresses that can be allocated.
    #[schemars(regex(pattern = "^[0-9]{1,39}$"))]
    pub capacity: String,
    /// Number of addresses that Services hold.
    pub allocated: i64,
    /// Number of addresses that can still be allocated.
    #[schemars(regex(pattern = "^[0-9]{1,39}$"))]
    pub free: String,
}

fn yes() -> bool {
    true
}

fn lowest_free() -> String {
    "lowest-free".to_owned()
}
