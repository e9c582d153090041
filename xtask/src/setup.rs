//! `cargo xtask setup`: installs the machine's prerequisites where that is possible, and lists them where it is not. Each part
//! costs nothing when its programs are already there.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use outrigger_tests::bgp::programs;
use outrigger_tests::guests::Guests;
use outrigger_tests::kubernetes::binaries::{self, Binaries};
use outrigger_tests::kubernetes::metallb;
use outrigger_tests::{clock, product, sandbox};

use crate::run;

const TARGET: &str = "wasm32-unknown-unknown";
/// Version of cargo-deny, which checks licences, sources and advisories.
const CARGO_DENY: &str = "0.20.2";
/// Policy script that decides if daemons start when their package is installed (invoke-rc.d(8)).
const POLICY: &str = "/usr/sbin/policy-rc.d";
/// Versions of LLVM in the order they are tried; "" is the distribution's default.
const LLVM: [&str; 8] = ["-22", "-21", "-20", "-19", "-18", "-17", "-16", ""];

/// Prerequisite that a machine may lack, and how long it usually takes to install on two processors.
struct Part {
    name: &'static str,
    takes: &'static str,
    /// Missing programs and packages.
    missing: Vec<String>,
    obtain: fn() -> Result<()>,
}

/// Installs every prerequisite: first prints what is missing and how long it takes, then installs it.
pub fn all() -> Result<()> {
    let parts: Vec<_> = parts()?.into_iter().filter(|part| !part.missing.is_empty()).collect();
    if !parts.is_empty() {
        println!(
            "missing programs, which are installed or built now (once; builds are cached in ~/.cache/outrigger):"
        );
    }
    for Part { name, takes, missing, .. } in &parts {
        println!("  {name} ({takes}): {}", missing.join(", "));
    }
    for part in &parts {
        let start = clock::now();
        (part.obtain)().with_context(|| format!("cannot set up: {}", part.name))?;
        println!("  {}: ready after {}", part.name, run::readable(clock::since(start)));
    }
    println!("setup: all programs are installed");
    Ok(())
}

fn parts() -> Result<[Part; 8]> {
    let packages = |missing: Vec<(&str, &str)>| {
        missing.into_iter().map(|(_, package)| package.to_owned()).collect::<Vec<_>>()
    };
    let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect::<Vec<_>>();
    let one =
        |is_missing: bool, name: &str| is_missing.then(|| name.to_owned()).into_iter().collect();
    Ok([
        Part {
            name: "programs of the network laboratory",
            takes: "seconds",
            missing: packages(sandbox::missing_programs()),
            obtain: network,
        },
        Part {
            name: "Rust for WebAssembly",
            takes: "a minute",
            missing: one(!rust_is_there(), TARGET),
            obtain: rust_for_wasm,
        },
        Part {
            name: "C for WebAssembly",
            takes: "a minute",
            missing: one(!c_is_there(), "clang, lld, wasi-libc"),
            obtain: c_for_wasm,
        },
        Part {
            name: "routers",
            takes: "a minute",
            missing: owned(programs::missing_packages()),
            obtain: router_packages,
        },
        Part {
            name: "GoBGP, built with Go",
            takes: "1 to 2 minutes",
            missing: one(programs::gobgp("gobgpd").is_err(), programs::GOBGP),
            obtain: programs::obtain_gobgp,
        },
        Part {
            name: "programs of the Kubernetes laboratory",
            takes: "a minute",
            missing: cluster_packages(),
            obtain: || install(&cluster_packages()),
        },
        Part {
            name: "Kubernetes, downloaded or built with Go",
            takes: "5 to 15 minutes to build",
            missing: owned(binaries::missing_of(binaries::ALL)?),
            obtain: || Binaries::obtain(binaries::ALL).map(drop),
        },
        Part {
            name: "MetalLB, built with Go",
            takes: "1 to 3 minutes",
            missing: one(metallb::Release::is_missing()?, metallb::VERSION),
            obtain: || metallb::Release::obtain().map(drop),
        },
    ])
}

/// Builds the guests, after installing their compilers.
pub fn guests() -> Result<Guests> {
    guest_compilers()?;
    println!("building the guests");
    Guests::build()
}

/// Installs the compilers for plugins: Rust and C for WebAssembly.
pub fn guest_compilers() -> Result<()> {
    rust_for_wasm()?;
    c_for_wasm()
}

/// Installs the programs of the network laboratory.
pub fn network() -> Result<()> {
    let missing = sandbox::missing_programs();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<_> = missing.iter().map(|(_, package)| (*package).to_owned()).collect();
    install(&packages)
}

