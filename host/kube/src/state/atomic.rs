//! Writes files atomically, so that readers see either the complete content or none. This module must not know what the
//! files contain.
use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Durability of a file: whether it must survive a power failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durable {
    Yes,
    No,
}

/// Replaces a file. Readers see either the old or the new content.
pub(super) fn write(path: &Path, bytes: &[u8], durable: Durable) -> io::Result<()> {
    write_as(path, |file| file.write_all(bytes), durable)
}

/// Replaces a file like [`write`], with content that is produced while it is written and need not be in memory as a whole.
pub(super) fn write_as(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    durable: Durable,
) -> io::Result<()> {
    let beside = beside(path);
    fill(&beside, write, durable)?;
    fs::rename(&beside, path)
}

/// Creates a file that does not exist yet. If several processes try, exactly one succeeds.
pub(super) fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if path.exists() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let beside = beside(path);
    fill(&beside, |file| file.write_all(bytes), Durable::Yes)?;
    let linked = fs::hard_link(&beside, path);
    fs::remove_file(&beside)?;
    linked
}

fn fill(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    durable: Durable,
) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    let mut file = BufWriter::new(file);
    write(&mut file)?;
    file.flush()?;
    match durable {
        Durable::Yes => file.get_ref().sync_data(),
        Durable::No => Ok(()),
    }
}

/// Returns a temporary path that is unique to this process. Its name begins with a dot, so that it is not taken for the
/// file itself.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}", std::process::id()))
}
