//! A Service and what happened to it so far. Must not know what follows from it.
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use super::Verdict;
use super::contested::Contest;
use super::note::Note;
use crate::facts::Service;

/// A Service that is known.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub service: Arc<Service>,
    /// Nearly every Service has none.
    trouble: Option<Box<Trouble>>,
}

/// What went wrong with a Service, or differently from most.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Trouble {
    /// Why the last turn did not give everything.
    pub notes: Vec<Note>,
    /// An address in its status that it could not keep.
    pub lost: Option<String>,
    /// Why it is not together with the others of its sharing key.
    pub apart: Option<String>,
    /// Addresses in its status that another controller wrote. While there are any, the status is not ours to write.
    pub foreign: Vec<IpAddr>,
    /// Whether another controller undoes what is written.
    pub contest: Contest,
}

impl Known {
    pub fn new(service: Arc<Service>) -> Self {
        Self { service, trouble: None }
    }

    /// What went wrong.
    pub fn trouble(&self) -> &Trouble {
        static NONE: Trouble = Trouble {
            notes: Vec::new(),
            lost: None,
            apart: None,
            foreign: Vec::new(),
            contest: Contest::NONE,
        };
        self.trouble.as_deref().unwrap_or(&NONE)
    }

    /// Changes what went wrong.
    pub fn set<T>(&mut self, change: impl FnOnce(&mut Trouble) -> T) -> T {
        let mut trouble = self.trouble.take().unwrap_or_default();
        let result = change(&mut trouble);
        self.trouble = (*trouble != Trouble::default()).then_some(trouble);
        result
    }
}

/// What was said of a Service last, as far as it is needed again: the words only to tell whether others are to be said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    pub addresses: Box<[IpAddr]>,
    /// The condition's.
    pub status: bool,
    /// Of the whole verdict. That two differ and have the same happens once in 2^64.
    fingerprint: u64,
}

impl From<&Verdict> for Said {
    fn from(verdict: &Verdict) -> Self {
        let mut hasher = DefaultHasher::new();
        verdict.hash(&mut hasher);
        Self {
            addresses: verdict.addresses.as_slice().into(),
            status: verdict.condition.status,
            fingerprint: hasher.finish(),
        }
    }
}
