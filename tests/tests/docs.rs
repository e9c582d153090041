//! Generated pages of documentation: written if OUTRIGGER_CODEGEN is set, otherwise compared with their sources.
#![forbid(unsafe_code)]
use outrigger_core::guard::budget::{LIMITS, Limit, Most};
use outrigger_tests::product;

fn is_on_disk(page: &str, wanted: &str) {
    let path = product::root().join(page);
    if std::env::var_os("OUTRIGGER_CODEGEN").is_some() {
        std::fs::write(&path, wanted).expect("the page is written");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(written, wanted, "{page} is not as generated; write it with: cargo xtask codegen");
}

#[test]
fn the_page_of_limits_on_disk_is_the_table_that_the_guard_goes_by() {
    let row = |Limit { subject, most, beyond }: &Limit| {
        let most = match most {
            Most::Fixed(number, unit) => format!("{} {unit}", grouped(*number)),
            Most::Formula(words) => (*words).to_owned(),
        };
        format!("| {subject} | {most} | {beyond} |\n")
    };
    let rows: String = LIMITS.iter().map(row).collect();
    let page = format!(
        "# Limits of a plugin\n\n\
         Generated from `host/core/src/guard/budget.rs` by `cargo xtask codegen`; a test compares the two.\n\n\
         An announcer may make the host keep and do so much, each instance for itself: one that breaks, or means harm, takes nothing from\n\
         another. What is beyond a limit is refused with the reason in the last column. The plugin is told (`denied`), the refusal is\n\
         counted in `outrigger_effects_denied_total`, and a candidate that is on trial is taken back.\n\n\
         | what | how much | beyond it |\n|---|---|---|\n{rows}\n\
         `addresses` are those that the instance was told about, `links` those that it was given. Reports are levels: what is said of a\n\
         peer, a condition or a metric stands until it is said anew. A peer without a state, a condition without a reason and a metric that\n\
         is set to NaN are taken back. What a new instance has not said again ten seconds after its start goes.\n\
         In these ten seconds what it found of offloads is not counted, up to twice the budget.\n\n\
         Memory and time of a single call are limited besides: 64 MiB and 50 ms for an announcer, 64 MiB and 100 ms for a policy.\n"
    );
    is_on_disk("docs/limits.md", &page);
}

/// Formats a number with separators: 1048576 → "1,048,576".
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let mut text = digits[..first].to_owned();
    for (at, digit) in digits[first..].chars().enumerate() {
        if at % 3 == 0 && !text.is_empty() {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
