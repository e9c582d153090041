//! The program `outrigger`: arguments in, exit code out.
#![forbid(unsafe_code)]

use clap::Parser as _;

fn main() -> std::process::ExitCode {
    outrigger::run(outrigger::args::Cli::parse())
}
