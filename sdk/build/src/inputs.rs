//! What a component is built from, as one digest. Two variants of a package leave their module at the same path, so cargo
//! takes each for stale after the other; this is how an unchanged variant is known without asking cargo.
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::Guest;
use crate::toolchain::Toolchain;

/// The digest of everything that goes into this guest: its package, the SDK, the WIT, the lock file, the toolchain.
pub fn digest(guest: &Guest, toolchain: &Toolchain) -> anyhow::Result<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut hash = DefaultHasher::new();
    format!("{guest:?} {toolchain:?}").hash(&mut hash);
    for input in ["sdk/Cargo.toml", "sdk/src", "sdk/wire", "wit", "Cargo.lock"] {
        take_in(&root.join(input), &mut hash)?;
    }
    take_in(&guest.manifest_dir, &mut hash)?;
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
