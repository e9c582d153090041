//! Components that are built during the run: another build of layer2, a policy in another language, and hostile plugins.
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::product;

/// Paths of built components.
#[derive(Debug, Clone)]
pub struct Guests {
    /// bgp as shipped.
    pub bgp: PathBuf,
    /// layer2 as shipped.
    pub layer2: PathBuf,
    /// layer2 built in another way: same behaviour, other bytes.
    pub layer2_other: PathBuf,
    /// The policy lowest-free as shipped.
    pub lowest_free: PathBuf,
    /// Policy in C that allocates the highest free address.
    pub highest_free: PathBuf,
    /// Traps in `handle`.
    pub trap: PathBuf,
    /// Never returns from `handle`.
    pub looping: PathBuf,
    /// Allocates all memory it can get.
    pub memory: PathBuf,
    /// Answers for an address that it was not assigned.
    pub forgery: PathBuf,
    /// Traps in `start`.
    pub trap_in_start: PathBuf,
    /// Traps after ten events.
    pub late_trap: PathBuf,
    /// Withdraws everything.
    pub withdraw: PathBuf,
    /// Policy that traps in every decision.
    pub trap_in_allocate: PathBuf,
    /// Policy that never ends a decision.
    pub loop_in_allocate: PathBuf,
    /// Reports new peers, conditions, metrics and events about Services without end.
    pub reports: PathBuf,
    /// Sets new beacons without end.
    pub storm: PathBuf,
    /// Opens more and more sockets.
    pub squat: PathBuf,
    /// Sets new answers and timers without end.
    pub offloads: PathBuf,
    /// Uses nearly all the time of a call, in every call.
    pub slow: PathBuf,
}

/// Examples of `plugins/components`.
const SHIPPED: [&str; 3] = ["bgp", "layer2", "lowest-free"];
/// Examples of `tests/guests` that behave like the shipped ones.
const ANOTHER: [&str; 2] = ["another-bgp", "another-layer2"];
/// Hostile examples of `tests/guests`.
const HOSTILE: [&str; 14] = [
    "forgery",
    "late-trap",
    "loop",
    "loop-in-allocate",
    "memory",
    "offloads",
    "reports",
    "slow",
    "squat",
    "storm",
    "trap",
    "trap-in-allocate",
    "trap-in-start",
    "withdraw",
];
/// Hostile examples that speak BGP.
const HOSTILE_BGP: [&str; 3] = ["faulty", "offers", "rogue"];

impl Guests {
    /// Builds the components that are not built yet.
    ///
    /// # Errors
    /// When the toolchain is missing or a guest does not compile; the message names it.
    pub fn build() -> Result<Self> {
        Self::build_harmless()?;
        examples("tests/guests", &HOSTILE)?;
        Self::located()
    }

    /// Builds the harmless components, which are shown first. The others may not exist yet.
    ///
    /// # Errors
    /// Returns the same errors as [`Self::build`].
    pub fn build_harmless() -> Result<Self> {
        examples("plugins/components", &SHIPPED)?;
        outrigger_sdk_build::c::build(
            &product::root().join("examples/highest-free-c"),
            &product::target()?,
        )?;
        examples("tests/guests", &ANOTHER)?;
        Self::located()
    }

    /// Returns the paths of all components, built or not.
    ///
    /// # Errors
    /// When this program does not run from cargo's target folder.
    pub fn located() -> Result<Self> {
        let folder = product::target()?.join("guests");
        let at = |name: &str| folder.join(name).with_extension("wasm");
        Ok(Self {
            bgp: at("bgp"),
            layer2: at("layer2"),
            layer2_other: at("another-layer2"),
            lowest_free: at("lowest-free"),
            highest_free: at("highest-free-c"),
            trap: at("trap"),
            looping: at("loop"),
            memory: at("memory"),
            forgery: at("forgery"),
            trap_in_start: at("trap-in-start"),
            late_trap: at("late-trap"),
            withdraw: at("withdraw"),
            trap_in_allocate: at("trap-in-allocate"),
            loop_in_allocate: at("loop-in-allocate"),
            reports: at("reports"),
            storm: at("storm"),
            squat: at("squat"),
            offloads: at("offloads"),
            slow: at("slow"),
        })
    }

