//! A watched folder of manifests in place of the API server: what its files say, as changes of facts. A file that cannot
//! be read changes nothing (invariant 2). Must not know what the facts are used for.
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use outrigger_core::facts::{Change, Fact, FactKey, ServiceKey};

use crate::before::{Before, Stands};
use crate::claims::{Claim, Claims};
use crate::convert::ServiceClasses;
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

/// One save of an editor, or one `kubectl apply` into the folder, is many events.
const DEBOUNCE: Duration = Duration::from_millis(20);

/// A watched folder.
#[derive(Debug)]
pub struct Folder {
    /// As it was named, made absolute; may be a link that is switched over.
    dir: PathBuf,
    /// As it was named, for messages.
    named: PathBuf,
    state: Option<State>,
    classes: ServiceClasses,
    watch: Watch,
    /// What is known of each file, by its path below the folder.
    sources: BTreeMap<PathBuf, Source>,
    claims: Claims,
    overlay: Overlay,
    /// What the last listing could not list: what was known below stays.
    unlisted: Vec<Problem>,
    /// What it left out.
    ignored: Vec<Problem>,
    synced: bool,
    /// When a burst of changes that has begun is taken to be over.
    due: Option<Instant>,
}

/// Why a folder cannot be watched at all.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It is not there.
    #[error("cannot read the folder {} ({cause}): name an existing folder of manifests", .dir.display())]
    Dir {
        /// The folder.
        dir: PathBuf,
        /// What the file system said.
        cause: io::Error,
    },
    /// No watches left.
    #[error("cannot watch {} ({cause}): raise fs.inotify.max_user_instances and max_user_watches", .dir.display())]
    Watch {
        /// The folder.
        dir: PathBuf,
        /// What the kernel said.
        cause: io::Error,
    },
}

impl Folder {
    /// Watches a folder; nothing is read yet. Status comes from the state folder where it has one.
    ///
    /// # Errors
    /// When the folder is not there or cannot be watched.
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

    /// Takes Services of these classes for ours. Call it before anything is read.
    #[must_use]
    pub fn with_classes(self, classes: ServiceClasses) -> Self {
        Self { classes, ..self }
    }

    /// What differs from what was told before. The first call tells everything and ends with [`Change::Synced`].
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

    /// All that was told so far, as changes from nothing.
    pub fn told(&self) -> Vec<Change> {
        let facts = self.claims.all_in_force().map(|claim| self.overlay.apply(&claim.fact));
        let upserts = facts.filter_map(|stands| match stands {
            Stands::Known(fact) => Some(Change::Upsert(fact)),
            Stands::Unknown | Stands::Absent => None,
        });
        upserts.chain(self.synced.then_some(Change::Synced)).collect()
    }

    /// Everything that is wrong now, by file.
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
            let message = "is still being written: close it, or write beside it and rename; until then what it said before stays in force";
            problems.push(Problem {
                file: self.name(path),
                object: None,
                message: message.to_owned(),
            });
        }
        for (claim, winner) in self.claims.losers() {
            let message = format!(
                "{} is also in {}, which stays in force: remove one of the two",
                claim.title(),
                self.name(&winner.path),
            );
            let object = Some(claim.object.to_string());
            problems.push(Problem { file: self.name(&claim.path), object, message });
        }
        problems.sort();
        problems
    }

    /// The file that an object in force comes from, as it was named on the command line.
    pub fn file_of(&self, key: &FactKey) -> Option<String> {
        Some(self.name(&self.claims.in_force(key)?.path))
    }

    /// Whether every object that is in the folder has been understood at least once. While it has not, an object that
    /// is absent from the facts may exist all the same: release nothing for it.
    pub fn complete(&self) -> bool {
        self.synced && self.unlisted.is_empty() && !self.sources.values().any(|source| source.blind)
    }

    /// Resolves when [`Self::read`] or [`Self::problems`] may have something new. May be dropped at any point.
    pub async fn changed(&mut self) {
        self.watch.changed().await;
        let known = |path: &PathBuf| {
            self.sources.contains_key(path)
                || self.sources.values().any(|source| source.target == *path)
        };
        // Somebody waits for a new Service to be announced.
        if self.watch.is_whole(|path| !known(path)) {
            return;
        }
        // Remembered, so that a caller who drops this now and then still gets there.
        let due = *self.due.get_or_insert_with(|| Instant::now() + DEBOUNCE);
        tokio::time::sleep_until(due).await;
    }

    /// Lists the whole folder again. Where listing fails, what was known stays.
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
        // A link changes with the file it leads to, which may be in a directory that is not listed.
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

    /// Reads again which statuses changed.
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

    /// What is in force, with the status of the state folder.
    fn stands(&self, key: &FactKey) -> Stands {
        self.claims.in_force(key).map_or(Stands::Absent, |claim| self.overlay.apply(&claim.fact))
    }

    /// The folder itself could be listed, and the status beside it.
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
