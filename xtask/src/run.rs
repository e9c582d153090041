//! Runs other programs: each command line is printed first, and a failure names it.
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use outrigger_tests::product;

/// Returns a command that runs this cargo in the repository's root, without the variables that the cargo running xtask sets for
/// xtask: build scripts that read them (ring's does) would otherwise be rerun, with everything that depends on them, whenever
/// cargo is called by hand in between.
pub fn cargo<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    const OF_XTASK: [&str; 5] =
        ["CARGO_BIN_", "CARGO_CRATE_", "CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_PRIMARY_"];
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if OF_XTASK.iter().any(|prefix| text.starts_with(prefix)) || text == "LD_LIBRARY_PATH" {
            command.env_remove(&name);
        }
    }
    command.current_dir(product::root()).args(arguments);
    command
}

/// Prints a heading: the part's number, what it does, and how long it usually takes.
pub fn phase(number: &str, what: &str, takes: &str) {
    println!("\n[{number}] {what} ({takes})");
}

/// Prints the command and runs it.
pub fn show(command: &mut Command) -> Result<()> {
    let line = line(command);
    println!("$ {line}");
    let status = command.status().with_context(|| format!("cannot run {line}"))?;
    if !status.success() {
        bail!("{line} failed: {status}");
    }
    Ok(())
}

/// Runs the command without output and returns true if it succeeds.
pub fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// Builds the `outrigger` binary of the release profile.
pub fn build_outrigger() -> Result<()> {
    // A binary named by the user is used as it is.
    if std::env::var_os("OUTRIGGER_BIN").is_some() {
        return Ok(());
    }
    show(&mut cargo(["build", "--release", "--package", "outrigger"]))
}

/// Formats a time as "2 min 03 s" or "0.4 s".
pub fn readable(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 60 {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        format!("{} min {:02} s", seconds / 60, seconds % 60)
    }
}

/// Returns the command line as one would type it.
fn line(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
    let variables = command
        .get_envs()
        .filter_map(|(name, value)| Some(format!("{}={}", name.display(), value?.display())));
    let arguments = command.get_args().map(|argument| argument.to_string_lossy().into_owned());
    variables.chain([name]).chain(arguments).collect::<Vec<_>>().join(" ")
}
