//! The state folder: Service status, node reports, and the leader lock and gossip key of a cluster without an API server.
//! Nodes that share the folder share the cluster. This module must not know what is decided from it.
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use outrigger_core::facts::ServiceKey;
use outrigger_sdk::Time;
use serde::Serialize;

use crate::convert::is_name;
use crate::crd::NodeReport;
use crate::problem::Problem;

mod atomic;
mod memory;
mod restart;
mod service;

pub use memory::Memory;
pub(crate) use service::timestamp;
pub use service::{Allocated, ServiceStatus, rfc3339, utc};

const SERVICES: &str = "services";
const REPORTS: &str = "reports";
const DETAILS: &str = "nodes";
const LOCK: &str = "leader.lock";
const GOSSIP_KEY: &str = "gossip.key";

/// An open state folder.
#[derive(Debug, Clone)]
pub struct State {
    dir: PathBuf,
}

/// Leadership of the one process that writes Service status. The kernel releases the lock when that process ends for any reason.
#[derive(Debug)]
pub struct FolderLead {
    _lock: File,
}

/// Lock of the one process that runs a node of this name.
#[derive(Debug)]
pub struct Occupied {
    _lock: File,
}

/// Reason why the state folder could not be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file system refused an operation.
    #[error("cannot use {} ({cause}): make it writable for this user, or name another state folder", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The error of the file system.
        cause: io::Error,
    },
    /// Another daemon already runs under this node name.
    #[error(
        "node {0} already runs with this state folder: stop it, or give this one another name with --node"
    )]
    NodeRuns(String),
    /// The name cannot be a file name.
    #[error("{0:?} is not a name: use lower-case letters, digits, '-' and '.'")]
    Name(String),
    /// The key file is damaged.
    #[error("{} does not hold 32 octets in base64: delete it and restart every node of this folder", .0.display())]
    Key(PathBuf),
    /// The content cannot be serialized as text, which is not expected because it is plain data.
    #[error("{} cannot be written as text: {message}", .path.display())]
    Text {
        /// The file.
        path: PathBuf,
        /// The serializer's error message.
        message: String,
    },
}

impl State {
    /// Opens the folder and creates what is missing, accessible only to this user.
    ///
    /// # Errors
    /// Returns an error if the folder or one of its subfolders cannot be created.
    pub fn open(dir: &Path) -> Result<Self, StateError> {
        for folder in ["", SERVICES, REPORTS, DETAILS] {
            make_folder(&dir.join(folder))?;
        }
        Self::existing(dir).ok_or_else(|| io_error(dir)(io::ErrorKind::NotFound.into()))
    }

    /// Returns the folder without creating it, for read-only use. `None` if it does not exist.
    pub fn existing(dir: &Path) -> Option<Self> {
        Some(Self { dir: dir.canonicalize().ok().filter(|dir| dir.join(SERVICES).is_dir())? })
    }

    /// Returns the path of the folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Becomes the leader. Blocks until no other process is the leader.
    ///
    /// # Errors
    /// Returns an error if the lock file cannot be opened or locked.
    pub fn lead(&self) -> Result<FolderLead, StateError> {
        let path = self.dir.join(LOCK);
        let file = lock_file(&path)?;
        file.lock().map_err(io_error(&path))?;
        Ok(FolderLead { _lock: file })
    }

    /// Claims this node for the current process until the returned lock is dropped.
    ///
    /// # Errors
    /// Returns an error if another process runs a node of this name, or if the file system refuses.
    pub fn occupy(&self, node: &str) -> Result<Occupied, StateError> {
        let path = self.node_path(DETAILS, node, "lock")?;
        let file = lock_file(&path)?;
        match file.try_lock() {
            Ok(()) => Ok(Occupied { _lock: file }),
            Err(TryLockError::WouldBlock) => Err(StateError::NodeRuns(node.to_owned())),
            Err(TryLockError::Error(error)) => Err(io_error(&path)(error)),
        }
    }

    /// Returns true if some process runs this node now. It asks the kernel, independent of the node's report.
    pub fn is_running(&self, node: &str) -> bool {
        let Ok(path) = self.node_path(DETAILS, node, "lock") else { return false };
        let Ok(file) = File::open(path) else { return false };
        matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
    }

