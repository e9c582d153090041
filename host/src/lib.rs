//! Connects the other crates: the only one that knows `core`, `kube`, `net` and `runtime` at once.
//!
//! ```text
//! folder ─facts─▶ controller (leader only): Allocations ⇄ allocator plugins ─▶ Service status
//!        └facts─▶ node: Planner ─desired─▶ mailbox ⇄ instance (announcer plugin) ─granted effects─▶ net
//! ```
#![forbid(unsafe_code)]

use std::process::ExitCode;

pub mod args;
pub mod config;

mod cluster;
mod commands;
mod controller;
mod daemon;
mod deadline;
mod delivery;
mod embedded;
mod http;
mod instance;
mod mailbox;
mod metrics;
mod node;
mod plugins;
mod report;
mod secret_store;
mod snapshot;
mod source;
mod trial;

use args::{Cli, Command};

/// Runs one command; errors go to stderr with their causes, one line each.
pub fn run(cli: Cli) -> ExitCode {
    match dispatch(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("outrigger: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(cli: Cli) -> anyhow::Result<ExitCode> {
    let file = cli.config.as_deref();
    match cli.command {
        Command::Run(flags) => {
            let mut config = config::Config::load(file, &flags)?;
            config.gossip.address = flags.gossip_address.or(config.gossip.address);
            commands::run(&config)
        }
        Command::Plan(flags) => commands::plan(&config::Config::load(file, &flags)?, flags.output),
        Command::Status(flags) => commands::status(&config::Config::load(file, &flags)?, &flags),
        Command::Why(flags) => commands::why(&config::Config::load(file, &flags)?, &flags),
        Command::Import { command: args::Import::Metallb(flags) } => {
            commands::import_metallb(&config::Config::load(file, &flags)?, &flags)
        }
        Command::Bgp(flags) => commands::bgp(&config::Config::load(file, &flags)?, &flags),
        Command::Uninstall(flags) => {
            commands::uninstall(&config::Config::load(file, &flags)?, flags.keep_addresses)
        }
        Command::Plugin { command: args::Plugin::Inspect { file, output } } => {
            commands::inspect(&file, output)
        }
        Command::Compile { input, output } => commands::compile(&input, &output),
        Command::Version { output } => commands::version(output),
    }
}
