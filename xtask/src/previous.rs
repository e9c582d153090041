//! Image and manifest of the previous version, for the upgrade test: built from its own source by its own tools. Must not know
//! what they are used for.
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use outrigger_tests::product;

use crate::run;

/// Builds both for the last release before this commit, or else for the commit before it, and returns the folder that holds
/// them.
pub fn build() -> Result<PathBuf> {
    let folder = product::target()?.join("previous");
    let tree = folder.join("tree");
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    let revision = revision()?;
    println!("the previous version: {revision}");
    remove(&tree)?;
    run::show(git(["worktree", "add", "--force", "--detach"]).arg(&tree).arg(&revision))?;
    let built = image_of(&tree, &folder);
    remove(&tree)?;
    built.map(|()| folder)
}

fn image_of(tree: &Path, folder: &Path) -> Result<()> {
    // A separate folder: a shared one would hold the binaries of two versions under one name.
    let mut image = run::cargo(["xtask", "image", "--output"]);
    image.arg(folder.join("image.tar")).env("CARGO_TARGET_DIR", folder.join("target"));
    run::show(image.current_dir(tree))?;
    let manifest = tree.join("manifests/install.yaml");
    std::fs::copy(&manifest, folder.join("install.yaml"))
        .map(drop)
        .with_context(|| format!("cannot copy {}", manifest.display()))
}

/// Returns the last tag before this commit, or else its first parent.
fn revision() -> Result<String> {
    for question in
        [&["describe", "--tags", "--abbrev=0", "HEAD~1"][..], &["rev-parse", "--short", "HEAD~1"]]
    {
        let answer = git(question.iter().copied()).output().context("git is needed")?;
        if answer.status.success() {
            return Ok(String::from_utf8_lossy(&answer.stdout).trim().to_owned());
        }
    }
    anyhow::bail!("this clone has no previous commit. Run: git fetch --unshallow")
}

/// Removes the worktree, including the remains of an interrupted run.
fn remove(tree: &Path) -> Result<()> {
    if tree.exists() {
        std::fs::remove_dir_all(tree)
            .with_context(|| format!("cannot remove {}", tree.display()))?;
    }
    run::show(&mut git(["worktree", "prune"]))
}

fn git<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut git = Command::new("git");
    git.current_dir(product::root()).args(arguments);
    git
}
