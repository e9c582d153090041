//! The bytes of one file of the folder, or the reason why they cannot be read. This module must not know what they mean.
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Maximum size of a file, larger than any component or manifest needs.
const MAX_SIZE: u64 = 64 << 20;

/// Message about a link that leads out of the folder.
pub(super) const OUTSIDE: &str =
    "is a link out of the folder, which is not followed: put the file itself into the folder";

/// The content at a path.
pub(super) enum Content {
    /// The file does not exist any more.
    Absent,
    /// The bytes of the file, and its resolved path.
    Bytes { bytes: Vec<u8>, target: PathBuf },
    /// The file cannot be read at present.
    Unreadable(String),
    /// The file is never read.
    Ignored(String),
}

/// Reads a file below `root`. Links are followed only inside the folder.
pub(super) fn read(root: &Path, path: &Path) -> Content {
    let Ok(root) = &root.canonicalize() else {
        return Content::Unreadable(
            "the folder does not exist: restore it; its last content stays active".to_owned(),
        );
    };
    let full = root.join(path);
    if fs::symlink_metadata(&full).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        return Content::Absent;
    }
    let target = match inside(root, &full) {
        Ok(Some(target)) => target,
        Ok(None) => return Content::Ignored(OUTSIDE.to_owned()),
        Err(error) => {
            return Content::Unreadable(format!("cannot be read ({error}): fix or remove it"));
        }
    };
    // Opening a FIFO would block until a writer opens it.
    if !target.is_file() {
        return Content::Ignored("is not a regular file: remove it".to_owned());
    }
    match bytes(&target) {
        Ok(bytes) => Content::Bytes { bytes, target },
        Err(message) => Content::Unreadable(message),
    }
}

/// Resolves a path; `None` if it leads out of the folder.
pub(super) fn inside(root: &Path, full: &Path) -> io::Result<Option<PathBuf>> {
    let target = full.canonicalize()?;
    Ok(Some(target).filter(|target| target.starts_with(root)))
}

fn bytes(target: &Path) -> Result<Vec<u8>, String> {
    let unreadable =
        |error: io::Error| format!("cannot be read ({error}): make it readable for this user");
    if fs::metadata(target).map_err(unreadable)?.len() > MAX_SIZE {
        return Err(format!("is larger than {} MiB: make it smaller", MAX_SIZE >> 20));
    }
    let bytes = fs::read(target).map_err(unreadable)?;
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err("is empty: write it again, or delete it to remove its objects".to_owned());
    }
    Ok(bytes)
}
