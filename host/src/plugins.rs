//! The active plugin of each name: the embedded ones, and delivered ones, which take precedence. A delivery that fails
//! leaves the active plugin in place and records the reason. Must not know who uses a plugin.
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, RwLock};

use anyhow::Context as _;
use outrigger_core::facts::{self, Cluster, Component, FactKey};
use outrigger_core::plan::announcers;
use outrigger_runtime::{Compiler, Engine, LoadError, Plugin, World};
use sha2::{Digest as _, Sha256};

use crate::config::Config;
use crate::embedded;

mod attempts;
mod first_run;
mod trials;

use attempts::Attempts;
pub use trials::{Progress, Tried, world_name};

/// Origin of the plugins that come with the program.
const EMBEDDED: &str = "embedded";

/// All plugins by name.
pub struct Plugins {
    engine: Engine,
    compiler: Compiler,
    attempts: Attempts,
    table: RwLock<BTreeMap<String, Entry>>,
}

/// Purpose that a plugin is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// World `allocator`.
    Allocator,
    /// World `announcer`.
    Announcer,
}

/// An active plugin.
#[derive(Clone)]
pub struct InForce {
    /// The plugin.
    pub plugin: Arc<Plugin>,
    /// Origin of the plugin: a path, "ConfigMap ns/name" or "embedded".
    pub origin: String,
    /// True if the plugin is a candidate.
    pub on_trial: bool,
}

#[derive(Default, Clone)]
struct Entry {
    in_force: Option<InForce>,
    /// In a cluster: the plugin that the controller declares active, once it is loaded.
    active: Option<InForce>,
    /// In a cluster: the plugin that served before a candidate did.
    before: Option<InForce>,
    /// In a cluster: the candidate that is tried here, or was tried last.
    tried: Option<Tried>,
    /// True if the active build is known and not loaded yet: no other plugin begins to serve meanwhile.
    awaited: bool,
    /// The last delivery that failed: its origin and the reason. Cleared by one that works.
    failed: Option<(String, String)>,
}

/// An entry of the table, for reports.
pub struct Listed {
    /// Name of the plugin.
    pub name: String,
    /// The active plugin, if any.
    pub in_force: Option<InForce>,
    /// The last delivery that failed: its origin and the reason.
    pub failed: Option<(String, String)>,
    /// In a cluster: the candidate that is tried here, or was tried last.
    pub tried: Option<Tried>,
}

/// Creates the table with engine, compiler and embedded plugins.
pub fn open(config: &Config) -> anyhow::Result<Plugins> {
    let program = std::env::current_exe().context("the path of this program is not known")?;
    let compiler = Compiler::new(program, vec!["compile".into()], PathBuf::from(&config.cache))
        .within(config.compile_within());
    Ok(Plugins::new(Engine::new()?, compiler)?)
}

impl Plugins {
    /// Creates a table in which the embedded plugins are active; they are compiled now unless the cache has them.
    ///
    /// # Errors
    /// When an embedded plugin cannot be compiled: the cache folder or the machine is at fault, not the plugin.
    pub fn new(engine: Engine, compiler: Compiler) -> Result<Self, LoadError> {
        let attempts = Attempts::new(compiler.folder().join("attempts"));
        let plugins = Self { engine, compiler, attempts, table: RwLock::default() };
        for name in embedded::PLUGINS.iter().map(|plugin| plugin.name) {
            plugins.withdraw(name)?;
        }
        Ok(plugins)
    }

    /// Returns the active plugin of this name.
    pub fn get(&self, name: &str) -> Option<InForce> {
        self.read().get(name)?.in_force.clone()
    }

    /// Returns the active plugin of this name, if it is of the kind that is needed.
    ///
    /// # Errors
    /// Returns an error that explains the problem with the name, and the fix.
    pub fn need(&self, kind: Kind, name: &str) -> Result<InForce, String> {
        let Some(in_force) = self.get(name) else {
            return Err(format!(
                "plugin {name:?} is not known: deliver it as a ConfigMap labelled outrigger.dev/plugin: {name}, or as {name}.wasm where a folder is served, or correct the name"
            ));
        };
        match (kind, in_force.plugin.inspection().world) {
            (Kind::Announcer, World::Announcer) | (Kind::Allocator, World::Allocator { .. }) => {
                Ok(in_force)
            }
            (Kind::Announcer, _) => {
                Err(format!("plugin {name:?} is an allocator: name an announcer"))
            }
            (Kind::Allocator, _) => {
                Err(format!("plugin {name:?} is an announcer: name an allocator"))
            }
        }
    }

    /// Returns objects that name a plugin that does not exist or is of the wrong kind, with the fix.
    pub fn wrong(&self, cluster: &Cluster) -> Vec<(FactKey, String)> {
        let pools = cluster.pools.values().map(|pool| {
            (FactKey::Pool(pool.name.clone()), Kind::Allocator, pool.allocator.plugin.clone())
        });
        let announcers = announcers(cluster).into_values().map(|announcer| {
            let (name, plugin) = (announcer.name.clone(), announcer.plugin.plugin.clone());
            (FactKey::Announcer(name), Kind::Announcer, plugin)
        });
        let wrong =
            |(key, kind, name): (FactKey, Kind, String)| Some((key, self.need(kind, &name).err()?));
        pools.chain(announcers).filter_map(wrong).collect()
    }

