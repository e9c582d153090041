//! The program `outrigger`: parses the arguments and returns the exit code.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    outrigger::run(outrigger::args::Cli::of_process())
}
