//! Runs the product's command line against the laboratory.
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::LIMIT;
use crate::kubernetes::Lab;
use crate::{product, wait};

/// Output and exit code of the product.
#[derive(Debug)]
pub struct Answer {
    /// Exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
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
    let text =
        |octets: Vec<u8>| String::from_utf8(octets).context("the output of outrigger is not UTF-8");
    Ok(Answer {
        code: output.status.code(),
        stdout: text(output.stdout)?,
        stderr: text(output.stderr)?,
    })
}

/// Returns the output of the command line.
///
/// # Errors
/// When it fails.
pub fn said(lab: &Lab, arguments: &[&str]) -> Result<String> {
    let answer = outrigger(lab, arguments)?;
    ensure!(answer.code == Some(0), "{arguments:?}: {}", answer.stderr);
    Ok(answer.stdout)
}

/// Returns the output of `outrigger why`.
///
/// # Errors
/// When it fails.
pub fn why(lab: &Lab, subject: &str) -> Result<String> {
    said(lab, &["why", subject])
}

/// Waits until the output of `outrigger why` contains all of these words.
///
/// # Errors
/// When that does not happen in time, with its last output.
pub fn await_why(lab: &Lab, subject: &str, words: &[&str]) -> Result<()> {
    let mut said = String::new();
    wait::until(&format!("why {subject} says {words:?}"), LIMIT, || {
        said = why(lab, subject)?;
        Ok(words.iter().all(|word| said.contains(word)).then_some(()))
    })
    .with_context(|| said)
}
