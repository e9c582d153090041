//! The two load balancers: how each is installed and identified in the audit log and among the processes. Must not know what is
//! measured.
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::ValueEnum;
use outrigger_tests::kubernetes::{Lab, metallb};
use outrigger_tests::scenarios::kubernetes::install;
use serde_json::json;

/// Load balancer to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum System {
    /// Outrigger.
    Outrigger,
    /// MetalLB.
    Metallb,
}

/// Part of a load balancer that a process belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Daemon on every node.
    Node,
    /// Controller, which allocates addresses.
    Controller,
}

/// Files to install.
pub struct Supplies {
    /// Archive of the Outrigger image.
    pub ours: Option<PathBuf>,
    /// MetalLB's programs and manifest.
    pub metallb: Option<metallb::Release>,
}

impl System {
    /// Both load balancers in the order of measurement.
    pub const BOTH: [Self; 2] = [Self::Outrigger, Self::Metallb];

    /// Returns the name as printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Outrigger => concat!("outrigger ", env!("CARGO_PKG_VERSION")),
            Self::Metallb => "metallb 0.15.2",
        }
    }

    /// Installs the load balancer and waits until it runs.
    pub fn install(self, lab: &Lab, supplies: &Supplies) -> Result<()> {
        match self {
            Self::Outrigger => {
                install(lab, supplies.ours.as_ref().context("no image of Outrigger")?)
            }
            Self::Metallb => supplies.metallb.as_ref().context("no MetalLB")?.install(lab),
        }
    }

    /// Creates a pool of these addresses.
    pub fn pool(self, lab: &Lab, addresses: &str) -> Result<()> {
        match self {
            Self::Outrigger => {
                let pool = json!({
                    "apiVersion": "outrigger.dev/v1alpha1",
                    "kind": "AddressPool",
                    "metadata": { "name": "bench" },
                    "spec": { "addresses": [addresses] },
                });
                lab.apply(&pool.to_string())
            }
            Self::Metallb => metallb::pool(lab, "bench", addresses),
        }
    }

    /// Returns true if a user of the API is one of its service accounts.
    pub fn is_user(self, user: &str) -> bool {
        let accounts = match self {
            Self::Outrigger => "system:serviceaccount:outrigger-system:",
            Self::Metallb => "system:serviceaccount:metallb-system:",
        };
        user.starts_with(accounts)
    }

    /// Returns the part that a process with these arguments belongs to; `None` for other processes.
    pub fn part(self, arguments: &[&str]) -> Option<Part> {
        match (self, arguments) {
            (Self::Outrigger, ["/outrigger", "run", "--role", "node", ..])
            | (Self::Metallb, ["/speaker", ..]) => Some(Part::Node),
            (Self::Outrigger, ["/outrigger", "run", "--role", "controller", ..])
            | (Self::Metallb, ["/controller", ..]) => Some(Part::Controller),
            _ => None,
        }
    }
}
