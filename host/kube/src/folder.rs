//! A watched folder of manifests that replaces the API server. Changes of its files become changes of facts. A file that
//! cannot be read changes nothing (invariant 2). This module must not know what the facts are used for.
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use outrigger_core::facts::{Change, Fact, FactKey, ServiceKey};

use crate::convert::ServiceClasses;
use crate::diff::{Before, FactState};
use crate::ownership::{Claim, Claims};
use crate::problem::Problem;
use crate::state::State;

mod content;
mod manifest;
mod overlay;
mod source;
mod tree;
mod watch;

pub(crate) use manifest::objects;
use overlay::Overlay;
use source::Source;
use watch::{Statuses, Watch};

/// Time to wait for the end of a burst of events: one save of an editor, or one `kubectl apply` into the folder, causes many.
const DEBOUNCE: Duration = Duration::from_millis(20);

/// A watched folder.
#[derive(Debug)]
pub struct Folder {
    /// The path as it was named, made absolute. It may be a symbolic link that is switched to another target.
    dir: PathBuf,
    /// The path as it was named, for messages.
    named: PathBuf,
    state: Option<State>,
    classes: ServiceClasses,
    watch: Watch,
    /// The state of each file, by its path below the folder.
    sources: BTreeMap<PathBuf, Source>,
    claims: Claims,
    overlay: Overlay,
    /// Paths that the last listing could not list. The known files below them are kept.
    unlisted: Vec<Problem>,
    /// Paths that the last listing ignored.
    ignored: Vec<Problem>,
    synced: bool,
    /// Time at which a burst of changes that has begun is considered over.
    due: Option<Instant>,
}

/// Reason why a folder cannot be watched at all.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The folder does not exist or cannot be read.
    #[error("cannot read the folder {} ({cause}): name an existing folder of manifests", .dir.display())]
    Dir {
        /// The folder.
        dir: PathBuf,
        /// The error of the file system.
        cause: io::Error,
    },
    /// The kernel refused the watch, usually because no watches are left.
    #[error("cannot watch {} ({cause}): raise fs.inotify.max_user_instances and max_user_watches", .dir.display())]
    Watch {
        /// The folder.
        dir: PathBuf,
        /// The error of the kernel.
        cause: io::Error,
    },
}

impl Folder {
    /// Starts watching a folder; nothing is read yet. The status of Services comes from the state folder, if one is given
    /// and holds it.
    ///
    /// # Errors
    /// Returns an error if the folder does not exist or cannot be watched.
    pub fn open(dir: &Path, state: Option<&State>) -> Result<Self, FolderError> {
        let unreadable = |cause| FolderError::Dir { dir: dir.to_owned(), cause };
        let absolute = std::path::absolute(dir).map_err(unreadable)?;
        std::fs::read_dir(&absolute).map_err(unreadable)?;
        let unwatched = |cause| FolderError::Watch { dir: dir.to_owned(), cause };
        Ok(Self {
            watch: Watch::new(&absolute).map_err(unwatched)?,
            dir: absolute,
            named: dir.to_owned(),
            state: state.cloned(),
            classes: ServiceClasses::default(),
            sources: BTreeMap::new(),
            claims: Claims::default(),
            overlay: Overlay::default(),
            unlisted: Vec::new(),
            ignored: Vec::new(),
            synced: false,
            due: None,
        })
    }

    /// Sets the classes of Services that Outrigger serves. Must be called before anything is read.
    #[must_use]
    pub fn with_classes(self, classes: ServiceClasses) -> Self {
        Self { classes, ..self }
    }

    /// Returns the changes since the last call. The first call returns everything and ends with [`Change::Synced`].
    pub fn read(&mut self) -> Vec<Change> {
        self.due = None;
        self.watch.collect();
        let pending = self.watch.take();
        let mut touched = Before::default();
        if pending.everything {
            self.list(&mut touched);
        } else {
            self.reload(&pending.files, &mut touched);
        }
        self.refresh(&pending.statuses, &mut touched);
        let mut changes = touched.changes(|key| self.stands(key));
        if self.listed() && !std::mem::replace(&mut self.synced, true) {
            changes.push(Change::Synced);
        }
        changes
    }

    /// Returns everything that was reported so far, as changes from an empty state.
    pub fn told(&self) -> Vec<Change> {
        let facts = self.claims.all_in_force().map(|claim| self.overlay.apply(&claim.fact));
        let upserts = facts.filter_map(|stands| match stands {
            FactState::Known(fact) => Some(Change::Upsert(fact)),
            FactState::Unknown | FactState::Absent => None,
        });
        upserts.chain(self.synced.then_some(Change::Synced)).collect()
    }