/// Installs a compiler for libFuzzer, which is C++. Only `cargo xtask fuzz` needs it.
pub fn compiler_for_fuzzer() -> Result<()> {
    if sandbox::installed("c++") { Ok(()) } else { install(&["g++".to_owned()]) }
}

/// Installs the BGP speakers to test with: FRR, BIRD and ExaBGP of the distribution, GoBGP from its own modules; and user-mode
/// Linux, for features that the machine's kernel lacks.
pub fn routers() -> Result<()> {
    router_packages()?;
    programs::obtain_gobgp()
}

fn router_packages() -> Result<()> {
    let missing = programs::missing_packages();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<_> = missing.iter().map(|package| (*package).to_owned()).collect();
    without_starting(|| install(&packages))?;
    // They must not start at boot either: this machine is no router.
    if Path::new("/run/systemd/system").is_dir() {
        for unit in ["frr", "bird", "exabgp"] {
            run::succeeds(
                as_root("systemctl").context("no root privileges")?.args(["disable", unit]),
            );
        }
    }
    Ok(())
}

/// Installs keepalived for comparison. Only `cargo xtask bench layer2` needs it.
pub fn keepalived() -> Result<()> {
    if sandbox::installed("keepalived") {
        return Ok(());
    }
    without_starting(|| install(&["keepalived".to_owned()]))
}

/// Installs packages of daemons without starting the daemons, with a policy for invoke-rc.d that forbids it (exit code 101,
/// "action forbidden"). An existing policy is left unchanged.
fn without_starting(install: impl FnOnce() -> Result<()>) -> Result<()> {
    if Path::new(POLICY).exists() {
        return install();
    }
    let own = std::env::temp_dir().join(format!("outrigger-policy-{}", std::process::id()));
    fs::write(&own, "#!/bin/sh\nexit 101\n")?;
    let put = as_root("install").is_some_and(|mut command| {
        run::succeeds(command.args(["-m", "755"]).arg(&own).arg(POLICY))
    });
    let installed = install();
    if put {
        run::show(as_root("rm").context("no root privileges")?.arg(POLICY))?;
    }
    fs::remove_file(own)?;
    installed
}

