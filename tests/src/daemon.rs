//! The product's daemon as a process: started in a node's network, stopped or killed by its process id, and its memory
//! measured.
use std::fs::File;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::lab::Node;
use crate::namespace::Namespace;
use crate::{clock, product, wait};

/// Time limit for a stop.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// Time after which memory is measured: a daemon releases what its start needed two seconds after the last change of its input.
const IDLE: Duration = Duration::from_secs(3);

/// Running daemon. Killed when dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    log: PathBuf,
    /// Time at which it was started.
    pub started: Instant,
}

/// Folders of a daemon.
#[derive(Debug, Clone, Copy)]
pub struct Folders<'a> {
    /// Argument of `--manifests`.
    pub manifests: &'a Path,
    /// Argument of `--config`.
    pub config: Option<&'a Path>,
    /// Argument of `--state`.
    pub state: &'a Path,
    /// Argument of `--cache`.
    pub cache: &'a Path,
    /// File of its log.
    pub log: &'a Path,
}

impl Daemon {
    /// Starts `outrigger run` on a node.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(node: &Node, folders: Folders<'_>) -> Result<Self> {
        let command = node.command(&product::binary()?);
        Self::run(command, &node.name, node.internal.into(), folders)
    }

    /// Starts `outrigger run` in a namespace, as the node of this name.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_in(
        namespace: &Namespace,
        name: &str,
        gossip: IpAddr,
        folders: Folders<'_>,
    ) -> Result<Self> {
        Self::run(namespace.mortal_command(product::binary()?), name, gossip, folders)
    }

    fn run(command: Command, name: &str, gossip: IpAddr, folders: Folders<'_>) -> Result<Self> {
        let log = File::options().create(true).append(true).open(folders.log)?;
        let mut command = product::unconfigured(command);
        command
            .arg("run")
            .arg("--manifests")
            .arg(folders.manifests)
            .arg("--state")
            .arg(folders.state);
        if let Some(config) = folders.config {
            command.arg("--config").arg(config);
        }
        command.arg("--cache").arg(folders.cache).args(["--node", name]);
        command.args(["--gossip-address", &gossip.to_string()]);
        let started = clock::now();
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start the daemon of {name}"))?;
        Ok(Self { child, log: folders.log.to_path_buf(), started })
    }

    /// Sends SIGKILL, so that it cannot notify any peer. Returns the moment just before.
    ///
    /// # Errors
    /// When it no longer runs.
    pub fn kill(mut self) -> Result<Instant> {
        let at = clock::now();
        self.child.kill().context("cannot kill the daemon")?;
        self.child.wait()?;
        Ok(at)
    }

    /// Sends it a signal, without waiting.
    ///
    /// # Errors
    /// When it no longer runs.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(self.pid()?, signal).with_context(|| format!("{signal} cannot be sent to the daemon"))
    }

    /// Sends SIGTERM, and waits until it has ended. Returns its exit code.
    ///
    /// # Errors
    /// When it does not stop in time.
    pub fn stop(mut self) -> Result<Option<i32>> {
        self.signal(Signal::SIGTERM)?;
        let status = wait::until("the daemon stops", STOP_LIMIT, || Ok(self.child.try_wait()?))?;
        Ok(status.code())
    }

    /// Returns its memory (`VmRSS`), in KiB.
    ///
    /// # Errors
    /// When it no longer runs.
    pub fn rss_kib(&self) -> Result<u64> {
        self.memory_kib("VmRSS:")
    }

    fn memory_kib(&self, part: &str) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))
            .context("the daemon is gone")?;
        let line = status.lines().find_map(|line| line.strip_prefix(part));
        let line = line.context("the daemon has no memory")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    /// Returns its memory once that has not changed for `IDLE`, in KiB.
    ///
    /// # Errors
    /// When it no longer runs or is never idle.
    pub fn idle_rss_kib(&self) -> Result<u64> {
        self.idle_kib("VmRSS:")
    }

    /// Returns its memory when idle without pages of files (`RssAnon`), in KiB: pages of its program come and go with its work,
    /// and it releases all of them once after its start.
    ///
    /// # Errors
    /// When it no longer runs or is never idle.
    pub fn idle_own_kib(&self) -> Result<u64> {
        self.idle_kib("RssAnon:")
    }

    /// Returns its current memory without pages of files, in KiB.
    ///
    /// # Errors
    /// When it no longer runs.
    pub fn own_kib(&self) -> Result<u64> {
        self.memory_kib("RssAnon:")
    }

    fn idle_kib(&self, part: &str) -> Result<u64> {
        let (mut last, mut since) = (0, clock::now());
        wait::until("the daemon is idle", Duration::from_secs(20), || {
            let now = self.memory_kib(part)?;
            if now != last {
                (last, since) = (now, clock::now());
            }
            Ok((clock::since(since) > IDLE).then_some(last))
        })
    }

    /// Returns its process id.
    pub fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// Returns its log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Returns its process id as a [`Pid`].
    ///
    /// # Errors
    /// When it does not fit.
    pub fn pid(&self) -> Result<Pid> {
        Ok(Pid::from_raw(i32::try_from(self.child.id())?))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
