//! Processes that outlive the program that started them, and are found again by files. Independent of their purpose.
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::wait;

/// Time limit for the kernel to end a killed process.
const END: Duration = Duration::from_secs(20);
/// Number of bytes of a log that are shown with an error.
const TAIL: usize = 3000;

/// Process identified by the files `<folder>/<name>.pid` and `.log`.
#[derive(Debug, Clone)]
pub struct Process {
    folder: PathBuf,
    name: String,
}

impl Process {
    /// Returns the process of this name, started or not.
    pub fn at(folder: &Path, name: &str) -> Self {
        Self { folder: folder.to_path_buf(), name: name.to_owned() }
    }

    /// Starts it in a session of its own, so that no terminal ends it. Its output is appended to its log.
    ///
    /// # Errors
    /// When it cannot be started, or runs already.
    pub fn start(&self, command: &Command) -> Result<()> {
        ensure!(!self.runs(), "{} already runs", self.name);
        let log = File::options().create(true).append(true).open(self.log_file())?;
        // setsid(1) does not fork here, because this is no group leader: the process id stays the same.
        let mut child = Command::new("setsid")
            .arg(command.get_program())
            .args(command.get_args())
            .envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", self.name))?;
        let identity = Identity::of(child.id()).context("the process ended at once")?;
        fs::write(self.pid_file(), identity.line())?;
        // Reaps the process, which would otherwise stay a zombie for as long as this program runs.
        std::thread::spawn(move || child.wait());
        Ok(())
    }

    /// Returns true if it was started and has not ended.
    pub fn runs(&self) -> bool {
        self.pid().is_ok()
    }

    /// Returns its process id.
    ///
    /// # Errors
    /// When it does not run.
    pub fn pid(&self) -> Result<Pid> {
        let identity =
            fs::read_to_string(self.pid_file()).ok().and_then(|text| Identity::read(&text));
        let identity = identity.filter(Identity::is_alive).with_context(|| {
            format!("{} does not run; end of its log:\n{}", self.name, self.log_tail())
        })?;
        Ok(Pid::from_raw(identity.pid.cast_signed()))
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it does not run.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(self.pid()?, signal).with_context(|| format!("cannot send {signal} to {}", self.name))
    }

    /// Sends a signal to it and to its children: in a process namespace of a node it is the child of nsenter(1).
    ///
    /// # Errors
    /// When it does not run.
    pub fn signal_all(&self, signal: Signal) -> Result<()> {
        killpg(self.pid()?, signal)
            .with_context(|| format!("cannot send {signal} to {} and its children", self.name))
    }

    /// Sends SIGKILL, if it runs, and waits until it has ended.
    ///
    /// # Errors
    /// When the kernel does not end it.
    pub fn kill(&self) -> Result<()> {
        if !self.runs() {
            return Ok(());
        }
        self.signal(Signal::SIGKILL)?;
        self.ended()
    }

    /// Sends SIGTERM, and waits until it has ended.
    ///
    /// # Errors
    /// When it does not run, or does not end.
    pub fn stop(&self) -> Result<()> {
        self.signal(Signal::SIGTERM)?;
        self.ended()
    }

    fn ended(&self) -> Result<()> {
        let what = format!("{} ends", self.name);
        wait::until(&what, END, || Ok((!self.runs()).then_some(())))
    }

    /// Returns the end of its log, at most `TAIL` bytes.
    pub fn log_tail(&self) -> String {
        let log = fs::read(self.log_file()).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(TAIL)..]).into_owned()
    }

    fn pid_file(&self) -> PathBuf {
        self.folder.join(format!("{}.pid", self.name))
    }

    fn log_file(&self) -> PathBuf {
        self.folder.join(format!("{}.log", self.name))
    }
}

/// Process id and start time, which together are unique while the machine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Process id.
    pub pid: u32,
    /// Start time in ticks since boot: field 22 of /proc/pid/stat (proc(5)).
    pub started: u64,
}

impl Identity {
    /// Returns the identity of the process of this id; `None` if it has ended.
    pub fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The second field is the program's name in parentheses, and may contain anything.
        let mut fields = stat.rsplit_once(") ")?.1.split(' ');
        let state = fields.next()?;
        let threads: u32 = fields.nth(16)?.parse().ok()?;
        let started = fields.nth(1)?.parse().ok()?;
        // A process whose first thread has ended is shown as a zombie while other threads still hold its sockets.
        let ended = matches!(state, "Z" | "X") && threads <= 1;
        (!ended).then_some(Self { pid, started })
    }

    /// Parses a line written by [`Identity::line`].
    pub fn read(text: &str) -> Option<Self> {
        let (pid, started) = text.trim().split_once(' ')?;
        Some(Self { pid: pid.parse().ok()?, started: started.parse().ok()? })
    }

    /// Formats the identity for a file.
    pub fn line(&self) -> String {
        format!("{} {}\n", self.pid, self.started)
    }

    /// Returns true if this very process still runs.
    pub fn is_alive(&self) -> bool {
        Self::of(self.pid) == Some(*self)
    }
}
