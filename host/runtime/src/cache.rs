//! Compiled components on disk, by digest and engine. A directory that other users can write is refused, because it
//! holds machine code that this process runs. Knows nothing of where the code came from.
use std::fs::{DirBuilder, Metadata};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, utimensat};
use wasmtime::component::Component;

/// Length of a SHA-256 digest in hexadecimal, with which every file name begins.
const DIGEST: usize = 64;
/// Extension of the file that holds a checksum.
const SUM: &str = "crc32";
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The reason why the cache directory cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CacheError {
    /// The directory belongs to another user.
    #[error(
        "{path} belongs to user {owner}, but this process runs as user {user}; change its owner to {user} or remove it"
    )]
    Owner {
        /// The directory.
        path: String,
        /// The user who owns it.
        owner: u32,
        /// The user who must own it.
        user: u32,
    },
    /// Other users may write to the directory.
    #[error("{path} is writable by other users (mode {mode:o}); run `chmod 700 {path}`")]
    Mode {
        /// The directory.
        path: String,
        /// Its permissions.
        mode: u32,
    },
    /// The path is a file or a symbolic link.
    #[error("{path} is not a directory; remove it, or choose another cache directory")]
    NotDirectory {
        /// The path.
        path: String,
    },
    /// An error of the file system.
    #[error("cannot use {path} as the cache of compiled plugins: {reason}")]
    Io {
        /// The directory.
        path: String,
        /// The error as text.
        reason: String,
    },
}

/// Creates the directory for this user alone if it does not exist, and checks its owner and mode.
pub(crate) fn prepare(directory: &Path) -> Result<(), CacheError> {
    let path = || directory.display().to_string();
    let failed = |error: std::io::Error| CacheError::Io { path: path(), reason: error.to_string() };
    if !directory.exists() {
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
    }
    // Does not follow a link: the user who made the link could point it elsewhere later.
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

/// Returns the path of a component compiled for an engine.
pub(crate) fn place(directory: &Path, digest: &str, compatibility: &str) -> PathBuf {
    directory.join(format!("{digest}-{compatibility}.cwasm"))
}

/// Moves a compiled component to its final path, with a checksum beside it, so that damage by a failing disk or a power
/// loss is detected before any of the code runs.
pub(crate) fn seal(apart: &Path, place: &Path) -> std::io::Result<()> {
    let sum = checksum(apart)?;
    crate::compile::replace(&place.with_extension(SUM), sum.as_bytes())?;
    std::fs::rename(apart, place)
}

/// Returns the CRC-32 in hexadecimal: it protects against accidents, not against attackers, who could write it as well.
fn checksum(file: &Path) -> std::io::Result<String> {
    let mut sum = flate2::CrcWriter::new(std::io::sink());
    std::io::copy(&mut std::fs::File::open(file)?, &mut sum)?;
    Ok(format!("{:08x}", sum.crc().sum()))
}

/// Maps a compiled component. The file must not change while the component lives: it is replaced by rename only.
#[expect(unsafe_code, reason = "the one place where compiled code is loaded")]
pub(crate) fn open(engine: &wasmtime::Engine, file: &Path) -> wasmtime::Result<Component> {
    let metadata = file.symlink_metadata()?;
    if !metadata.is_file() || metadata.uid() != user() || writable_by_others(&metadata) {
        return Err(wasmtime::Error::msg(
            "the cached file is not a regular file that only this user can write",
        ));
    }
    if std::fs::read_to_string(file.with_extension(SUM))? != checksum(file)? {
        return Err(wasmtime::Error::msg("the cached file does not match its checksum"));
    }
    // SAFETY: the file is this user's and only this user can write it or its directory (`prepare`), so it was written
    // by our own compiling child, whole and by rename. wasmtime checks version, CPU and settings, and refuses on
    // mismatch.
    unsafe { Component::deserialize_file(engine, file) }
}

/// Marks a file as used now, so that it is swept last.
pub(crate) fn touch(file: &Path) {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let times = Timestamps { last_access: now, last_modification: now };
    for file in [file, &file.with_extension(SUM)] {
        // A process that lacks this permission only sweeps the file too early and compiles it again.
        let _ = utimensat(CWD, file, &times, AtFlags::empty());
    }
}

/// Deletes the least recently used files until no more than `most` bytes are left. Files of a digest `in_use`, and
/// files used within a day of the newest one, are kept in any case: another process may be about to read them.
pub(crate) fn sweep(directory: &Path, most: u64, in_use: impl Fn(&str) -> bool) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    let mut files = Vec::new();
    for entry in entries.flatten() {
        let (name, metadata) = (entry.file_name(), entry.metadata());
        let digest = name.to_str().and_then(|name| name.get(..DIGEST)).map(str::to_owned);
        let is_ours = |digest: &String| digest.bytes().all(|it| it.is_ascii_hexdigit());
        if let (Some(digest), Ok(metadata)) = (digest.filter(is_ours), metadata)
            && let Ok(used) = metadata.modified()
        {
            files.push((used, metadata.len(), digest, entry.path()));
        }
    }
    files.sort();
    let Some((newest, ..)) = files.last().cloned() else { return };
    let mut left: u64 = files.iter().map(|(_, size, ..)| size).sum();
    for (used, size, digest, path) in files {
        let age = newest.duration_since(used).unwrap_or_default();
        if left <= most || age < DAY {
            return;
        }
        if !in_use(&digest) && std::fs::remove_file(&path).is_ok() {
            left -= size;
        }
    }
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

    #[test]
    fn what_was_not_used_for_longest_is_swept_and_what_is_in_use_stays() {
        let root = tempfile::tempdir().expect("directory");
        let name = |letter: &str, end: &str| format!("{}{end}", letter.repeat(DIGEST));
        let put = |name: &str, days_ago: u64| {
            let path = root.path().join(name);
            std::fs::write(&path, [0; 100]).expect("written");
            let file = std::fs::File::open(&path).expect("there");
            let now = file.metadata().expect("there").modified().expect("a time");
            file.set_modified(now - DAY * u32::try_from(days_ago).expect("few")).expect("set");
        };
        put(&name("a", "-x.cwasm"), 9);
        put(&name("a", ".delivered"), 9);
        put(&name("b", "-x.cwasm"), 8);
        put(&name("c", "-1-2.wasm"), 7);
        put(&name("d", "-x.cwasm"), 6);
        put(&name("e", "-x.cwasm"), 0);
        put("somebody-elses", 99);
        touch(&root.path().join(name("d", "-x.cwasm")));
        let left = || {
            let entries = std::fs::read_dir(root.path()).expect("there").flatten();
            let mut names: Vec<_> = entries.map(|it| it.file_name()).collect();
            names.sort();
            names
        };
        let in_use = |digest: &str| digest.starts_with('a');
        sweep(root.path(), 600, in_use);
        assert_eq!(left().len(), 7, "there is room");
        sweep(root.path(), 500, in_use);
        assert_eq!(left().len(), 6, "one is enough");
        assert!(!root.path().join(name("b", "-x.cwasm")).exists(), "the oldest unused file");
        sweep(root.path(), 0, in_use);
        let kept = [
            name("a", "-x.cwasm"),
            name("a", ".delivered"),
            name("d", "-x.cwasm"),
            name("e", "-x.cwasm"),
        ];
        assert_eq!(
            left(),
            kept.iter().map(String::as_str).chain(["somebody-elses"]).collect::<Vec<_>>()
        );
    }
}
