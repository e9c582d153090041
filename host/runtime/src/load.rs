//! The path from bytes to a [`Plugin`]: inspect, look into the cache, compile in a child if necessary, instantiate
//! once. Equal bytes are one plugin however often they are delivered. Knows nothing of where the bytes came from.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use wasmtime::component::Component;

use crate::cache;
use crate::compile::{self, Command, CompileError};
use crate::engine::Engine;
use crate::inspect::{LoadError, inspect};
use crate::plugin::Plugin;
use crate::unpack::unpack;

/// Size limit of the cache in bytes; a compiled plugin takes one to four million.
const MOST: u64 = 512 << 20;

/// Loads plugins, each of them once.
#[derive(Debug)]
pub struct Compiler {
    child: Command,
    cache: PathBuf,
    /// The loaded plugins by digest. Never locked while compiling.
    loaded: Mutex<BTreeMap<String, Weak<Plugin>>>,
    /// Distinguishes the input files of concurrent loads.
    inputs: AtomicU64,
    /// Processor time that compiling may take unless the caller sets another limit.
    within: Duration,
}

impl Compiler {
    /// Creates a compiler. `program args… IN OUT` must do what [`crate::compile`] does; `cache` is created when first
    /// needed.
    pub fn new(program: PathBuf, args: Vec<String>, cache: PathBuf) -> Self {
        Self {
            child: Command::new(program, args),
            cache,
            loaded: Mutex::default(),
            inputs: AtomicU64::new(0),
            within: compile::WITHIN,
        }
    }

    /// Sets the processor time that compiling may take, instead of a minute.
    #[must_use]
    pub fn within(self, within: Duration) -> Self {
        Self { within, ..self }
    }

    /// Loads a plugin so that it can make instances. Takes seconds for a large component that is not in the cache.
    ///
    /// # Errors
    /// Returns a [`LoadError`] if the plugin cannot be loaded.
    pub fn load(&self, engine: &Engine, bytes: &[u8]) -> Result<Arc<Plugin>, LoadError> {
        self.load_within(engine, bytes, None)
    }

    /// Loads a plugin like [`Self::load`], with another limit of the processor time for compiling.
    ///
    /// # Errors
    /// Returns a [`LoadError`] if the plugin cannot be loaded.
    pub fn load_within(
        &self,
        engine: &Engine,
        bytes: &[u8],
        within: Option<Duration>,
    ) -> Result<Arc<Plugin>, LoadError> {
        let bytes = &unpack(bytes)?;
        let within = within.unwrap_or(self.within);
        self.load_by(engine, bytes, |digest, compiled| {
            self.compile(digest, bytes, compiled, within)
        })
    }

    /// Returns the folder of the cached files.
    pub fn folder(&self) -> &Path {
        &self.cache
    }

    /// Stores the delivered bytes, so that they are available when their source is not.
    ///
    /// # Errors
    /// Returns an error if the cache folder cannot be used or written.
    pub fn keep(&self, digest: &str, bytes: &[u8]) -> Result<(), CompileError> {
        cache::prepare(&self.cache)?;
        let place = self.kept_at(digest);
        compile::replace(&place, bytes).map_err(|error| compile::file("write", &place, &error))
    }

    /// Returns the stored bytes of this digest. `None` if there are none. The caller that loads them checks whether
    /// they still match.
    pub fn kept(&self, digest: &str) -> Option<Vec<u8>> {
        let place = self.kept_at(digest);
        let bytes = std::fs::read(&place).ok()?;
        cache::touch(&place);
        Some(bytes)
    }

    fn kept_at(&self, digest: &str) -> PathBuf {
        self.cache.join(format!("{digest}.delivered"))
    }

    /// Loads a component that was compiled with [`crate::precompile`] when this program was built. No child runs unless
    /// this engine cannot use the compiled form.
    ///
    /// # Errors
    /// Returns a [`LoadError`] if the plugin cannot be loaded.
    pub fn load_built_in(
        &self,
        engine: &Engine,
        bytes: &[u8],
        compiled: &[u8],
    ) -> Result<Arc<Plugin>, LoadError> {
        let unpack = |_: &str, place: &Path| {
            let apart = place.with_extension(std::process::id().to_string());
            let written = compile::write_new(&apart, compiled);
            let sealed = written.and_then(|()| cache::seal(&apart, place));
            sealed.map_err(|error| compile::file("write", place, &error))
        };
        self.load_by(engine, bytes, unpack).or_else(|_| self.load(engine, bytes))
    }

    /// Loads a plugin; `make` puts the compiled form of a digest at its path in the cache.
    fn load_by(
        &self,
        engine: &Engine,
        bytes: &[u8],
        make: impl FnOnce(&str, &Path) -> Result<(), CompileError>,
    ) -> Result<Arc<Plugin>, LoadError> {
        let inspection = inspect(bytes)?;
        if let Some(plugin) = self.known(&inspection.digest) {
            return Ok(plugin);
        }
        let digest = inspection.digest.clone();
        let component = self.component(engine, &digest, make)?;
        let plugin = Arc::new(Plugin::new(engine, &component, inspection)?);
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.retain(|_, plugin| plugin.strong_count() > 0);
        // Another load of the same bytes may have finished first.
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
        digest: &str,
        make: impl FnOnce(&str, &Path) -> Result<(), CompileError>,
    ) -> Result<Component, CompileError> {
        cache::prepare(&self.cache)?;
        let compiled = cache::place(&self.cache, digest, engine.compatibility());
        // Compiling again repairs any defect of a cached file (another CPU, a damaged disk).
        if let Ok(component) = cache::open(engine.wasmtime(), &compiled) {
            cache::touch(&compiled);
            return Ok(component);
        }
        make(digest, &compiled)?;
        cache::sweep(&self.cache, MOST, |other| other == digest || self.known(other).is_some());
        cache::open(engine.wasmtime(), &compiled)
            .map_err(|error| CompileError::Unusable(format!("{error:#}")))
    }

    fn compile(
        &self,
        digest: &str,
        bytes: &[u8],
        compiled: &Path,
        within: Duration,
    ) -> Result<(), CompileError> {
        let number = self.inputs.fetch_add(1, Ordering::Relaxed);
        let input = self.cache.join(format!("{digest}-{}-{number}.wasm", std::process::id()));
        let output = input.with_extension("compiled");
        let written = compile::write_new(&input, bytes)
            .map_err(|error| compile::file("write", &input, &error));
        let done = written.and_then(|()| self.child.run(&input, &output, within)).and_then(|()| {
            cache::seal(&output, compiled).map_err(|error| compile::file("write", compiled, &error))
        });
        for file in [input, output] {
            let _ = std::fs::remove_file(file);
        }
        done
    }
}

#[cfg(test)]
mod tests;
