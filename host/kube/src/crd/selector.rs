//! A label selector that refuses what it does not know: a misspelt `matchLabels` must not select everything.
use std::collections::BTreeMap;

use outrigger_core::facts::{Requirement, Selector};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules;

/// As in Kubernetes; all parts must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LabelSelector {
    /// Labels with exactly these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub match_labels: BTreeMap<String, String>,
    /// Requirements on single labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub match_expressions: Vec<LabelRequirement>,
}

/// One requirement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = rules::requirement()))]
pub struct LabelRequirement {
    /// The label.
    #[schemars(length(min = 1, max = 317))]
    pub key: String,
    /// What must hold.
    pub operator: LabelOperator,
    /// For In and NotIn.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 63)))]
    pub values: Vec<String>,
}

/// What must hold for a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LabelOperator {
    /// Present, with one of the values.
    In,
    /// Absent, or with none of the values.
    NotIn,
    /// Present.
    Exists,
    /// Absent.
    DoesNotExist,
}

/// Why a selector cannot hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// In and NotIn compare with something.
    #[error("matchExpressions[{0}]: {1:?} needs at least one entry in values")]
    NoValues(usize, LabelOperator),
    /// Exists and DoesNotExist compare with nothing.
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
