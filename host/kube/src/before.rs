//! What a batch of news changes. Must not know where they come from.
use std::collections::BTreeMap;

use outrigger_core::facts::{Change, Fact, FactKey};

/// What was told of each key that a batch touches, before it did: what was told is kept nowhere else.
#[derive(Default)]
pub(crate) struct Before(BTreeMap<FactKey, Stands>);

/// How a key stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stands {
    /// It is so.
    Known(Fact),
    /// It is there, and what is true of it now cannot be read: what was told stays.
    Unknown,
    /// It is not there.
    Absent,
}

impl From<Option<&Fact>> for Stands {
    fn from(fact: Option<&Fact>) -> Self {
        fact.map_or(Self::Absent, |fact| Self::Known(fact.clone()))
    }
}

impl Before {
    /// The fact of this key may change; before that it stands so.
    pub fn note(&mut self, key: FactKey, stands: impl FnOnce(&FactKey) -> Stands) {
        self.0.entry(key).or_insert_with_key(stands);
    }

    /// What did change, now that each stands so.
    pub fn changes(self, stands: impl Fn(&FactKey) -> Stands) -> Vec<Change> {
        let change = |(key, before): (FactKey, Stands)| match stands(&key) {
            after if after == before => None,
            Stands::Known(fact) => Some(Change::Upsert(fact)),
            Stands::Unknown => None,
            Stands::Absent => Some(Change::Remove(key)),
        };
        self.0.into_iter().filter_map(change).collect()
    }
}
