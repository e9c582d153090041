//! Files and modules that ARCHITECTURE.md names exist.
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::Finding;

const FILE: &str = "ARCHITECTURE.md";
/// The folders of the repository.
const FOLDERS: [&str; 9] =
    ["docs", "examples", "fuzz", "host", "manifests", "plugins", "sdk", "wit", "xtask"];
/// The crates by the names that modules are given with.
const CRATES: [(&str, &str); 4] = [
    ("core", "host/core/src"),
    ("kube", "host/kube/src"),
    ("net", "host/net/src"),
    ("runtime", "host/runtime/src"),
];
/// Everything else is a module of the daemon.
const DAEMON: &str = "host/src";

/// Checks each name between backticks that has the form of a path or of a module.
pub fn check(root: &Path) -> Result<Vec<Finding>> {
    let text = std::fs::read_to_string(root.join(FILE)).context(FILE)?;
    let mut findings = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        for name in text.split('`').skip(1).step_by(2) {
            if !exists(root, name) {
                let message = format!("there is no {name}");
                findings.push(Finding { file: FILE.into(), line, message });
            }
        }
    }
    Ok(findings)
}

fn exists(root: &Path, name: &str) -> bool {
    let is_plain = |letter: char| letter.is_alphanumeric() || "_-/.:".contains(letter);
    if !name.chars().all(is_plain) {
        return true;
    }
    if let Some((folder, _)) = name.split_once('/') {
        return !FOLDERS.contains(&folder) || root.join(name).exists();
    }
    let Some((first, rest)) = name.split_once("::") else { return true };
    let known = CRATES.iter().find(|(name, _)| *name == first);
    let (folder, modules) = match known {
        Some((_, folder)) => (PathBuf::from(folder), rest),
        None => (PathBuf::from(DAEMON), name),
    };
    let is_module = |part: &&str| part.starts_with(char::is_lowercase);
    let modules: PathBuf = modules.split("::").take_while(is_module).collect();
    if modules.as_os_str().is_empty() {
        return true;
    }
    let place = root.join(folder).join(modules);
    // The last may be a function of its module.
    let module = |place: &Path| place.is_dir() || place.with_extension("rs").exists();
    module(&place) || (known.is_some() && place.parent().is_some_and(module))
}
