//! Collects the kernel's events about the folder (inotify(7)) until they are read. Nothing here polls. This module must not
//! know what files contain.
use std::collections::{BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask};
use outrigger_core::facts::ServiceKey;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::tree;

/// Changes that have to be read. Paths are relative to the folder.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// True if the whole folder has to be listed.
    pub everything: bool,
    pub files: BTreeSet<PathBuf>,
    pub statuses: Statuses,
    /// True if a file is being written: there is nothing to read yet, but a problem to report.
    noticed: bool,
}

impl Pending {
    fn of_manifests(&self) -> bool {
        self.everything || self.noticed || !self.files.is_empty()
    }

    fn of_statuses(&self) -> bool {
        self.statuses.everything || !self.statuses.keys.is_empty()
    }
}

/// Service statuses that have to be read.
#[derive(Debug, Default)]
pub(super) struct Statuses {
    pub everything: bool,
    pub keys: BTreeSet<ServiceKey>,
}

/// The watches on one folder and on the state folder beside it.
#[derive(Debug)]
pub(super) struct Watch {
    root: PathBuf,
    inotify: Inotify,
    /// Used only for waiting. Created at the first wait, because a single read needs no runtime.
    waiting: Option<AsyncFd<OwnedFd>>,
    places: HashMap<WatchDescriptor, (Place, u64)>,
    /// Number of listings, used to remove watches on directories that no longer exist.
    listing: u64,
    /// Files that were changed and not closed since. They may be incomplete.
    writing: BTreeSet<PathBuf>,
    pending: Pending,
}

/// The purpose of a watch.
#[derive(Debug, Clone)]
enum Place {
    /// The parent of the folder. The folder has this name there and may be a link that is switched.
    Parent(OsString),
    /// A directory below the folder.
    Manifests(PathBuf),
    /// The state folder or its `services` folder.
    Namespaces,
    /// One namespace of the `services` folder.
    Services(String),
}

impl Watch {
    pub fn new(root: &Path) -> io::Result<Self> {
        let pending = Pending {
            everything: true,
            statuses: Statuses { everything: true, ..Statuses::default() },
            ..Pending::default()
        };
        let mut watch = Self {
            root: root.to_owned(),
            inotify: Inotify::init()?,
            waiting: None,
            places: HashMap::new(),
            listing: 0,
            writing: BTreeSet::new(),
            pending,
        };
        if let (Some(parent), Some(name)) = (root.parent(), root.file_name()) {
            watch.add(parent, Place::Parent(name.to_owned()))?;
        }
        Ok(watch)
    }

    /// Watches the directory `full`, which is `path` below the folder.
    pub fn directory(&mut self, full: &Path, path: &Path) -> io::Result<()> {
        self.add(full, Place::Manifests(path.to_owned()))
    }

    /// Watches the state folder or its `services` folder for directories that are created or removed.
    pub fn namespaces(&mut self, dir: &Path) -> io::Result<()> {
        self.add(dir, Place::Namespaces)
    }

    /// Watches one namespace of the `services` folder.
    pub fn services(&mut self, dir: &Path, namespace: &str) -> io::Result<()> {
        self.add(dir, Place::Services(namespace.to_owned()))
    }

    /// Starts a listing of the whole folder: directories that are not watched again until [`Self::listed`] no longer exist.
    pub fn list(&mut self) {
        self.listing += 1;
    }

    /// Ends a listing and removes the watches on directories that no longer exist.
    pub fn listed(&mut self) {
        let listing = self.listing;
        let gone =
            |(place, seen): &(Place, u64)| matches!(place, Place::Manifests(_)) && *seen != listing;
        let stale: Vec<_> =
            self.places.iter().filter(|(_, one)| gone(one)).map(|(wd, _)| wd.clone()).collect();
        for wd in stale {
            self.places.remove(&wd);
            // This fails if the kernel has already removed the watch.
            let _ = self.inotify.watches().remove(wd);
        }
    }

    pub fn writing(&self) -> impl Iterator<Item = &PathBuf> {
        self.writing.iter()
    }

    pub fn is_being_written(&self, path: &Path) -> bool {
        self.writing.contains(path)
    }

    /// Returns the pending changes and clears them.
    pub fn take(&mut self) -> Pending {
        std::mem::take(&mut self.pending)
    }

