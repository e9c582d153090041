//! Running router of any make, with its sessions and routes in a common form. The specifics of a make are in its own module.
use std::fs::File;
use std::path::{Path as FilePath, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::speaker::{Family, Speaker};
use super::{bird, exabgp, frr, gobgp};
use crate::namespace::Namespace;
use crate::wait;

/// Time limit after which a wait counts as failed. Far more than it takes, for busy machines.
pub const LIMIT: Duration = Duration::from_secs(120);

/// Make of router.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// FRRouting.
    Frr,
    /// BIRD 2.
    Bird,
    /// GoBGP 4.
    Gobgp,
    /// ExaBGP, which sends routes and keeps none.
    Exabgp,
}

/// Running router. Killed when dropped.
#[derive(Debug)]
pub struct Router {
    /// Make of the router.
    pub kind: Kind,
    namespace: Namespace,
    folder: PathBuf,
    /// Programs in the order they were started.
    programs: Vec<Program>,
}

/// Session as seen by the router.
#[derive(Debug, Clone, PartialEq)]
pub struct Session {
    /// True if routes can be exchanged.
    pub established: bool,
    /// Value that changes when, and only when, the session is re-established.
    pub generation: String,
    /// Number of received UPDATE messages, where the make counts them.
    pub updates: Option<u64>,
    /// All other data of the router, in its own form.
    pub raw: Value,
}

/// One path to a prefix that the router has from a neighbour.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Path {
    /// Next hops, the global one first where there are two.
    pub next_hops: Vec<String>,
    /// AS numbers, the neighbour's first.
    pub as_path: Vec<u32>,
    /// Communities, as `65535:666`.
    pub communities: Vec<String>,
    /// Large communities, as `64512:1:2`.
    pub large_communities: Vec<String>,
    /// MED; `None` if there is none.
    pub med: Option<u32>,
    /// Local preference; `None` if there is none.
    pub local_pref: Option<u32>,
}

impl Kind {
    /// Returns the name as its authors write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Frr => "FRR",
            Self::Bird => "BIRD",
            Self::Gobgp => "GoBGP",
            Self::Exabgp => "ExaBGP",
        }
    }
}

impl Router {
    /// Starts a router in a namespace, with a folder of its own under `folder`, and waits until it can be queried.
    ///
    /// # Errors
    /// When it does not start, with its log.
    pub fn start(
        kind: Kind,
        speaker: &Speaker,
        namespace: &Namespace,
        folder: &FilePath,
    ) -> Result<Self> {
        let folder = folder.join(format!("{}-{}", namespace.name(), kind.name().to_lowercase()));
        std::fs::create_dir_all(&folder)?;
        let mut router = Self { kind, namespace: namespace.clone(), folder, programs: Vec::new() };
        let started = match kind {
            Kind::Frr => frr::start(speaker, namespace, &router.folder),
            Kind::Bird => bird::start(speaker, namespace, &router.folder),
            Kind::Gobgp => gobgp::start(speaker, namespace, &router.folder),
            Kind::Exabgp => exabgp::start(speaker, namespace, &router.folder),
        };
        router.programs = started.with_context(|| format!("{} does not start", kind.name()))?;
        Ok(router)
    }

    /// Returns the folder of its files: configuration, sockets, logs.
    pub fn folder(&self) -> &FilePath {
        &self.folder
    }

