//! Label selectors as in Kubernetes, and lists of them.
use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::read::Fields;

/// A selector that matches if one of its parts matches, or if it has none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selector(Vec<Vec<Requirement>>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    operator: Operator,
    values: BTreeSet<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

impl Selector {
    /// Reads one selector, or a list of which one must match.
    pub(super) fn read(fields: &mut Fields<'_>, field: &'static str) -> Self {
        Self(fields.objects(field, true, |one| Some(read_one(one))).unwrap_or_default())
    }

    /// Returns true if these labels match; `label` looks up the value of a key.
    pub fn matches<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        let holds = |requirement: &Requirement| requirement.holds(label(&requirement.key));
        self.0.is_empty() || self.0.iter().any(|one| one.iter().all(holds))
    }

    /// Returns true if it restricts nothing.
    pub fn is_everything(&self) -> bool {
        self.0.is_empty()
    }
}

impl Requirement {
    fn holds(&self, label: Option<&str>) -> bool {
        match self.operator {
            Operator::In => label.is_some_and(|value| self.values.contains(value)),
            Operator::NotIn => label.is_none_or(|value| !self.values.contains(value)),
            Operator::Exists => label.is_some(),
            Operator::DoesNotExist => label.is_none(),
        }
    }
}

fn read_one(fields: &mut Fields<'_>) -> Vec<Requirement> {
    let labels: BTreeMap<String, String> = fields.optional("matchLabels").unwrap_or_default();
    let equal = labels.into_iter().map(|(key, value)| Requirement {
        key,
        operator: Operator::In,
        values: [value].into(),
    });
    let expressions = fields.objects("matchExpressions", false, requirement).unwrap_or_default();
    equal.chain(expressions).collect()
}

fn requirement(fields: &mut Fields<'_>) -> Option<Requirement> {
    let key = fields.required("key");
    let operator = fields.required("operator");
    let values: BTreeSet<String> = fields.optional("values").unwrap_or_default();
    let (key, operator) = (key?, operator?);
    let compares = matches!(operator, Operator::In | Operator::NotIn);
    if compares == values.is_empty() {
        let message = if compares { "In and NotIn need a value" } else { "takes no values" };
        fields.wrong("values", message);
    }
    Some(Requirement { key, operator, values })
}
