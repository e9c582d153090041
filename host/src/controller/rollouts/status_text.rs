//! Status of a Plugin object: phase, progress, and one condition with the reason and the fix.
use std::collections::BTreeMap;

use outrigger_core::facts::NodeName;
use outrigger_core::rollout::{Record, RolloutMember};
use outrigger_kube::api::ready;
use outrigger_kube::convert::kept;
use outrigger_kube::crd::PluginStatus;
use outrigger_sdk::Time;

use super::One;

/// Returns the whole status. `problem` is the problem of the delivery, if any.
pub fn status(
    name: &str,
    one: &One,
    problem: Option<(String, String)>,
    members: &BTreeMap<NodeName, RolloutMember>,
    now: Time,
) -> PluginStatus {
    let record = one.rollout.record();
    let (phase, holds, reason, message) = match problem {
        Some((reason, message)) => ("Refused", false, reason, message),
        None => in_words(record),
    };
    let mut progress = String::new();
    if record.candidate.is_some() {
        let up = members.values().filter(|member| member.up).count();
        progress = format!("{}/{up}", one.rollout.confirmed());
    }
    let within = if record.candidate.is_some() { one.compile_within } else { 0 };
    PluginStatus {
        world: one.world.clone(),
        phase: phase.to_owned(),
        progress,
        conditions: vec![ready(&one.written.conditions, holds, &reason, &message, now)],
        ..kept(name, record, within)
    }
}

fn in_words(record: &Record) -> (&'static str, bool, String, String) {
    let active = record.active.as_ref().map_or_else(|| "nothing".to_owned(), ToString::to_string);
    let runs = record.active.is_some();
    if let Some(candidate) = &record.candidate {
        if candidate.nodes.is_empty() {
            let message = format!(
                "{} waits for a node to be tried on: no node is available; {active} is active",
                candidate.build
            );
            return ("Waiting", runs, "NoNode".to_owned(), message);
        }
        let nodes: Vec<&str> = candidate.nodes.iter().map(String::as_str).take(5).collect();
        let more = match candidate.nodes.len() - nodes.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let message = format!(
            "{} is tried on {}{more}; {active} is active elsewhere",
            candidate.build,
            nodes.join(", ")
        );
        return ("RollingOut", runs, "RollingOut".to_owned(), message);
    }
    if let Some(failed) = &record.failed {
        let message = format!(
            "{} failed on {} and was rolled back everywhere: {}; {active} is active; deliver another build, or annotate the ConfigMap with outrigger.dev/retry to try this one again",
            failed.build, failed.node, failed.message
        );
        return ("RolledBack", false, failed.reason.clone(), message);
    }
    match runs {
        true => ("Active", true, "InForce".to_owned(), format!("{active} is active everywhere")),
        false => {
            let message = "no usable build was delivered yet".to_owned();
            ("Waiting", false, "NothingActive".to_owned(), message)
        }
    }
}

/// Returns reason and message for several ConfigMaps that deliver the same name.
pub fn several(name: &str, maps: &[String]) -> (String, String) {
    let message = format!(
        "ConfigMaps {} all deliver plugin {name:?}: the active build stays active; delete all but one, or give one another name in its label",
        maps.join(", ")
    );
    ("SeveralConfigMaps".to_owned(), message)
}

/// Logs each step of a roll-out.
pub fn tell(plugin: &str, before: &Record, after: &Record) {
    if before.active != after.active
        && let Some(active) = &after.active
    {
        tracing::info!(plugin, build = %active, "active everywhere");
    }
    if before.failed != after.failed
        && let Some(failed) = &after.failed
    {
        let (build, node, reason) = (&failed.build, &failed.node, &failed.reason);
        tracing::warn!(plugin, %build, node, reason, "rolled back everywhere: {}", failed.message);
    }
    let nodes = |record: &Record| record.candidate.as_ref().map(|it| it.nodes.clone());
    if nodes(before) != nodes(after)
        && let Some(candidate) = &after.candidate
    {
        tracing::info!(plugin, build = %candidate.build, nodes = ?candidate.nodes, "candidate");
    }
}

#[cfg(test)]
mod tests {
    use outrigger_core::facts::Build;
    use outrigger_core::rollout::{Candidate, Failure};

    use super::*;

    #[test]
    fn every_state_has_a_phase_a_reason_and_a_message_that_names_the_builds() {
        let active = Some(Build::Embedded);
        let build = Build::Delivered("ab".repeat(32));
        let candidate = |nodes: &[&str]| {
            Some(Candidate {
                build: build.clone(),
                delivery: "d".to_owned(),
                nodes: nodes.iter().map(|node| (*node).to_owned()).collect(),
            })
        };
        let failed = Some(Failure {
            build: build.clone(),
            delivery: "d".to_owned(),
            node: "n1".to_owned(),
            reason: "Trapped".to_owned(),
            message: "boom".to_owned(),
        });
        let record = Record { active, ..Record::default() };
        for (record, phase, reason, words) in [
            (record.clone(), "Active", "InForce", &["embedded"][..]),
            (Record::default(), "Waiting", "NothingActive", &[]),
            (
                Record { candidate: candidate(&[]), ..record.clone() },
                "Waiting",
                "NoNode",
                &["abababababab", "embedded"],
            ),
            (
                Record { candidate: candidate(&["n1", "n2"]), ..record.clone() },
                "RollingOut",
                "RollingOut",
                &["abababababab", "n1, n2", "embedded"],
            ),
            (
                Record { failed, ..record.clone() },
                "RolledBack",
                "Trapped",
                &["abababababab", "n1", "boom", "embedded", "outrigger.dev/retry"],
            ),
        ] {
            let (said_phase, _, said_reason, message) = in_words(&record);
            assert_eq!((said_phase, said_reason.as_str()), (phase, reason));
            assert!(words.iter().all(|word| message.contains(word)), "{message}");
        }
    }
}
