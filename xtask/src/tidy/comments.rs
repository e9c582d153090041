//! Doc comments say what an item is or does, in the third person.
use super::{Finding, Source};

/// Openings of clauses that name no thing and no act.
const OPENINGS: [&str; 10] =
    ["What", "Who", "Whom", "Whose", "Whoever", "Whatever", "Whether", "How", "So", "Is"];

/// Finds doc comments that open with one of [`OPENINGS`].
pub fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut before = "";
    for (number, line) in (1..).zip(source.text.lines()) {
        let line = line.trim_start();
        let comment = line.strip_prefix("/// ").or_else(|| line.strip_prefix("//! "));
        let continues = is_text(before);
        before = line;
        let first = comment.and_then(|text| text.split([' ', ',']).next());
        if let Some(opening) = first.filter(|word| !continues && OPENINGS.contains(word)) {
            let message = format!(
                "a doc comment opens with {opening:?}: say what the item is (\"The …\") or does (\"Returns …\")"
            );
            findings.push(source.finding(number, message));
        }
    }
    findings
}

/// True for a doc line that a paragraph may go on after.
fn is_text(line: &str) -> bool {
    let text = line.strip_prefix("///").or_else(|| line.strip_prefix("//!"));
    text.is_some_and(|text| !text.trim().is_empty() && !text.trim().starts_with('#'))
}
