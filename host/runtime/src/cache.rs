//! Compiled components on disk, by digest and engine. A directory that others can write is refused: what lies in it is
//! machine code that this process runs. Knows nothing of where the code came from.
use std::fs::{DirBuilder, Metadata};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, utimensat};
use wasmtime::component::Component;

/// Of SHA-256 in hexadecimal, with which every file begins.
const DIGEST: usize = 64;
/// How the name of a checksum ends.
const SUM: &str = "crc32";
const DAY: Duration = Duration::from_secs(24 * 3600);

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

/// Puts what was compiled in its place, with a checksum beside it: a disk that went bad, or a machine that lost power, is found out
/// before anything of it is run.
pub(crate) fn seal(apart: &Path, place: &Path) -> std::io::Result<()> {
    let sum = checksum(apart)?;
    crate::compile::replace(&place.with_extension(SUM), sum.as_bytes())?;
    std::fs::rename(apart, place)
}

/// CRC-32 in hexadecimal: against accidents, not against people, who could write it as well.
fn checksum(file: &Path) -> std::io::Result<String> {
    let mut sum = flate2::CrcWriter::new(std::io::sink());
    std::io::copy(&mut std::fs::File::open(file)?, &mut sum)?;
    Ok(format!("{:08x}", sum.crc().sum()))
}

/// Maps a compiled component. The file must stay as it is while the component lives: it is replaced by rename only.
#[expect(unsafe_code, reason = "the one place where compiled code is loaded")]
pub(crate) fn open(engine: &wasmtime::Engine, file: &Path) -> wasmtime::Result<Component> {
    let metadata = file.symlink_metadata()?;
    if !metadata.is_file() || metadata.uid() != user() || writable_by_others(&metadata) {
        return Err(wasmtime::Error::msg("the cached file is not this user's alone"));
    }
    if std::fs::read_to_string(file.with_extension(SUM))? != checksum(file)? {
        return Err(wasmtime::Error::msg("the cached file is not as it was written"));
    }
    // SAFETY: the file is this user's and only this user can write it or its directory (`prepare`), so it was written by
    // our own compiling child, whole and by rename. wasmtime checks version, CPU and settings, and refuses on mismatch.
    unsafe { Component::deserialize_file(engine, file) }
}

/// Used just now: the last to be swept.
pub(crate) fn touch(file: &Path) {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let times = Timestamps { last_access: now, last_modification: now };
    for file in [file, &file.with_extension(SUM)] {
        // Whoever may not do this sweeps it too early, and compiles it again.
        let _ = utimensat(CWD, file, &times, AtFlags::empty());
    }
}

/// Deletes what was not used for longest until no more than `most` octets are left. What is of a digest `in_use`, and what was
/// used on the day of the newest, stays whatever it takes: another process may be about to read it.
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
        assert!(!root.path().join(name("b", "-x.cwasm")).exists(), "the oldest that nobody uses");
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
