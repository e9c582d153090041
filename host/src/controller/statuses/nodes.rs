//! Conditions of an announcer from the reports of the nodes. Nodes with equal reports are merged.
use std::collections::BTreeMap;

use outrigger_core::guard::budget::CONDITIONS;
use outrigger_kube::api::{ObjectCondition, Reported};
use outrigger_kube::crd::ConditionReport;

use super::not_ready;

/// Largest number of node names listed for one message.
const NAMES_SHOWN: usize = 5;
/// Largest number of messages in one condition.
const MESSAGES_SHOWN: usize = 8;

/// Returns the condition that the announcer does not run as written. `None` if it does.
pub fn failing(reported: &BTreeMap<String, Reported>) -> Option<ObjectCondition> {
    let failures = || reported.iter().filter_map(|(node, it)| Some((node, it.failure.as_ref()?)));
    let (_, first) = failures().next()?;
    let mut message = together(failures().map(|(node, it)| (&**node, &*it.message)));
    if first.reason == "Refused" {
        message += "; the previous plugin and config stay active: correct plugin or config";
    }
    Some(not_ready(first.reason, &message))
}

/// Returns the conditions that the plugin reports about itself.
pub fn of_plugin(reported: &BTreeMap<String, Reported>) -> Vec<ObjectCondition> {
    let mut by_type: BTreeMap<&str, Vec<(&str, &ConditionReport)>> = BTreeMap::new();
    for (node, it) in reported {
        for condition in &it.conditions {
            by_type.entry(&condition.kind).or_default().push((node, condition));
        }
    }
    by_type.into_iter().take(CONDITIONS).map(|(kind, said)| merged(kind, &said)).collect()
}

/// Merges a condition over nodes. Different reports make it unknown.
fn merged(kind: &str, said: &[(&str, &ConditionReport)]) -> ObjectCondition {
    let first = said[0].1;
    let is_one = |of: fn(&ConditionReport) -> &str| said.iter().all(|(_, it)| of(it) == of(first));
    let agree = is_one(|it| &it.status);
    let holds = match first.status.as_str() {
        "True" if agree => Some(true),
        "False" if agree => Some(false),
        _ => None,
    };
    let same = agree && is_one(|it| &it.reason);
    let reason = if same { &first.reason } else { "NodesDiffer" };
    let word = |it: &ConditionReport| match same {
        true => it.message.clone(),
        false => format!("{} {}, {}", it.status, it.reason, it.message),
    };
    let words: Vec<(&str, String)> = said.iter().map(|(node, it)| (*node, word(it))).collect();
    ObjectCondition {
        kind: kind.to_owned().into(),
        holds,
        reason: reason.to_owned(),
        message: together(words.iter().map(|(node, word)| (*node, &**word))),
        warns: false,
    }
}

fn together<'a>(said: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut alike: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (node, message) in said {
        alike.entry(message).or_default().push(node);
    }
    let line = |(message, nodes): (&&str, &Vec<&str>)| {
        let more = match nodes.len().saturating_sub(NAMES_SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("on {}{more}: {message}", nodes[..nodes.len().min(NAMES_SHOWN)].join(", "))
    };
    let mut lines: Vec<String> = alike.iter().take(MESSAGES_SHOWN).map(line).collect();
    let others: usize = alike.values().skip(MESSAGES_SHOWN).map(Vec::len).sum();
    if others > 0 {
        lines.push(format!("other messages on {others} more nodes, in their NodeReports"));
    }
    lines.join("; ")
}

#[cfg(test)]
mod tests {
    use outrigger_kube::api::Failure;

    use super::*;

    fn failed(message: &str) -> Reported {
        let failure = Failure { reason: "Refused", message: message.to_owned() };
        Reported { failure: Some(failure), ..Reported::default() }
    }

    fn says(status: &str, reason: &str, message: &str) -> Reported {
        let condition = ConditionReport {
            kind: "ZonesServed".to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: message.to_owned(),
        };
        Reported { conditions: vec![condition], ..Reported::default() }
    }

    fn on<const N: usize>(said: [(&str, Reported); N]) -> BTreeMap<String, Reported> {
        said.into_iter().map(|(node, it)| (node.to_owned(), it)).collect()
    }

    #[test]
    fn nodes_that_say_the_same_of_an_announcer_are_told_together() {
        let mut reported: BTreeMap<String, Reported> =
            (1..=7).map(|node| (format!("n{node}"), failed("config.x: unknown"))).collect();
        reported.insert("other".to_owned(), failed("no memory"));
        let condition = failing(&reported).unwrap();
        assert_eq!(
            (condition.holds, condition.reason.as_str(), condition.message.as_str()),
            (
                Some(false),
                "Refused",
                "on n1, n2, n3, n4, n5 and 2 more: config.x: unknown; on other: no memory; the previous plugin and config stay active: correct plugin or config"
            )
        );
        assert_eq!(failing(&BTreeMap::new()), None);
    }

    #[test]
    fn a_thousand_nodes_with_words_of_their_own_fit_into_a_condition() {
        let of_one =
            |node: usize| (format!("n{node}"), failed(&format!("{node}{}", "x".repeat(500))));
        let message = failing(&(0..1_000).map(of_one).collect()).unwrap().message;
        // The API server accepts 32,768 characters.
        assert!(message.len() < 32_768 && message.contains("on 992 more nodes"), "{message}");
    }

    #[test]
    fn a_condition_of_a_plugin_is_what_its_nodes_agree_on() {
        let seen = |reported| {
            let conditions = of_plugin(&reported);
            assert_eq!(conditions.len(), 1);
            let it = conditions[0].clone();
            (it.holds, it.reason, it.message)
        };
        let agreed = on([("n1", says("True", "Served", "2")), ("n2", says("True", "Served", "2"))]);
        let words = |holds, reason: &str, message: &str| (holds, reason.into(), message.into());
        assert_eq!(seen(agreed), words(Some(true), "Served", "on n1, n2: 2"));
        let apart =
            on([("n1", says("True", "Served", "2")), ("n2", says("False", "Refused", "no"))]);
        let both = "on n2: False Refused, no; on n1: True Served, 2";
        assert_eq!(seen(apart), words(None, "NodesDiffer", both));
        assert_eq!(of_plugin(&on([("n1", failed("no memory"))])), []);
    }
}
