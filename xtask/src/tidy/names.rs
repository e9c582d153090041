//! One name for one thing: no second public type of a name in a crate, no module named after nothing, no retired word.
use std::collections::BTreeMap;

use super::{Finding, Source};

/// Module names that say nothing of what is inside, and words that the glossary replaced.
const ROOMS: &[&str] = &[
    "util",
    "utils",
    "common",
    "misc",
    "helper",
    "helpers",
    "stuff",
    "desk",
    "picture",
    "mesh",
    "heard",
    "said",
    "told",
    "tried",
    "saying",
    "asking",
    "words",
    "shown",
    "standing",
    "keyring",
    "copies",
    "suits",
    "known",
    "contested",
    "everywhere",
    "fresh",
    "draft",
    "supervised",
];

/// Types whose concept has another name now, and that name.
const RETIRED: &[(&str, &str)] = &[
    ("Desk", "Mailbox"),
    ("Picture", "ClusterSnapshot"),
    ("Mesh", "Gossip"),
    ("Keyring", "SecretStore"),
    ("Reign", "LeaderTerm"),
    ("Said", "what it is: LastPublished, PublishedCondition, AddressReports"),
    ("Standing", "what it is: CandidateRank, PoolPhase, InstanceStatus, ControllerStatus"),
    ("Heard", "Observations, WatchEvent or LastDatagram"),
    ("Verdict", "AllocationResult, TrialFailure or AddressStatus"),
    ("Turn", "Attempt, Batch or CallContext"),
    ("Speech", "Protocol"),
    ("What", "after its command: DemoArgs"),
];

/// Checks the names of modules and types.
pub fn check(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut public: BTreeMap<(String, &str), String> = BTreeMap::new();
    for source in sources {
        let stem = source.path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let folders = source.path.parent().into_iter().flat_map(|folder| folder.iter());
        let folders = folders.filter_map(|part| part.to_str());
        if let Some(room) = folders.chain([stem]).find(|part| ROOMS.contains(part)) {
            let message = format!("{room:?} is not a valid name for a module: see GLOSSARY.md");
            findings.push(source.finding(0, message));
        }
        for (number, line) in (1..).zip(source.text.lines()) {
            let Some((is_public, name)) = defined(line) else { continue };
            if let Some((_, instead)) = RETIRED.iter().find(|(retired, _)| *retired == name) {
                let message = format!("type {name} is called {instead}: see GLOSSARY.md");
                findings.push(source.finding(number, message));
            }
            if !is_public || source.is_test() {
                continue;
            }
            let place = format!("{}:{number}", source.path.display());
            let first = public.entry((crate_of(source), name)).or_insert_with(|| place.clone());
            if *first != place {
                let message =
                    format!("a second public type {name} in this crate; the first is {first}");
                findings.push(source.finding(number, message));
            }
        }
    }
    findings
}

/// Returns whether a type is public, and its name, if this line defines one.
fn defined(line: &str) -> Option<(bool, &str)> {
    let line = line.trim_start();
    let (is_public, rest) = match line.strip_prefix("pub ") {
        Some(rest) => (true, rest),
        None => (
            false,
            line.strip_prefix("pub(super) ").or(line.strip_prefix("pub(crate) ")).unwrap_or(line),
        ),
    };
    let rest =
        ["struct ", "enum ", "trait ", "type "].iter().find_map(|kind| rest.strip_prefix(kind))?;
    let end = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
    let name = &rest[..end.unwrap_or(rest.len())];
    // Associated types begin with a capital as well, and end where they are assigned.
    (name.starts_with(char::is_uppercase)).then_some((is_public, name))
}

/// The folder above `src`.
fn crate_of(source: &Source) -> String {
    let path = source.path.to_string_lossy();
    path.split_once("/src/").map_or_else(|| path.to_string(), |(folder, _)| folder.to_owned())
}
