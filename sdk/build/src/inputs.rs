//! The digest of everything components are built from. It detects unchanged components without calling cargo, which
//! needs a network, or a lock that another cargo holds.
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::toolchain::Toolchain;

/// Returns the digest of all inputs of the components in a folder: its packages, plugins, SDK, WIT, lock file and
/// toolchain.
pub fn digest(folder: &Path, toolchain: &Toolchain) -> anyhow::Result<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut hash = DefaultHasher::new();
    format!("{toolchain:?}").hash(&mut hash);
    for input in ["plugins", "sdk/Cargo.toml", "sdk/src", "sdk/wire", "wit", "Cargo.lock"] {
        take_in(&root.join(input), &mut hash)?;
    }
    take_in(folder, &mut hash)?;
    Ok(format!("{:016x}", hash.finish()))
}

fn take_in(path: &Path, hash: &mut DefaultHasher) -> anyhow::Result<()> {
    let unreadable = || format!("cannot read {}", path.display());
    if path.is_file() {
        fs::read(path).with_context(unreadable)?.hash(hash);
        return Ok(());
    }
    let mut entries: Vec<PathBuf> = fs::read_dir(path)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
        .with_context(unreadable)?;
    entries.sort();
    for entry in entries.iter().filter(|entry| !entry.ends_with("target")) {
        entry.hash(hash);
        take_in(entry, hash)?;
    }
    Ok(())
}
