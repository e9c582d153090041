//! Checks that the binary of the image is linked statically, so that the image needs no libc. Must not know what the binary is
//! used for.
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// Program header entry that names a dynamic linker (elf(5)).
const PT_INTERP: u32 = 3;

/// Fails if a binary needs a dynamic linker: it would not start in an image that has none, and the kernel would report only "no
/// such file".
pub fn ensure_static(path: &Path, program: &[u8]) -> Result<()> {
    let kinds = segments(program)
        .with_context(|| format!("{} is not a 64-bit ELF program", path.display()))?;
    ensure!(
        !kinds.contains(&PT_INTERP),
        "{} is linked dynamically: build it in this repository, whose .cargo/config.toml links it statically, without RUSTC_WORKSPACE_WRAPPER",
        path.display()
    );
    Ok(())
}

/// Returns the kinds of the program header's entries: ELF64, little endian.
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
