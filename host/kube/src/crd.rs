//! Outrigger's custom resources (group `outrigger.dev`, `v1alpha1`, cluster-scoped) and their definitions for
//! `manifests/crds`. This module must not know facts: `convert` interprets the objects.
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

mod announcer;
mod condition;
mod definition;
mod plugin;
mod pool;
mod report;
mod rules;
mod selector;

pub use announcer::{Allow, Announcer, AnnouncerSpec, AnnouncerStatus, Election, SecretEntry};
pub use condition::{Condition, ConditionStatus, DRAINING, READY};
pub use definition::{crds, write_crds};
pub use plugin::{BuildStatus, CandidateStatus, FailedStatus, Plugin, PluginSpec, PluginStatus};
pub use pool::{
    AddressPool, AddressPoolSpec, AddressPoolStatus, AllocatorSpec, Count, FailurePolicy, WideCount,
};
pub use report::{
    AddressException, AnnouncerReport, ConditionReport, DesiredReport, MAX_EXCEPTIONS, MAX_PEERS,
    MemberReport, NodeReport, NodeReportSpec, NodeReportStatus, PeerReport, PluginReport,
    ProblemReport, ServiceEventReport, TrialReport,
};
pub(crate) use rules::ALL_ON_LAYER2;
pub use selector::{LabelOperator, LabelRequirement, LabelSelector, SelectorError};

/// The API group of every Outrigger resource.
pub const GROUP: &str = "outrigger.dev";
/// The group and version of every Outrigger resource; no other version is served yet.
pub const API_VERSION: &str = "outrigger.dev/v1alpha1";

/// A configuration object that only the plugin interprets. `null` means the empty object: a server-side apply that removes
/// the last field from it leaves `null` (kubernetes-sigs/structured-merge-diff).
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true, "nullable" = true))]
pub struct PluginConfig(pub Map<String, Value>);

impl<'de> Deserialize<'de> for PluginConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Option::deserialize(deserializer)?.unwrap_or_default()))
    }
}

impl PluginConfig {
    /// Returns true if nothing is configured.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the configuration as JSON text, `{}` if it is empty. The keys are sorted, so that equal objects give equal text.
    pub fn to_json(&self) -> String {
        Value::Object(self.0.clone()).to_string()
    }
}

#[cfg(test)]
mod tests;
