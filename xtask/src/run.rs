//! Running other programs: what is run is shown first, and a failure names it.
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use outrigger_tests::product;

/// This cargo, in the repository's root, without what the cargo that runs xtask says of xtask: build scripts that ask for it (ring's
/// does) would run anew, and all that depends on them, whenever somebody calls cargo by hand in between.
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

/// A heading: which part this is, what it brings, and how long it usually takes.
pub fn phase(number: &str, what: &str, takes: &str) {
    println!("\n[{number}] {what} ({takes})");
}

/// Shows the command and runs it.
pub fn show(command: &mut Command) -> Result<()> {
    let line = line(command);
    println!("$ {line}");
    let status = command.status().with_context(|| format!("cannot run {line}"))?;
    if !status.success() {
        bail!("{line} failed: {status}");
    }
    Ok(())
}

/// Runs the command without a word and says whether it went well.
pub fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// The `outrigger` binary of the release profile.
pub fn build_outrigger() -> Result<()> {
    // Whoever names a binary wants that one.
    if std::env::var_os("OUTRIGGER_BIN").is_some() {
        return Ok(());
    }
    show(&mut cargo(["build", "--release", "--package", "outrigger"]))
}

/// "2 min 03 s", "0.4 s".
pub fn readable(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 60 {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        format!("{} min {:02} s", seconds / 60, seconds % 60)
    }
}

/// The command as one would type it.
fn line(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
    let variables = command
        .get_envs()
        .filter_map(|(name, value)| Some(format!("{}={}", name.display(), value?.display())));
    let arguments = command.get_args().map(|argument| argument.to_string_lossy().into_owned());
    variables.chain([name]).chain(arguments).collect::<Vec<_>>().join(" ")
}