/// Installs the programs of the Kubernetes laboratory, including the given cluster programs, and the checker for images.
pub fn kubernetes(programs: &[&'static str]) -> Result<()> {
    let packages = cluster_packages();
    if !packages.is_empty() {
        install(&packages)?;
    }
    Binaries::obtain(programs).map(drop)
}

/// Installs the same for a cluster of nodes, which also runs the load balancers that users migrate from.
pub fn cluster() -> Result<()> {
    kubernetes(binaries::ALL)?;
    metallb::Release::obtain().map(drop)
}

fn cluster_packages() -> Vec<String> {
    let programs = binaries::missing_programs();
    let mut packages: Vec<_> = programs.iter().map(|(_, package)| (*package).to_owned()).collect();
    if !sandbox::installed("skopeo") {
        packages.push("skopeo".to_owned());
    }
    // Only recommended by gcc, but needed to link a static program.
    if !Path::new("/usr/include/stdio.h").is_file() {
        packages.push("libc6-dev".to_owned());
    }
    packages.dedup();
    packages
}

/// Returns the path of cargo-deny: the one installed with cargo, or one that is built once.
pub fn cargo_deny() -> Result<PathBuf> {
    let root = binaries::cache_of("cargo-deny", CARGO_DENY)?;
    let own = root.join("bin/cargo-deny");
    if let Some(found) = [own.clone(), PathBuf::from("cargo-deny")]
        .into_iter()
        .find(|path| run::succeeds(Command::new(path).arg("--version")))
    {
        return Ok(found);
    }
    println!(
        "cargo-deny is missing; it is built without optimization, which takes some minutes, once"
    );
    let mut install = run::cargo(["install", "--locked", "--debug", "--version", CARGO_DENY]);
    install.args(["cargo-deny", "--root"]).arg(&root).env("CARGO_PROFILE_DEV_DEBUG", "0");
    run::show(&mut install)?;
    Ok(own)
}

fn rust_is_there() -> bool {
    ["rustc", "/usr/bin/rustc"].iter().any(|rustc| knows_wasm(rustc))
}

/// Installs a Rust that builds for WebAssembly: a target of rustup, or the distribution's compiler with the source of std.
fn rust_for_wasm() -> Result<()> {
    if rust_is_there() {
        return Ok(());
    }
    if run::succeeds(Command::new("rustup").arg("--version")) {
        println!("trying: rustup target add {TARGET}");
        let added = run::succeeds(
            Command::new("rustup").current_dir(product::root()).args(["target", "add", TARGET]),
        );
        if added && knows_wasm("rustc") {
            return Ok(());
        }
        println!("rustup cannot add it; trying the package of the distribution");
    }
    know_packages();
    let linker = first_available("lld", "").context("apt has no package lld")?;
    install(
        &["rustc-web", "cargo-web", "rust-web-src"]
            .map(str::to_owned)
            .into_iter()
            .chain([linker])
            .collect::<Vec<_>>(),
    )?;
    ensure!(
        knows_wasm("/usr/bin/rustc"),
        "no Rust toolchain on this machine supports {TARGET}; install one, for example with rustup"
    );
    Ok(())
}

fn knows_wasm(rustc: &str) -> bool {
    let output =
        Command::new(rustc).current_dir(product::root()).args(["--print", "sysroot"]).output();
    let Some(output) = output.ok().filter(|output| output.status.success()) else { return false };
    let rustlib = Path::new(String::from_utf8_lossy(&output.stdout).trim()).join("lib/rustlib");
    rustlib.join(TARGET).is_dir() || rustlib.join("src/rust/library/std/Cargo.toml").is_file()
}

fn c_is_there() -> bool {
    let complete = |version: &str| {
        sandbox::installed(&format!("clang{version}"))
            && sandbox::installed(&format!("wasm-ld{version}"))
            && runtime_of(version).is_some()
    };
    let library = Path::new("/usr/include/wasm32-wasi/stdlib.h").is_file();
    library && LLVM.iter().any(|version| complete(version))
}

/// Installs a C compiler and a C library for WebAssembly, for the policy that is written in C.
fn c_for_wasm() -> Result<()> {
    if c_is_there() {
        return Ok(());
    }
    know_packages();
    for version in LLVM {
        let packages = [
            format!("clang{version}"),
            format!("lld{version}"),
            format!("libclang-rt{version}-dev-wasm32"),
            "wasi-libc".to_owned(),
        ];
        if packages.iter().all(|package| available(package)) {
            return install(&packages);
        }
    }
    bail!(
        "no C compiler for WebAssembly: install clang, lld, wasi-libc and clang's runtime for wasm32"
    )
}

/// Returns the path of Clang's builtins for wasm32 on Debian.
fn runtime_of(version: &str) -> Option<PathBuf> {
    let version = version.trim_start_matches('-');
    let folder = if version.is_empty() {
        "/usr/lib/clang".into()
    } else {
        format!("/usr/lib/clang/{version}/lib/wasi")
    };
    Path::new(&folder).is_dir().then(|| folder.into())
}

fn first_available(name: &str, suffix: &str) -> Option<String> {
    LLVM.iter().map(|version| format!("{name}{version}{suffix}")).find(|package| available(package))
}

fn available(package: &str) -> bool {
    let policy = Command::new("apt-cache").args(["policy", package]).output();
    policy.is_ok_and(|output| {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().any(|line| line.trim().starts_with("Candidate:") && !line.contains("(none)"))
    })
}

fn install(packages: &[String]) -> Result<()> {
    let line = format!("install --yes --no-install-recommends {}", packages.join(" "));
    know_packages();
    let Some(mut command) = apt(&line) else {
        bail!("missing: {}; install with: sudo apt-get {line}", packages.join(", "));
    };
    run::show(&mut command).with_context(|| {
        format!("cannot install {}; without apt, install them by other means", packages.join(", "))
    })
}

/// Updates the package lists once: a new machine has none, or old ones.
fn know_packages() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        // If this fails, the existing lists have to do.
        let _ = apt("update").map(|mut update| run::show(&mut update));
    });
}

/// Returns an apt-get command, if this user may run it without a prompt.
fn apt(line: &str) -> Option<Command> {
    let mut command = as_root("apt-get")?;
    command.args(line.split(' '));
    Some(command)
}

/// Returns a command that runs a program as root, if this user may do so without a prompt.
fn as_root(program: &str) -> Option<Command> {
    if run::succeeds(Command::new("sh").args(["-c", "test $(id -u) = 0"])) {
        return Some(Command::new(program));
    }
    if run::succeeds(Command::new("sudo").args(["--non-interactive", "true"])) {
        let mut sudo = Command::new("sudo");
        sudo.arg(program);
        return Some(sudo);
    }
    None
}
