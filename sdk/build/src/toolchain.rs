//! Finds a Rust toolchain on this machine that can build for WebAssembly, and runs its cargo from within another
//! cargo.
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::bail;

use crate::TARGET;

/// Release profile of plugins: optimized as one unit and without unneeded content, because plugins are shipped in
/// ConfigMaps, which hold at most 1 MiB.
const PROFILE: [&str; 7] = [
    "opt-level = 3",
    "lto = 'fat'",
    "codegen-units = 1",
    "panic = 'abort'",
    "strip = 'symbols'",
    "debug = 'none'",
    "incremental = false",
];

/// A Rust toolchain that can build [`TARGET`].
#[derive(Debug)]
pub struct Toolchain {
    /// Folder of cargo and rustc, or `None` for those in the PATH.
    bin: Option<PathBuf>,
    standard_library: StandardLibrary,
}

/// The form in which a toolchain provides the standard library for the target.
#[derive(Debug)]
enum StandardLibrary {
    /// Installed by `rustup target add`.
    Compiled,
    /// Shipped as source, as in Debian's rustc-web with rust-web-src, where the linker is also in another package.
    Source {
        /// Path of the linker; `None` if rustc has its own.
        linker: Option<PathBuf>,
    },
}

impl Toolchain {
    /// Finds a toolchain. The workspace's toolchain is preferred to the distribution's, and a compiled standard
    /// library to its source.
    pub fn find(workspace: &Path) -> anyhow::Result<Self> {
        let candidates = || [None, Some(PathBuf::from("/usr/bin"))].into_iter();
        let found = candidates()
            .find_map(|bin| Self::with_compiled(bin, workspace))
            .or_else(|| candidates().find_map(|bin| Self::with_source(bin, workspace)));
        let Some(toolchain) = found else {
            bail!(
                "no Rust toolchain here can build WebAssembly ({TARGET}): run `cargo xtask setup`"
            )
        };
        Ok(toolchain)
    }

    fn with_compiled(bin: Option<PathBuf>, workspace: &Path) -> Option<Self> {
        let folder = ask(&bin, workspace, &["--print", "target-libdir", "--target", TARGET])?;
        folder.exists().then_some(Self { bin, standard_library: StandardLibrary::Compiled })
    }

    fn with_source(bin: Option<PathBuf>, workspace: &Path) -> Option<Self> {
        let rustlib = ask(&bin, workspace, &["--print", "sysroot"])?.join("lib/rustlib");
        if !rustlib.join("src/rust/library/std/Cargo.toml").exists() {
            return None;
        }
        let mut hosts = fs::read_dir(&rustlib).ok()?.flatten();
        let own = hosts.any(|host| host.path().join("bin/rust-lld").exists());
        let linker = if own { None } else { Some(wasm_ld()?) };
        Some(Self { bin, standard_library: StandardLibrary::Source { linker } })
    }

    /// Returns a `cargo build` command for the target that builds into this folder.
    pub fn cargo(&self, target_dir: &Path) -> Command {
        let mut cargo = command(&self.bin, "cargo");
        cargo.args(["build", "--release", "--target", TARGET]);
        cargo.env("CARGO_TARGET_DIR", target_dir);
        for setting in PROFILE {
            cargo.args(["--config", &format!("profile.release.{setting}")]);
        }
        if let Some(bin) = &self.bin {
            cargo.env("RUSTC", bin.join("rustc"));
        }
        if let StandardLibrary::Source { linker } = &self.standard_library {
            // -Z needs nightly; this variable makes a distribution's stable compiler accept it.
            cargo.env("RUSTC_BOOTSTRAP", "1");
            cargo.args(["-Zbuild-std=std,panic_abort", "-Zbuild-std-features="]);
            if let Some(linker) = linker {
                cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
            }
        }
        cargo
    }
}

/// Returns a path printed by rustc; `None` if rustc cannot be run or fails.
fn ask(bin: &Option<PathBuf>, workspace: &Path, arguments: &[&str]) -> Option<PathBuf> {
    let output = command(bin, "rustc").current_dir(workspace).args(arguments).output().ok()?;
    let path = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| PathBuf::from(path.trim()))
}

/// Returns a command for a program of the toolchain, without the variables that an outer cargo (or clippy, through
/// its wrapper) set for its own build.
fn command(bin: &Option<PathBuf>, program: &str) -> Command {
    const KEPT: [&str; 5] =
        ["CARGO_HOME", "CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTR", "CARGO_SOURCE_"];
    let mut command = match bin {
        Some(bin) => Command::new(bin.join(program)),
        None => Command::new(program),
    };
    for (name, _) in env::vars_os() {
        let Some(name) = name.to_str() else { continue };
        let cargos = name.starts_with("CARGO") && !KEPT.iter().any(|kept| name.starts_with(kept));
        let rustcs = name.starts_with("RUST") && !name.starts_with("RUSTUP");
        if cargos || rustcs || ["LD_LIBRARY_PATH", "MAKEFLAGS"].contains(&name) {
            command.env_remove(name);
        }
    }
    command
}

/// Returns LLVM's linker for WebAssembly; the newest version if only names with a version exist, as in distributions.
pub fn wasm_ld() -> Option<PathBuf> {
    newest("wasm-ld")
}

/// Returns the path of `<program>`, or else of the newest `<program>-<version>`, in the PATH; `None` if there is
/// none.
pub fn newest(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let versioned = (14..40).rev().map(|version| format!("{program}-{version}"));
    std::iter::once(program.to_owned())
        .chain(versioned)
        .flat_map(|name| env::split_paths(&path).map(move |folder| folder.join(&name)))
        .find(|candidate| candidate.is_file())
}
