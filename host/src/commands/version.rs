//! `outrigger version`: prints versions.
use std::process::ExitCode;

use crate::args::Output;

/// Prints the version of the program and of the plugin interface.
pub fn version(output: Output) -> anyhow::Result<ExitCode> {
    let version = env!("CARGO_PKG_VERSION");
    let interface = outrigger_runtime::INTERFACE;
    match output {
        Output::Table => println!("outrigger {version}, plugin interface {interface}"),
        Output::Json => {
            println!("{}", serde_json::json!({ "version": version, "pluginInterface": interface }))
        }
    }
    Ok(ExitCode::SUCCESS)
}
