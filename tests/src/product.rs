//! Locations of the product's binary and of the repository's files.
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Returns the repository's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("this package is a folder of the repository")
}

/// Returns cargo's target folder.
///
/// # Errors
/// When this program does not run from there.
pub fn target() -> Result<PathBuf> {
    let program = std::env::current_exe().context("no path of this program")?;
    let target = program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    target
        .map(Path::to_path_buf)
        .with_context(|| format!("{} was not run by cargo", program.display()))
}

/// Returns the path of the `outrigger` binary: `OUTRIGGER_BIN`, or the one that also runs in production, `release/outrigger` in
/// cargo's target folder.
///
/// # Errors
/// When it does not exist.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("OUTRIGGER_BIN") {
        return Ok(path.into());
    }
    let binary = target()?.join("release/outrigger");
    if !binary.is_file() {
        bail!("{} is missing. Run: cargo build --release --package outrigger", binary.display());
    }
    Ok(binary)
}

/// Returns the path of the image archive: `OUTRIGGER_IMAGE`, or where `cargo xtask image` writes it.
///
/// # Errors
/// When it does not exist.
pub fn image() -> Result<PathBuf> {
    let name = concat!("image/outrigger-", env!("CARGO_PKG_VERSION"), ".tar");
    let own = || Ok::<_, anyhow::Error>(target()?.join(name));
    let path = std::env::var_os("OUTRIGGER_IMAGE").map_or_else(own, |path| Ok(path.into()))?;
    if !path.is_file() {
        bail!("the image {} is missing. Run: cargo xtask image", path.display());
    }
    Ok(path)
}

/// Returns the image and the manifest of an earlier version, `image.tar` and `install.yaml` in the folder `OUTRIGGER_PREVIOUS`;
/// `None` if that is not set.
pub fn previous() -> Option<(PathBuf, PathBuf)> {
    let folder = PathBuf::from(std::env::var_os("OUTRIGGER_PREVIOUS")?);
    Some((folder.join("image.tar"), folder.join("install.yaml")))
}

/// Removes the environment settings for `outrigger` from a command.
pub fn unconfigured(mut command: Command) -> Command {
    for (name, _) in
        std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("OUTRIGGER_"))
    {
        command.env_remove(name);
    }
    command
}

/// Runs `outrigger` with these arguments and returns its output; the exit code is ignored, because `status` and `plan` may use
/// it to report problems.
///
/// # Errors
/// When it cannot be run, or prints nothing.
pub fn ask(arguments: &[&str]) -> Result<String> {
    let binary = binary()?;
    let output = unconfigured(Command::new(&binary))
        .args(arguments)
        .output()
        .with_context(|| format!("cannot run {}", binary.display()))?;
    if output.stdout.is_empty() {
        bail!("outrigger {arguments:?} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).context("the output of outrigger is not UTF-8")
}
