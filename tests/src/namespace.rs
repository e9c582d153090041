//! Named network namespace as `ip netns` keeps it: work and programs inside it, and lines for `ip -batch`. Independent of what
//! the namespace is for and of what created it.
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::sched::{CloneFlags, setns};

/// Network namespace, by its name in `/run/netns`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Returns the namespace of this name, existing or not.
    pub fn named(name: String) -> Self {
        Self { name }
    }

    /// Returns its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the file that keeps it.
    pub fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.name)
    }

    /// Runs `work` on a thread inside this network. Sockets it opens stay there wherever they are moved to, and so do threads
    /// that it starts.
    ///
    /// # Errors
    /// Returns the errors of `work`, or an error when the namespace cannot be entered.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let file =
            File::open(self.path()).with_context(|| format!("no namespace {}", self.name))?;
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                setns(file, CloneFlags::CLONE_NEWNET).context("cannot enter the namespace")?;
                work()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Returns a command that runs `program` inside this network. Not `ip netns exec`, which mounts a `/sys` without cgroups.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path().display())).arg("--").arg(program.as_ref());
        command
    }

    /// Returns the same command, which ends with the thread that starts it.
    pub fn mortal_command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("setpriv");
        let inside = self.command(program);
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(inside.get_program())
            .args(inside.get_args());
        command
    }

    /// Runs lines of `ip -batch` in this network.
    ///
    /// # Errors
    /// Returns the error of `ip`.
    pub fn ip(&self, batch: &str) -> Result<()> {
        ip(Some(self), batch)
    }
}

/// Runs lines of `ip -batch`, in the caller's network or in another.
///
/// # Errors
/// Returns the error of `ip`.
pub fn ip(namespace: Option<&Namespace>, batch: &str) -> Result<()> {
    let mut command = Command::new("ip");
    if let Some(namespace) = namespace {
        command.args(["-netns", namespace.name()]);
    }
    feed(command.args(["-batch", "-"]), batch.as_bytes()).map(drop)
}

/// Runs a command with this input and returns its output.
///
/// # Errors
/// When it cannot be run or fails, with its output.
pub fn feed(command: &mut Command, input: &[u8]) -> Result<String> {
    let shown = format!("{command:?}");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {shown}"))?;
    let mut stdin = child.stdin.take().context("a pipe was asked for")?;
    // Written while reading: a program that answers as it reads would block once its output is not read.
    let (output, written) = std::thread::scope(|scope| {
        let writer = scope.spawn(move || stdin.write_all(input));
        let output = child.wait_with_output();
        (output, writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let output = output?;
    if !output.status.success() {
        let input = if input.len() < 4096 { String::from_utf8_lossy(input) } else { "…".into() };
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{shown} failed with input\n{input}\nand output: {}", said.trim());
    }
    // A program that fails early closes its end, so its own error comes first.
    written.with_context(|| format!("{shown} does not read its input"))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
