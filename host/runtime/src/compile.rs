//! The compiling child process, both sides of it: what it does, and how the daemon starts, bounds and reads it. A compiler
//! costs hundreds of MiB and may be made to run for ever or to panic by what it is given, so it lives and dies apart.
use std::fs::OpenOptions;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, prlimit, setpriority_process};

use crate::cache::CacheError;

/// So long a child may take unless somebody says otherwise; the slowest known component takes 8 s (StarlingMonkey).
pub(crate) const WALL: Duration = Duration::from_secs(60);
const CPU_SECONDS: u64 = 120;
/// Address space; the largest known component needs 376 MiB resident.
const ADDRESS_SPACE: u64 = 4 << 30;
/// Nice, but not as nice as can be: beside programs that never rest it would not come to its end in time.
const PRIORITY: i32 = 10;
/// Of what the child says, so much is kept.
const WORDS: u64 = 4096;

/// Why a component was not compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// A file could not be read or written.
    #[error("cannot {what} {path}: {reason}")]
    File {
        /// "read" or "write".
        what: &'static str,
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// The cache directory.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The compiler says the component is invalid.
    #[error("the compiler refuses it: {0}")]
    Refused(String),
    /// The child could not be run.
    #[error("cannot run the compiler {program}: {reason}")]
    Spawn {
        /// The program.
        program: String,
        /// Why.
        reason: String,
    },
    /// The child took too long and was killed.
    #[error("compiling took longer than {seconds} s and was stopped; make the component smaller")]
    TimedOut {
        /// What it had.
        seconds: u64,
    },
    /// The child ended badly.
    #[error("the compiler ended with {status}: {words}")]
    Failed {
        /// Exit code or signal.
        status: String,
        /// What it said last.
        words: String,
    },
    /// The child said yes, but what it made cannot be loaded.
    #[error("what the compiler made cannot be loaded: {0}")]
    Unusable(String),
}

/// Compiles a component for every CPU of `target` ("x86_64-unknown-linux-gnu"): for what is built into a program.
///
/// # Errors
/// [`CompileError::Refused`].
pub fn precompile(component: &[u8], target: &str) -> Result<Vec<u8>, CompileError> {
    let refused = |error: wasmtime::Error| CompileError::Refused(format!("{error:#}"));
    let engine = crate::engine::compiling_for(target).map_err(refused)?;
    engine.precompile_component(component).map_err(refused)
}

/// What [`precompile`] makes of a component is another one when this is: hexadecimal, for a file's name.
///
/// # Errors
/// [`CompileError::Refused`] when there is no compiler for `target`.
pub fn precompiled_key(component: &[u8], target: &str) -> Result<String, CompileError> {
    let refused = |error: wasmtime::Error| CompileError::Refused(format!("{error:#}"));
    let engine = crate::engine::compiling_for(target).map_err(refused)?;
    let mut hash = DefaultHasher::new();
    (env!("CARGO_PKG_VERSION"), component).hash(&mut hash);
    engine.precompile_compatibility_hash().hash(&mut hash);
    Ok(format!("{:016x}", hash.finish()))
}

/// The child's work: compiles the component in `input` and puts the result at `output` in one step.
///
/// # Errors
/// See [`CompileError`]. Nothing is at `output` that was not there before.
pub fn compile(input: &Path, output: &Path) -> Result<(), CompileError> {
    let refused = |error: wasmtime::Error| CompileError::Refused(format!("{error:#}"));
    let component = std::fs::read(input).map_err(|error| file("read", input, &error))?;
    let engine = crate::engine::compiling().map_err(refused)?;
    let compiled = engine.precompile_component(&component).map_err(refused)?;
    replace(output, &compiled).map_err(|error| file("write", output, &error))
}

/// Written apart and renamed, because the file that was there may be mapped by a running instance.
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

/// A new file for this user alone.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)
}

pub(crate) fn file(what: &'static str, path: &Path, error: &std::io::Error) -> CompileError {
    CompileError::File { what, path: path.display().to_string(), reason: error.to_string() }
}

/// The daemon's side: how to start the child.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) program: PathBuf,
    /// What comes before the two file names.
    pub(crate) args: Vec<String>,
}

impl Command {
    pub(crate) fn new(program: PathBuf, args: Vec<String>) -> Self {
        Self { program, args }
    }

    /// Runs the child to its end, which is never later than `within`.
    pub(crate) fn run(
        &self,
        input: &Path,
        output: &Path,
        within: Duration,
    ) -> Result<(), CompileError> {
        let spawned = process::Command::new(&self.program)
            .args(&self.args)
            .args([input, output])
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = spawned.map_err(|error| CompileError::Spawn {
            program: self.program.display().to_string(),
            reason: error.to_string(),
        })?;
        confine(&child);
        let words = listen(&mut child).recv_timeout(within);
        if words.is_err() {
            let _ = child.kill();
        }
        let status = child.wait().map_err(|error| CompileError::Spawn {
            program: self.program.display().to_string(),
            reason: error.to_string(),
        })?;
        match words {
            Err(_) => Err(CompileError::TimedOut { seconds: within.as_secs() }),
            Ok(_) if status.success() => Ok(()),
            Ok(words) => Err(CompileError::Failed { status: status.to_string(), words }),
        }
    }
}

/// From outside, because a process may set its own limits only before `exec`, in unsafe code. What the child did in the
/// microseconds before is a fraction of what it may do.
fn confine(child: &Child) {
    let Ok(pid) = i32::try_from(child.id()) else { return };
    let pid = Pid::from_raw(pid);
    for (resource, most) in [(Resource::As, ADDRESS_SPACE), (Resource::Cpu, CPU_SECONDS)] {
        // Fails when the child has already ended.
        let _ = prlimit(pid, resource, Rlimit { current: Some(most), maximum: Some(most) });
    }
    // Whoever serves goes first: a daemon that is kept from its gossip by compilers is taken for dead.
    let _ = setpriority_process(pid, PRIORITY);
}

/// What the child says, once it has said all: when it ends, its end of the pipe closes.
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