    /// Collects every event that is available without blocking.
    pub fn collect(&mut self) {
        let mut buffer = [0; 16 * 1024];
        loop {
            let events = match self.inotify.read_events(&mut buffer) {
                Ok(events) => events,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    return tracing::error!(%error, "the folder is no longer watched: restart Outrigger");
                }
            };
            for event in events.map(|event| event.to_owned()).collect::<Vec<_>>() {
                self.event(&event.wd, event.mask, event.name.as_deref());
            }
        }
    }

    /// Returns true if everything that is pending is complete: statuses, which are written atomically by renaming, and
    /// closed files for which `new` returns true. The removal of a file may be the first half of a move.
    pub fn is_whole(&self, new: impl Fn(&PathBuf) -> bool) -> bool {
        let Pending { everything, files, noticed, .. } = &self.pending;
        let closed = !noticed || self.writing.is_empty();
        !everything && closed && files.iter().all(new)
    }

    /// Waits until a change is pending.
    pub async fn changed(&mut self) {
        loop {
            self.collect();
            if self.pending.of_manifests() || self.pending.of_statuses() {
                return;
            }
            if let Err(error) = self.readable().await {
                tracing::error!(%error, "the folder is no longer watched: restart Outrigger");
                std::future::pending::<()>().await;
            }
        }
    }

    #[expect(
        deprecated,
        reason = "tokio now wants `unsafe` here, against types whose descriptor may change or close; OwnedFd's cannot"
    )]
    async fn readable(&mut self) -> io::Result<()> {
        if self.waiting.is_none() {
            let fd = self.inotify.as_fd().try_clone_to_owned()?;
            self.waiting = Some(AsyncFd::with_interest(fd, Interest::READABLE)?);
        }
        if let Some(waiting) = &self.waiting {
            // Readiness is cleared before the events are read, so that an event that arrives in between is reported again.
            waiting.readable().await?.clear_ready();
        }
        Ok(())
    }

    fn add(&mut self, dir: &Path, place: Place) -> io::Result<()> {
        let names = WatchMask::CREATE
            | WatchMask::DELETE
            | WatchMask::MOVED_FROM
            | WatchMask::MOVED_TO
            | WatchMask::ONLYDIR;
        let mask = match place {
            Place::Parent(_) => names,
            Place::Namespaces | Place::Services(_) => names | WatchMask::CLOSE_WRITE,
            Place::Manifests(_) => {
                let content = WatchMask::MODIFY | WatchMask::CLOSE_WRITE | WatchMask::ATTRIB;
                names | content | WatchMask::DELETE_SELF | WatchMask::MOVE_SELF
            }
        };
        let wd = self.inotify.watches().add(dir, mask)?;
        self.places.insert(wd, (place, self.listing));
        Ok(())
    }

    fn event(&mut self, wd: &WatchDescriptor, mask: EventMask, name: Option<&OsStr>) {
        if mask.contains(EventMask::Q_OVERFLOW) {
            // The close event of a file may have been lost, in which case the file would stay in this set.
            self.writing.clear();
            self.pending.everything = true;
            self.pending.statuses.everything = true;
            return;
        }
        let Some((place, _)) = self.places.get(wd).cloned() else { return };
        if mask.contains(EventMask::IGNORED) {
            self.places.remove(wd);
            return;
        }
        match (place, name) {
            (Place::Parent(folder), name) => self.pending.everything |= name == Some(&folder),
            (Place::Manifests(dir), Some(name)) => self.manifest(&dir.join(name), mask),
            // The directory itself was removed or moved. Changes of its own attributes do not matter.
            (Place::Manifests(_), None) => {
                self.pending.everything |= !mask.contains(EventMask::ATTRIB)
            }
            // The leader lock and the gossip key are beside the `services` folder.
            (Place::Namespaces, _) => {
                self.pending.statuses.everything |= mask.contains(EventMask::ISDIR)
            }
            (Place::Services(namespace), name) => {
                let name = name.and_then(OsStr::to_str).and_then(|name| name.strip_suffix(".yaml"));
                let name = name.filter(|name| !name.starts_with('.')).map(str::to_owned);
                self.pending
                    .statuses
                    .keys
                    .extend(name.map(|name| ServiceKey::new(&namespace, &name)));
            }
        }
    }

    fn manifest(&mut self, path: &Path, mask: EventMask) {
        let directory = mask.contains(EventMask::ISDIR);
        if directory || !tree::is_read(path) {
            let hidden =
                path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            // A mounted ConfigMap is updated by switching the link `..data`, which its files go through.
            let switched = mask.contains(EventMask::MOVED_TO) && !directory && hidden;
            self.pending.everything |=
                switched || (directory && !hidden && !mask.contains(EventMask::ATTRIB));
            return;
        }
        if mask.contains(EventMask::MODIFY)
            || (mask.contains(EventMask::CREATE) && self.opens(path))
        {
            self.pending.noticed |= self.writing.insert(path.to_owned());
            return;
        }
        if mask.contains(EventMask::ATTRIB) && self.writing.contains(path) {
            return;
        }
        self.writing.remove(path);
        self.pending.files.insert(path.to_owned());
    }

    /// Returns true if a file that was just created is open for writing, which is assumed unless it is a hard or symbolic link.
    fn opens(&self, path: &Path) -> bool {
        let metadata = std::fs::symlink_metadata(self.root.join(path));
        metadata.map_or(true, |metadata| metadata.is_file() && metadata.nlink() == 1)
    }
}
