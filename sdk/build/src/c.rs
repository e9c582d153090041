//! Builds a policy written in C into a component: bindings from the WIT, clang, and wasi-libc only for `malloc`, so
//! that nothing of WASI is imported.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use wit_bindgen_core::Files;
use wit_parser::Resolve;

use crate::toolchain::newest;

/// Builds the `.c` files of a folder as a component of the world `allocator` and returns its path,
/// `<target>/guests/<folder>.wasm`. `target` is cargo's target folder.
///
/// # Errors
/// Returns an error if clang or its WebAssembly parts are missing, or if the code does not compile.
pub fn build(folder: &Path, target: &Path) -> anyhow::Result<PathBuf> {
    let name = folder.file_name().context("the folder has no name")?;
    let guests = target.join("guests");
    let bindings = guests.join("c").join(name);
    generate(&bindings)?;

    let Some(clang) = newest("clang") else {
        bail!("clang is not in the PATH. Run: `cargo xtask setup`")
    };
    let module = bindings.join("module.wasm");
    let mut command = Command::new(clang);
    command
        .args(["--target=wasm32-wasi", "-std=c11", "-O2", "-Wall", "-Wextra", "-Wno-deprecated"])
        .args(["-nostartfiles", "-Wl,--no-entry,--gc-sections,--strip-all"])
        // By default the stack lies above the data, and an overflow overwrites the data; placed first, it traps
        // instead.
        .args(["-Wl,--stack-first,-z,stack-size=65536"])
        .arg("-I")
        .arg(&bindings)
        .args(sources(folder)?)
        .args(["allocator.c", "allocator_component_type.o"].map(|file| bindings.join(file)))
        .arg("-o")
        .arg(&module);
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!(
            "cannot build {} (`cargo xtask setup` installs what may be missing):\n{said}",
            folder.display()
        );
    }
    let component = guests.join(name).with_extension("wasm");
    crate::encode(&module, &component)?;
    Ok(component)
}

fn sources(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut sources: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    sources.retain(|path| path.extension().is_some_and(|extension| extension == "c"));
    sources.sort();
    Ok(sources)
}

/// Writes `allocator.h`, `allocator.c` and an object file that carries the world.
fn generate(folder: &Path) -> anyhow::Result<()> {
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(&wit).context("cannot read the WIT")?;
    let world = resolve.select_world(&[package], Some("allocator"))?;
    let mut files = Files::default();
    wit_bindgen_c::Opts::default().build().generate(&mut resolve, world, &mut files)?;
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    for (name, bytes) in files.iter() {
        crate::write(&folder.join(name), bytes).with_context(|| format!("cannot write {name}"))?;
    }
    Ok(())
}
