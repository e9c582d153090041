//! Replays the committed fuzz corpus, so that past findings stay fixed in every run. `cargo xtask fuzz` explores new inputs.
#![forbid(unsafe_code)]
use std::path::Path;

use outrigger_tests::product;

#[path = "../../fuzz/src/targets.rs"]
mod targets;

/// Runs the target on every file of its corpus, and returns their number.
fn replay(name: &str) -> usize {
    let (_, target) = targets::TARGETS.iter().find(|(known, _)| *known == name).expect("a target");
    let folder = product::root().join("fuzz/corpus").join(name);
    let read = |path: &Path| std::fs::read(path).expect("a file of the corpus");
    let files =
        std::fs::read_dir(&folder).expect("a corpus").map(|entry| entry.expect("a file").path());
    files.map(|path| target(&read(&path))).count()
}

#[test]
fn every_target_has_a_corpus_and_comes_back_from_all_of_it() {
    for (name, _) in targets::TARGETS {
        let count = replay(name);
        assert!(count >= 6, "{name} has {count} inputs");
    }
}
