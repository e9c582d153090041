//! Builds plugins into components with any WebAssembly toolchain available on the machine, for build scripts, tests
//! and xtask. Does not depend on the function of a plugin.
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

/// The only compilation target of plugins. It has no WASI, so nothing can be imported by accident.
const TARGET: &str = "wasm32-unknown-unknown";

/// Builds examples of the package or workspace in `folder`, each with `crate-type = ["cdylib"]`, and returns their
/// components in the same order, `<target>/guests/<example>.wasm`. One cargo builds several of them in parallel and
/// builds shared crates once.
///
/// `target` is cargo's target folder. The build uses `guests` below it, because the cargo that runs a build script
/// holds the lock of its own folder. A component that would not change is not written.
///
/// # Errors
/// Returns an error if no toolchain on this machine can build WebAssembly, if an example does not compile, or if it
/// is not a component of one of the worlds.
pub fn examples(folder: &Path, names: &[&str], target: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let toolchain = Toolchain::find(folder)?;
    let guests = target.join("guests");
    fs::create_dir_all(&guests).with_context(|| format!("cannot create {}", guests.display()))?;
    let lock =
        File::create(guests.join(".lock")).context("cannot create the lock file of the guests")?;
    lock.lock().context("cannot lock the folder of the guests")?;

    let component = |name: &str| guests.join(name).with_extension("wasm");
    let inputs = inputs::digest(folder, &toolchain)?;
    let is_fresh = |name: &&str| {
        let stamp = component(name).with_extension("inputs");
        component(name).exists() && fs::read_to_string(stamp).is_ok_and(|from| from == inputs)
    };
    if !names.iter().all(is_fresh) {
        let mut cargo = toolchain.cargo(&guests);
        cargo.current_dir(folder).args(names.iter().flat_map(|name| ["--example", name]));
        let output = cargo.output().with_context(|| format!("cannot run {cargo:?}"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("cannot build {} for {TARGET}:\n{said}", names.join(", "));
        }
        for name in names {
            let module = guests.join(TARGET).join("release/examples").join(name.replace('-', "_"));
            let module = module.with_extension("wasm");
            ensure!(module.exists(), "{name} has no crate-type \"cdylib\"");
            encode(&module, &component(name))?;
            let stamp = component(name).with_extension("inputs");
            fs::write(&stamp, &inputs)
                .with_context(|| format!("cannot write {}", stamp.display()))?;
        }
    }
    Ok(names.iter().map(|name| component(name)).collect())
}

/// Converts a core module that carries its world into a component.
fn encode(module: &Path, component: &Path) -> anyhow::Result<()> {
    let bytes = fs::read(module).with_context(|| format!("cannot read {}", module.display()))?;
    let bytes = ComponentEncoder::default()
        .validate(true)
        .module(&bytes)
        .and_then(|mut encoder| encoder.encode())
        .with_context(|| {
            format!("{} is not a component of the worlds in wit/", module.display())
        })?;
    write(component, &bytes).with_context(|| format!("cannot write {}", component.display()))
}

/// Replaces the file atomically, so that readers see the old or the new content. Unchanged content is not written, so
/// that cargo sees no change.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let new = path.with_extension("new");
    fs::write(&new, bytes)?;
    fs::rename(&new, path)
}
