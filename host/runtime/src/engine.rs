//! The serving engine and the compiling engine, from one configuration so that they agree. The serving engine holds no
//! compiler. Knows nothing of plugins.
use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroUsize;
use std::sync::Arc;

use wasmtime::component::Linker;
use wasmtime::{Config, OptLevel};

use crate::abi::{self, Host};
use crate::deadlines::Deadlines;

/// Number of frames of a guest's call stack that are recorded.
const BACKTRACE_FRAMES: usize = 32;
/// Stack size of a guest inside the host, in bytes: small, because every instance's thread has one.
const WASM_STACK: usize = 512 * 1024;

/// The engine that every plugin of this process runs in.
pub struct Engine {
    inner: wasmtime::Engine,
    deadlines: Arc<Deadlines>,
    allocators: Linker<Host>,
    announcers: Linker<Host>,
    compatibility: String,
}

/// The reason why the engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// wasmtime refused the configuration or this CPU.
    #[error("the WebAssembly engine does not support this machine: {0}")]
    Engine(String),
    /// The thread for the deadlines could not be started.
    #[error("cannot start the thread that enforces the deadlines of plugins")]
    Ticker(#[source] std::io::Error),
}

impl Engine {
    /// Creates the serving engine and the thread that enforces its deadlines; the thread ends with the engine and its
    /// plugins.
    ///
    /// # Errors
    /// Returns an [`EngineError`] if the engine or the thread cannot be started.
    pub fn new() -> Result<Self, EngineError> {
        let refused = |error: wasmtime::Error| EngineError::Engine(format!("{error:#}"));
        let inner = wasmtime::Engine::new(&config(false)).map_err(refused)?;
        Ok(Self {
            deadlines: Deadlines::keep(&inner).map_err(EngineError::Ticker)?,
            allocators: abi::allocators(&inner).map_err(refused)?,
            announcers: abi::announcers(&inner).map_err(refused)?,
            compatibility: compatibility(&inner),
            inner,
        })
    }

    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.inner
    }

    pub(crate) fn allocators(&self) -> &Linker<Host> {
        &self.allocators
    }

    pub(crate) fn announcers(&self) -> &Linker<Host> {
        &self.announcers
    }

    pub(crate) fn deadlines(&self) -> &Arc<Deadlines> {
        &self.deadlines
    }

    /// Returns the name of the compiled form that this engine can load: part of the cache's file names.
    pub(crate) fn compatibility(&self) -> &str {
        &self.compatibility
    }
}

/// Returns the engine of the compiling child process.
pub(crate) fn compiling() -> Result<wasmtime::Engine, wasmtime::Error> {
    wasmtime::Engine::new(&config(true))
}

/// Returns an engine that compiles for every CPU of a target, not only for that of this machine.
pub(crate) fn compiling_for(target: &str) -> Result<wasmtime::Engine, wasmtime::Error> {
    wasmtime::Engine::new(config(true).target(target)?)
}

/// Returns one configuration for both engines, so that the daemon can load what the child compiles. Features that our
/// guests do not need are off: a smaller surface, and the same result on every node.
fn config(compiling: bool) -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        // Sync calls only: three times cheaper, and no half-finished guest tasks in a Store.
        .concurrency_support(false)
        .memory_init_cow(true)
        .relaxed_simd_deterministic(true)
        .wasm_relaxed_simd(false)
        .wasm_tail_call(false)
        .wasm_memory64(false)
        .wasm_wide_arithmetic(false)
        .wasm_stack_switching(false)
        .max_wasm_stack(WASM_STACK)
        .wasm_backtrace_max_frames(NonZeroUsize::new(BACKTRACE_FRAMES));
    // Threads, GC, function references and exceptions are off because wasmtime is built without them.
    // Multi-memory stays on: without it wasmtime panics when it compiles a composed component.
    if compiling {
        config.cranelift_opt_level(OptLevel::Speed).cranelift_nan_canonicalization(true);
    } else {
        config.enable_compiler(false);
    }
    config
}

/// Returns the hash of the engine's settings and our version, which stands for the compiler's settings: wasmtime hashes
/// those only where there is a compiler.
fn compatibility(engine: &wasmtime::Engine) -> String {
    let mut hasher = DefaultHasher::new();
    env!("CARGO_PKG_VERSION").hash(&mut hasher);
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_engines_name_the_same_compiled_form() {
        let mut without = config(true);
        without.enable_compiler(false);
        let compiling = wasmtime::Engine::new(&without).expect("engine");
        let serving = wasmtime::Engine::new(&config(false)).expect("engine");
        assert_eq!(compatibility(&compiling), compatibility(&serving));
    }

    #[test]
    fn what_the_compiling_engine_makes_the_serving_one_can_load_and_only_that_one_can_compile() {
        let component = wat::parse_str("(component)").expect("wat");
        let compiled =
            compiling().expect("engine").precompile_component(&component).expect("compiles");
        let serving = Engine::new().expect("engine");
        let directory = tempfile::tempdir().expect("directory");
        let (apart, file) = (directory.path().join("apart"), directory.path().join("empty.cwasm"));
        std::fs::write(&apart, compiled).expect("written");
        crate::cache::seal(&apart, &file).expect("sealed");
        crate::cache::open(serving.wasmtime(), &file).expect("loads");
        assert!(serving.wasmtime().precompile_component(&component).is_err());
    }
}
