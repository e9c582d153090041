//! The product's command line, asked about the laboratory.
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::LIMIT;
use crate::kubernetes::Lab;
use crate::{product, wait};

/// What the product printed, and its exit code.
#[derive(Debug)]
pub struct Answer {
    /// `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it said.
    pub stdout: String,
    /// What it complained of.
    pub stderr: String,
}

/// Runs the product's command line as an administrator beside the API server.
///
/// # Errors
/// When it cannot be run.
pub fn outrigger(lab: &Lab, arguments: &[&str]) -> Result<Answer> {
    let command: Command = lab.namespace("cp")?.command(product::binary()?);
    let output = product::unconfigured(command)
        .args(arguments)
        .arg("--kubeconfig")
        .arg(lab.kubeconfig())
        .output()
        .context("cannot run outrigger")?;
    let text = |octets: Vec<u8>| String::from_utf8(octets).context("it prints what is not UTF-8");
    Ok(Answer {
        code: output.status.code(),
        stdout: text(output.stdout)?,
        stderr: text(output.stderr)?,
    })
}

/// What the command line prints.
///
/// # Errors
/// When it fails.
pub fn said(lab: &Lab, arguments: &[&str]) -> Result<String> {
    let answer = outrigger(lab, arguments)?;
    ensure!(answer.code == Some(0), "{arguments:?}: {}", answer.stderr);
    Ok(answer.stdout)
}

/// What `outrigger why` says.
///
/// # Errors
/// When it fails.
pub fn why(lab: &Lab, subject: &str) -> Result<String> {
    said(lab, &["why", subject])
}

/// Waits until `outrigger why` says all of these words.
///
/// # Errors
/// When it does not, with what it says.
pub fn await_why(lab: &Lab, subject: &str, words: &[&str]) -> Result<()> {
    let mut said = String::new();
    wait::until(&format!("why {subject} says {words:?}"), LIMIT, || {
        said = why(lab, subject)?;
        Ok(words.iter().all(|word| said.contains(word)).then_some(()))
    })
    .with_context(|| said)
}
