//! Checks that a package is built with the same features whether cargo builds it alone or with the whole workspace, so that one
//! test can be run after a full test run without compiling anything.
use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};

use crate::run;

/// Package that is built before anything else, by itself.
const ALONE: &str = "xtask";

/// Fails if a package would be built with two different feature sets.
pub fn are_one_set() -> Result<()> {
    let all = built(&["--workspace"])?;
    for package in members()? {
        let own = built(&["--package", &package])?;
        let others: Vec<_> = own.difference(&all).map(String::as_str).collect();
        ensure!(
            others.is_empty(),
            "built alone, {package} has features that it does not have in the workspace build: {}; \
             run: cargo install cargo-hakari && cargo hakari generate",
            others.join("; ")
        );
    }
    println!("every package has the same features alone and in the workspace build");
    Ok(())
}

/// Returns the names of the workspace's packages, except [`ALONE`] and components, which are built for wasm.
fn members() -> Result<Vec<String>> {
    let tree = output(&["--workspace", "--depth", "0"], "{p}")?;
    let names = tree.lines().filter_map(|line| line.split(' ').next());
    // Trees are separated by an empty line.
    let names = names.filter(|name| !["", ALONE, "outrigger-components"].contains(name));
    Ok(names.map(str::to_owned).collect::<BTreeSet<_>>().into_iter().collect())
}

/// Returns the packages built for this selection, each with its features. The workspace's own packages are left out, because
/// only they are selected.
fn built(selection: &[&str]) -> Result<BTreeSet<String>> {
    let tree = output(&[selection, &["--edges", "normal,build,dev"]].concat(), "{p} {f}")?;
    let lines = tree.lines().map(|line| line.trim_end_matches(" (*)").trim_end());
    Ok(lines.filter(|line| !line.is_empty() && !line.contains(" (/")).map(str::to_owned).collect())
}

fn output(arguments: &[&str], format: &str) -> Result<String> {
    let mut tree = run::cargo(["tree", "--quiet", "--prefix", "none", "--format", format]);
    let output = tree.args(arguments).output().context("cannot run cargo tree")?;
    ensure!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).context("the output of cargo tree is not UTF-8")
}
