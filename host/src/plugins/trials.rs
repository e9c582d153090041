//! The plugins of a cluster: the active build by decision of the controller, and a candidate that is tried in its place
//! until it is either proved or rejected. Must not know who decides, nor how a node detects that a candidate does harm.
use std::sync::Arc;
use std::time::Duration;

use outrigger_core::facts::Build;
use outrigger_core::rollout::CRASHED;
use outrigger_runtime::{LoadError, Plugin, World};

use super::{EMBEDDED, Entry, InForce, Plugins};
use crate::embedded;
use crate::trial::{TrialFailure, of_load};

/// A candidate on this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// Number of the attempt, as counted by the controller.
    pub attempt: u32,
    /// Progress of the trial.
    pub progress: Progress,
}

/// Progress of a candidate on this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// The candidate is being fetched and compiled.
    Loading,
    /// The candidate serves in place of the active build.
    InForce {
        /// Digest of the candidate.
        digest: String,
    },
    /// The candidate was rejected.
    Failed(TrialFailure),
}

impl Plugins {
    /// Returns true if a plugin of this name comes with the program.
    pub fn is_embedded(name: &str) -> bool {
        embedded::PLUGINS.iter().any(|plugin| plugin.name == name)
    }

    /// Prevents any plugin from starting to serve under this name until the active build is loaded or unavailable.
    pub fn await_active(&self, name: &str) {
        let mut table = self.write();
        let entry = table.entry(name.to_owned()).or_default();
        entry.awaited = entry.active.is_none();
    }

    /// Returns true if the active build of this name will be loaded soon.
    pub fn awaited(&self, name: &str) -> bool {
        self.read().get(name).is_some_and(|entry| entry.awaited)
    }

    /// Returns true if this build is the active one here.
    pub fn is_active(&self, name: &str, build: &Build) -> bool {
        let table = self.read();
        let active = table.get(name).and_then(|entry| entry.active.as_ref());
        active.is_some_and(|active| match build {
            Build::Embedded => active.origin == EMBEDDED,
            Build::Delivered(digest) => {
                active.origin != EMBEDDED && active.plugin.inspection().digest == *digest
            }
        })
    }

    /// Sets the build that runs unless a candidate is tried. A candidate with the same bytes has proved itself.
    pub fn activate(&self, name: &str, plugin: Arc<Plugin>, origin: String) {
        let mut table = self.write();
        let entry = table.entry(name.to_owned()).or_default();
        let digest = &plugin.inspection().digest;
        let is_it = |tried: &mut Tried| matches!(&tried.progress, Progress::InForce { digest: tried } if tried == digest);
        entry.tried.take_if(is_it);
        entry.active = Some(InForce { plugin, origin, on_trial: false });
        (entry.awaited, entry.failed) = (false, None);
        entry.settle(None);
    }

    /// Records that the active build is unavailable: the plugin that serves, or the embedded one, continues.
    pub fn unavailable(&self, name: &str, origin: String, message: String) {
        let mut table = self.write();
        let entry = table.entry(name.to_owned()).or_default();
        entry.awaited = false;
        entry.failed = Some((origin, message));
    }

    /// Begins to try a candidate. Returns false if it was tried here before.
    pub fn begin_trial(&self, name: &str, attempt: u32) -> bool {
        let mut table = self.write();
        let entry = table.entry(name.to_owned()).or_default();
        let known = entry.tried.as_ref().filter(|tried| tried.attempt == attempt);
        if known.is_some_and(|tried| tried.progress != Progress::Loading) {
            return false;
        }
        if known.is_none() && self.attempts.noted(name) == Some(attempt.to_string()) {
            let message = "the daemon ended during its trial, and does not try it again".to_owned();
            tracing::warn!(plugin = name, attempt, "candidate refused: {message}");
            let verdict = TrialFailure { reason: CRASHED, message };
            entry.tried = Some(Tried { attempt, progress: Progress::Failed(verdict) });
            entry.settle(None);
            return false;
        }
        // The note must be on the disk before anything of the candidate is compiled or run.
        if let Err(error) = self.attempts.note(name, &attempt.to_string()) {
            tracing::warn!(plugin = name, "the trial cannot be recorded on the disk: {error}");
        }
        entry.tried = Some(Tried { attempt, progress: Progress::Loading });
        entry.settle(None);
        true
    }

