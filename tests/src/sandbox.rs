//! Moves this process into namespaces of its own, so that a laboratory needs no root, touches nothing of the machine, and
//! disappears in any case with the last of its processes.
use std::path::Path;

use anyhow::{Context, Result, bail};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getgid, getuid};

/// Programs that a laboratory runs, each with its package.
pub const PROGRAMS: [(&str, &str); 4] =
    [("ip", "iproute2"), ("nft", "nftables"), ("nsenter", "util-linux"), ("setpriv", "util-linux")];

/// Enters new user, network and mount namespaces with a private `/run`, where `ip netns` and the laboratories keep their files.
/// Call it first in `main`: the kernel requires a process with one thread (user_namespaces(7)).
///
/// # Errors
/// When a program is missing, or when the machine does not allow it; both tell the remedy.
pub fn enter() -> Result<()> {
    let missing = missing_programs();
    if !missing.is_empty() {
        let packages: Vec<_> = missing.iter().map(|(_, package)| *package).collect();
        let names: Vec<_> = missing.iter().map(|(program, _)| *program).collect();
        bail!(
            "missing: {}; install with: apt-get install {}",
            names.join(", "),
            packages.join(" ")
        );
    }
    let (user, group) = (getuid(), getgid());
    if user.is_root() {
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).context(
            "cannot create namespaces as root; in a container, run it with --privileged",
        )?;
    } else {
        unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).context(
            "this machine allows no user namespaces; allow them (sysctl kernel.unprivileged_userns_clone=1, on Ubuntu \
             kernel.apparmor_restrict_unprivileged_userns=0) or run as root",
        )?;
        std::fs::write("/proc/self/setgroups", "deny").context("cannot deny setgroups")?;
        std::fs::write("/proc/self/uid_map", format!("0 {user} 1"))
            .context("cannot map the user")?;
        std::fs::write("/proc/self/gid_map", format!("0 {group} 1"))
            .context("cannot map the group")?;
    }
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .context("cannot make mounts private")?;
    mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), none)
        .context("cannot mount a private /run")?;
    Ok(())
}

/// Returns those of [`PROGRAMS`] that are neither in `PATH` nor where Debian keeps them.
pub fn missing_programs() -> Vec<(&'static str, &'static str)> {
    PROGRAMS.into_iter().filter(|(program, _)| !installed(program)).collect()
}

/// Returns true if a program can be found.
pub fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(Into::into))
        .any(|folder| Path::new(&folder).join(program).is_file())
}
