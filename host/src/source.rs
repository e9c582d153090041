//! Sources of facts: a folder of manifests, or the API server. A process uses one of them for its whole life.
use outrigger_core::facts::{Change, FactKey};
use outrigger_kube::api::Watches;
use outrigger_kube::{Folder, Problem};

/// A source of changes of facts.
pub enum Source {
    /// A watched folder.
    Folder(Box<Folder>),
    /// The API server.
    Cluster(Box<Watches>),
}

impl Source {
    /// Returns changes since the last call. `None` if nothing changed, including problems.
    pub fn read(&mut self) -> Option<Vec<Change>> {
        match self {
            Self::Folder(folder) => Some(folder.read()),
            Self::Cluster(watches) => {
                let changes = watches.read();
                (watches.differ() || !changes.is_empty()).then_some(changes)
            }
        }
    }

    /// Resolves when [`Self::read`] may have something new. Cancel safe: may be dropped at any point.
    pub async fn changed(&mut self) {
        match self {
            Self::Folder(folder) => folder.changed().await,
            Self::Cluster(watches) => watches.changed_together().await,
        }
    }

    /// Returns the folder. `None` if the source is the API server.
    pub fn folder(&self) -> Option<&Folder> {
        match self {
            Self::Folder(folder) => Some(folder),
            Self::Cluster(_) => None,
        }
    }

    /// Returns all current problems.
    pub fn problems(&self) -> Vec<Problem> {
        match self {
            Self::Folder(folder) => folder.problems(),
            Self::Cluster(watches) => watches.problems(),
        }
    }

    /// Returns the file that an object was read from. `None` if it was not read from one.
    pub fn file_of(&self, key: &FactKey) -> Option<String> {
        match self {
            Self::Folder(folder) => folder.file_of(key),
            Self::Cluster(_) => None,
        }
    }

    /// Returns what has not been listed yet, as `kubectl get` names it.
    pub fn missing(&self, synced: bool) -> Vec<String> {
        match self {
            Self::Folder(_) if synced => Vec::new(),
            Self::Folder(_) => vec!["manifests".to_owned()],
            Self::Cluster(watches) if watches.is_remembered() => Vec::new(),
            Self::Cluster(watches) => {
                watches.missing().map(|kind| kind.plural().to_owned()).collect()
            }
        }
    }
}
