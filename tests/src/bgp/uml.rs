//! User-mode Linux (Documentation/virt/uml of the kernel): runs Debian's kernel as a process, for features that this machine's
//! own lacks. Its first process is another instance of the calling program, on the machine's files, read-only. Independent of
//! the work that is done there.
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::kmod::{ModuleInitFlags, finit_module};
use nix::mount::{MsFlags, mount};

use crate::namespace::feed;
use crate::{product, wait};

/// Its program, and the package that contains it.
pub const PROGRAM: (&str, &str) = ("linux.uml", "user-mode-linux");
/// True if Debian builds it for this processor.
pub const EXISTS: bool = cfg!(target_arch = "x86_64");

/// Environment variable of the first process alone: the machine's folder for its answer.
const ANSWER: &str = "OUTRIGGER_UML_ANSWER";
/// Mount point of that folder in the guest.
const MACHINE: &str = "/run/machine";
const DONE: &str = "all is well";
/// Kernel modules that namespaces, wires and VRFs need, in order of dependency.
const MODULES: [&str; 4] =
    ["lib/crc-ccitt", "net/ipv6/ipv6", "drivers/net/vrf", "drivers/net/veth"];

/// Boots it for [`first_process`], and waits until it has answered and ended.
///
/// # Errors
/// Returns the error reported there, or its console output when it does not answer in time.
pub fn boot(folder: &Path, limit: Duration) -> Result<()> {
    ensure!(
        crate::sandbox::installed(PROGRAM.0),
        "missing: {}; install with: apt-get install {}",
        PROGRAM.0,
        PROGRAM.1
    );
    let mut machine = Machine::start(folder)?;
    let ended = wait::until("user-mode Linux does its work", limit, || Ok(machine.0.try_wait()?));
    drop(machine);
    let console = fs::read(folder.join("console")).unwrap_or_default();
    let console = || format!("its console:\n{}", String::from_utf8_lossy(&console));
    ended.with_context(console)?;
    let answer = fs::read_to_string(folder.join("answer")).unwrap_or_default();
    ensure!(answer == DONE, "in user-mode Linux: {answer}\n{}", console());
    Ok(())
}

/// Its process. Processes it started end with it; killed when dropped.
struct Machine(Child);

impl Machine {
    fn start(folder: &Path) -> Result<Self> {
        let console = File::create(folder.join("console"))?;
        let program = std::env::current_exe().context("no path of this program")?;
        let (answer, tested) = (folder.display(), product::binary()?);
        // Arguments that the kernel does not know become its first process's environment.
        let line = format!(
            "root=/dev/root rootfstype=hostfs rootflags=/ ro mem=768M con=null con0=null,fd:1 ssl=null quiet panic=1 \
             uml_dir={answer} init={} PATH=/usr/sbin:/usr/bin:/sbin:/bin {ANSWER}={answer} OUTRIGGER_BIN={}",
            program.display(),
            tested.display(),
        );
        let mut command = Command::new("setpriv");
        // Its processes are visible as ours on this machine: a namespace ends all of them with it.
        command.args(["--pdeathsig", "KILL", "--", "unshare", "--pid", "--fork", "--kill-child"]);
        command.args(["--", PROGRAM.0]).args(line.split(' '));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        // Its memory is a file there.
        command.env("TMPDIR", folder).env("HOME", folder);
        command.env("LD_PRELOAD", preloaded(folder)?);
        command.stdin(Stdio::null()).stdout(console.try_clone()?).stderr(console);
        Ok(Self(command.spawn().context("cannot run setpriv")?))
    }
}

/// Builds the library that lets it run on processors with more state than its kernel supports.
fn preloaded(folder: &Path) -> Result<PathBuf> {
    let (source, library) = (product::root().join("tests/uml/xstate.c"), folder.join("xstate.so"));
    let mut compiler = Command::new("gcc");
    compiler.args(["-shared", "-fPIC", "-O", "-Wall", "-Wextra", "-Werror", "-o"]);
    feed(compiler.arg(&library).arg(source), b"").context("gcc and libc6-dev are needed")?;
    Ok(library)
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// Returns true if this process is the first of a user-mode Linux that [`boot`] started.
pub fn is_first_process() -> bool {
    std::env::var_os(ANSWER).is_some()
}

/// Runs the work there, writes the answer, and powers the machine off.
pub fn first_process(work: impl FnOnce() -> Result<()>) {
    let done = prepare().and_then(|()| work());
    let answer = done.map_or_else(|error| format!("{error:#}"), |()| DONE.to_owned());
    if fs::write(Path::new(MACHINE).join("answer"), &answer).is_err() {
        println!("{answer}");
    }
    // Without init(1) nothing else does this (Documentation/admin-guide/sysrq.rst).
    let _ = fs::write("/proc/sysrq-trigger", "o");
    loop {
        std::thread::park();
    }
}

fn prepare() -> Result<()> {
    for (kind, at) in [("proc", "/proc"), ("sysfs", "/sys"), ("tmpfs", "/run")] {
        let none: Option<&str> = None;
        mount(Some(kind), at, Some(kind), MsFlags::empty(), none)
            .with_context(|| format!("cannot mount {at}"))?;
    }
    fs::create_dir(MACHINE)?;
    let folder = std::env::var(ANSWER).context("the folder for the result is not set")?;
    mount(Some("none"), MACHINE, Some("hostfs"), MsFlags::empty(), Some(folder.as_str()))
        .with_context(|| format!("cannot mount the machine's {folder}"))?;
    MODULES.into_iter().try_for_each(load)
}

fn load(module: &str) -> Result<()> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let modules = PathBuf::from("/usr/lib/uml/modules").join(release.trim()).join("kernel");
    let path = modules.join(module).with_extension("ko");
    // A missing module may be part of the kernel. If it is not, the work fails with its own error.
    let Ok(file) = File::open(&path) else { return Ok(()) };
    match finit_module(file, c"", ModuleInitFlags::empty()) {
        Ok(()) | Err(nix::Error::EEXIST) => Ok(()),
        Err(error) => bail!("cannot load {}: {error}", path.display()),
    }
}
