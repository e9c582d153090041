//! The changes found by one round of planning.
use std::collections::BTreeMap;

use super::InstanceChange;
use crate::membership::ClaimChanges;

/// The changes found so far.
#[derive(Default)]
pub(super) struct PlanDelta {
    pub changes: BTreeMap<String, InstanceChange>,
    pub claims: ClaimChanges,
}

impl PlanDelta {
    pub fn of(&mut self, announcer: &str) -> &mut InstanceChange {
        self.changes.entry(announcer.to_owned()).or_insert_with(|| InstanceChange {
            announcer: announcer.to_owned(),
            remove: Vec::new(),
            upsert: Vec::new(),
        })
    }
}
