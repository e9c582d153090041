//! Groups of tests: the cargo command of each, and its prerequisites.
use std::process::Command;

use anyhow::Result;
use clap::ValueEnum;
use outrigger_tests::kubernetes::binaries;

use crate::{image, run, setup};

/// Group of tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Group {
    /// Each crate by itself, natively: units, properties, simulations, examples in documentation. Needs neither root nor wasm,
    /// except for the host's own tests.
    Unit,
    /// Built artifacts: components beside native code, the daemon's commands, the fuzz corpus, the BGP oracle.
    Component,
    /// A controller beside a real API server without nodes. Needs root.
    Apiserver,
    /// The daemon in network namespaces, on layer 2.
    Net,
    /// The daemon beside FRR, BIRD, GoBGP and ExaBGP in network namespaces.
    Bgp,
    /// A whole Kubernetes cluster. Needs root.
    Cluster,
}

/// Package of the integration tests.
const TESTS: &str = "outrigger-tests";

/// Compiles every test without running any.
pub fn build() -> Result<()> {
    run::show(&mut run::cargo(["test", "--workspace", "--no-run"]))
}

impl Group {
    /// Returns the name as given on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unit => "unit",
            Self::Component => "component",
            Self::Apiserver => "apiserver",
            Self::Net => "net",
            Self::Bgp => "bgp",
            Self::Cluster => "cluster",
        }
    }

    /// Returns the cargo command of the group.
    pub fn cargo(self) -> Command {
        let files: &[&str] = match self {
            Self::Unit => {
                return run::cargo(["test", "--workspace", "--exclude", TESTS, "--no-fail-fast"]);
            }
            Self::Component => &["commands", "component", "docs", "fuzz", "oracle"],
            Self::Apiserver => &["apiserver"],
            Self::Net => &["netns"],
            Self::Bgp => &["bgp"],
            Self::Cluster => &["cluster"],
        };
        let mut cargo = run::cargo(["test", "--package", TESTS, "--no-fail-fast"]);
        if self == Self::Component {
            cargo.arg("--lib");
        }
        for file in files {
            cargo.args(["--test", file]);
        }
        cargo
    }

    /// Installs and builds the group's prerequisites.
    pub fn needs(self) -> Result<()> {
        match self {
            Self::Unit => return setup::guest_compilers(),
            Self::Component => {}
            Self::Apiserver => setup::kubernetes(binaries::API)?,
            Self::Net => setup::network()?,
            Self::Bgp => {
                setup::network()?;
                setup::routers()?;
            }
            Self::Cluster => setup::cluster()?,
        }
        setup::guests()?;
        match self {
            Self::Cluster => image::image(&image::ImageArgs::default()),
            _ => run::build_outrigger(),
        }
    }
}