    /// Lets a loaded candidate serve.
    pub fn try_out(&self, name: &str, attempt: u32, plugin: Arc<Plugin>, origin: String) {
        let mut table = self.write();
        let entry = table.entry(name.to_owned()).or_default();
        let progress = Progress::InForce { digest: plugin.inspection().digest.clone() };
        entry.tried = Some(Tried { attempt, progress });
        entry.settle(Some(InForce { plugin, origin, on_trial: true }));
    }

    /// Records that the candidate could not be loaded.
    pub fn refuse_trial(&self, name: &str, attempt: u32, verdict: TrialFailure) {
        tracing::warn!(
            plugin = name,
            reason = verdict.reason,
            "candidate refused: {}",
            verdict.message
        );
        let mut table = self.write();
        let entry = table.entry(name.to_owned()).or_default();
        entry.tried = Some(Tried { attempt, progress: Progress::Failed(verdict) });
        entry.settle(None);
    }

    /// Rejects the candidate of this digest, which did harm: the active build serves again. Returns false if it is not
    /// tried here any more.
    pub fn fail_trial(&self, name: &str, digest: &str, verdict: TrialFailure) -> bool {
        let mut table = self.write();
        let Some(entry) = table.get_mut(name) else { return false };
        let serves = Progress::InForce { digest: digest.to_owned() };
        let Some(tried) = entry.tried.as_mut().filter(|tried| tried.progress == serves) else {
            return false;
        };
        tried.progress = Progress::Failed(verdict);
        entry.settle(None);
        true
    }

    /// Ends the trial on this node. Returns true if another build serves now.
    pub fn end_trial(&self, name: &str) -> bool {
        let mut table = self.write();
        let Some(entry) = table.get_mut(name) else { return false };
        let served = entry.in_force.as_ref().is_some_and(|in_force| in_force.on_trial);
        self.attempts.end(name);
        // A failure stays on record; any other outcome is dropped.
        entry.tried.take_if(|tried| !matches!(tried.progress, Progress::Failed(_)));
        entry.settle(None);
        served
    }

    /// Returns the candidate that is tried here, or was tried last.
    pub fn tried(&self, name: &str) -> Option<Tried> {
        self.read().get(name)?.tried.clone()
    }

    /// Returns the world of the plugin that serves under this name, if any.
    pub fn world(&self, name: &str) -> Option<&'static str> {
        Some(world_name(self.get(name)?.plugin.inspection().world))
    }

    /// Loads a delivered component. Blocks while it is compiled.
    ///
    /// # Errors
    /// Returns the problem of the component as a verdict.
    pub fn load_delivered(
        &self,
        name: &str,
        digest: &str,
        bytes: &[u8],
        within: Option<Duration>,
    ) -> Result<Arc<Plugin>, TrialFailure> {
        // Bytes with another digest must not be compiled.
        let unpacked = outrigger_runtime::unpack(bytes).map_err(|error| of_load(&error))?;
        let found = outrigger_runtime::inspect(&unpacked).map_err(|error| of_load(&error))?.digest;
        if found != digest {
            let message = format!("its digest is {found}, not {digest}");
            return Err(TrialFailure { reason: "NotAPlugin", message });
        }
        let loaded = self.compiler.load_within(&self.engine, &unpacked, within);
        let plugin = loaded.map_err(|error| of_load(&error))?;
        let wrong = |message| TrialFailure { reason: "WrongWorld", message };
        self.fits(name, plugin.inspection().world).map_err(wrong)?;
        if let Err(error) = self.compiler.keep(digest, bytes) {
            tracing::warn!(plugin = name, "its bytes cannot be stored for later: {error}");
        }
        Ok(plugin)
    }

    /// Returns the bytes of a component that was loaded here before.
    pub fn kept(&self, digest: &str) -> Option<Vec<u8>> {
        self.compiler.kept(digest)
    }

    /// Loads the embedded plugin of this name.
    ///
    /// # Errors
    /// When there is none, or it cannot be compiled.
    pub fn load_embedded(&self, name: &str) -> Result<Arc<Plugin>, TrialFailure> {
        let Some(embedded) = embedded::PLUGINS.iter().find(|plugin| plugin.name == name) else {
            let message = format!("this version of Outrigger contains no plugin {name:?}");
            return Err(TrialFailure { reason: "NotEmbedded", message });
        };
        let load = |it: &embedded::Embedded| -> Result<_, LoadError> {
            self.compiler.load_built_in(&self.engine, it.bytes, it.compiled)
        };
        load(embedded).map_err(|error| of_load(&error))
    }
}

