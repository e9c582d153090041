//! `cargo xtask tidy`: house rules that the compiler does not know, checked over the text of all tracked files. Takes a second.
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use outrigger_tests::product;

mod comments;
mod dependencies;
mod names;
mod paths;
mod purity;

/// The longest a source file may be.
const LINES: usize = 400;

/// A broken rule.
#[derive(Debug)]
struct Finding {
    file: PathBuf,
    /// From 1; 0 = the file as a whole.
    line: usize,
    message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, message } = self;
        match line {
            0 => write!(f, "{}: {message}", file.display()),
            line => write!(f, "{}:{line}: {message}", file.display()),
        }
    }
}

/// A tracked Rust file.
#[derive(Debug)]
struct Source {
    /// Relative to the repository.
    path: PathBuf,
    text: String,
}

impl Source {
    fn finding(&self, line: usize, message: impl Into<String>) -> Finding {
        Finding { file: self.path.clone(), line, message: message.into() }
    }

    /// True for tests, simulations and benchmarks, which the product does not contain.
    fn is_test(&self) -> bool {
        let is_test = |part: &str| {
            ["tests", "tests.rs", "benches", "simulation", "simulation.rs"].contains(&part)
        };
        self.path.iter().any(|part| part.to_str().is_some_and(is_test))
    }

    /// The lines before the unit tests at the end of the file, numbered from 1.
    fn production(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = (1..).zip(self.text.lines());
        lines.take_while(|(_, line)| {
            !line.starts_with("#[cfg(test)]\nmod tests {") && *line != "mod tests {"
        })
    }
}

/// Checks every rule.
///
/// # Errors
/// When one is broken, after all findings are printed.
pub fn tidy() -> Result<()> {
    let root = product::root();
    let sources = sources(root)?;
    let mut findings = Vec::new();
    for source in &sources {
        let lines = source.text.lines().count();
        if lines > LINES {
            findings
                .push(source.finding(0, format!("has {lines} lines, more than {LINES}: split it")));
        }
        findings.extend(comments::check(source));
        findings.extend(purity::check(source));
    }
    findings.extend(names::check(&sources));
    findings.extend(dependencies::check(root)?);
    findings.extend(paths::check(root)?);
    findings.iter().for_each(|finding| eprintln!("{finding}"));
    match findings.len() {
        0 => println!("{} files are tidy", sources.len()),
        number => bail!("{number} house rules are broken: see above"),
    }
    Ok(())
}

fn sources(root: &Path) -> Result<Vec<Source>> {
    let output = Command::new("git")
        .current_dir(root)
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "*.rs"])
        .output()
        .context("cannot run git")?;
    ensure!(output.status.success(), "git: {}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout)?;
    let existing = names.lines().map(PathBuf::from).filter(|path| root.join(path).exists());
    existing
        .map(|path| {
            let text = std::fs::read_to_string(root.join(&path))
                .with_context(|| format!("cannot read {}", path.display()))?;
            Ok(Source { path, text })
        })
        .collect()
}
