//! `cargo xtask`: all development tasks of the repository. Each command first runs the parts of others that it needs.
#![forbid(unsafe_code)]
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use outrigger_tests::guests::Guests;

mod bench;
mod check;
mod demo;
mod fuzz;
mod image;
mod lab;
mod previous;
mod run;
mod setup;
mod test;
mod tidy;

/// Run the development tasks of the repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Install, or list, the programs this machine lacks to build and test everything.
    Setup,
    /// Build the plugins for the demonstration and the tests, and print each path as soon as the plugin is built.
    Guests {
        /// Build only the harmless plugins.
        #[arg(long)]
        harmless: bool,
    },
    /// Demonstrate with real packets what Outrigger promises; fail when a promise is broken.
    Demo(demo::DemoArgs),
    /// Check format, clippy, documentation, licences and sources of dependencies: all that needs neither root nor the daemon.
    Check,
    /// Check the house rules that the compiler does not know: names, doc comments, sizes, dependencies between crates.
    Tidy,
    /// Run everything that must pass before a change is merged; called by `.ci/run`.
    Test(test::TestArgs),
    /// Fuzz the codecs, BFD and whole BGP sessions with untrusted octets, and search for new code paths.
    Fuzz(fuzz::FuzzArgs),
    /// Run a benchmark.
    Bench {
        #[command(subcommand)]
        what: bench::Bench,
    },
    /// Run a real Kubernetes cluster on this machine, in namespaces: etcd, API server, nodes with kubelet, containerd and
    /// kube-proxy, and a client outside. Needs root.
    Lab {
        /// Name of the laboratory; laboratories with different names can run side by side.
        #[arg(long, global = true, default_value = "lab")]
        name: String,
        #[command(subcommand)]
        what: lab::LabCommand,
    },
    /// Generate the CRDs in manifests/crds from the Rust types, manifests/install.yaml from the kustomize base, and docs/limits.md.
    Codegen,
    /// Build the image of the previous version from its own source into target/previous; the cluster tests upgrade from it if
    /// OUTRIGGER_PREVIOUS names that folder.
    Previous,
    /// Build an image of the daemon: an OCI archive, without Docker, reproducible to the byte.
    Image(image::ImageArgs),
}

fn main() -> ExitCode {
    match obey(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn obey(command: Command) -> Result<()> {
    match command {
        Command::Setup => setup::all(),
        Command::Guests { harmless } => guests(harmless),
        Command::Demo(what) => demo::demo(&what),
        Command::Check => check::check(),
        Command::Tidy => tidy::tidy(),
        Command::Test(what) => test::test(&what),
        Command::Fuzz(what) => fuzz::fuzz(&what),
        Command::Bench { what } => bench::bench(&what),
        Command::Lab { name, what } => lab::lab(&name, &what),
        // The tests that compare the generated files with their sources write them first when asked to; CRDs come first,
        // because install.yaml contains them.
        Command::Codegen => [
            ("outrigger-kube", "--lib"),
            ("outrigger-kube", "--test=manifests"),
            ("outrigger-tests", "--test=docs"),
        ]
        .into_iter()
        .try_for_each(|(package, target)| {
            run::show(
                run::cargo(["test", "--package", package, target, "on_disk"])
                    .env("OUTRIGGER_CODEGEN", "1"),
            )
        }),
        Command::Previous => previous::build().map(|folder| println!("{}", folder.display())),
        Command::Image(what) => image::image(&what),
    }
}

fn guests(harmless: bool) -> Result<()> {
    let show = |paths: &[&PathBuf]| paths.iter().for_each(|path| println!("{}", path.display()));
    setup::guest_compilers()?;
    let guests = Guests::build_harmless()?;
    show(&guests.harmless());
    if !harmless {
        show(&Guests::build()?.hostile());
    }
    Ok(())
}
