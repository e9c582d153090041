//! Lists the files of the folder, with a watch on every directory. This module must not know what the files contain.
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::content;
use super::watch::Watch;

/// The result of a listing. Paths are relative to the folder.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub files: BTreeSet<PathBuf>,
    /// Directories that could not be listed or watched, with the message.
    pub failed: BTreeMap<PathBuf, String>,
    /// Linked directories that are not followed, with the message.
    pub ignored: BTreeMap<PathBuf, String>,
}

/// Returns true if a file of this name is read: manifests and components whose name does not begin with a dot.
pub(super) fn is_read(name: &Path) -> bool {
    let text = name.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let extension = name.extension().and_then(|extension| extension.to_str());
    !text.starts_with('.') && matches!(extension, Some("yaml" | "yml" | "json" | "wasm"))
}

/// Returns true if a part of the path begins with a dot. Such paths are not listed.
pub(super) fn is_hidden(path: &Path) -> bool {
    path.iter().any(|part| part.as_encoded_bytes().starts_with(b"."))
}

/// Lists the folder and its subfolders, except those whose name begins with a dot and the state folder.
pub(super) fn list(root: &Path, skip: Option<&Path>, watch: &mut Watch) -> Tree {
    watch.list();
    let mut tree = Tree::default();
    let mut waiting = vec![PathBuf::new()];
    while let Some(dir) = waiting.pop() {
        if skip.is_some_and(|skip| root.join(&dir).canonicalize().is_ok_and(|full| full == skip)) {
            continue;
        }
        // The watch is added before the listing, so that what appears meanwhile causes an event.
        if let Err(error) = watch.directory(&root.join(&dir), &dir) {
            let message = format!(
                "cannot be watched ({error}): restore it, or raise fs.inotify.max_user_watches; its last content stays active"
            );
            tree.failed.insert(dir.clone(), message);
            continue;
        }
        match entries(root, &dir, &mut tree) {
            Ok(dirs) => waiting.extend(dirs),
            Err(error) => {
                let message = format!(
                    "cannot be listed ({error}): make it readable; its last content stays active"
                );
                tree.failed.insert(dir, message);
            }
        }
    }
    tree
}

fn entries(root: &Path, dir: &Path, tree: &mut Tree) -> std::io::Result<Vec<PathBuf>> {
    let mut dirs = Vec::new();
    for entry in fs::read_dir(root.join(dir))? {
        let entry = entry?;
        let (name, kind) = (entry.file_name(), entry.file_type()?);
        let path = dir.join(&name);
        if name.to_string_lossy().starts_with('.') {
            continue;
        }
        // A linked directory inside the folder is read at its own path; one outside is not read at all.
        if kind.is_symlink() && entry.path().is_dir() {
            if content::inside(&root.canonicalize()?, &entry.path())?.is_none() {
                tree.ignored.insert(path, content::OUTSIDE.to_owned());
            }
        } else if kind.is_dir() {
            dirs.push(path);
        } else if is_read(&path) {
            tree.files.insert(path);
        }
    }
    Ok(dirs)
}
