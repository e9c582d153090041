//! The compiling child process, both sides of it: the child's work, and how the daemon starts, bounds and reads it. A
//! compiler costs hundreds of MiB and its input may make it run without end or panic, so it runs in a process of its
//! own.
use std::fs::OpenOptions;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{self, Child, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::cache::CacheError;
use crate::confine;

/// Default processor time of a child; the slowest known component takes 8 s (StarlingMonkey).
pub(crate) const WITHIN: Duration = Duration::from_secs(60);
/// Multiple of its processor time for which a child may live: on a busy machine it gets only a small share of the
/// processor, and only a stuck child reaches this limit.
const PATIENCE: u32 = 5;
/// Interval and number of checks for the end of a child that has closed its end of the pipe: two seconds in total.
const LOOK: Duration = Duration::from_millis(5);
const LOOKS: u32 = 400;
/// Environment variable that holds the child's processor time, in seconds.
const SECONDS: &str = "OUTRIGGER_COMPILE_SECONDS";
/// The signal that ends a process that has used up its processor time.
const SIGXCPU: i32 = 24;
/// The start of the message of Rust's allocator when there is no memory left.
const NO_MEMORY: &str = "memory allocation of ";
/// Number of bytes kept of the child's output.
const WORDS: u64 = 4096;

/// The reason why a component was not compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// A file could not be read or written.
    #[error("cannot {what} {path}: {reason}")]
    File {
        /// "read" or "write".
        what: &'static str,
        /// The file.
        path: String,
        /// The error as text.
        reason: String,
    },
    /// The cache directory cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The compiler reports that the component is invalid.
    #[error("the compiler rejects it: {0}")]
    Refused(String),
    /// The child could not be run.
    #[error("cannot run the compiler {program}: {reason}")]
    Spawn {
        /// The program.
        program: String,
        /// The error as text.
        reason: String,
    },
    /// The child took too much processor time, or did not end, and was killed.
    #[error(
        "compiling took longer than {seconds} s and was stopped (timeout); make the component smaller"
    )]
    TimedOut {
        /// The time limit that was exceeded.
        seconds: u64,
    },
    /// The child would have needed more memory than it may use.
    #[error(
        "compiling it needs more than the {mib} MiB of available memory; make the component smaller, or raise the memory limit of Outrigger"
    )]
    Memory {
        /// The memory that it had, in MiB.
        mib: u64,
    },
    /// The child failed.
    #[error("the compiler failed with {status}: {words}")]
    Failed {
        /// Exit code or signal.
        status: String,
        /// The output of the child.
        words: String,
    },
    /// The child succeeded, but its output cannot be loaded.
    #[error("the output of the compiler cannot be loaded: {0}")]
    Unusable(String),
}

/// Compiles a component for every CPU of `target` ("x86_64-unknown-linux-gnu"), to be built into a program.
///
/// # Errors
/// Returns [`CompileError::Refused`] if the compiler rejects the component or the target.
pub fn precompile(component: &[u8], target: &str) -> Result<Vec<u8>, CompileError> {
    let refused = |error: wasmtime::Error| CompileError::Refused(format!("{error:#}"));
    let engine = crate::engine::compiling_for(target).map_err(refused)?;
    engine.precompile_component(component).map_err(refused)
}

/// Returns a hexadecimal key for a file name: it changes whenever the output of [`precompile`] for a component changes.
///
/// # Errors
/// Returns [`CompileError::Refused`] if there is no compiler for `target`.
pub fn precompiled_key(component: &[u8], target: &str) -> Result<String, CompileError> {
    let refused = |error: wasmtime::Error| CompileError::Refused(format!("{error:#}"));
    let engine = crate::engine::compiling_for(target).map_err(refused)?;
    let mut hash = DefaultHasher::new();
    (env!("CARGO_PKG_VERSION"), component).hash(&mut hash);
    engine.precompile_compatibility_hash().hash(&mut hash);
    Ok(format!("{:016x}", hash.finish()))
}

