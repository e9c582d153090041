//! The compiling child process, both sides of it: what it does, and how the daemon starts, bounds and reads it. A compiler
//! costs hundreds of MiB and may be made to run for ever or to panic by what it is given, so it lives and dies apart.
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

/// So much processor time a child may take unless somebody says otherwise; the slowest known component takes 8 s (StarlingMonkey).
pub(crate) const WITHIN: Duration = Duration::from_secs(60);
/// So many times its processor time a child may live: on a machine that is busy with something else it gets little of it, and only
/// one that is stuck comes to this end.
const PATIENCE: u32 = 5;
/// How often a child that has closed its end of the pipe is looked at, and how many times: for two seconds.
const LOOK: Duration = Duration::from_millis(5);
const LOOKS: u32 = 400;
/// Tells the child how many seconds of processor time it has.
const SECONDS: &str = "OUTRIGGER_COMPILE_SECONDS";
/// What a process dies of that used up its processor time.
const SIGXCPU: i32 = 24;
/// How Rust's allocator begins when there is no memory left.
const NO_MEMORY: &str = "memory allocation of ";
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
    /// The child took too much processor time, or did not end, and was killed.
    #[error("compiling took longer than {seconds} s and was stopped; make the component smaller")]
    TimedOut {
        /// What it had.
        seconds: u64,
    },
    /// The child would have needed more than it may have.
    #[error(
        "compiling it needs more than the {mib} MiB of memory that are left for it here; make the component smaller, or give Outrigger more memory"
    )]
    Memory {
        /// What it had, in MiB.
        mib: u64,
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

/// The child's work: compiles the component in `input` into `output`, which is this user's alone. From the moment that both are
/// open this thread can do nothing but compute; what this machine cannot take from it is told on stderr.
///
/// # Errors
/// See [`CompileError`]. `output` is empty or cut short then.
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
    create(path)?.write_all(bytes)
}

fn create(path: &Path) -> std::io::Result<std::fs::File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
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

    /// Runs the child to its end, which comes when it has used `within` of processor time, and never later than [`PATIENCE`] times that.
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

/// How the child ended; `None` when it was stopped because it was too late. One that has said its last word `ends`, or should: it has
/// [`LOOKS`] for it.
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
