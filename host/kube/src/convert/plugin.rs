//! Converts Plugin objects: to facts for the nodes that run plugins, to the rollout record that is kept for the next
//! leader, and back to the status that is written. This module must not know how a rollout proceeds.
use outrigger_core::facts::{Build, Fact, Published};
use outrigger_core::rollout::{Candidate, Failure, Record};

use super::{Converted, Invalid, checked};
use crate::crd::{BuildStatus, CandidateStatus, FailedStatus, Plugin, PluginStatus};

/// The name of an embedded build in an object.
const EMBEDDED: &str = "embedded";
/// Number of digits of a digest that distinguish builds for users and in the names of ConfigMaps.
const SHORT: usize = 12;

/// Converts a Plugin.
///
/// # Errors
/// Returns an error that names the invalid field and the fix.
pub fn plugin(object: &Plugin) -> Result<Converted, Invalid> {
    let name = object.metadata.name.as_deref().unwrap_or_default();
    let name = checked("metadata.name", name, 63)?;
    let status = object.status.clone().unwrap_or_default();
    let record = record(&status);
    let compile_within_seconds =
        status.candidate.as_ref().map_or(0, |candidate| candidate.compile_within_seconds);
    let (candidate, nodes) =
        record.candidate.map(|candidate| (candidate.build, candidate.nodes)).unzip();
    Ok(Fact::from(Published {
        name,
        attempt: record.attempt,
        active: record.active,
        candidate,
        nodes: nodes.unwrap_or_default(),
        compile_within_seconds,
    })
    .into())
}

/// Returns the rollout record that a status keeps.
pub fn record(status: &PluginStatus) -> Record {
    let candidate = status.candidate.as_ref().and_then(|candidate| {
        let (build, delivery) = (build(&candidate.build)?, candidate.delivery.clone());
        Some(Candidate { build, delivery, nodes: candidate.nodes.iter().cloned().collect() })
    });
    let failed = status.failed.as_ref().and_then(|failed| {
        Some(Failure {
            build: build(&failed.build)?,
            delivery: failed.delivery.clone(),
            node: failed.node.clone(),
            reason: failed.reason.clone(),
            message: failed.message.clone(),
        })
    });
    Record {
        attempt: status.attempt,
        active: status.active.as_ref().and_then(build),
        previous: status.previous.as_ref().and_then(build),
        candidate,
        failed,
    }
}

/// Returns the part of a status that keeps a rollout record.
pub fn kept(name: &str, record: &Record, compile_within_seconds: u32) -> PluginStatus {
    let written = |build: &Build| build_status(name, build);
    PluginStatus {
        attempt: record.attempt,
        active: record.active.as_ref().map(written),
        previous: record.previous.as_ref().map(written),
        candidate: record.candidate.as_ref().map(|candidate| CandidateStatus {
            build: written(&candidate.build),
            delivery: candidate.delivery.clone(),
            nodes: candidate.nodes.iter().cloned().collect(),
            compile_within_seconds,
        }),
        failed: record.failed.as_ref().map(|failed| FailedStatus {
            build: written(&failed.build),
            delivery: failed.delivery.clone(),
            node: failed.node.clone(),
            reason: failed.reason.clone(),
            message: failed.message.clone(),
        }),
        ..PluginStatus::default()
    }
}

/// Returns the name of the immutable ConfigMap that holds a delivered build.
pub fn copy_name(name: &str, digest: &str) -> String {
    format!("plugin-{name}-{}", digest.get(..SHORT).unwrap_or(digest))
}

fn build_status(name: &str, build: &Build) -> BuildStatus {
    match build {
        Build::Embedded => BuildStatus { build: EMBEDDED.to_owned(), ..BuildStatus::default() },
        Build::Delivered(digest) => BuildStatus {
            build: build.to_string(),
            digest: digest.clone(),
            config_map: copy_name(name, digest),
        },
    }
}

/// Parses a build; `None` if no version of Outrigger wrote it.
fn build(status: &BuildStatus) -> Option<Build> {
    let hexadecimal = |text: &str| text.len() == 64 && text.bytes().all(|c| c.is_ascii_hexdigit());
    match status.digest.as_str() {
        "" if status.build == EMBEDDED => Some(Build::Embedded),
        digest if hexadecimal(digest) => Some(Build::Delivered(digest.to_owned())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_of_a_roll_out_is_read_back_as_it_was() {
        let (one, other) = (Build::Delivered("a1".repeat(32)), Build::Delivered("b2".repeat(32)));
        let (delivery, node) = ("d".to_owned(), "n1".to_owned());
        let record_now = Record {
            attempt: 7,
            active: Some(one.clone()),
            previous: Some(Build::Embedded),
            candidate: Some(Candidate {
                build: other.clone(),
                delivery: delivery.clone(),
                nodes: [node.clone()].into(),
            }),
            failed: Some(Failure {
                build: other.clone(),
                delivery,
                node,
                reason: "Trapped".to_owned(),
                message: "boom".to_owned(),
            }),
        };
        let status = kept("layer2", &record_now, 9);
        assert_eq!(record(&status), record_now);
        let json = serde_json::to_value(&status).unwrap();
        assert_eq!(json["active"]["configMap"], "plugin-layer2-a1a1a1a1a1a1");
        assert_eq!(json["candidate"]["build"], "b2b2b2b2b2b2");
        assert_eq!(json["previous"]["build"], "embedded");
        let mut object = Plugin::new("layer2", crate::crd::PluginSpec {});
        object.status = Some(serde_json::from_value(json).unwrap());
        let facts = plugin(&object).unwrap().facts;
        let [Fact::Published(published)] = &facts[..] else { panic!("{facts:?}") };
        assert_eq!((&published.active, &published.candidate), (&Some(one), &Some(other)));
        assert_eq!((published.attempt, published.compile_within_seconds), (7, 9));
    }

    #[test]
    fn a_build_that_nobody_wrote_is_none() {
        let status = |build: &str, digest: &str| BuildStatus {
            build: build.to_owned(),
            digest: digest.to_owned(),
            config_map: String::new(),
        };
        for (name, digest) in [("", ""), ("x", ""), ("embedded", "zz"), ("a", "../../etc/passwd")] {
            assert_eq!(build(&status(name, digest)), None, "{name} {digest}");
        }
    }
}
