//! Builds a plugin package into a component, with whatever WebAssembly toolchain the machine has. For build scripts,
//! tests and xtask. Knows nothing of what a plugin does.
#![forbid(unsafe_code)]
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use wit_component::ComponentEncoder;

#[cfg(feature = "c")]
pub mod c;
mod inputs;
mod toolchain;

use toolchain::Toolchain;

/// The one target of plugins: no WASI, so nothing can be imported by accident.
const TARGET: &str = "wasm32-unknown-unknown";

/// A Rust package that is to become a component, and how.
#[derive(Debug, Clone)]
pub struct Guest {
    /// The folder of its Cargo.toml.
    pub manifest_dir: PathBuf,
    /// The package's name.
    pub package: String,
    /// Cargo features to turn on.
    pub features: Vec<String>,
    /// Cargo's `opt-level`: 3, or another to get a component that does the same and has another digest.
    pub opt_level: u8,
}

impl Guest {
    /// This package, optimized for speed, without features.
    pub fn new(manifest_dir: impl Into<PathBuf>, package: &str) -> Self {
        let package = package.to_owned();
        Self { manifest_dir: manifest_dir.into(), package, features: Vec::new(), opt_level: 3 }
    }

    /// The same with one more feature.
    #[must_use]
    pub fn feature(mut self, feature: &str) -> Self {
        self.features.push(feature.to_owned());
        self
    }

    /// The same with another `opt-level`.
    #[must_use]
    pub fn opt_level(mut self, opt_level: u8) -> Self {
        self.opt_level = opt_level;
        self
    }

    /// "hostile-trap", "outrigger-layer2-O2".
    fn file_stem(&self) -> String {
        let mut stem = self.package.clone();
        for feature in &self.features {
            stem = format!("{stem}-{feature}");
        }
        if self.opt_level != 3 {
            stem = format!("{stem}-O{}", self.opt_level);
        }
        stem
    }
}

/// Builds a guest and returns its component, `<target>/guests/<package>[-<feature>…][-O<level>].wasm`.
///
/// `target` is cargo's target folder. The build happens in `guests` below it, since the cargo that runs a build
/// script holds the lock of its own. A file that would stay the same is not touched.
///
/// # Errors
/// When no toolchain on this machine can build WebAssembly, when the package does not compile, or when it is not a
/// component of one of the worlds.
pub fn build(guest: &Guest, target: &Path) -> anyhow::Result<PathBuf> {
    let toolchain = Toolchain::find(&guest.manifest_dir)?;
    let guests = target.join("guests");
    fs::create_dir_all(&guests).with_context(|| format!("cannot create {}", guests.display()))?;
    // Two variants of one package leave their module at the same path.
    let lock = File::create(guests.join(".lock")).context("cannot create the guests' lock")?;
    lock.lock().context("cannot lock the guests' folder")?;

    let component = guests.join(format!("{}.wasm", guest.file_stem()));
    let inputs = inputs::digest(guest, &toolchain)?;
    let stamp = component.with_extension("inputs");
    if component.exists() && fs::read_to_string(&stamp).is_ok_and(|built_from| built_from == inputs)
    {
        return Ok(component);
    }
    forget_ambiguous(&guests)?;
    let mut cargo = toolchain.cargo(&guests, guest.opt_level);
    cargo.current_dir(&guest.manifest_dir).args(["--package", &guest.package]);
    if !guest.features.is_empty() {
        cargo.arg("--features").arg(guest.features.join(","));
    }
    let output = cargo.output().with_context(|| format!("cannot run {cargo:?}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("cannot build {} for {TARGET}:\n{said}", guest.package);
    }
    let module = format!("{}.wasm", guest.package.replace('-', "_"));
    let module = guests.join(TARGET).join("release").join(module);
    ensure!(module.exists(), "{} has no crate-type \"cdylib\" in [lib]", guest.package);
    encode(&module, &component)?;
    fs::write(&stamp, inputs).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(component)
}

/// Cargo names what is a "cdylib" as well without a hash of how it was built, so that a plugin built otherwise, or built as a part
/// of a guest, lies where it looks for another and takes that for up to date. What is not there is built.
fn forget_ambiguous(guests: &Path) -> anyhow::Result<()> {
    let built = guests.join(TARGET).join("release/deps");
    let Ok(files) = fs::read_dir(&built) else { return Ok(()) };
    for path in files.flatten().map(|file| file.path()) {
        let is_library = path.extension().is_some_and(|it| it == "rlib" || it == "wasm");
        let is_ambiguous =
            path.file_stem().is_some_and(|stem| !stem.to_string_lossy().contains('-'));
        if is_library && is_ambiguous {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

/// Turns a core module that carries its world into a component.
fn encode(module: &Path, component: &Path) -> anyhow::Result<()> {
    let bytes = fs::read(module).with_context(|| format!("cannot read {}", module.display()))?;
    let bytes = ComponentEncoder::default()
        .validate(true)
        .module(&bytes)
        .and_then(|encoder| encoder.encode())
        .with_context(|| format!("{} is not a component of our worlds", module.display()))?;
    write(component, &bytes).with_context(|| format!("cannot write {}", component.display()))
}

/// Whoever reads the file meanwhile sees the old one or the new one, and cargo sees no change where there is none.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let new = path.with_extension("new");
    fs::write(&new, bytes)?;
    fs::rename(&new, path)
}
