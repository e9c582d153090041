//! The programs of Kubernetes and etcd in exactly one version: from the cache, from `PATH`, from the official releases where
//! the network allows it, or built with Go. Obtained programs stay in the cache, one by one, so that an interrupted run resumes
//! where it ended. Independent of laboratories.
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::cluster::digest;
use crate::namespace::feed;
use crate::sandbox;

mod build;

/// Version of Kubernetes. `tests/kubernetes/go.mod` has it too.
pub const KUBERNETES: &str = "1.36.3";
/// Version of etcd that Kubernetes' own client of it has. `tests/kubernetes/etcd/go.mod` has it too.
pub const ETCD: &str = "3.6.8";
/// Programs that an API server alone needs.
pub const API: &[&str] = &["kube-apiserver", "etcd", "kubectl"];
/// Programs that a cluster needs: all released with Kubernetes, except etcd.
pub const ALL: &[&str] = &[
    "kube-apiserver",
    "etcd",
    "kubectl",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "kubelet",
];
/// Other programs that a laboratory runs, with Debian's package.
const NEEDED: [(&str, &str); 12] = [
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("nsenter", "util-linux"),
    ("setsid", "util-linux"),
    ("sysctl", "procps"),
    ("containerd", "containerd"),
    ("ctr", "containerd"),
    ("runc", "runc"),
    ("conntrack", "conntrack"),
    ("openssl", "openssl"),
    ("curl", "curl"),
    ("gcc", "gcc"),
];
/// Folders of CNI plugins: that of Debian's package, and the usual one for manual installation.
const CNI: [&str; 2] = ["/usr/lib/cni", "/opt/cni/bin"];
/// Timeout in seconds for an answer from the servers of the releases.
const REACH: &str = "4";

/// Paths of the programs.
#[derive(Debug, Clone)]
pub struct Binaries {
    paths: BTreeMap<&'static str, PathBuf>,
}

