//! The components that are built in the run: another build of layer2, a policy in another language, and plugins that
//! mean harm.
use std::path::{Path, PathBuf};

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
    /// Traps in `start`.
    pub trap_in_start: PathBuf,
    /// Traps after ten events.
    pub late_trap: PathBuf,
    /// Withdraws everything.
    pub withdraw: PathBuf,
    /// A policy that traps in every decision.
    pub trap_in_allocate: PathBuf,
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
            trap_in_start: hostile("trap-in-start")?,
            late_trap: hostile("late-trap")?,
            withdraw: hostile("withdraw")?,
            trap_in_allocate: hostile("trap-in-allocate")?,
        })
    }

    /// All of them, in the order they are built.
    pub fn all(&self) -> [&PathBuf; 13] {
        [
            &self.bgp,
            &self.layer2,
            &self.layer2_other,
            &self.lowest_free,
            &self.highest_free,
            &self.trap,
            &self.looping,
            &self.memory,
            &self.forgery,
            &self.trap_in_start,
            &self.late_trap,
            &self.withdraw,
            &self.trap_in_allocate,
        ]
    }
}

/// A component with so much code beside its own that compiling it takes seconds on any machine; compressed it is small. A
/// component may hold core modules that it does not use, and they are compiled all the same.
///
/// # Errors
/// When the component cannot be read.
pub fn slow_to_compile(component: &Path) -> Result<Vec<u8>> {
    const FUNCTIONS: usize = 3000;
    const TURNS: usize = 600;
    let mut octets = std::fs::read(component)?;
    // One parameter, no other locals; each turn is x = x * 7 + x.
    let turn = [0x20, 0, 0x41, 7, 0x6c, 0x20, 0, 0x6a, 0x21, 0];
    let body = [&[0][..], &turn.repeat(TURNS), &[0x20, 0, 0x0b]].concat();
    let body = [leb(body.len()), body].concat();
    let section =
        |id: u8, content: &[u8]| [vec![id], leb(content.len()), content.to_vec()].concat();
    let types = [1, 0x60, 1, 0x7f, 1, 0x7f];
    let functions = [leb(FUNCTIONS), vec![0; FUNCTIONS]].concat();
    let code = [leb(FUNCTIONS), body.repeat(FUNCTIONS)].concat();
    let module = [
        b"\0asm\x01\0\0\0".to_vec(),
        section(1, &types),
        section(3, &functions),
        section(10, &code),
    ]
    .concat();
    // Section 1 of a component is a core module (WebAssembly component model, Binary.md).
    octets.extend(section(1, &module));
    Ok(octets)
}

/// An unsigned LEB128 number.
fn leb(mut number: usize) -> Vec<u8> {
    let mut octets = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        octets.push(if number == 0 { low } else { low | 0x80 });
        if number == 0 {
            return octets;
        }
    }
}

/// Builds of the speaker.
#[derive(Debug, Clone)]
pub struct BgpGuests {
    /// As it ships, built in another way: same behaviour, other bytes.
    pub other: PathBuf,
    /// Traps for a minute.
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