    /// Returns all current problems, sorted by file.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = self.unlisted.clone();
        problems.extend(self.ignored.iter().cloned());
        problems.extend(self.overlay.problems());
        for (path, source) in &self.sources {
            let named = |(object, message): &(Option<String>, String)| Problem {
                file: self.name(path),
                object: object.clone(),
                message: message.clone(),
            };
            problems.extend(source.problems.iter().map(named));
        }
        for path in self.watch.writing() {
            let message = "is still being written: close it, or write a temporary file and rename it; until then its previous content stays active";
            problems.push(Problem {
                file: self.name(path),
                object: None,
                message: message.to_owned(),
            });
        }
        for (claim, winner) in self.claims.losers() {
            let message = format!(
                "{} is also in {}, which stays active: remove one of the two",
                claim.title(),
                self.name(&winner.path),
            );
            let object = Some(claim.object.to_string());
            problems.push(Problem { file: self.name(&claim.path), object, message });
        }
        problems.sort();
        problems
    }

    /// Returns the file that an active object comes from, as it was named on the command line.
    pub fn file_of(&self, key: &FactKey) -> Option<String> {
        Some(self.name(&self.claims.in_force(key)?.path))
    }

    /// Returns true if every object in the folder has been understood at least once. Otherwise an object that is absent
    /// from the facts may nevertheless exist: callers must release nothing on its account.
    pub fn complete(&self) -> bool {
        self.synced && self.unlisted.is_empty() && !self.sources.values().any(|source| source.blind)
    }

    /// Resolves when [`Self::read`] or [`Self::problems`] may have something new. Cancel safe.
    pub async fn changed(&mut self) {
        self.watch.changed().await;
        let known = |path: &PathBuf| {
            self.sources.contains_key(path)
                || self.sources.values().any(|source| source.target == *path)
        };
        // A user waits for a new Service to be announced, so that it is not delayed.
        if self.watch.is_whole(|path| !known(path)) {
            return;
        }
        // The deadline is stored, so that it is reached even if callers repeatedly drop this future.
        let due = *self.due.get_or_insert_with(|| Instant::now() + DEBOUNCE);
        tokio::time::sleep_until(due).await;
    }

    /// Lists the whole folder again. Where listing fails, the known state is kept.
    fn list(&mut self, touched: &mut Before) {
        let skip = self.state.as_ref().map(State::dir);
        let tree = tree::list(&self.dir, skip, &mut self.watch);
        let kept = |path: &Path| tree.failed.iter().any(|(failed, _)| path.starts_with(failed));
        let gone = self.sources.keys().filter(|path| !tree.files.contains(*path) && !kept(path));
        let paths: BTreeSet<PathBuf> = gone.cloned().chain(tree.files.iter().cloned()).collect();
        let named = |(path, message): (PathBuf, String)| Problem {
            file: self.name(&path),
            object: None,
            message,
        };
        let (unlisted, ignored) = (tree.failed.into_iter(), tree.ignored.into_iter());
        (self.unlisted, self.ignored) =
            (unlisted.map(named).collect(), ignored.map(named).collect());
        self.reload(&paths, touched);
        self.watch.listed();
    }

    fn reload(&mut self, changed: &BTreeSet<PathBuf>, touched: &mut Before) {
        // A link changes with its target, which may be in a directory that is not listed.
        let linked = self.sources.iter().filter(|(_, source)| changed.contains(&source.target));
        let mut paths: BTreeSet<PathBuf> = linked.map(|(path, _)| path.clone()).collect();
        paths.extend(changed.iter().filter(|path| !tree::is_hidden(path)).cloned());
        for path in paths {
            let old = self.sources.remove(&path);
            let target = old.as_ref().map_or(&path, |old| &old.target);
            if self.watch.is_being_written(&path) || self.watch.is_being_written(target) {
                self.sources.extend(old.map(|old| (path, old)));
                continue;
            }
            let new = source::load(&self.dir, &path, old.as_ref(), &mut self.watch, &self.classes);
            let facts = || new.iter().flat_map(Source::facts);
            let words = self.claims.words(&path);
            for fact in words.iter().chain(facts().map(|(_, fact)| fact)) {
                touched.note(fact.key(), |key| self.stands(key));
            }
            self.claims.replace(&path, facts());
            self.sources.extend(new.map(|new| (path, new)));
        }
    }

    /// Reads the statuses that changed.
    fn refresh(&mut self, changed: &Statuses, touched: &mut Before) {
        let Some(state) = &self.state else { return };
        let services = match self.overlay.is_listed_again(state, changed) {
            true => {
                self.claims.in_force_within(FactKey::services()).map(|it| it.fact.key()).collect()
            }
            false => changed.keys.iter().cloned().map(FactKey::Service).collect::<Vec<_>>(),
        };
        for key in services {
            touched.note(key, |key| self.stands(key));
        }
        let claims = &self.claims;
        let own = |key: ServiceKey| match claims.in_force(&FactKey::Service(key.clone())) {
            Some(Claim { fact: Fact::Service(service), .. }) => service.key.clone(),
            _ => key,
        };
        self.overlay.refresh(state, changed, &mut self.watch, own);
    }

    /// Returns the active state of a key, with the status of the state folder.
    fn stands(&self, key: &FactKey) -> FactState {
        self.claims.in_force(key).map_or(FactState::Absent, |claim| self.overlay.apply(&claim.fact))
    }

    /// Returns true if both the folder itself and the status in the state folder could be listed.
    fn listed(&self) -> bool {
        let root = self.name(Path::new(""));
        !self.unlisted.iter().any(|problem| problem.file == root) && self.overlay.listed()
    }

    fn name(&self, path: &Path) -> String {
        match path.as_os_str().is_empty() {
            true => self.named.display().to_string(),
            false => self.named.join(path).display().to_string(),
        }
    }
}

#[cfg(test)]
mod tests;