impl Binaries {
    /// Finds these programs, and obtains those that are missing; prints its progress when that takes long.
    ///
    /// # Errors
    /// When one can neither be found nor downloaded nor built.
    pub fn obtain(programs: &[&'static str]) -> Result<Self> {
        let found = Self::found()?;
        if programs.iter().all(|program| found.paths.contains_key(program)) {
            return Ok(found);
        }
        let cache = cache()?;
        fs::create_dir_all(&cache).with_context(|| format!("cannot make {}", cache.display()))?;
        // A concurrent run waits here, and then finds everything.
        let lock = File::create(cache.join("lock"))?;
        if lock.try_lock().is_err() {
            println!("another process downloads or builds Kubernetes {KUBERNETES}; waiting for it");
            lock.lock().context("cannot lock the cache of Kubernetes programs")?;
        }
        let missing = missing(programs, &cache);
        println!("Kubernetes {KUBERNETES}: missing programs: {}", missing.join(", "));
        build::all(&downloaded(missing, &cache)?, &cache)?;
        Self::found()
    }

    /// Returns the programs that are already there.
    ///
    /// # Errors
    /// When the user has no folder for a cache.
    pub fn found() -> Result<Self> {
        let cache = cache()?;
        let found = |program| find(program, &cache).map(|path| (program, path));
        Ok(Self { paths: ALL.iter().copied().filter_map(found).collect() })
    }

    /// Returns the path of a program; its name alone if it was not found.
    pub fn path(&self, program: &str) -> PathBuf {
        self.paths.get(program).cloned().unwrap_or_else(|| program.into())
    }
}

/// Returns those of the programs that are neither in the cache nor in `PATH`.
///
/// # Errors
/// When the user has no folder for a cache.
pub fn missing_of(programs: &[&'static str]) -> Result<Vec<&'static str>> {
    Ok(missing(programs, &cache()?))
}

fn missing(programs: &[&'static str], cache: &Path) -> Vec<&'static str> {
    programs.iter().copied().filter(|program| find(program, cache).is_none()).collect()
}

/// Returns the missing other programs of a laboratory, with Debian's packages.
pub fn missing_programs() -> Vec<(&'static str, &'static str)> {
    let missing = NEEDED.into_iter().filter(|(program, _)| !sandbox::installed(program));
    let plugins = cni_plugins().is_none().then_some(("CNI plugins", "containernetworking-plugins"));
    missing.chain(plugins).collect()
}

/// Returns the folder of CNI plugins.
pub(super) fn cni_plugins() -> Option<&'static str> {
    CNI.into_iter().find(|folder| Path::new(folder).join("bridge").is_file())
}

fn cache() -> Result<PathBuf> {
    cache_of("kubernetes", KUBERNETES)
}

/// Returns `~/.cache/outrigger/<project>/<version>`, even if it does not exist.
///
/// # Errors
/// When the user has no folder for a cache.
pub fn cache_of(project: &str, version: &str) -> Result<PathBuf> {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
    let base = base.context("neither XDG_CACHE_HOME nor HOME is set")?;
    Ok(base.join("outrigger").join(project).join(version))
}

/// Finds a program in the cache, or in `PATH` if it reports our version.
fn find(program: &str, cache: &Path) -> Option<PathBuf> {
    let cached = cache.join(program);
    if cached.is_file() {
        return Some(cached);
    }
    let version = if program == "etcd" { ETCD } else { KUBERNETES };
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|candidate| {
        let arguments: &[_] =
            if program == "kubectl" { &["version", "--client"] } else { &["--version"] };
        candidate.is_file()
            && Command::new(candidate).args(arguments).output().is_ok_and(|output| {
                let said = String::from_utf8_lossy(&output.stdout).into_owned();
                said.split_whitespace().any(|word| word.trim_start_matches('v') == version)
            })
    })
}

/// Downloads the available programs and returns the rest, which must be built. If one release cannot be reached, the others are
/// not tried.
fn downloaded(missing: Vec<&'static str>, cache: &Path) -> Result<Vec<&'static str>> {
    let mut programs = missing.into_iter();
    for program in programs.by_ref() {
        let new = cache.join(format!("{program}.new"));
        let fetched = if program == "etcd" { download_etcd(&new) } else { download(program, &new) };
        match fetched {
            Ok(()) => {
                keep(&new, &cache.join(program))?;
                println!("  {program}: downloaded");
            }
            Err(error) if !sandbox::installed("go") => bail!(
                "the release cannot be downloaded ({error:#}), and Go is missing to build it; install Go 1.26 or later \
                 (https://go.dev/dl, or apt-get install golang where that is new enough), or put Kubernetes {KUBERNETES} and etcd \
                 {ETCD} into PATH"
            ),
            Err(error) => {
                println!("  {program}: the release cannot be downloaded ({error:#})");
                return Ok(std::iter::once(program).chain(programs).collect());
            }
        }
    }
    Ok(Vec::new())
}

/// Renames a complete program to its final name.
fn keep(new: &Path, program: &Path) -> Result<()> {
    fs::set_permissions(new, fs::Permissions::from_mode(0o755))?;
    fs::rename(new, program).with_context(|| format!("cannot keep {}", program.display()))
}

/// Returns the name that Go and the releases have for this processor.
fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}

fn download(program: &str, new: &Path) -> Result<()> {
    let architecture = architecture();
    let url = format!("https://dl.k8s.io/release/v{KUBERNETES}/bin/linux/{architecture}/{program}");
    let sum = fetch(&format!("{url}.sha256"))?;
    fetch_into(&url, new, sum.trim())
}

fn download_etcd(new: &Path) -> Result<()> {
    let name = format!("etcd-v{ETCD}-linux-{}", architecture());
    let release = format!("https://github.com/etcd-io/etcd/releases/download/v{ETCD}");
    let sums = fetch(&format!("{release}/SHA256SUMS"))?;
    let archive = new.with_extension("tar.gz");
    let line = sums.lines().find(|line| line.ends_with(&format!("{name}.tar.gz")));
    let sum = line.and_then(|line| line.split(' ').next()).context("no checksum of etcd")?;
    fetch_into(&format!("{release}/{name}.tar.gz"), &archive, sum)?;
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--gzip", "--to-stdout", "--file"]).arg(&archive);
    let program = tar.arg(format!("{name}/etcd")).output()?;
    ensure!(program.status.success(), "{} contains no etcd", archive.display());
    fs::write(new, program.stdout)?;
    fs::remove_file(archive).context("cannot remove the archive")
}

fn curl() -> Command {
    let mut curl = Command::new("curl");
    curl.args(["--fail", "--silent", "--show-error", "--location", "--connect-timeout", REACH]);
    curl
}

fn fetch(url: &str) -> Result<String> {
    feed(curl().args(["--max-time", REACH]).arg(url), b"").with_context(|| format!("no {url}"))
}

fn fetch_into(url: &str, file: &Path, sum: &str) -> Result<()> {
    feed(curl().args(["--continue-at", "-", "--output"]).arg(file).arg(url), b"")?;
    let has = digest(&fs::read(file)?);
    if has != sum {
        fs::remove_file(file)?;
        bail!("{url} has the SHA-256 {has} and should have {sum}");
    }
    Ok(())
}
