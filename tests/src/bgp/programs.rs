//! Where the routers' programs are: Debian's FRR, BIRD and ExaBGP; GoBGP from its own modules, since Debian's is too
//! old for BFD, built with Go and kept in the cache.
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::mount::{MsFlags, mount};

use super::uml;
use crate::kubernetes::binaries::cache_of;
use crate::sandbox;

/// The version of GoBGP.
pub const GOBGP: &str = "4.8.0";
/// Where Debian keeps FRR's daemons.
const FRR: &str = "/usr/lib/frr";
const GOBGP_PROGRAMS: [&str; 2] = ["gobgp", "gobgpd"];

/// Debian packages of routers, and of a kernel for what this machine's lacks, that are not here.
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

/// One of FRR's daemons.
pub fn frr(daemon: &str) -> PathBuf {
    Path::new(FRR).join(daemon)
}

/// One of GoBGP's programs.
///
/// # Errors
/// When it was not obtained.
pub fn gobgp(program: &str) -> Result<PathBuf> {
    let path = cache_of("gobgp", GOBGP)?.join(program);
    ensure!(path.is_file(), "no GoBGP {GOBGP}; get it with: cargo xtask setup");
    Ok(path)
}

/// Builds GoBGP with Go, from the module that Go's checksum database knows, unless it is in the cache.
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

/// Lets FRR run as this process's user, whom its build does not know: it insists on a group `frrvty` for its sockets,
/// and that the user be in it. In this process's own view of the machine root is. Call it after [`sandbox::enter`].
///
/// # Errors
/// When the file of groups cannot be read or covered.
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
        .context("cannot cover /etc/group for FRR")
}
