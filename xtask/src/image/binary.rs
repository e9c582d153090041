//! The binary of the image: `outrigger` of the release profile, linked statically, so that the image needs no libc.
//! Everything that is not ours is compiled once for both. Must not know what becomes of it.
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use outrigger_tests::product;

use crate::run;

/// Program header entry that names a dynamic linker (elf(5)).
const PT_INTERP: u32 = 3;

/// Builds it into `folder`.
///
/// Not with RUSTFLAGS, and not with `cargo rustc`: flags count for every dependency, and a build of one package gives
/// some of them other features than the workspace does; either way wasmtime would be compiled a second time. A wrapper
/// of rustc that counts for the workspace's members only adds the flag where the binary is linked; cargo keeps what it
/// makes apart.
pub fn build(folder: &Path) -> Result<PathBuf> {
    let released = product::target()?.join("release/outrigger");
    let aside = folder.join("outrigger.dynamic");
    // Cargo puts the static one in the dynamic one's place, which tests and demonstration run.
    let kept = released.is_file();
    if kept {
        fs::rename(&released, &aside).context("cannot put target/release/outrigger aside")?;
    }
    let wrapper = product::root().join("xtask/src/image/static-outrigger");
    let built = run::show(
        run::cargo(["build", "--release", "--workspace", "--bin", "outrigger"])
            .env("RUSTC_WORKSPACE_WRAPPER", wrapper),
    );
    let binary = folder.join("outrigger");
    let copied = built.and_then(|()| {
        fs::copy(&released, &binary).map(drop).context("cannot copy the static outrigger")
    });
    if kept {
        fs::rename(&aside, &released).context("cannot put target/release/outrigger back")?;
    }
    copied.map(|()| binary)
}

/// A binary that asks for a dynamic linker does not start in an image that has none, and the kernel then says no more
/// than "no such file".
pub fn ensure_static(path: &Path, program: &[u8]) -> Result<()> {
    let kinds = segments(program)
        .with_context(|| format!("{} is not a 64-bit ELF program", path.display()))?;
    ensure!(
        !kinds.contains(&PT_INTERP),
        "{} is linked dynamically: leave --binary out, or name a static one",
        path.display()
    );
    Ok(())
}

/// Kinds of the program header's entries: ELF64, little endian.
fn segments(program: &[u8]) -> Option<Vec<u32>> {
    let bytes = |at: usize, count: usize| program.get(at..at.checked_add(count)?);
    let number = |at, count| -> Option<usize> {
        let digits = bytes(at, count)?.iter().rev();
        Some(digits.fold(0, |number, digit| number << 8 | usize::from(*digit)))
    };
    if bytes(0, 6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let (start, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    let kind = |entry| number(start.checked_add(entry * size)?, 4).map(|kind| kind as u32);
    (0..count).map(kind).collect()
}
