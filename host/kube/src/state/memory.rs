//! The facts as a node knew them last, on disk: what it starts from while the API server is silent. Must not know how old is too
//! old.
use std::io::{self, Write};

use outrigger_core::facts::Fact;
use outrigger_sdk::Time;
use serde::{Deserialize, Serialize};

use super::{State, StateError, atomic, io_error};

const FILE: &str = "facts";
/// Changes with every change of the facts' shape: what another version wrote is not read.
const FORMAT: u32 = 4;

#[derive(Serialize)]
struct Written<'a> {
    format: u32,
    version: &'a str,
    utc_us: u64,
    facts: Vec<&'a Fact>,
}

/// What was known once.
#[derive(Debug, Deserialize)]
pub struct Memory {
    format: u32,
    version: String,
    /// When it was written, microseconds since 1970.
    pub utc_us: u64,
    /// What was known.
    pub facts: Vec<Fact>,
}

impl State {
    /// Writes down what is known.
    ///
    /// # Errors
    /// When it cannot be written.
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

    /// What an earlier process of the same version wrote down; `None` when there is nothing that can be read.
    pub fn remembered(&self) -> Option<Memory> {
        let octets = std::fs::read(self.dir.join(FILE)).ok()?;
        let memory: Memory = postcard::from_bytes(&octets).ok()?;
        (memory.format == FORMAT && memory.version == env!("CARGO_PKG_VERSION")).then_some(memory)
    }
}
