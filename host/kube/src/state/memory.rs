//! Stores the last known facts of a node on disk. A node starts from them while the API server is unreachable. This module
//! must not know how old the facts may be.
use std::io::{self, Write};

use outrigger_core::facts::Fact;
use outrigger_sdk::Time;
use serde::{Deserialize, Serialize};

use super::{State, StateError, atomic, io_error};

const FILE: &str = "facts";
/// Format version, to be changed with every change of the facts' shape. Facts of another version are not read.
const FORMAT: u32 = 4;

#[derive(Serialize)]
struct Written<'a> {
    format: u32,
    version: &'a str,
    utc_us: u64,
    facts: Vec<&'a Fact>,
}

/// Facts that an earlier process stored.
#[derive(Debug, Deserialize)]
pub struct Memory {
    format: u32,
    version: String,
    /// Time of the write, in microseconds since 1970.
    pub utc_us: u64,
    /// The stored facts.
    pub facts: Vec<Fact>,
}

impl State {
    /// Stores the facts.
    ///
    /// # Errors
    /// Returns an error if the facts cannot be written.
    pub fn remember<'a>(
        &self,
        facts: impl Iterator<Item = &'a Fact>,
        now: Time,
    ) -> Result<(), StateError> {
        let path = self.dir.join(FILE);
        let version = env!("CARGO_PKG_VERSION");
        let written =
            Written { format: FORMAT, version, utc_us: now.utc_us, facts: facts.collect() };
        let write = |file: &mut dyn Write| match postcard::to_io(&written, file) {
            Ok(_) => Ok(()),
            Err(error) => Err(io::Error::other(error)),
        };
        atomic::write_as(&path, write, atomic::Durable::No).map_err(io_error(&path))
    }

    /// Returns the facts that an earlier process of the same version stored; `None` if there are none that can be read.
    pub fn remembered(&self) -> Option<Memory> {
        let octets = std::fs::read(self.dir.join(FILE)).ok()?;
        let memory: Memory = postcard::from_bytes(&octets).ok()?;
        (memory.format == FORMAT && memory.version == env!("CARGO_PKG_VERSION")).then_some(memory)
    }
}
