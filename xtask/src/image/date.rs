//! The only date in an image: that of the source, never of the build, so that two builds agree.
use std::process::Command;

use anyhow::{Context, Result, bail};
use outrigger_tests::product;

const DAY: u64 = 86_400;

/// Returns the seconds since 1970 from `SOURCE_DATE_EPOCH` (reproducible-builds.org), or else from the commit's date.
pub fn of_build() -> Result<u64> {
    if let Some(text) = std::env::var_os("SOURCE_DATE_EPOCH") {
        return parse(&text.to_string_lossy()).context("SOURCE_DATE_EPOCH");
    }
    let git = Command::new("git")
        .current_dir(product::root())
        .args(["log", "-1", "--format=%ct"])
        .output()
        .ok()
        .filter(|output| output.status.success());
    let Some(output) = git else {
        bail!(
            "no date for the image: this is not a git clone, set SOURCE_DATE_EPOCH to seconds since 1970"
        );
    };
    parse(&String::from_utf8_lossy(&output.stdout)).context("the date of the commit")
}

fn parse(text: &str) -> Result<u64> {
    let text = text.trim();
    text.parse().with_context(|| format!("{text:?} is not a number of seconds since 1970"))
}

/// Formats seconds since 1970 as RFC 3339.
pub fn rfc3339(seconds: u64) -> String {
    let (mut year, mut days) = (1970, seconds / DAY);
    while days >= days_of_year(year) {
        days -= days_of_year(year);
        year += 1;
    }
    let mut month = 1;
    while days >= days_of_month(year, month) {
        days -= days_of_month(year, month);
        month += 1;
    }
    let (hours, minutes) = (seconds % DAY / 3600, seconds % 3600 / 60);
    format!("{year:04}-{month:02}-{:02}T{hours:02}:{minutes:02}:{:02}Z", days + 1, seconds % 60)
}

fn leap(year: u64) -> bool {
    year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400)
}

fn days_of_year(year: u64) -> u64 {
    if leap(year) { 366 } else { 365 }
}

fn days_of_month(year: u64, month: u64) -> u64 {
    match month {
        2 if leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}
