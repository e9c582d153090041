//! Outrigger's own objects (group `outrigger.dev`, `v1alpha1`, cluster-scoped) and their definitions for `manifests/crds`.
//! Must not know facts: what the objects mean is `convert`'s business.
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

/// The group of every object of ours.
pub const GROUP: &str = "outrigger.dev";
/// The only version that is served so far.
pub const API_VERSION: &str = "outrigger.dev/v1alpha1";

/// An object that only the plugin understands. Null is the empty one: a server-side apply that takes the last field out of it
/// leaves that (kubernetes-sigs/structured-merge-diff).
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
    /// Nothing is configured.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// JSON text, "{}" when empty; keys in order, so that equal objects give equal text.
    pub fn to_json(&self) -> String {
        Value::Object(self.0.clone()).to_string()
    }
}

#[cfg(test)]
mod tests;
