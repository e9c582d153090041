//! `outrigger run`: the daemon.
use std::io::IsTerminal as _;
use std::process::ExitCode;

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;

use crate::config::{Config, Log, LogFormat};
use crate::daemon::Daemon;

/// Serves until told to stop.
pub fn run(config: &Config) -> anyhow::Result<ExitCode> {
    start_logging(&config.log)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { Daemon::start(config).await?.serve().await })?;
    // What still runs in the background (a compiling child, a controller that waits to lead) does not hold the exit up.
    runtime.shutdown_background();
    Ok(ExitCode::SUCCESS)
}

fn start_logging(log: &Log) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&log.filter).with_context(|| {
        format!("log filter {:?}: write it as \"info,plugin=debug\"", log.filter)
    })?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => lines.json().init(),
    }
    Ok(())
}
