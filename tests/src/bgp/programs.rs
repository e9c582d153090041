//! Locations of the routers' programs: Debian's FRR, BIRD and ExaBGP; GoBGP from its own modules, because Debian's is too old
//! for BFD, built with Go and kept in the cache.
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::mount::{MsFlags, mount};

use super::uml;
use crate::kubernetes::binaries::cache_of;
use crate::sandbox;

/// Version of GoBGP.
pub const GOBGP: &str = "4.8.0";
/// Folder of FRR's daemons in Debian.
const FRR: &str = "/usr/lib/frr";
const GOBGP_PROGRAMS: [&str; 2] = ["gobgp", "gobgpd"];

/// Returns the missing Debian packages of routers, and of a kernel for features that this machine's lacks.
pub fn missing_packages() -> Vec<&'static str> {
    let frr = Path::new(FRR).join("bgpd").is_file();
    let (kernel, package) = uml::PROGRAM;
    let wanted = [
        ("frr", frr),
        ("bird2", sandbox::installed("bird")),
        ("exabgp", sandbox::installed("exabgp")),
        (package, !uml::EXISTS || sandbox::installed(kernel)),
    ];
    wanted.into_iter().filter_map(|(package, here)| (!here).then_some(package)).collect()
}

/// Returns the path of one of FRR's daemons.
pub fn frr(daemon: &str) -> PathBuf {
    Path::new(FRR).join(daemon)
}

/// Returns the path of one of GoBGP's programs.
///
/// # Errors
/// When it was not obtained.
pub fn gobgp(program: &str) -> Result<PathBuf> {
    let path = cache_of("gobgp", GOBGP)?.join(program);
    ensure!(path.is_file(), "GoBGP {GOBGP} is missing. Run: cargo xtask setup");
    Ok(path)
}

/// Builds GoBGP with Go, from the module that Go's checksum database lists, unless it is in the cache.
///
/// # Errors
/// When Go is missing or cannot build it.
pub fn obtain_gobgp() -> Result<()> {
    if GOBGP_PROGRAMS.iter().all(|program| gobgp(program).is_ok()) {
        return Ok(());
    }
    println!("GoBGP {GOBGP} is missing; building it with Go");
    let folder = cache_of("gobgp", GOBGP)?;
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut install = Command::new("nice");
    install.args(["-n", "10", "go", "install"]);
    install
        .args(GOBGP_PROGRAMS.map(|name| format!("github.com/osrg/gobgp/v4/cmd/{name}@v{GOBGP}")));
    install.env("GOBIN", &folder).env("CGO_ENABLED", "0").env("GOFLAGS", "");
    let status = install
        .current_dir(&folder)
        .status()
        .context("cannot run go; install Go 1.25 or later (https://go.dev/dl)")?;
    ensure!(status.success(), "go could not build GoBGP: {status}");
    Ok(())
}

/// Allows FRR to run as this process's user, which its build does not have: it requires a group `frrvty` for its sockets, with
/// the user as a member. This process's own view of the machine gets such a group with root in it. Call it after
/// [`sandbox::enter`].
///
/// # Errors
/// When the group file cannot be read or replaced.
pub fn let_frr_run() -> Result<()> {
    let own = Path::new("/run/outrigger/group");
    fs::create_dir_all("/run/outrigger")?;
    let mut file = fs::File::create(own)?;
    for line in fs::read_to_string("/etc/group").context("no /etc/group")?.lines() {
        let line = if line.starts_with("frrvty:") { "frrvty:x:0:root" } else { line };
        writeln!(file, "{line}")?;
    }
    let none: Option<&str> = None;
    mount(Some(own), "/etc/group", none, MsFlags::MS_BIND, none)
        .context("cannot replace /etc/group for FRR")
}
