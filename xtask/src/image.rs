//! `cargo xtask image`: builds an OCI archive of the daemon without Docker, reproducible to the byte. It loads with `ctr -n
//! k8s.io images import`, `podman load` and `skopeo copy oci-archive:…`.
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use outrigger_tests::product;

use crate::run;

mod archive;
mod binary;
mod date;
mod layer;
mod verify;

/// Name of the image, as in manifests/base.
const NAME: &str = concat!("ghcr.io/outrigger-dev/outrigger:", env!("CARGO_PKG_VERSION"));
/// Largest size of an archive in bytes: every node of every user loads it.
const LARGEST: usize = 40_000_000;
/// Path at which Debian, Ubuntu and Alpine keep the CA certificates.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Arguments of `cargo xtask image`.
#[derive(Debug, Default, Args)]
pub struct ImageArgs {
    /// Write the archive to this file [default: target/image/outrigger-VERSION.tar].
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Use this static binary instead of building one.
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

/// Builds the archive of the daemon that is already built.
pub fn of_what_is_built() -> Result<()> {
    image(&ImageArgs { output: None, binary: Some(product::target()?.join("release/outrigger")) })
}

/// Builds the archive, checks it, and prints its path.
pub fn image(what: &ImageArgs) -> Result<()> {
    let folder = product::target()?.join("image");
    let binary = match &what.binary {
        Some(path) => path.clone(),
        None => {
            run::build_outrigger()?;
            product::target()?.join("release/outrigger")
        }
    };
    let default = || folder.join(concat!("outrigger-", env!("CARGO_PKG_VERSION"), ".tar"));
    let output = what.output.clone().unwrap_or_else(default);
    let program = read(&binary)?;
    binary::ensure_static(&binary, &program)?;
    let certificates = read(Path::new(CERTIFICATES))
        .context("the image needs CA certificates. Run: apt-get install ca-certificates")?;
    let date = date::of_build()?;
    let layer = layer::layer(&program, &certificates, date)?;
    let archive = archive::archive(NAME, &layer, date)?;
    ensure!(
        archive.bytes.len() <= LARGEST,
        "the archive has {} bytes, more than the limit of {LARGEST}: see what grew with `cargo bloat`",
        archive.bytes.len()
    );
    if let Some(folder) = output.parent() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
    }
    std::fs::write(&output, &archive.bytes)
        .with_context(|| format!("cannot write {}", output.display()))?;
    verify::read_again(&archive.bytes, &archive.digest)?;
    verify::ask_skopeo(&output, &archive.digest)?;
    println!("{} ({:.1} MB)", output.display(), archive.bytes.len() as f64 / 1e6);
    println!("{NAME}@{}", archive.digest);
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests;
