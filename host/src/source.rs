//! Where facts come from: a folder of manifests, or the API server. One of the two for the whole life of a process.
use outrigger_core::facts::{Change, FactKey};
use outrigger_kube::api::Watches;
use outrigger_kube::{Folder, Problem};

/// What is read for changes of facts.
pub enum Source {
    /// A watched folder.
    Folder(Box<Folder>),
    /// The API server.
    Cluster(Box<Watches>),
}

impl Source {
    /// What differs from what was told before; `None` when nothing at all does, what is wrong included.
    pub fn read(&mut self) -> Option<Vec<Change>> {
        match self {
            Self::Folder(folder) => Some(folder.read()),
            Self::Cluster(watches) => {
                let changes = watches.read();
                (watches.differ() || !changes.is_empty()).then_some(changes)
            }
        }
    }

    /// Resolves when [`Self::read`] may have something new. May be dropped at any point.
    pub async fn changed(&mut self) {
        match self {
            Self::Folder(folder) => folder.changed().await,
            Self::Cluster(watches) => watches.changed_together().await,
        }
    }

    /// The folder, if it is one.
    pub fn folder(&self) -> Option<&Folder> {
        match self {
            Self::Folder(folder) => Some(folder),
            Self::Cluster(_) => None,
        }
    }

    /// Everything that is wrong now.
    pub fn problems(&self) -> Vec<Problem> {
        match self {
            Self::Folder(folder) => folder.problems(),
            Self::Cluster(watches) => watches.problems(),
        }
    }

    /// The file that an object in force comes from, if it comes from one.
    pub fn file_of(&self, key: &FactKey) -> Option<String> {
        match self {
            Self::Folder(folder) => folder.file_of(key),
            Self::Cluster(_) => None,
        }
    }

    /// What has not been listed yet, as `kubectl get` names it.
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
