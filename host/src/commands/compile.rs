//! `outrigger compile`: the child process that compiles, so that the serving process never does.
use std::path::Path;
use std::process::ExitCode;

/// Compiles one component.
pub fn compile(input: &Path, output: &Path) -> anyhow::Result<ExitCode> {
    outrigger_runtime::compile(input, output)?;
    Ok(ExitCode::SUCCESS)
}
