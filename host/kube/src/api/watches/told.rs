//! NodeReports and Plugins as they are, for roll-outs, which look at more of them than facts say. From the same watch as the
//! facts: one per kind. Must not know how a roll-out goes on.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Kind;
use crate::crd::{NodeReportStatus, PluginStatus};

/// The name of an object, and what it says; `None` when it is gone.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// A NodeReport.
    Report(String, Option<Arc<NodeReportStatus>>),
    /// A Plugin, with its version.
    Plugin(String, Option<(String, Arc<PluginStatus>)>),
    /// Everything of this kind has been told once.
    Listed(Kind),
}

/// One object as it is.
#[derive(Debug, Clone)]
pub(super) enum Whole {
    Report(Arc<NodeReportStatus>),
    /// With its version.
    Plugin(String, Arc<PluginStatus>),
}

/// All of them, and what nobody has taken note of.
#[derive(Default)]
pub(super) struct News {
    objects: BTreeMap<(Kind, String), Whole>,
    listed: BTreeSet<Kind>,
    fresh: BTreeSet<(Kind, String)>,
    freshly_listed: BTreeSet<Kind>,
}

impl News {
    /// One object is so now.
    pub fn seen(&mut self, kind: Kind, name: &str, whole: Whole) {
        self.objects.insert((kind, name.to_owned()), whole);
        self.fresh.insert((kind, name.to_owned()));
    }

    /// One object is gone.
    pub fn gone(&mut self, kind: Kind, name: &str) {
        let object = (kind, name.to_owned());
        if self.objects.remove(&object).is_some() {
            self.fresh.insert(object);
        }
    }

    /// Everything there is of a kind has been seen.
    pub fn listed(&mut self, kind: Kind) {
        if matches!(kind, Kind::NodeReports | Kind::Plugins) && self.listed.insert(kind) {
            self.freshly_listed.insert(kind);
        }
    }

    /// Everything is fresh: somebody begins to listen.
    pub fn again(&mut self) {
        self.fresh.extend(self.objects.keys().cloned());
        self.freshly_listed.clone_from(&self.listed);
    }

    /// What is fresh, each object once as it is now, and then what has been listed.
    pub fn take(&mut self) -> impl Iterator<Item = Told> + '_ {
        let (fresh, listed) =
            (std::mem::take(&mut self.fresh), std::mem::take(&mut self.freshly_listed));
        let objects = fresh.into_iter().map(|object| {
            let whole = self.objects.get(&object).cloned();
            let (kind, name) = object;
            match whole {
                Some(Whole::Report(report)) => Told::Report(name, Some(report)),
                Some(Whole::Plugin(version, plugin)) => Told::Plugin(name, Some((version, plugin))),
                None if kind == Kind::Plugins => Told::Plugin(name, None),
                None => Told::Report(name, None),
            }
        });
        objects.chain(listed.into_iter().map(Told::Listed))
    }
}
