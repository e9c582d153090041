//! The border between the words of the SDK and those of a component, one folder per released version of the WIT.
//! Here is what all versions share: what a Store holds, and what a guest may call.
use std::sync::Arc;

use outrigger_sdk::Pool;
use wasmtime::component::{HasSelf, Linker};

use crate::deadlines::Deadlines;
use crate::limits::{Limits, Meter};

pub(crate) mod log;
pub(crate) mod v0_1;

/// What a Store holds besides the guest.
pub(crate) struct Host {
    pub(crate) limits: Limits,
    pub(crate) deadlines: Arc<Deadlines>,
    pub(crate) meter: Meter,
    pub(crate) log: log::Log,
    /// The pool of the decision at hand; outside of decisions there is none.
    pub(crate) pool: Option<Arc<dyn Pool + Send + Sync>>,
}

impl Host {
    pub(crate) fn new(plugin: &str, limits: &Limits, deadlines: &Arc<Deadlines>) -> Self {
        Self {
            limits: limits.clone(),
            deadlines: Arc::clone(deadlines),
            meter: Meter::new(limits),
            log: log::Log::new(plugin),
            pool: None,
        }
    }
}

/// What an allocator may call: `log` and `pool`.
pub(crate) fn allocators(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<Host>> {
    let mut linker = Linker::new(engine);
    v0_1::allocator::AllocatorWithHooks::add_to_linker::<_, HasSelf<Host>>(&mut linker, |host| {
        host
    })?;
    Ok(linker)
}

/// What an announcer may call: `log`.
pub(crate) fn announcers(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<Host>> {
    let mut linker = Linker::new(engine);
    v0_1::announcer::Announcer::add_to_linker::<_, HasSelf<Host>>(&mut linker, |host| host)?;
    Ok(linker)
}