    /// Tries to become the leader; `None` if another process is the leader.
    ///
    /// # Errors
    /// Returns an error if the lock file cannot be opened or locked.
    pub fn try_lead(&self) -> Result<Option<FolderLead>, StateError> {
        let path = self.dir.join(LOCK);
        let file = lock_file(&path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(FolderLead { _lock: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(io_error(&path)(error)),
        }
    }

    /// Writes the status of a Service. Returns true if it differed from the previous status. The write survives a power
    /// failure, because allocations are stored nowhere else.
    ///
    /// # Errors
    /// Returns an error if the status cannot be written.
    pub fn write_service(
        &self,
        _lead: &FolderLead,
        key: &ServiceKey,
        addresses: &[IpAddr],
        allocated: &Allocated,
        now: Time,
    ) -> Result<bool, StateError> {
        let path = self.service_path(key)?;
        let before = service::read(&path, key).ok();
        let same = |before: &ServiceStatus| {
            before.addresses == addresses && before.allocated.as_ref() == Some(allocated)
        };
        if before.as_ref().is_some_and(same) {
            return Ok(false);
        }
        make_folder(path.parent().unwrap_or(&self.dir))?;
        let text = service::render(key, addresses, allocated, before.as_ref(), now);
        atomic::write(&path, text.as_bytes(), atomic::Durable::Yes).map_err(io_error(&path))?;
        Ok(true)
    }

    /// Removes the status of a Service.
    ///
    /// # Errors
    /// Returns an error if the file exists and cannot be removed.
    pub fn remove_service(&self, _lead: &FolderLead, key: &ServiceKey) -> Result<(), StateError> {
        let path = self.service_path(key)?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(&path)(error)),
            _ => Ok(()),
        }
    }

    /// Returns the status of every Service. A status that cannot be read is a problem: its addresses are unknown rather than none.
    ///
    /// # Errors
    /// Returns an error if the folder cannot be listed, in which case nothing is known about any Service.
    pub fn services(
        &self,
    ) -> Result<BTreeMap<ServiceKey, Result<ServiceStatus, Problem>>, StateError> {
        let mut statuses = BTreeMap::new();
        for namespace in self.namespaces()? {
            for name in names(&self.services_dir().join(&namespace), ".yaml")? {
                let key = ServiceKey::new(&namespace, &name);
                if let Some(status) = self.service(&key) {
                    statuses.insert(key, status);
                }
            }
        }
        Ok(statuses)
    }

    /// Returns the status of one Service; `None` if it has none.
    pub fn service(&self, key: &ServiceKey) -> Option<Result<ServiceStatus, Problem>> {
        let path = self.service_path(key).ok()?;
        match service::read(&path, key) {
            Err(service::ReadError::Absent) => None,
            Err(error) => Some(Err(Problem {
                file: path.display().to_string(),
                object: Some(format!("Service {key}")),
                message: format!(
                    "the status cannot be read ({error}): restore the file, or delete it so that addresses are allocated again; until then its addresses stay unchanged, and a new leader allocates none"
                ),
            })),
            Ok(status) => Some(Ok(status)),
        }
    }

    /// Writes the report of a node.
    ///
    /// # Errors
    /// Returns an error if the report cannot be written.
    pub fn write_report(&self, node: &str, report: &NodeReport) -> Result<(), StateError> {
        let path = self.node_path(REPORTS, node, "yaml")?;
        let text = serde_saphyr::to_string(report)
            .map_err(|error| StateError::Text { path: path.clone(), message: error.to_string() })?;
        atomic::write(&path, text.as_bytes(), atomic::Durable::No).map_err(io_error(&path))
    }

    /// Returns the last report of each node. A report that cannot be read is skipped, because its node writes it again.
    pub fn reports(&self) -> BTreeMap<String, NodeReport> {
        self.each(REPORTS, ".yaml", |text| serde_saphyr::from_str(text).ok())
    }

    /// Writes a node's details of single addresses, for `outrigger status`.
    ///
    /// # Errors
    /// Returns an error if the details cannot be written.
    pub fn write_details(&self, node: &str, details: &impl Serialize) -> Result<(), StateError> {
        let path = self.node_path(DETAILS, node, "json")?;
        let write = |file: &mut dyn Write| Ok(serde_json::to_writer(file, details)?);
        atomic::write_as(&path, write, atomic::Durable::No).map_err(io_error(&path))
    }

