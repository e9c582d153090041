//! Running other programs: what is run is shown first, and a failure names it.
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use outrigger_tests::product;

/// This cargo, in the repository's root.
pub fn cargo<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(product::root()).args(arguments);
    command
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

/// The `outrigger` binary of the release profile. Cargo is told of the whole workspace, so that libraries have the
/// features, and the build results, that they have in the tests.
pub fn build_outrigger() -> Result<()> {
    // Whoever names a binary wants that one.
    if std::env::var_os("OUTRIGGER_BIN").is_some() {
        return Ok(());
    }
    show(&mut cargo(["build", "--release", "--workspace", "--bin", "outrigger"]))
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
