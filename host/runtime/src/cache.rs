//! Compiled components on disk, by digest and engine. A directory that others can write is refused: what lies in it is
//! machine code that this process runs. Knows nothing of where the code came from.
use std::fs::{DirBuilder, Metadata};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use wasmtime::component::Component;

/// The directory cannot be trusted, or not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CacheError {
    /// Somebody else's.
    #[error(
        "{path} belongs to user {owner}, not to user {user} who runs this; give it to {user} or remove it"
    )]
    Owner {
        /// The directory.
        path: String,
        /// Whose it is.
        owner: u32,
        /// Whose it must be.
        user: u32,
    },
    /// Others may write.
    #[error("{path} can be written by others (mode {mode:o}); run `chmod 700 {path}`")]
    Mode {
        /// The directory.
        path: String,
        /// Its permissions.
        mode: u32,
    },
    /// A file or a symbolic link.
    #[error("{path} is not a directory; remove it, or name another cache directory")]
    NotDirectory {
        /// The path.
        path: String,
    },
    /// The file system's words.
    #[error("cannot use {path} as the cache of compiled plugins: {reason}")]
    Io {
        /// The directory.
        path: String,
        /// Why.
        reason: String,
    },
}

/// Makes the directory if need be, for this user alone, and looks at whose it is.
pub(crate) fn prepare(directory: &Path) -> Result<(), CacheError> {
    let path = || directory.display().to_string();
    let failed = |error: std::io::Error| CacheError::Io { path: path(), reason: error.to_string() };
    if !directory.exists() {
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
    }
    // Not following a link: whoever can make the link could point it elsewhere later.
    let metadata = directory.symlink_metadata().map_err(failed)?;
    if !metadata.is_dir() {
        return Err(CacheError::NotDirectory { path: path() });
    }
    let (owner, user) = (metadata.uid(), user());
    if owner != user {
        return Err(CacheError::Owner { path: path(), owner, user });
    }
    if writable_by_others(&metadata) {
        return Err(CacheError::Mode { path: path(), mode: metadata.mode() & 0o777 });
    }
    Ok(())
}

/// Where a component compiled for an engine lies.
pub(crate) fn place(directory: &Path, digest: &str, compatibility: &str) -> PathBuf {
    directory.join(format!("{digest}-{compatibility}.cwasm"))
}

/// Maps a compiled component. The file must stay as it is while the component lives: it is replaced by rename only.
#[expect(unsafe_code, reason = "the one place where compiled code is loaded")]
pub(crate) fn open(engine: &wasmtime::Engine, file: &Path) -> wasmtime::Result<Component> {
    let metadata = file.symlink_metadata()?;
    if !metadata.is_file() || metadata.uid() != user() || writable_by_others(&metadata) {
        return Err(wasmtime::Error::msg("the cached file is not this user's alone"));
    }
    // SAFETY: the file is this user's and only this user can write it or its directory (`prepare`), so it was written by
    // our own compiling child, whole and by rename. wasmtime checks version, CPU and settings, and refuses on mismatch.
    unsafe { Component::deserialize_file(engine, file) }
}

fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn writable_by_others(metadata: &Metadata) -> bool {
    metadata.mode() & 0o022 != 0
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_missing_directory_is_made_for_this_user_alone() {
        let root = tempfile::tempdir().expect("directory");
        let cache = root.path().join("a/b");
        prepare(&cache).expect("made");
        prepare(&cache).expect("still there");
        assert_eq!(cache.metadata().expect("there").mode() & 0o777, 0o700);
    }

    #[test]
    fn a_directory_that_others_can_write_or_redirect_is_refused() {
        let root = tempfile::tempdir().expect("directory");
        let cache = root.path().join("open");
        prepare(&cache).expect("made");
        std::fs::set_permissions(&cache, std::fs::Permissions::from_mode(0o777)).expect("chmod");
        assert!(matches!(prepare(&cache), Err(CacheError::Mode { mode: 0o777, .. })));
        let link = root.path().join("link");
        std::os::unix::fs::symlink(root.path(), &link).expect("link");
        assert!(matches!(prepare(&link), Err(CacheError::NotDirectory { .. })));
    }
}
