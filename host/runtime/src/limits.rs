//! The limits of one instance: time, memory, tables, and the host memory that it may cause to be allocated. All are on
//! by default. Knows nothing of what the instance does.
use std::time::Duration;

use wasmtime::{ResourceLimiter, Store};

use crate::abi::Host;
use crate::deadlines::{Running, TICK};

const MIB: usize = 1 << 20;

/// Largest number of core instances: componentize-py needs up to 40, every other toolchain fewer than ten.
const INSTANCES: usize = 256;
/// Largest number of memories: QuickJS components have three.
const MEMORIES: usize = 8;
const TABLES: usize = 16;
/// Largest number of elements of one table: StarlingMonkey needs 7,690.
const TABLE_ELEMENTS: usize = 100_000;
const HANDLES: usize = 1024;

/// Bytes that the host allocates for the answer of any call without a limit of its own.
const ANSWER: usize = MIB;
/// Bytes of the answer of `handle`: 1,000 addresses that all move at once make some 6,000 effects of about 250 bytes,
/// that is 1.5 MiB, plus some margin.
const HANDLE_ANSWER: usize = 4 * MIB;
/// Bytes of the answer of `snapshot`: the WIT allows 16 MiB of data; the rest is for the format's name.
const SNAPSHOT_ANSWER: usize = 17 * MIB;

/// Limits of one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Largest memory in bytes, summed over all memories of the component.
    pub memory: usize,
    /// Deadline of one `handle`, and of one `snapshot`.
    pub handle: Duration,
    /// Deadline of instantiation, `validate` and `start`.
    pub start: Duration,
    /// Deadline of one decision of an allocator.
    pub allocate: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 64 * MIB,
            handle: Duration::from_millis(50),
            start: Duration::from_secs(5),
            allocate: Duration::from_millis(100),
        }
    }
}

/// The kind of a call, which determines its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Start,
    Handle,
    Snapshot,
    Allocate,
}

impl Call {
    pub(crate) fn deadline(self, limits: &Limits) -> Duration {
        match self {
            Self::Start => limits.start,
            Self::Handle | Self::Snapshot => limits.handle,
            Self::Allocate => limits.allocate,
        }
    }

    /// Returns the number of bytes that the host allocates for the answer, and for each call that the guest makes
    /// meanwhile.
    pub(crate) fn answer(self) -> usize {
        match self {
            Self::Start | Self::Allocate => ANSWER,
            Self::Handle => HANDLE_ANSWER,
            Self::Snapshot => SNAPSHOT_ANSWER,
        }
    }

    /// Starts the deadline and must be called before every call; the deadline applies for as long as the returned value
    /// is held.
    pub(crate) fn arm(self, store: &mut Store<Host>) -> Running {
        let deadline = self.deadline(&store.data().limits);
        // One more, because the first tick comes at any moment.
        let ticks = deadline.as_micros().div_ceil(TICK.as_micros()) + 1;
        store.set_epoch_deadline(u64::try_from(ticks).unwrap_or(u64::MAX));
        store.set_hostcall_fuel(self.answer());
        store.data().deadlines.running()
    }
}

/// Creates a Store with every limit on. One per instance: a trap makes the whole Store unusable.
pub(crate) fn store(engine: &wasmtime::Engine, host: Host) -> Store<Host> {
    let mut store = Store::new(engine, host);
    store.limiter(|host| &mut host.meter);
    store.set_max_component_handles(HANDLES);
    store
}

/// Counts the memory of an instance. wasmtime's own limiter counts each memory separately, and a component has several.
#[derive(Debug)]
pub(crate) struct Meter {
    memory: usize,
    limit: usize,
    /// True if growth was refused: the trap that follows is about memory.
    pub(crate) refused: bool,
}

impl Meter {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { memory: 0, limit: limits.memory, refused: false }
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let sum = self.memory.saturating_add(desired.saturating_sub(current));
        if sum > self.limit {
            // A trap and not -1: a guest that receives the failure aborts without a message about memory.
            self.refused = true;
            return Err(wasmtime::Error::msg(format!(
                "memory limit of {} MiB reached",
                self.limit / MIB
            )));
        }
        self.memory = sum;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if desired > TABLE_ELEMENTS {
            self.refused = true;
            return Err(wasmtime::Error::msg(format!(
                "table limit of {TABLE_ELEMENTS} elements reached"
            )));
        }
        Ok(true)
    }

    fn instances(&self) -> usize {
        INSTANCES
    }

    fn tables(&self) -> usize {
        TABLES
    }

    fn memories(&self) -> usize {
        MEMORIES
    }
}
