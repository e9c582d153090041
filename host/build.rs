//! Builds and compiles the plugins that are embedded in the daemon, so that its first start compiles nothing.
//! `src/embedded.rs` includes the output.
use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::Context;

/// Plugins to embed. `OUTRIGGER_BGP` names the component of `bgp`, and so on.
const PLUGINS: [&str; 3] = ["bgp", "layer2", "lowest-free"];

fn main() -> anyhow::Result<()> {
    let root =
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("host is not in the workspace")?;
    for input in ["Cargo.lock", "plugins", "sdk/src", "sdk/wire/src", "wit"] {
        println!("cargo::rerun-if-changed={}", root.join(input).display());
    }
    let out = env::var("OUT_DIR").context("OUT_DIR: this is a build script, run by cargo")?;
    let triple = env::var("TARGET").context("TARGET: this is a build script, run by cargo")?;
    // <target>/<profile>/build/<package>/out
    let target = Path::new(&out).ancestors().nth(4).context("OUT_DIR is not in a target folder")?;
    let components =
        outrigger_sdk_build::examples(&root.join("plugins/components"), &PLUGINS, target)?;
    for (name, component) in PLUGINS.iter().zip(components) {
        let variable = format!("OUTRIGGER_{}", name.to_uppercase().replace('-', "_"));
        println!("cargo::rustc-env={variable}={}", component.display());
        let bytes =
            fs::read(&component).with_context(|| format!("cannot read {}", component.display()))?;
        let compiled = compiled(&bytes, &component, &triple)?;
        println!("cargo::rustc-env={variable}_COMPILED={}", compiled.display());
    }
    Ok(())
}

/// Compiles a component to a file beside it, so that the profiles share the result: compiling takes ten times as long
/// where the compiler is not optimized.
fn compiled(bytes: &[u8], component: &Path, triple: &str) -> anyhow::Result<PathBuf> {
    let key = outrigger_runtime::precompiled_key(bytes, triple)?;
    let compiled = component.with_extension(format!("{key}.cwasm"));
    if !compiled.is_file() {
        let new = compiled.with_extension(format!("{}.new", std::process::id()));
        fs::write(&new, outrigger_runtime::precompile(bytes, triple)?)
            .and_then(|()| fs::rename(&new, &compiled))
            .with_context(|| format!("cannot write {}", compiled.display()))?;
    }
    Ok(compiled)
}
