//! The components that are built in the run: another build of layer2, a policy in another language, and plugins that
//! mean harm.
use std::path::PathBuf;

use anyhow::Result;
use outrigger_sdk_build::{Guest, build};

use crate::product;

/// Built components.
#[derive(Debug, Clone)]
pub struct Guests {
    /// bgp as it ships.
    pub bgp: PathBuf,
    /// layer2 as it ships.
    pub layer2: PathBuf,
    /// layer2 built in another way: same behaviour, other bytes.
    pub layer2_other: PathBuf,
    /// The policy lowest-free as it ships.
    pub lowest_free: PathBuf,
    /// A policy in C that gives the highest free address.
    pub highest_free: PathBuf,
    /// Traps in `handle`.
    pub trap: PathBuf,
    /// Never comes back from `handle`.
    pub looping: PathBuf,
    /// Takes all memory it can get.
    pub memory: PathBuf,
    /// Answers for an address it was not given.
    pub forgery: PathBuf,
}

impl Guests {
    /// Builds what is not built yet.
    ///
    /// # Errors
    /// When the toolchain is missing or a guest does not compile; the message says which.
    pub fn build() -> Result<Self> {
        let (root, target) = (product::root(), product::target()?);
        let layer2 = Guest::new(root.join("plugins/layer2"), "outrigger-layer2");
        let hostile = |feature| {
            build(
                &Guest::new(root.join("tests/guests/hostile"), "hostile").feature(feature),
                &target,
            )
        };
        Ok(Self {
            bgp: build(&Guest::new(root.join("plugins/bgp"), "outrigger-bgp"), &target)?,
            layer2: build(&layer2, &target)?,
            layer2_other: build(&layer2.clone().opt_level(2), &target)?,
            lowest_free: build(
                &Guest::new(root.join("plugins/allocators/lowest-free"), "outrigger-lowest-free"),
                &target,
            )?,
            highest_free: outrigger_sdk_build::c::build(
                &root.join("examples/highest-free-c"),
                &target,
            )?,
            trap: hostile("trap")?,
            looping: hostile("loop")?,
            memory: hostile("memory")?,
            forgery: hostile("forgery")?,
        })
    }

    /// All of them, in the order they are built.
    pub fn all(&self) -> [&PathBuf; 9] {
        let Self {
            bgp,
            layer2,
            layer2_other,
            lowest_free,
            highest_free,
            trap,
            looping,
            memory,
            forgery,
        } = self;
        [bgp, layer2, layer2_other, lowest_free, highest_free, trap, looping, memory, forgery]
    }
}

/// Builds of the speaker.
#[derive(Debug, Clone)]
pub struct BgpGuests {
    /// As it ships, built in another way: same behaviour, other bytes.
    pub other: PathBuf,
    /// Traps for ten seconds.
    pub faulty: PathBuf,
    /// Writes what it must not write.
    pub rogue: PathBuf,
}

impl BgpGuests {
    /// Builds what is not built yet.
    ///
    /// # Errors
    /// When the toolchain is missing or a guest does not compile; the message says which.
    pub fn build() -> Result<Self> {
        let (root, target) = (product::root(), product::target()?);
        let shipped = Guest::new(root.join("plugins/bgp"), "outrigger-bgp");
        let guest = |feature| {
            build(&Guest::new(root.join("tests/guests/bgp"), "bgp-guest").feature(feature), &target)
        };
        Ok(Self {
            other: build(&shipped.opt_level(2), &target)?,
            faulty: guest("faulty")?,
            rogue: guest("rogue")?,
        })
    }
}
