//! A list received from the host: the full list in chunks, then changes. Generic, because links and addresses are
//! listed the same way.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The last complete list, with the changes since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Listing<K: Ord, V> {
    current: BTreeMap<K, V>,
    /// A full list that is still incomplete.
    incoming: Option<BTreeMap<K, V>>,
    /// True if a full list was received since the start or the last `forget`; nothing is decided before (unknown is
    /// not empty).
    listed: bool,
}

/// One chunk, with the field names of both WIT records.
pub(crate) struct Chunk<K, V> {
    pub reset: bool,
    pub remove: Vec<K>,
    pub upsert: Vec<(K, V)>,
    pub more: bool,
}

/// The result of applying a chunk.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Applied<K, V> {
    /// The full list is still incomplete.
    Partly,
    /// A full list is complete; holds the previous list.
    Whole(BTreeMap<K, V>),
    /// A change was applied. A key can be in both lists: removed, then added again.
    Change { removed: Vec<K>, upserted: Vec<K> },
}

impl<K: Ord, V> Default for Listing<K, V> {
    fn default() -> Self {
        Self { current: BTreeMap::new(), incoming: None, listed: false }
    }
}

impl<K: Ord + Copy, V> Listing<K, V> {
    pub(crate) fn apply(&mut self, chunk: Chunk<K, V>) -> Applied<K, V> {
        if chunk.reset {
            self.incoming = Some(BTreeMap::new());
        }
        let target = self.incoming.as_mut().unwrap_or(&mut self.current);
        let removed = chunk.remove.into_iter().filter(|key| target.remove(key).is_some()).collect();
        let upserted = chunk.upsert.iter().map(|(key, _)| *key).collect();
        target.extend(chunk.upsert);
        if chunk.more && self.incoming.is_some() {
            return Applied::Partly;
        }
        match self.incoming.take() {
            Some(whole) => {
                self.listed = true;
                Applied::Whole(std::mem::replace(&mut self.current, whole))
            }
            None => Applied::Change { removed, upserted },
        }
    }

    /// Marks the list as unknown until the next full list. The entries stay, for comparison.
    pub(crate) fn forget(&mut self) {
        self.incoming = None;
        self.listed = false;
    }

    pub(crate) fn is_listed(&self) -> bool {
        self.listed
    }

    pub(crate) fn current(&self) -> &BTreeMap<K, V> {
        &self.current
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(reset: bool, remove: &[u8], upsert: &[(u8, char)], more: bool) -> Chunk<u8, char> {
        Chunk { reset, remove: remove.to_vec(), upsert: upsert.to_vec(), more }
    }

    #[test]
    fn a_full_list_replaces_the_old_one_when_its_last_chunk_is_there() {
        let mut listing = Listing::default();
        assert_eq!(listing.apply(chunk(true, &[], &[(1, 'a')], true)), Applied::Partly);
        assert!(!listing.is_listed() && listing.current().is_empty());
        let before = listing.apply(chunk(false, &[], &[(2, 'b')], false));
        assert_eq!(before, Applied::Whole(BTreeMap::new()));
        assert!(listing.is_listed());

        assert_eq!(listing.apply(chunk(true, &[], &[(2, 'c')], true)), Applied::Partly);
        assert_eq!(listing.current(), &BTreeMap::from([(1, 'a'), (2, 'b')]));
        let before = listing.apply(chunk(false, &[2], &[(3, 'd')], false));
        assert_eq!(before, Applied::Whole(BTreeMap::from([(1, 'a'), (2, 'b')])));
        assert_eq!(listing.current(), &BTreeMap::from([(3, 'd')]));
    }

    #[test]
    fn a_change_removes_before_it_adds() {
        let mut listing = Listing::default();
        listing.apply(chunk(true, &[], &[(1, 'a')], false));
        let change = listing.apply(chunk(false, &[1, 7], &[(1, 'b')], false));
        assert_eq!(change, Applied::Change { removed: vec![1], upserted: vec![1] });
        assert_eq!(listing.current(), &BTreeMap::from([(1, 'b')]));
    }
}
