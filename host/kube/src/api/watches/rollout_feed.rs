//! Keeps current NodeReports and Plugins for rollouts, which need more of them than facts contain. They come from the same
//! watches as the facts: one per kind. This module must not know how a rollout proceeds.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Kind;
use crate::crd::{NodeReportStatus, PluginStatus};

/// The name of an object and its current content, which is `None` if the object was deleted.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// A NodeReport.
    Report(String, Option<Arc<NodeReportStatus>>),
    /// A Plugin, with its version.
    Plugin(String, Option<(String, Arc<PluginStatus>)>),
    /// Every object of this kind has been reported once.
    Listed(Kind),
}

/// The current content of one object.
#[derive(Debug, Clone)]
pub(super) enum RawObject {
    Report(Arc<NodeReportStatus>),
    /// A Plugin, with its version.
    Plugin(String, Arc<PluginStatus>),
}

/// All current objects, and those that have not been reported yet.
#[derive(Default)]
pub(super) struct PendingUpdates {
    objects: BTreeMap<(Kind, String), RawObject>,
    listed: BTreeSet<Kind>,
    fresh: BTreeSet<(Kind, String)>,
    freshly_listed: BTreeSet<Kind>,
}

impl PendingUpdates {
    /// Records the current content of an object.
    pub fn seen(&mut self, kind: Kind, name: &str, whole: RawObject) {
        self.objects.insert((kind, name.to_owned()), whole);
        self.fresh.insert((kind, name.to_owned()));
    }

    /// Removes an object that was deleted.
    pub fn gone(&mut self, kind: Kind, name: &str) {
        let object = (kind, name.to_owned());
        if self.objects.remove(&object).is_some() {
            self.fresh.insert(object);
        }
    }

    /// Records that every object of a kind has been seen.
    pub fn listed(&mut self, kind: Kind) {
        if matches!(kind, Kind::NodeReports | Kind::Plugins) && self.listed.insert(kind) {
            self.freshly_listed.insert(kind);
        }
    }

    /// Marks everything as new, for a consumer that starts to listen.
    pub fn again(&mut self) {
        self.fresh.extend(self.objects.keys().cloned());
        self.freshly_listed.clone_from(&self.listed);
    }

    /// Returns each new object once with its current content, and then the newly listed kinds.
    pub fn take(&mut self) -> impl Iterator<Item = Told> + '_ {
        let (fresh, listed) =
            (std::mem::take(&mut self.fresh), std::mem::take(&mut self.freshly_listed));
        let objects = fresh.into_iter().map(|object| {
            let whole = self.objects.get(&object).cloned();
            let (kind, name) = object;
            match whole {
                Some(RawObject::Report(report)) => Told::Report(name, Some(report)),
                Some(RawObject::Plugin(version, plugin)) => {
                    Told::Plugin(name, Some((version, plugin)))
                }
                None if kind == Kind::Plugins => Told::Plugin(name, None),
                None => Told::Report(name, None),
            }
        });
        objects.chain(listed.into_iter().map(Told::Listed))
    }
}