    /// Returns the details of each node. Details that cannot be read are skipped.
    pub fn details(&self) -> BTreeMap<String, serde_json::Value> {
        self.each(DETAILS, ".json", |text| serde_json::from_str(text).ok())
    }

    /// Returns the key that gossip is sealed with. The first process creates it from these random bytes; all others read it.
    ///
    /// # Errors
    /// Returns an error if the key cannot be created, or is damaged.
    pub fn gossip_key(&self, random: [u8; 32]) -> Result<[u8; 32], StateError> {
        let path = self.dir.join(GOSSIP_KEY);
        let text = BASE64_STANDARD.encode(random) + "\n";
        // The file is created atomically, so that no process reads a partial key.
        match atomic::create(&path, text.as_bytes()) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(io_error(&path)(error));
            }
            _ => {}
        }
        let text = fs::read_to_string(&path).map_err(io_error(&path))?;
        let octets = BASE64_STANDARD.decode(text.trim()).ok();
        octets.and_then(|octets| octets.try_into().ok()).ok_or(StateError::Key(path))
    }

    /// Stores the key that was read from a cluster, for use while the API server is unreachable.
    ///
    /// # Errors
    /// Returns an error if the key cannot be written.
    pub fn keep_gossip_key(&self, key: [u8; 32]) -> Result<(), StateError> {
        let path = self.dir.join(GOSSIP_KEY);
        let text = BASE64_STANDARD.encode(key) + "\n";
        atomic::write(&path, text.as_bytes(), atomic::Durable::No).map_err(io_error(&path))
    }

    /// Returns the stored key; `None` if it cannot be read.
    pub fn kept_gossip_key(&self) -> Option<[u8; 32]> {
        let text = fs::read_to_string(self.dir.join(GOSSIP_KEY)).ok()?;
        BASE64_STANDARD.decode(text.trim()).ok()?.try_into().ok()
    }

    pub(crate) fn services_dir(&self) -> PathBuf {
        self.dir.join(SERVICES)
    }

    pub(crate) fn namespaces(&self) -> Result<Vec<String>, StateError> {
        let dir = self.services_dir();
        Ok(names(&dir, "")?.into_iter().filter(|name| dir.join(name).is_dir()).collect())
    }

    fn service_path(&self, key: &ServiceKey) -> Result<PathBuf, StateError> {
        if !is_name(key.namespace(), 63) || !is_name(key.name(), 63) {
            return Err(StateError::Name(key.to_string()));
        }
        Ok(self.services_dir().join(key.namespace()).join(format!("{}.yaml", key.name())))
    }

    fn node_path(&self, folder: &str, node: &str, extension: &str) -> Result<PathBuf, StateError> {
        if !is_name(node, 200) {
            return Err(StateError::Name(node.to_owned()));
        }
        Ok(self.dir.join(folder).join(format!("{node}.{extension}")))
    }

    fn each<T>(
        &self,
        folder: &str,
        ending: &str,
        read: fn(&str) -> Option<T>,
    ) -> BTreeMap<String, T> {
        let dir = self.dir.join(folder);
        let read = |name: String| {
            let path = dir.join(format!("{name}{ending}"));
            let value = fs::read_to_string(&path).ok().and_then(|text| read(&text));
            if value.is_none() {
                tracing::warn!(path = %path.display(), "ignored: the file cannot be read");
            }
            Some((name, value?))
        };
        names(&dir, ending).unwrap_or_default().into_iter().filter_map(read).collect()
    }
}

/// Returns the names in a folder that have this ending, without the ending. Names that begin with a dot are files that are
/// still being written, and are skipped.
fn names(dir: &Path, ending: &str) -> Result<Vec<String>, StateError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(io_error(dir))? {
        let name = entry.map_err(io_error(dir))?.file_name();
        let name = name.to_str().filter(|name| !name.starts_with('.'));
        names.extend(name.and_then(|name| name.strip_suffix(ending)).map(str::to_owned));
    }
    Ok(names)
}

fn make_folder(path: &Path) -> Result<(), StateError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io_error(path))
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> StateError {
    let path = path.to_owned();
    |cause| StateError::Io { path, cause }
}

fn lock_file(path: &Path) -> Result<File, StateError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(path).map_err(io_error(path))
}

#[cfg(test)]
mod tests;
