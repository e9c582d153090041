//! Converts MetalLB's lists of label selectors, of which one must match, to Outrigger's single selectors. This module must
//! not know which objects the selectors belong to.
use std::collections::BTreeSet;

use crate::crd::{LabelOperator, LabelRequirement, LabelSelector};

/// Returns the smallest equivalent list of selectors, of which one must match. The list is empty if everything matches.
pub(super) fn alternatives(list: &[LabelSelector]) -> Vec<LabelSelector> {
    let is_all =
        |one: &LabelSelector| one.match_labels.is_empty() && one.match_expressions.is_empty();
    if list.iter().any(is_all) {
        return Vec::new();
    }
    let mut distinct: Vec<LabelSelector> = Vec::new();
    for one in list {
        if !distinct.contains(one) {
            distinct.push(one.clone());
        }
    }
    if distinct.len() < 2 {
        return distinct;
    }
    merged(&distinct).map_or(distinct, |one| vec![one])
}

/// Merges selectors that each require values of one label, if all use the same label.
fn merged(list: &[LabelSelector]) -> Option<LabelSelector> {
    let mut values = BTreeSet::new();
    let mut key: Option<&String> = None;
    for one in list {
        let (label, own) = single(one)?;
        if key.is_some_and(|key| key != label) {
            return None;
        }
        key = Some(label);
        values.extend(own);
    }
    let requirement = LabelRequirement {
        key: key?.clone(),
        operator: LabelOperator::In,
        values: values.into_iter().collect(),
    };
    Some(LabelSelector { match_expressions: vec![requirement], ..LabelSelector::default() })
}

/// Returns the single label that a selector requires, and its permitted values.
fn single(one: &LabelSelector) -> Option<(&String, Vec<String>)> {
    let mut labels = one.match_labels.iter();
    match (labels.next(), labels.next(), one.match_expressions.as_slice()) {
        (Some((label, value)), None, []) => Some((label, vec![value.clone()])),
        (None, None, [one]) if one.operator == LabelOperator::In => {
            Some((&one.key, one.values.clone()))
        }
        _ => None,
    }
}

/// Returns true if an object may have labels that both selectors match. Only the requirements on single labels are
/// compared: selectors that are not known to be disjoint may overlap.
pub(super) fn may_overlap(one: Option<&LabelSelector>, other: Option<&LabelSelector>) -> bool {
    let (Some(one), Some(other)) = (one, other) else { return true };
    let apart = |key: &String, values: &BTreeSet<&String>| {
        wanted(other).any(|(other, theirs)| other == key && theirs.is_disjoint(values))
    };
    !wanted(one).any(|(key, values)| apart(key, &values))
}

/// Returns the labels that must have one of certain values, with these values.
fn wanted(selector: &LabelSelector) -> impl Iterator<Item = (&String, BTreeSet<&String>)> {
    let labels = selector.match_labels.iter().map(|(key, value)| (key, BTreeSet::from([value])));
    let expressions = selector.match_expressions.iter();
    let within = expressions.filter(|one| one.operator == LabelOperator::In);
    labels.chain(within.map(|one| (&one.key, one.values.iter().collect())))
}
