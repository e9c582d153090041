//! Builds and compiles the plugins that are embedded in the daemon, so that its first start compiles nothing.
//! `src/embedded.rs` includes what comes out.
use std::path::Path;
use std::{env, fs};

use anyhow::Context;
use outrigger_sdk_build::Guest;

/// Folder, package, and the variable that names its component.
const PLUGINS: [(&str, &str, &str); 3] = [
    ("plugins/bgp", "outrigger-bgp", "OUTRIGGER_BGP"),
    ("plugins/layer2", "outrigger-layer2", "OUTRIGGER_LAYER2"),
    ("plugins/allocators/lowest-free", "outrigger-lowest-free", "OUTRIGGER_LOWEST_FREE"),
];

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
    for (folder, package, variable) in PLUGINS {
        let component =
            outrigger_sdk_build::build(&Guest::new(root.join(folder), package), target)?;
        println!("cargo::rustc-env={variable}={}", component.display());
        let bytes =
            fs::read(&component).with_context(|| format!("cannot read {}", component.display()))?;
        let compiled = Path::new(&out).join(package).with_extension("cwasm");
        fs::write(&compiled, outrigger_runtime::precompile(&bytes, &triple)?)
            .with_context(|| format!("cannot write {}", compiled.display()))?;
        println!("cargo::rustc-env={variable}_COMPILED={}", compiled.display());
    }
    Ok(())
}