/// Returns the purpose of a plugin, regardless of its hooks.
pub fn world_name(world: World) -> &'static str {
    match world {
        World::Allocator { .. } => "allocator",
        World::Announcer => "announcer",
    }
}

impl Entry {
    /// Lets the candidate serve if there is one; otherwise the active build, or the plugin that served before.
    fn settle(&mut self, candidate: Option<InForce>) {
        if candidate.is_some() {
            self.before =
                self.in_force.take_if(|in_force| !in_force.on_trial).or(self.before.take());
            self.in_force = candidate;
            return;
        }
        let tries = matches!(self.tried, Some(Tried { progress: Progress::InForce { .. }, .. }));
        let serves = self.in_force.as_ref().is_some_and(|in_force| in_force.on_trial);
        if self.active.is_some() && !tries {
            self.in_force = self.active.clone();
        } else if serves && !tries {
            self.in_force = self.before.take();
        }
    }
}

#[cfg(test)]
mod tests {
    use outrigger_runtime::{Compiler, Engine};

    use super::*;

    /// Returns all embedded plugins; the compiler would not find its child process, because nothing is to be compiled.
    fn plugins() -> (tempfile::TempDir, Plugins) {
        let cache = tempfile::tempdir().unwrap();
        let compiler = Compiler::new("/nonexistent".into(), vec![], cache.path().join("cache"));
        (cache, Plugins::new(Engine::new().unwrap(), compiler).unwrap())
    }

    fn verdict() -> TrialFailure {
        TrialFailure { reason: "Trapped", message: "boom".to_owned() }
    }

    /// Returns the origin of the plugin that serves, and true if it is on trial.
    fn serves(plugins: &Plugins) -> (String, bool) {
        let in_force = plugins.get("layer2").unwrap();
        (in_force.origin, in_force.on_trial)
    }

    #[test]
    fn a_candidate_serves_until_it_fails_and_then_what_is_active_does() {
        let (_cache, plugins) = plugins();
        let plugin = plugins.load_embedded("layer2").unwrap();
        let digest = plugin.inspection().digest.clone();
        plugins.activate("layer2", plugin.clone(), "active".to_owned());
        assert!(plugins.begin_trial("layer2", 1));
        assert_eq!(serves(&plugins), ("active".to_owned(), false), "while it is compiled");
        plugins.try_out("layer2", 1, plugin, "candidate".to_owned());
        assert_eq!(serves(&plugins), ("candidate".to_owned(), true));
        assert!(!plugins.fail_trial("layer2", "another digest", verdict()));
        assert!(plugins.fail_trial("layer2", &digest, verdict()));
        assert_eq!(serves(&plugins), ("active".to_owned(), false));
        assert!(!plugins.fail_trial("layer2", &digest, verdict()), "once");
        assert!(!plugins.begin_trial("layer2", 1), "the same one is not tried again");
        assert!(plugins.begin_trial("layer2", 2));
    }

