//! Context of one call from the host: the time, the shared state, and the resulting effects.
use outrigger_sdk::log::{Level, log};
use outrigger_sdk::{Effect, Endpoint, Offload, OffloadWork, StreamBytes};
use serde::{Deserialize, Serialize};

use crate::links::Links;
use crate::random::Random;
use crate::settings::Settings;

/// First number of the range that the host allocates from.
const HOST: Endpoint = 0x8000_0000;

/// Input that a decision reads, and the output it writes its effects to.
pub(crate) struct CallContext<'a> {
    pub(crate) now_us: u64,
    pub(crate) settings: &'a Settings,
    pub(crate) links: &'a Links,
    pub(crate) numbers: &'a mut Numbers,
    pub(crate) random: &'a mut Random,
    pub(crate) effects: &'a mut Vec<Effect>,
}

/// Allocator of endpoint numbers. It counts up, so that a late event about an old number is never taken for one about a
/// new number.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Numbers(Endpoint);

impl Numbers {
    pub(crate) fn take(&mut self) -> Endpoint {
        self.0 = (self.0 + 1) % HOST;
        self.0
    }

    /// Continues after the highest number that is already in use.
    pub(crate) fn skip(&mut self, in_force: impl Iterator<Item = Endpoint>) {
        self.0 = in_force.filter(|number| *number < HOST).fold(self.0, Endpoint::max);
    }
}

impl CallContext<'_> {
    pub(crate) fn write(&mut self, id: Endpoint, data: Vec<u8>) {
        self.effects.push(Effect::Write(StreamBytes { id, data }));
    }

    pub(crate) fn close(&mut self, id: Endpoint) {
        self.effects.push(Effect::Close(id));
    }

    pub(crate) fn offload(&mut self, id: Endpoint, work: OffloadWork) {
        self.effects.push(Effect::Offload(Offload { id, work }));
    }

    /// Writes a line to the session log.
    pub(crate) fn say(&self, level: Level, message: &str) {
        log(level, message, &[]);
    }
}
