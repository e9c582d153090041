//! Runs one watch per kind, and turns changes of the API server's objects into changes of facts. An object that cannot be
//! read keeps its previous facts (invariant 2). This module must not know what the facts are used for.
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use outrigger_core::facts::{Change, Fact, FactKey, Service, ServiceKey};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::services::Observed;
use super::watcher::WatchEvent;
use crate::convert::{Converted, Invalid, ServiceClasses};
use crate::diff::{Before, FactState};
use crate::ownership::Claims;

mod kind;
mod problems;
mod reported;
mod rollout_feed;

pub use kind::{Kind, Reader};
use kind::{KindEvent, Seen};
use problems::title;
use reported::AllReported;
pub use reported::{Failure, Reported};
use rollout_feed::PendingUpdates;
pub use rollout_feed::Told;

/// Time within which related objects arrive: a Service, its endpoints, its address.
const TOGETHER: Duration = Duration::from_millis(20);

/// Every watch that a role needs.
pub struct Watches {
    said: mpsc::UnboundedReceiver<KindEvent>,
    /// The message that [`Self::changed`] received and that is not processed yet.
    waiting: Option<KindEvent>,
    /// Deadline of [`Self::changed_together`].
    due: Option<Instant>,
    kinds: BTreeMap<Kind, WatchState>,
    claims: Claims,
    /// Problems of single objects, by the path under which they claim facts.
    problems: BTreeMap<PathBuf, Vec<String>>,
    /// True if the problems or the missing kinds have changed since [`Self::differ`] was last called.
    differ: bool,
    /// Services whose status is tracked; empty if the reader does not need it.
    observed: BTreeMap<ServiceKey, Observed>,
    /// Services whose [`Observed`] changed since [`Self::touched`] was last called.
    touched: BTreeSet<ServiceKey>,
    /// Contents of the NodeReports by announcer; empty if the reader does not need them.
    reported: AllReported,
    /// Current NodeReports and Plugins for rollouts; empty if the reader does not need them.
    news: PendingUpdates,
    synced: bool,
    /// True while the facts come from an earlier process, until the API server has listed every kind.
    remembered: bool,
}

#[derive(Default)]
struct WatchState {
    listed: bool,
    failing: Option<String>,
    /// Known objects of this kind, by namespace and name.
    objects: BTreeSet<ServiceKey>,
}

impl Watches {
    /// Opens every watch on tasks of the current runtime. Services of `classes` are the ones that Outrigger serves.
    pub fn start(client: &Client, classes: &ServiceClasses, reader: Reader) -> Self {
        let (says, said) = mpsc::unbounded_channel();
        for kind in reader.kinds() {
            kind.watch(client, classes, reader, says.clone());
        }
        Self::hear(reader.kinds(), said)
    }

    fn hear(kinds: impl Iterator<Item = Kind>, said: mpsc::UnboundedReceiver<KindEvent>) -> Self {
        Self {
            said,
            waiting: None,
            due: None,
            kinds: kinds.map(|kind| (kind, WatchState::default())).collect(),
            claims: Claims::default(),
            problems: BTreeMap::new(),
            differ: false,
            observed: BTreeMap::new(),
            touched: BTreeSet::new(),
            reported: AllReported::default(),
            news: PendingUpdates::default(),
            synced: false,
            remembered: false,
        }
    }

    /// Starts from facts that were true when an earlier process stored them. The listings of the API server later replace
    /// them, kind by kind. Returns the changes, with [`Change::Synced`] last. Has no effect once everything has been
    /// listed.
    pub fn remember(&mut self, facts: Vec<Fact>) -> Vec<Change> {
        if self.synced {
            return Vec::new();
        }
        (self.synced, self.remembered) = (true, true);
        let (mut touched, nameless) = (Before::default(), Arc::default());
        for fact in facts {
            let kind = Kind::of(&fact);
            if self.kinds.get(&kind).is_none_or(|standing| standing.listed) {
                continue;
            }
            let object = Kind::object(&fact);
            touched.note(fact.key(), |key| self.stands(key));
            let (path, fact) = (kind.path(&object), std::iter::once((&nameless, &fact)));
            self.claims.replace(&path, fact);
            self.standing(kind).objects.insert(object);
        }
        let mut changes = touched.changes(|key| self.stands(key));
        changes.push(Change::Synced);
        changes
    }