    /// Returns the harmless components, in the order in which they are built.
    pub fn harmless(&self) -> [&PathBuf; 5] {
        [&self.bgp, &self.layer2, &self.lowest_free, &self.highest_free, &self.layer2_other]
    }

    /// Returns the hostile components.
    pub fn hostile(&self) -> [&PathBuf; 14] {
        [
            &self.trap,
            &self.looping,
            &self.memory,
            &self.forgery,
            &self.trap_in_start,
            &self.late_trap,
            &self.trap_in_allocate,
            &self.loop_in_allocate,
            &self.reports,
            &self.storm,
            &self.squat,
            &self.offloads,
            &self.slow,
            &self.withdraw,
        ]
    }
}

fn examples(folder: &str, names: &[&str]) -> Result<Vec<PathBuf>> {
    outrigger_sdk_build::examples(&product::root().join(folder), names, &product::target()?)
}

/// Returns a component with so much additional code that compiling it takes seconds on any machine; compressed it is small. A
/// component may hold core modules that it does not use, and they are compiled all the same.
///
/// # Errors
/// When the component cannot be read.
pub fn slow_to_compile(component: &Path) -> Result<Vec<u8>> {
    with_more_code(component, 3_000, 600)
}

/// Returns a component with code that takes more than half a minute to compile.
///
/// # Errors
/// When the component cannot be read.
pub fn endless_to_compile(component: &Path) -> Result<Vec<u8>> {
    with_more_code(component, 10_000, 600)
}

/// Returns a component with functions so large that compiling each takes hundreds of MiB: more than a node's daemon may have.
///
/// # Errors
/// When the component cannot be read.
pub fn hungry_to_compile(component: &Path) -> Result<Vec<u8>> {
    with_more_code(component, 2, 700_000)
}

fn with_more_code(component: &Path, functions: usize, turns: usize) -> Result<Vec<u8>> {
    let mut octets = std::fs::read(component)?;
    // One parameter, no other locals; each turn is x = x * 7 + x.
    let turn = [0x20, 0, 0x41, 7, 0x6c, 0x20, 0, 0x6a, 0x21, 0];
    let body = [&[0][..], &turn.repeat(turns), &[0x20, 0, 0x0b]].concat();
    let body = [leb(body.len()), body].concat();
    let section =
        |id: u8, content: &[u8]| [vec![id], leb(content.len()), content.to_vec()].concat();
    let types = [1, 0x60, 1, 0x7f, 1, 0x7f];
    let code = [leb(functions), body.repeat(functions)].concat();
    let functions = [leb(functions), vec![0; functions]].concat();
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

/// Encodes an unsigned LEB128 number.
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

/// Paths of builds of the speaker.
#[derive(Debug, Clone)]
pub struct BgpGuests {
    /// The shipped speaker, built in another way: same behaviour, other bytes.
    pub other: PathBuf,
    /// Traps for a minute.
    pub faulty: PathBuf,
    /// Writes forbidden UPDATEs.
    pub rogue: PathBuf,
    /// Offers forbidden capabilities, three times.
    pub offers: PathBuf,
}

impl BgpGuests {
    /// Builds the speakers that are not built yet.
    ///
    /// # Errors
    /// When the toolchain is missing or a guest does not compile; the message names it.
    pub fn build() -> Result<Self> {
        examples("tests/guests", &ANOTHER)?;
        examples("tests/guests", &HOSTILE_BGP)?;
        let folder = product::target()?.join("guests");
        let at = |name: &str| folder.join(name).with_extension("wasm");
        Ok(Self {
            other: at("another-bgp"),
            faulty: at("faulty"),
            rogue: at("rogue"),
            offers: at("offers"),
        })
    }
}
