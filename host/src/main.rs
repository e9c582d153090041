//! The program `outrigger`: arguments in, exit code out.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    outrigger::run(outrigger::args::Cli::of_process())
}
