//! Builds the programs with Go, those of one module with one `go build`, which compiles shared code once.
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::{ETCD, KUBERNETES, keep};
use crate::{clock, product};

/// Memory in GiB that the linker of a kubelet needs.
const GIB_EACH: u64 = 2;
/// Interval between two checks for finished programs.
const LOOK: Duration = Duration::from_millis(500);

/// Builds these programs from the module sources that `go.sum` pins.
pub(super) fn all(programs: &[&str], cache: &Path) -> Result<()> {
    let modules = product::root().join("tests/kubernetes");
    let (etcd, kubernetes): (Vec<&str>, Vec<&str>) =
        programs.iter().partition(|program| **program == "etcd");
    if !kubernetes.is_empty() {
        let packages: Vec<_> =
            kubernetes.iter().map(|program| format!("k8s.io/kubernetes/cmd/{program}")).collect();
        one_module(&modules, &packages, cache)
            .with_context(|| format!("cannot build {}", kubernetes.join(", ")))?;
    }
    if !etcd.is_empty() {
        // The package's folder names the program, and it is the major version.
        let package = format!("go.etcd.io/etcd/server/v{}", &ETCD[..1]);
        one_module(&modules.join("etcd"), &[package], cache).context("cannot build etcd")?;
        ensure!(cache.join("server").is_file(), "go built no server");
        fs::rename(cache.join("server"), cache.join("etcd"))?;
    }
    Ok(())
}

fn one_module(module: &Path, packages: &[String], cache: &Path) -> Result<()> {
    let new = cache.join("new");
    fs::create_dir_all(&new).with_context(|| format!("cannot make {}", new.display()))?;
    let mut go = Command::new("nice");
    go.args(["-n", "10", "go", "build", "-trimpath", "-buildvcs=false"])
        .arg(format!("-p={}", side_by_side()))
        .arg("-ldflags")
        .arg(flags())
        .arg("-o")
        // The trailing slash makes it a folder.
        .arg(format!("{}/", new.display()))
        .args(packages);
    println!("  building with Go: {}", packages.join(", "));
    let go = go.current_dir(module).env("CGO_ENABLED", "0").env("GOFLAGS", "");
    watch(go.spawn().context("cannot run go")?, &new)?;
    for program in files(&new)? {
        let name = program.file_name().context("a file without a name")?;
        keep(&program, &cache.join(name))?;
    }
    fs::remove_dir(&new).with_context(|| format!("cannot remove {}", new.display()))
}

/// Prints programs as they are finished, until go ends.
fn watch(mut go: Child, folder: &Path) -> Result<()> {
    let start = clock::now();
    let mut known = BTreeSet::new();
    loop {
        let ended = go.try_wait()?;
        for program in files(folder)? {
            let name = program.file_name().unwrap_or_default().to_owned();
            if known.insert(name.clone()) {
                let seconds = clock::since(start).as_secs();
                println!(
                    "  {}: built after {} min {:02} s",
                    name.display(),
                    seconds / 60,
                    seconds % 60
                );
            }
        }
        match ended {
            Some(status) if status.success() => return Ok(()),
            Some(status) => bail!("go failed: {status}"),
            None => std::thread::sleep(LOOK),
        }
    }
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    entries.collect()
}

/// Returns the number of parallel compilers and linkers: that of the processors, unless memory is short.
fn side_by_side() -> u64 {
    let processors = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let free = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = free.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.map_or(1, |kib| kib / (GIB_EACH << 20)).clamp(1, processors)
}

/// Returns the linker flags, as hack/lib/version.sh of Kubernetes sets them; without them, a kubelet reports v0.0.0.
fn flags() -> String {
    let (major_minor, _) = KUBERNETES.rsplit_once('.').expect("a version has three parts");
    let (major, minor) = major_minor.split_once('.').expect("a version has three parts");
    let variables = ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"].map(|room| {
        format!("-X {room}.gitVersion=v{KUBERNETES} -X {room}.gitMajor={major} -X {room}.gitMinor={minor}")
    });
    format!("-s -w {}", variables.join(" "))
}
