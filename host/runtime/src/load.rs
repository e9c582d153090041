//! From bytes to a [`Plugin`]: inspect, look into the cache, compile in a child if need be, try it once. Equal bytes are
//! one plugin however often they are delivered. Knows nothing of where the bytes came from.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use wasmtime::component::Component;

use crate::cache;
use crate::compile::{self, Command, CompileError};
use crate::engine::Engine;
use crate::inspect::{Inspection, LoadError, inspect};
use crate::plugin::Plugin;

/// Loads plugins, each once.
#[derive(Debug)]
pub struct Compiler {
    child: Command,
    cache: PathBuf,
    /// What is loaded, by digest. Never held while compiling.
    loaded: Mutex<BTreeMap<String, Weak<Plugin>>>,
    /// Tells apart the inputs of two loads at once.
    inputs: AtomicU64,
}

impl Compiler {
    /// `program args… IN OUT` must do what [`crate::compile`] does; `cache` is made when first needed.
    pub fn new(program: PathBuf, args: Vec<String>, cache: PathBuf) -> Self {
        Self {
            child: Command::new(program, args),
            cache,
            loaded: Mutex::default(),
            inputs: AtomicU64::new(0),
        }
    }

    /// A plugin that is ready to make instances. Takes seconds for a large component that is not in the cache.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load(&self, engine: &Engine, bytes: &[u8]) -> Result<Arc<Plugin>, LoadError> {
        let inspection = inspect(bytes)?;
        if let Some(plugin) = self.known(&inspection.digest) {
            return Ok(plugin);
        }
        let digest = inspection.digest.clone();
        let component = self.component(engine, &inspection, bytes)?;
        let plugin = Arc::new(Plugin::new(engine, &component, inspection)?);
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.retain(|_, plugin| plugin.strong_count() > 0);
        // Another load of the same bytes may have been faster.
        if let Some(first) = loaded.get(&digest).and_then(Weak::upgrade) {
            return Ok(first);
        }
        loaded.insert(digest, Arc::downgrade(&plugin));
        Ok(plugin)
    }

    fn known(&self, digest: &str) -> Option<Arc<Plugin>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner).get(digest)?.upgrade()
    }

    fn component(
        &self,
        engine: &Engine,
        inspection: &Inspection,
        bytes: &[u8],
    ) -> Result<Component, CompileError> {
        cache::prepare(&self.cache)?;
        let compiled = cache::place(&self.cache, &inspection.digest, engine.compatibility());
        // Whatever is wrong with a cached file (another CPU, a torn disk), compiling mends it.
        if let Ok(component) = cache::open(engine.wasmtime(), &compiled) {
            return Ok(component);
        }
        self.compile(&inspection.digest, bytes, &compiled)?;
        cache::open(engine.wasmtime(), &compiled)
            .map_err(|error| CompileError::Unusable(format!("{error:#}")))
    }

    fn compile(&self, digest: &str, bytes: &[u8], compiled: &Path) -> Result<(), CompileError> {
        let number = self.inputs.fetch_add(1, Ordering::Relaxed);
        let input = self.cache.join(format!("{digest}-{}-{number}.wasm", std::process::id()));
        let written = compile::write_new(&input, bytes)
            .map_err(|error| compile::file("write", &input, &error));
        let done = written.and_then(|()| self.child.run(&input, compiled));
        let _ = std::fs::remove_file(&input);
        done
    }
}

#[cfg(test)]
mod tests;