    /// Accepts a delivery: inspects it, compiles it in a child process unless cached, and activates it. Blocks until
    /// that is done. Returns true if another build is active now.
    pub fn deliver(&self, delivery: &facts::Plugin) -> bool {
        match self.load(delivery) {
            Ok(plugin) => {
                let digest = plugin.inspection().digest.clone();
                let origin = delivery.origin.clone();
                let before = self.put(&delivery.name, InForce { plugin, origin, on_trial: false });
                tracing::info!(
                    plugin = delivery.name,
                    origin = delivery.origin,
                    digest,
                    "plugin delivered"
                );
                before.is_none_or(|before| before.plugin.inspection().digest != digest)
            }
            Err(message) => {
                tracing::warn!(
                    plugin = delivery.name,
                    origin = delivery.origin,
                    "plugin refused: {message}"
                );
                self.write().entry(delivery.name.clone()).or_default().failed =
                    Some((delivery.origin.clone(), message));
                false
            }
        }
    }

    /// Withdraws a delivery: the embedded plugin of that name becomes active again, or none.
    ///
    /// # Errors
    /// When the embedded plugin cannot be compiled.
    pub fn withdraw(&self, name: &str) -> Result<(), LoadError> {
        let Some(embedded) = embedded::PLUGINS.iter().find(|plugin| plugin.name == name) else {
            self.write().remove(name);
            return Ok(());
        };
        let plugin =
            self.compiler.load_built_in(&self.engine, embedded.bytes, embedded.compiled)?;
        self.write().remove(name);
        self.put(name, InForce { plugin, origin: EMBEDDED.to_owned(), on_trial: false });
        Ok(())
    }

    /// Returns the embedded plugin of this name, even if another one was delivered under it.
    ///
    /// # Errors
    /// When there is none, or it cannot be compiled.
    pub fn embedded(&self, name: &str) -> Result<InForce, String> {
        if let Some(it) = self.get(name).filter(|it| it.origin == EMBEDDED) {
            return Ok(it);
        }
        let plugin = self.load_embedded(name).map_err(|verdict| verdict.message)?;
        Ok(InForce { plugin, origin: EMBEDDED.to_owned(), on_trial: false })
    }

    /// Returns all entries, by name.
    pub fn list(&self) -> Vec<Listed> {
        let table = self.read();
        let listed = |(name, entry): (&String, &Entry)| Listed {
            name: name.clone(),
            in_force: entry.in_force.clone(),
            failed: entry.failed.clone(),
            tried: entry.tried.clone(),
        };
        table.iter().map(listed).collect()
    }

    fn load(&self, delivery: &facts::Plugin) -> Result<Arc<Plugin>, String> {
        let bytes = octets(&delivery.component)?;
        let plugin = self.compiler.load(&self.engine, &bytes).map_err(|error| error.to_string())?;
        self.fits(&delivery.name, plugin.inspection().world)?;
        Ok(plugin)
    }

    /// Checks that a plugin of this world may take over under this name.
    ///
    /// # Errors
    /// Returns an error that explains the conflict, and the fix.
    pub fn fits(&self, name: &str, world: World) -> Result<(), String> {
        match self.get(name).map(|before| before.plugin.inspection().world) {
            Some(before) if !same_kind(before, world) => Err(format!(
                "its world is {world}, but the active plugin {name:?} has world {before}: deliver it under another name"
            )),
            _ => Ok(()),
        }
    }

    fn put(&self, name: &str, in_force: InForce) -> Option<InForce> {
        let mut table = self.write();
        let entry = table.entry(name.to_owned()).or_default();
        entry.failed = None;
        entry.in_force.replace(in_force)
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<String, Entry>> {
        self.table.read().expect("nothing panics while it holds the table")
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, BTreeMap<String, Entry>> {
        self.table.write().expect("nothing panics while it holds the table")
    }
}

/// Returns the digest of a component's bytes, in hexadecimal.
fn digest_of(component: &Component) -> String {
    let hex = |octets: &[u8]| octets.iter().map(|octet| format!("{octet:02x}")).collect();
    match component {
        Component::Inline(bytes) => hex(&Sha256::digest(bytes)),
        Component::File { digest, .. } => hex(&digest[..]),
    }
}

/// Returns a component's bytes, which are read now if they are in a file.
fn octets(component: &Component) -> Result<Cow<'_, [u8]>, String> {
    let (path, digest) = match component {
        Component::Inline(bytes) => return Ok(Cow::Borrowed(bytes)),
        Component::File { path, digest } => (path, digest),
    };
    let bytes = std::fs::read(path).map_err(|error| format!("it cannot be read: {error}"))?;
    if Sha256::digest(&bytes)[..] != digest[..] {
        return Err(
            "it changed while it was read, and is read again: write a temporary file and rename it"
                .to_owned(),
        );
    }
    Ok(Cow::Owned(bytes))
}

fn same_kind(one: World, other: World) -> bool {
    matches!(one, World::Announcer) == matches!(other, World::Announcer)
}
