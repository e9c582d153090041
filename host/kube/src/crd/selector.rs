//! A label selector that rejects unknown fields: a misspelt `matchLabels` must not select everything.
use std::collections::BTreeMap;

use outrigger_core::facts::{Requirement, Selector};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules;

/// Label selector as in Kubernetes. All of its parts must match.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LabelSelector {
    /// Labels that must have exactly these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub match_labels: BTreeMap<String, String>,
    /// Requirements on single labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub match_expressions: Vec<LabelRequirement>,
}

/// One requirement on a label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = rules::requirement()))]
pub struct LabelRequirement {
    /// Key of the label.
    #[schemars(length(min = 1, max = 317))]
    pub key: String,
    /// Operator: "In", "NotIn", "Exists" or "DoesNotExist".
    pub operator: LabelOperator,
    /// Values that In and NotIn compare with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 63)))]
    pub values: Vec<String>,
}

/// Operator of a requirement on a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LabelOperator {
    /// The label is present and has one of the values.
    In,
    /// The label is absent or has none of the values.
    NotIn,
    /// The label is present.
    Exists,
    /// The label is absent.
    DoesNotExist,
}

/// Reason why a selector is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// The operators In and NotIn need at least one value.
    #[error("matchExpressions[{0}]: {1:?} needs at least one entry in values")]
    NoValues(usize, LabelOperator),
    /// The operators Exists and DoesNotExist take no values.
    #[error("matchExpressions[{0}]: {1:?} takes no values: remove them")]
    Values(usize, LabelOperator),
}

impl TryFrom<&LabelSelector> for Selector {
    type Error = SelectorError;

    fn try_from(selector: &LabelSelector) -> Result<Self, SelectorError> {
        let labels = selector
            .match_labels
            .iter()
            .map(|(key, value)| Ok(Requirement::In(key.clone(), [value.clone()].into())));
        let expressions =
            selector.match_expressions.iter().enumerate().map(|(at, one)| requirement(at, one));
        Ok(Self { requirements: labels.chain(expressions).collect::<Result<_, _>>()? })
    }
}

impl From<&Selector> for LabelSelector {
    fn from(selector: &Selector) -> Self {
        let requirement = |one: &Requirement| {
            let (key, operator, values) = match one {
                Requirement::In(key, values) => (key, LabelOperator::In, Some(values)),
                Requirement::NotIn(key, values) => (key, LabelOperator::NotIn, Some(values)),
                Requirement::Exists(key) => (key, LabelOperator::Exists, None),
                Requirement::DoesNotExist(key) => (key, LabelOperator::DoesNotExist, None),
            };
            let values = values.into_iter().flatten().cloned().collect();
            LabelRequirement { key: key.clone(), operator, values }
        };
        let match_expressions = selector.requirements.iter().map(requirement).collect();
        Self { match_labels: BTreeMap::new(), match_expressions }
    }
}

fn requirement(at: usize, one: &LabelRequirement) -> Result<Requirement, SelectorError> {
    let compares = matches!(one.operator, LabelOperator::In | LabelOperator::NotIn);
    match (compares, one.values.is_empty()) {
        (true, true) => return Err(SelectorError::NoValues(at, one.operator)),
        (false, false) => return Err(SelectorError::Values(at, one.operator)),
        _ => {}
    }
    let key = one.key.clone();
    let values = one.values.iter().cloned().collect();
    Ok(match one.operator {
        LabelOperator::In => Requirement::In(key, values),
        LabelOperator::NotIn => Requirement::NotIn(key, values),
        LabelOperator::Exists => Requirement::Exists(key),
        LabelOperator::DoesNotExist => Requirement::DoesNotExist(key),
    })
}
