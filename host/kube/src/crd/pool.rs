//! The AddressPool object as Kubernetes holds it. Must not know what its fields lead to.
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{LabelSelector, PluginConfig};

/// Addresses that Services may be given, and who decides and announces them.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "outrigger.dev",
    version = "v1alpha1",
    kind = "AddressPool",
    doc = "Addresses that Services may be given."
)]
#[kube(printcolumn = r#"{"name":"Addresses","type":"string","jsonPath":".spec.addresses"}"#)]
#[kube(printcolumn = r#"{"name":"Auto Assign","type":"boolean","jsonPath":".spec.autoAssign"}"#)]
#[kube(printcolumn = r#"{"name":"Allocator","type":"string","jsonPath":".spec.allocator.plugin"}"#)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AddressPoolSpec {
    /// CIDRs (192.0.2.0/28) or ranges (192.0.2.1-192.0.2.9), IPv4 and IPv6 mixed.
    #[schemars(length(min = 1))]
    pub addresses: Vec<String>,
    /// Lines of the same form that are never given out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
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
    /// Namespaces that may use it. Those that namespaceSelector selects may too; all may when there is neither.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// Namespaces that may use it, by label; {} selects all, absent: none.
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
    pub announcers: Option<Vec<String>>,
}

/// The policy that picks an address.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AllocatorSpec {
    /// Name of the allocator plugin.
    #[serde(default = "lowest_free")]
    pub plugin: String,
    /// What it is configured with; the plugin checks it.
    #[serde(default, skip_serializing_if = "PluginConfig::is_empty")]
    pub config: PluginConfig,
}

impl Default for AllocatorSpec {
    fn default() -> Self {
        Self { plugin: lowest_free(), config: PluginConfig::default() }
    }
}

fn yes() -> bool {
    true
}

fn lowest_free() -> String {
    "lowest-free".to_owned()
}
