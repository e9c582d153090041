//! Files that are there whole or not at all. Must not know what they hold.
use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Whether a file must survive a power failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durable {
    Yes,
    No,
}

/// Replaces a file. Readers see the old one or the new one.
pub(super) fn write(path: &Path, bytes: &[u8], durable: Durable) -> io::Result<()> {
    write_as(path, |file| file.write_all(bytes), durable)
}

/// The same for what is made while it is written: it need not be in memory as a whole.
pub(super) fn write_as(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    durable: Durable,
) -> io::Result<()> {
    let beside = beside(path);
    fill(&beside, write, durable)?;
    fs::rename(&beside, path)
}

/// Makes a file that is not there yet; of several processes one wins.
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

/// A name of this process's own, with a dot, so that nobody takes it for the file.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}", std::process::id()))
}