    /// Returns the changes since the last call. Everything that was listed before the last kind was listed is part of the
    /// call that processes that listing, which ends with [`Change::Synced`].
    pub fn read(&mut self) -> Vec<Change> {
        self.due = None;
        let mut touched = Before::default();
        while let Some(said) = self.waiting.take().or_else(|| self.said.try_recv().ok()) {
            self.take(said, &mut touched);
        }
        let mut changes = touched.changes(|key| self.stands(key));
        if self.missing().next().is_none() {
            self.remembered = false;
            if !std::mem::replace(&mut self.synced, true) {
                changes.push(Change::Synced);
            }
        }
        changes
    }

    /// Returns all facts again, as if nothing had been reported, for a consumer that starts to make decisions.
    pub fn retell(&mut self) -> Vec<Change> {
        self.read();
        let facts = self.claims.all_in_force().map(|claim| Change::Upsert(claim.fact.clone()));
        let synced = self.synced.then_some(Change::Synced);
        self.touched.extend(self.observed.keys().cloned());
        self.news.again();
        facts.chain(synced).collect()
    }

    fn stands(&self, key: &FactKey) -> FactState {
        self.claims.in_force(key).map(|claim| &claim.fact).into()
    }

    /// Returns every active fact, to be stored.
    pub fn facts(&self) -> impl Iterator<Item = &Fact> {
        self.claims.all_in_force().map(|claim| &claim.fact)
    }

    /// Returns the active pools and announcers.
    pub fn own_facts(&self) -> impl Iterator<Item = &Fact> {
        let range = FactKey::Pool(String::new())..FactKey::Plugin(String::new());
        self.claims.in_force_within(range).map(|claim| &claim.fact)
    }

    /// Returns the noteworthy reports about an announcer, by node.
    pub fn reported_of(&self, announcer: &str) -> &BTreeMap<String, Reported> {
        self.reported.of(announcer)
    }

