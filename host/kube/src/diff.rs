//! Determines the changes that result from a batch of updates. This module must not know the source of the updates.
use std::collections::BTreeMap;

use outrigger_core::facts::{Change, Fact, FactKey};

/// The last published state of each key that a batch touches, recorded before the batch is applied: it is kept nowhere else.
#[derive(Default)]
pub(crate) struct Before(BTreeMap<FactKey, FactState>);

/// State of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FactState {
    /// The key has this fact.
    Known(Fact),
    /// The object exists, but its current state cannot be read: the last published fact remains valid.
    Unknown,
    /// The object does not exist.
    Absent,
}

impl From<Option<&Fact>> for FactState {
    fn from(fact: Option<&Fact>) -> Self {
        fact.map_or(Self::Absent, |fact| Self::Known(fact.clone()))
    }
}

impl Before {
    /// Records the current state of a key whose fact may change. Only the first call for a key has an effect.
    pub fn note(&mut self, key: FactKey, stands: impl FnOnce(&FactKey) -> FactState) {
        self.0.entry(key).or_insert_with_key(stands);
    }

    /// Returns the changes, given the state of each key after the batch.
    pub fn changes(self, stands: impl Fn(&FactKey) -> FactState) -> Vec<Change> {
        let change = |(key, before): (FactKey, FactState)| match stands(&key) {
            after if after == before => None,
            FactState::Known(fact) => Some(Change::Upsert(fact)),
            FactState::Unknown => None,
            FactState::Absent => Some(Change::Remove(key)),
        };
        self.0.into_iter().filter_map(change).collect()
    }
}
