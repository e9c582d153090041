//! The conversion layer between the types of the SDK and those of a component, one folder per released version of the
//! WIT. This module holds what all versions share: the data of a Store, and the functions a guest may call.
use std::sync::Arc;

use outrigger_sdk::Pool;
use wasmtime::component::{HasSelf, Linker};

use crate::deadlines::Deadlines;
use crate::limits::{Limits, Meter};

pub(crate) mod log;
pub(crate) mod v0_1;

/// The host's data in a Store.
pub(crate) struct Host {
    pub(crate) limits: Limits,
    pub(crate) deadlines: Arc<Deadlines>,
    pub(crate) meter: Meter,
    pub(crate) log: log::Log,
    /// The pool of the current decision. `None` outside of decisions.
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

/// Returns a linker with the functions that an allocator may call: `log` and `pool`.
pub(crate) fn allocators(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<Host>> {
    let mut linker = Linker::new(engine);
    v0_1::allocator::AllocatorWithHooks::add_to_linker::<_, HasSelf<Host>>(&mut linker, |host| {
        host
    })?;
    Ok(linker)
}

/// Returns a linker with the functions that an announcer may call: `log`.
pub(crate) fn announcers(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<Host>> {
    let mut linker = Linker::new(engine);
    v0_1::announcer::Announcer::add_to_linker::<_, HasSelf<Host>>(&mut linker, |host| host)?;
    Ok(linker)
}