    #[test]
    fn a_daemon_that_died_of_a_candidate_says_so_and_does_not_try_it_again() {
        let (cache, plugins) = plugins();
        assert!(plugins.begin_trial("layer2", 7));
        // The daemon crashes: another process finds the same folder.
        drop(plugins);
        let restarted = || {
            let compiler = Compiler::new("/nonexistent".into(), vec![], cache.path().join("cache"));
            Plugins::new(Engine::new().unwrap(), compiler).unwrap()
        };
        let plugins = restarted();
        assert!(!plugins.begin_trial("layer2", 7));
        let Some(Tried { progress: Progress::Failed(verdict), .. }) = plugins.tried("layer2")
        else {
            panic!("it did not fail")
        };
        assert_eq!(verdict.reason, CRASHED);
        assert_eq!(serves(&plugins), ("embedded".to_owned(), false));
        assert!(!restarted().begin_trial("layer2", 7), "nor after the next one");
        assert!(restarted().begin_trial("layer2", 8), "another attempt is another chance");
        plugins.end_trial("layer2");
        assert!(restarted().begin_trial("layer2", 7), "it came to its end");
    }

    #[test]
    fn a_candidate_that_is_taken_back_or_proved_is_one_no_longer() {
        let (_cache, plugins) = plugins();
        let plugin = plugins.load_embedded("layer2").unwrap();
        plugins.activate("layer2", plugin.clone(), "active".to_owned());
        plugins.begin_trial("layer2", 1);
        plugins.try_out("layer2", 1, plugin.clone(), "candidate".to_owned());
        assert!(plugins.end_trial("layer2"));
        assert_eq!(serves(&plugins), ("active".to_owned(), false));
        plugins.begin_trial("layer2", 2);
        plugins.try_out("layer2", 2, plugin.clone(), "candidate".to_owned());
        plugins.activate("layer2", plugin, "candidate".to_owned());
        assert_eq!(serves(&plugins), ("candidate".to_owned(), false));
        assert_eq!(plugins.tried("layer2"), None);
        assert!(!plugins.end_trial("layer2"));
    }

    #[test]
    fn what_cannot_be_had_leaves_the_embedded_one_serving() {
        let (_cache, plugins) = plugins();
        plugins.await_active("layer2");
        assert!(plugins.awaited("layer2"), "nothing else begins to serve");
        plugins.unavailable("layer2", "ConfigMap x".to_owned(), "it is gone".to_owned());
        assert!(!plugins.awaited("layer2"));
        assert_eq!(serves(&plugins), ("embedded".to_owned(), false));
        let plugin = plugins.load_embedded("layer2").unwrap();
        let digest = plugin.inspection().digest.clone();
        plugins.begin_trial("layer2", 1);
        plugins.try_out("layer2", 1, plugin, "candidate".to_owned());
        plugins.fail_trial("layer2", &digest, verdict());
        assert_eq!(serves(&plugins), ("embedded".to_owned(), false), "as before the trial");
    }

    #[test]
    fn what_is_delivered_must_be_what_it_is_called_and_of_the_world_that_serves() {
        let (_cache, plugins) = plugins();
        let policy = embedded::PLUGINS.iter().find(|it| it.name == "lowest-free").unwrap();
        let digest = plugins.load_embedded("lowest-free").unwrap().inspection().digest.clone();
        let load = |name: &str, digest: &str| {
            plugins.load_delivered(name, digest, policy.bytes, None).map_err(|it| it.reason)
        };
        assert_eq!(load("lowest-free", "another").unwrap_err(), "NotAPlugin");
        assert_eq!(load("layer2", &digest).unwrap_err(), "WrongWorld");
        assert!(load("lowest-free", &digest).is_ok());
        assert_eq!(plugins.kept(&digest).as_deref(), Some(policy.bytes));
        assert_eq!(plugins.kept("another"), None);
    }
}
