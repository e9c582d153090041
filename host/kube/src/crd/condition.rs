//! Conditions of Outrigger's resources, in the form of `metav1.Condition`. This module must not know the causes of conditions.
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Type of the condition that is true if the object works as specified. Otherwise its reason and message explain the
/// problem and how to fix it.
pub const READY: &str = "Ready";
/// Type of the condition that is true if the object was deleted or shrunk while in use: it keeps serving the addresses that
/// it has allocated and allocates no further ones.
pub const DRAINING: &str = "Draining";

/// A condition: the state of one aspect of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Type of the condition. There is at most one condition of each type.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 316))]
    pub kind: String,
    /// Status of the condition: "True", "False" or "Unknown".
    pub status: ConditionStatus,
    /// Machine-readable reason for the status, as one CamelCase word.
    #[schemars(
        length(min = 1, max = 1024),
        regex(pattern = r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")
    )]
    pub reason: String,
    /// Human-readable explanation of the status and, if something is wrong, how to fix it.
    #[schemars(length(max = 32768))]
    pub message: String,
    /// Generation of the object that the condition describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// Time of the last change of the status (RFC 3339).
    #[schemars(extend("format" = "date-time"))]
    pub last_transition_time: String,
}

/// Status of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConditionStatus {
    /// The condition holds.
    True,
    /// The condition does not hold.
    False,
    /// The state of the condition cannot be determined.
    Unknown,
}