    /// Returns the namespace it runs in.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Sends a line in the make's own language and returns the answer: a line of vtysh, birdc, gobgp, or ExaBGP's API.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn say(&self, line: &str) -> Result<String> {
        match self.kind {
            Kind::Frr => frr::ask(&self.folder, "bgpd", line),
            Kind::Bird => bird::ask(&self.folder, line),
            Kind::Gobgp => gobgp::ask(&self.namespace, &self.folder, line),
            Kind::Exabgp => exabgp::say(&self.folder, line).map(|()| String::new()),
        }
    }

    /// Returns the session with the neighbour of this name: its address, or the link of an unnumbered one.
    ///
    /// # Errors
    /// When the router cannot be queried.
    pub fn session(&self, neighbor: &str) -> Result<Session> {
        match self.kind {
            Kind::Frr => frr::session(&self.folder, neighbor),
            Kind::Bird => bird::session(&self.folder, neighbor),
            Kind::Gobgp => gobgp::session(&self.namespace, &self.folder, neighbor),
            Kind::Exabgp => bail!("ExaBGP cannot be queried"),
        }
    }

    /// Returns every path to a prefix that was received from neighbours.
    ///
    /// # Errors
    /// When the router cannot be queried.
    pub fn paths(&self, prefix: &str) -> Result<Vec<Path>> {
        match self.kind {
            Kind::Frr => frr::paths(&self.folder, prefix),
            Kind::Bird => bird::paths(&self.folder, prefix),
            Kind::Gobgp => gobgp::paths(&self.namespace, &self.folder, prefix),
            Kind::Exabgp => bail!("ExaBGP keeps no routes"),
        }
    }

    /// Returns the number of prefixes of a family received from neighbours.
    ///
    /// # Errors
    /// When the router cannot be queried.
    pub fn count(&self, family: Family) -> Result<usize> {
        match self.kind {
            Kind::Frr => frr::count(&self.folder, family),
            Kind::Bird => bird::count(&self.folder, family),
            Kind::Gobgp => gobgp::count(&self.namespace, &self.folder, family),
            Kind::Exabgp => bail!("ExaBGP keeps no routes"),
        }
    }

    /// Returns true if BFD is up with the neighbour.
    ///
    /// # Errors
    /// When the router cannot be queried.
    pub fn bfd_up(&self, neighbor: &str) -> Result<bool> {
        match self.kind {
            Kind::Frr => frr::bfd_up(&self.folder, neighbor),
            Kind::Bird => bird::bfd_up(&self.folder, neighbor),
            Kind::Gobgp => gobgp::bfd_up(&self.namespace, &self.folder, neighbor),
            Kind::Exabgp => Ok(false),
        }
    }

    /// Waits until the session is established.
    ///
    /// # Errors
    /// When that does not happen in time, with the router's state.
    pub fn await_established(&self, neighbor: &str) -> Result<Session> {
        let what = format!("{}: session with {neighbor}", self.kind.name());
        wait::until(&what, LIMIT, || {
            let session = self.session(neighbor)?;
            Ok(session.established.then_some(session))
        })
        .with_context(|| self.explain())
    }

    /// Waits until the session is no longer established.
    ///
    /// # Errors
    /// When that does not happen in time.
    pub fn await_down(&self, neighbor: &str) -> Result<()> {
        wait::until(&format!("{}: {neighbor} goes down", self.kind.name()), LIMIT, || {
            Ok((!self.session(neighbor)?.established).then_some(()))
        })
        .with_context(|| self.explain())
    }

    /// Waits until there is a path to the prefix, and returns the first.
    ///
    /// # Errors
    /// When none comes in time.
    pub fn await_path(&self, prefix: &str) -> Result<Path> {
        wait::until(&format!("{}: a route to {prefix}", self.kind.name()), LIMIT, || {
            Ok(self.paths(prefix)?.into_iter().next())
        })
        .with_context(|| self.explain())
    }

    /// Waits until there is no path to the prefix.
    ///
    /// # Errors
    /// When there is still one after the time limit.
    pub fn await_no_path(&self, prefix: &str) -> Result<()> {
        wait::until(&format!("{}: no route to {prefix}", self.kind.name()), LIMIT, || {
            Ok(self.paths(prefix)?.is_empty().then_some(()))
        })
        .with_context(|| self.explain())
    }

    /// Sends SIGTERM to all of its programs, the last first, and waits until they have ended.
    ///
    /// # Errors
    /// When one does not stop.
    pub fn stop(mut self) -> Result<()> {
        self.programs.drain(..).rev().try_for_each(Program::stop)
    }

    /// Sends SIGKILL to all of its programs, the last first.
    pub fn kill(mut self) {
        self.programs.drain(..).rev().for_each(drop);
    }

    /// Sends SIGSTOP or SIGCONT to the program that speaks BGP: it neither reads nor writes, while the kernel keeps its
    /// connections.
    ///
    /// # Errors
    /// When it no longer runs.
    pub fn freeze(&self, frozen: bool) -> Result<()> {
        let speaker = self.programs.last().context("no program runs")?;
        speaker.signal(if frozen { Signal::SIGSTOP } else { Signal::SIGCONT })
    }

    /// Returns the memory of all of its programs (`VmRSS`), in KiB, by name.
    ///
    /// # Errors
    /// When one no longer runs.
    pub fn rss_kib(&self) -> Result<Vec<(String, u64)>> {
        self.programs.iter().map(|it| Ok((it.name.clone(), it.rss_kib()?))).collect()
    }

    /// Returns the process ids of its programs.
    pub fn pids(&self) -> Vec<u32> {
        self.programs.iter().map(|program| program.child.id()).collect()
    }

    /// Returns the end of its logs, for a failure.
    pub fn explain(&self) -> String {
        let logs = self.programs.iter().map(|program| program.last_words());
        format!("end of the log of {}:\n{}", self.kind.name(), logs.collect::<String>())
    }
}

/// Process of a router. Killed when dropped.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts a program in a namespace; its output goes to `<name>.log` in the folder.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(
        name: &str,
        namespace: &Namespace,
        folder: &FilePath,
        path: &FilePath,
        arguments: &[&str],
    ) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log)?;
        let child = namespace
            .mortal_command(path)
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// Waits until `ready` returns true.
    ///
    /// # Errors
    /// When it does not in time, or the program ends before, with its output.
    pub fn await_ready(mut self, mut ready: impl FnMut() -> bool) -> Result<Self> {
        wait::until(&format!("{} is ready", self.name), LIMIT, || {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended: {status}\n{}", self.name, self.last_words());
            }
            Ok(ready().then_some(()))
        })
        .with_context(|| self.last_words())?;
        Ok(self)
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it no longer runs.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.child.id())?);
        kill(pid, signal).with_context(|| format!("{} is gone", self.name))
    }

    /// Sends SIGTERM, and waits until it has ended.
    ///
    /// # Errors
    /// When it does not stop in time.
    pub fn stop(mut self) -> Result<()> {
        self.signal(Signal::SIGTERM)?;
        wait::until(&format!("{} stops", self.name), LIMIT, || Ok(self.child.try_wait()?))?;
        Ok(())
    }

    fn rss_kib(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))
            .with_context(|| format!("{} is gone", self.name))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let line = line.with_context(|| format!("{} has no memory", self.name))?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    fn last_words(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&log[log.len().saturating_sub(3000)..]).into_owned();
        format!("{}:\n{text}\n", self.name)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