/// Does the child's work: compiles the component in `input` into `output`, which is accessible to this user alone. Once
/// the input is read and the output is open, this thread can do nothing but compute; restrictions that this machine
/// cannot apply are reported on stderr.
///
/// # Errors
/// Returns a [`CompileError`]. `output` is empty or truncated then.
pub fn compile(input: &Path, output: &Path) -> Result<(), CompileError> {
    let refused = |error: wasmtime::Error| CompileError::Refused(format!("{error:#}"));
    let component = std::fs::read(input).map_err(|error| file("read", input, &error))?;
    let mut compiled = create(output).map_err(|error| file("write", output, &error))?;
    let seconds = std::env::var(SECONDS).ok().and_then(|text| text.parse().ok());
    for lacking in confine::confine(seconds.unwrap_or(WITHIN.as_secs())) {
        eprintln!("{lacking}");
    }
    let engine = crate::engine::compiling().map_err(refused)?;
    let code = engine.precompile_component(&component).map_err(refused)?;
    let written = compiled.write_all(&code).and_then(|()| compiled.sync_all());
    written.map_err(|error| file("write", output, &error))
}

/// Replaces a file by writing a new one and renaming it, because the existing file may be mapped by a running instance.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut apart = path.as_os_str().to_owned();
    apart.push(format!(".{}", std::process::id()));
    let apart = PathBuf::from(apart);
    let written = write_new(&apart, bytes).and_then(|()| std::fs::rename(&apart, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&apart);
    }
    written
}

/// Writes a new file that is accessible to this user alone.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    create(path)?.write_all(bytes)
}

fn create(path: &Path) -> std::io::Result<std::fs::File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

pub(crate) fn file(what: &'static str, path: &Path, error: &std::io::Error) -> CompileError {
    CompileError::File { what, path: path.display().to_string(), reason: error.to_string() }
}

/// The daemon's side: the command that starts the child.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) program: PathBuf,
    /// The arguments before the two file names.
    pub(crate) args: Vec<String>,
}

impl Command {
    pub(crate) fn new(program: PathBuf, args: Vec<String>) -> Self {
        Self { program, args }
    }

    /// Runs the child until it ends; it is stopped when it has used `within` of processor time or has lived for
    /// [`PATIENCE`] times that.
    pub(crate) fn run(
        &self,
        input: &Path,
        output: &Path,
        within: Duration,
    ) -> Result<(), CompileError> {
        let failed = |error: std::io::Error| CompileError::Spawn {
            program: self.program.display().to_string(),
            reason: error.to_string(),
        };
        let seconds = within.as_secs().max(1);
        let mut child = process::Command::new(&self.program)
            .args(&self.args)
            .args([input, output])
            .env_clear()
            .env(SECONDS, seconds.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let words = listen(&mut child).recv_timeout(within * PATIENCE);
        let ended = end(&mut child, words.is_ok()).map_err(failed)?;
        let words = words.unwrap_or_default();
        match ended {
            None => Err(CompileError::TimedOut { seconds: (within * PATIENCE).as_secs() }),
            Some(status) if status.success() => {
                if !words.is_empty() {
                    tracing::warn!("{words}");
                }
                Ok(())
            }
            Some(status) if status.signal() == Some(SIGXCPU) => {
                Err(CompileError::TimedOut { seconds })
            }
            Some(_) if words.contains(NO_MEMORY) => {
                Err(CompileError::Memory { mib: confine::memory() >> 20 })
            }
            Some(status) => Err(CompileError::Failed { status: status.to_string(), words }),
        }
    }
}

/// Returns the status of the child. `None` if it was killed because it ran too long. If `ends` is true, the child has
/// closed its output and has [`LOOKS`] checks to end.
fn end(child: &mut Child, ends: bool) -> std::io::Result<Option<ExitStatus>> {
    for _ in 0..if ends { LOOKS } else { 0 } {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(LOOK);
    }
    let _ = child.kill();
    child.wait()?;
    Ok(None)
}

/// Returns the output of the child once it is complete: when the child ends, its end of the pipe closes.
fn listen(child: &mut Child) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    if let Some(mut pipe) = child.stderr.take() {
        std::thread::spawn(move || {
            let mut words = Vec::new();
            let _ = pipe.by_ref().take(WORDS).read_to_end(&mut words);
            let _ = std::io::copy(&mut pipe, &mut std::io::sink());
            let _ = sender.send(String::from_utf8_lossy(&words).trim().to_owned());
        });
    }
    receiver
}

#[cfg(test)]
mod tests;
