//! What a batch of news changes. Must not know where they come from.
use std::collections::BTreeMap;

use outrigger_core::facts::{Change, Fact, FactKey};

use crate::claims::Claims;

/// What was in force for each key that a batch touches, before it did.
#[derive(Default)]
pub(super) struct Before(BTreeMap<FactKey, Option<Fact>>);

impl Before {
    /// A fact of this key may change.
    pub fn note(&mut self, claims: &Claims, key: &FactKey) {
        if !self.0.contains_key(key) {
            let fact = claims.in_force(key).map(|claim| claim.fact.clone());
            self.0.insert(key.clone(), fact);
        }
    }

    /// What did.
    pub fn changes(self, claims: &Claims) -> Vec<Change> {
        let change = |(key, before): (FactKey, Option<Fact>)| {
            let after = claims.in_force(&key).map(|claim| &claim.fact);
            match (before.as_ref(), after) {
                (before, after) if before == after => None,
                (_, Some(after)) => Some(Change::Upsert(after.clone())),
                (_, None) => Some(Change::Remove(key)),
            }
        };
        self.0.into_iter().filter_map(change).collect()
    }
}