    /// Returns the kinds that this process has not listed yet, except NodeReports, which nothing waits for.
    pub fn missing(&self) -> impl Iterator<Item = Kind> + '_ {
        let waits = |(kind, standing): &(&Kind, &WatchState)| {
            !standing.listed && **kind != Kind::NodeReports
        };
        self.kinds.iter().filter(waits).map(|(kind, _)| *kind)
    }

    /// Returns true if this process has listed every kind except NodeReports, as opposed to facts remembered from an
    /// earlier process.
    pub fn complete(&self) -> bool {
        self.missing().next().is_none()
    }

    /// Returns true if the reported facts come from an earlier process.
    pub fn is_remembered(&self) -> bool {
        self.remembered
    }

    /// Returns the last known status of a Service in the API server.
    pub fn observed(&self, key: &ServiceKey) -> Option<&Observed> {
        self.observed.get(key)
    }

    /// Records the status that a write returned, unless the watch has already delivered a newer one.
    pub fn observe(&mut self, key: &ServiceKey, observed: Observed) {
        let newer = |known: &Observed| known.version <= observed.version;
        if self.observed.get(key).is_none_or(newer) {
            self.observed.insert(key.clone(), observed);
        }
    }

    /// Returns the Services whose status has changed since the last call.
    pub fn touched(&mut self) -> BTreeSet<ServiceKey> {
        std::mem::take(&mut self.touched)
    }

    /// Returns the changes of NodeReports and Plugins since the last call.
    pub fn told(&mut self) -> impl Iterator<Item = Told> + '_ {
        self.news.take()
    }

    /// Resolves when [`Self::read`] or [`Self::problems`] may have something new. Cancel safe.
    pub async fn changed(&mut self) {
        if self.waiting.is_some() {
            return;
        }
        self.waiting = self.said.recv().await;
        if self.waiting.is_none() {
            // Every watch task has ended, which happens only when the runtime shuts down.
            std::future::pending::<()>().await;
        }
    }

    /// Resolves like [`Self::changed`], but only after related objects have had time to arrive, so that they are processed
    /// at once. Cancel safe.
    pub async fn changed_together(&mut self) {
        self.changed().await;
        // The deadline is stored, so that it is reached even if callers repeatedly drop this future.
        let due = *self.due.get_or_insert_with(|| Instant::now() + TOGETHER);
        tokio::time::sleep_until(due).await;
    }

    fn take(&mut self, (kind, heard): KindEvent, touched: &mut Before) {
        match heard {
            WatchEvent::Listed(seen) => {
                let objects: BTreeSet<_> = seen.iter().map(|seen| seen.key.clone()).collect();
                let known = std::mem::take(&mut self.standing(kind).objects);
                for seen in seen {
                    self.seen(kind, seen, touched);
                }
                for gone in known.difference(&objects) {
                    self.gone(kind, gone, touched);
                }
                *self.standing(kind) = WatchState { listed: true, failing: None, objects };
                self.differ = true;
                self.news.listed(kind);
            }
            WatchEvent::Seen(seen) => {
                self.fails(kind, None);
                self.standing(kind).objects.insert(seen.key.clone());
                self.seen(kind, seen, touched);
            }
            WatchEvent::Gone(key) => {
                self.standing(kind).objects.remove(&key);
                self.gone(kind, &key, touched);
            }
            WatchEvent::Failed(why) => self.fails(kind, Some(why)),
            WatchEvent::Recovered => self.fails(kind, None),
        }
    }

    fn standing(&mut self, kind: Kind) -> &mut WatchState {
        self.kinds.entry(kind).or_default()
    }

    fn seen(&mut self, kind: Kind, seen: Seen, touched: &mut Before) {
        if let Some(whole) = &seen.whole {
            self.reported.hear(seen.key.name(), whole);
            self.news.seen(kind, seen.key.name(), whole.clone());
        }
        match kind {
            Kind::Services => self.see_service(&seen),
            Kind::NodeReports => return,
            _ => {}
        }
        let path = kind.path(&seen.key);
        let mut problems = Vec::new();
        let facts = self.settle(&path, seen.converted, seen.unclear, &mut problems);
        for key in facts.iter().map(Fact::key).chain(self.claims.words(&path).iter().map(Fact::key))
        {
            touched.note(key, |key| self.stands(key));
        }
        let object: Arc<str> = title(&path).into();
        self.claims.replace(&path, facts.iter().map(|fact| (&object, fact)));
        self.is_wrong(path, problems);
    }

    /// Returns the facts of one object, with the previous facts in place of those that could not be converted.
    fn settle(
        &self,
        path: &Path,
        converted: Result<Converted, Invalid>,
        unclear: Option<Service>,
        problems: &mut Vec<String>,
    ) -> Vec<Fact> {
        match converted {
            Ok(Converted { mut facts, notes }) => {
                for note in notes {
                    problems.push(note.message);
                    let known = note.instead_of.and_then(|key| self.claims.word(path, &key));
                    facts.extend(known.cloned());
                }
                facts
            }
            Err(invalid) => {
                problems.push(invalid.to_string());
                match unclear {
                    Some(unclear) => vec![self.as_before(path, unclear).into()],
                    None => self.claims.words(path),
                }
            }
        }
    }

    /// Returns the known Service, if it is still the same object, with the current problem, addresses and ownership.
    fn as_before(&self, path: &Path, unclear: Service) -> Service {
        match self.claims.word(path, &FactKey::Service(unclear.key.clone())) {
            Some(Fact::Service(known)) if known.uid == unclear.uid => {
                let mut known = Service::clone(known);
                known.problem.clone_from(&unclear.problem);
                Service { ingress: unclear.ingress, ours: unclear.ours, ..known }
            }
            _ => unclear,
        }
    }

    fn see_service(&mut self, seen: &Seen) {
        let known = self.observed.get(&seen.key);
        match &seen.observed {
            Some(new) if known.is_none_or(|known| known.version < new.version) => {
                self.observed.insert(seen.key.clone(), new.clone());
                self.touched.insert(seen.key.clone());
            }
            None if known.is_some() => {
                self.observed.remove(&seen.key);
                self.touched.insert(seen.key.clone());
            }
            _ => {}
        }
    }

    fn gone(&mut self, kind: Kind, object: &ServiceKey, touched: &mut Before) {
        self.news.gone(kind, object.name());
        if kind == Kind::NodeReports {
            return self.reported.gone(object.name());
        }
        let path = kind.path(object);
        for fact in self.claims.words(&path) {
            touched.note(fact.key(), |key| self.stands(key));
        }
        self.claims.replace(&path, std::iter::empty());
        self.is_wrong(path, Vec::new());
        if kind == Kind::Services && self.observed.remove(object).is_some() {
            self.touched.insert(object.clone());
        }
    }
}

#[cfg(test)]
mod tests;
