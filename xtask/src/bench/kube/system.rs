//! The two load balancers: how each is installed, what it is known by in the audit log and among the processes. Must not
//! know what is measured.
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::ValueEnum;
use outrigger_tests::kubernetes::{Lab, metallb};
use outrigger_tests::scenarios::kubernetes::install;
use serde_json::json;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum System {
    /// Ours.
    Outrigger,
    /// The one beside it.
    Metallb,
}

/// Which part of a load balancer a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// On every node.
    Node,
    /// Gives addresses.
    Controller,
}

/// What is installed.
pub struct Supplies {
    /// The archive of our image.
    pub ours: Option<PathBuf>,
    /// MetalLB's programs and manifest.
    pub metallb: Option<metallb::Release>,
}

impl System {
    /// In the order they are measured.
    pub const BOTH: [Self; 2] = [Self::Outrigger, Self::Metallb];

    /// As it is printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Outrigger => concat!("outrigger ", env!("CARGO_PKG_VERSION")),
            Self::Metallb => "metallb 0.15.2",
        }
    }

    /// Installs it and waits until it runs.
    pub fn install(self, lab: &Lab, supplies: &Supplies) -> Result<()> {
        match self {
            Self::Outrigger => install(lab, supplies.ours.as_ref().context("no image of ours")?),
            Self::Metallb => supplies.metallb.as_ref().context("no MetalLB")?.install(lab),
        }
    }

    /// Gives it a pool.
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

    /// Whether a user of the API is one of its service accounts.
    pub fn is_user(self, user: &str) -> bool {
        let accounts = match self {
            Self::Outrigger => "system:serviceaccount:outrigger-system:",
            Self::Metallb => "system:serviceaccount:metallb-system:",
        };
        user.starts_with(accounts)
    }

    /// Which part of it a process with these arguments is.
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
