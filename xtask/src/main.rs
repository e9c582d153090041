//! `cargo xtask`: everything that is done with the repository. Each command does first what it needs of the others.
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

/// Everything that is done with the repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Install, or name, what this machine lacks to build and test everything.
    Setup,
    /// Build the plugins that the demonstration and the tests run, and say where each is as soon as it is there.
    Guests {
        /// Only those that mean no harm.
        #[arg(long)]
        harmless: bool,
    },
    /// Show with real packets what Outrigger promises; fails when a promise is broken.
    Demo(demo::What),
    /// Format, clippy, documentation, licences and sources of dependencies: what needs no root and no daemon.
    Check,
    /// Everything that must hold before a change is merged; `.ci/run` calls it.
    Test(test::What),
    /// Feed octets that nobody vouches for to the codecs, to BFD and to whole BGP sessions, and look for ever new ways through them.
    Fuzz(fuzz::What),
    /// Measure.
    Bench {
        #[command(subcommand)]
        what: bench::What,
    },
    /// A real Kubernetes cluster on this machine, in namespaces: etcd, API server, nodes with kubelet, containerd and
    /// kube-proxy, and a client outside. Needs root.
    Lab {
        /// Several stand side by side, each with a name of its own.
        #[arg(long, global = true, default_value = "lab")]
        name: String,
        #[command(subcommand)]
        what: lab::What,
    },
    /// Generate the CRDs in manifests/crds from the Rust types, manifests/install.yaml from the kustomize base, and docs/limits.md.
    Codegen,
    /// Build the image of the version before this one, from its own source, into target/previous: with OUTRIGGER_PREVIOUS naming
    /// that folder, the cluster tests upgrade from it.
    Previous,
    /// Make an image of the daemon: an OCI archive, without Docker, the same octets every time.
    Image(image::What),
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
        Command::Test(what) => test::test(&what),
        Command::Fuzz(what) => fuzz::fuzz(&what),
        Command::Bench { what } => bench::bench(&what),
        Command::Lab { name, what } => lab::lab(&name, &what),
        // The tests that compare the files with what they come from write them first when asked to; CRDs first, since
        // install.yaml holds them.
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
