//! `outrigger plugin inspect`: what a component is, without running it.
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;

use crate::args::Output;

/// Inspects one file.
pub fn inspect(file: &Path, output: Output) -> anyhow::Result<ExitCode> {
    let bytes =
        std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let found = outrigger_runtime::unpack(&bytes)
        .and_then(|component| outrigger_runtime::inspect(&component))
        .with_context(|| format!("{} is not a plugin", file.display()))?;
    match output {
        Output::Json => {
            let value = serde_json::json!({
                "file": file, "digest": found.digest, "size": bytes.len(), "world": found.world.to_string(),
                "interface": found.version, "imports": found.imports, "exports": found.exports,
            });
            println!("{value}");
        }
        Output::Table => {
            println!("file       {}", file.display());
            println!("digest     {}", found.digest);
            println!("size       {} bytes", bytes.len());
            println!("world      {}", found.world);
            println!("interface  {}", found.version);
            println!("imports    {}", or_none(&found.imports));
            println!("exports    {}", or_none(&found.exports));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn or_none(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
