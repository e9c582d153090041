//! A known Service and what has happened to it so far. Must not know what follows from it.
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use super::AllocationResult;
use super::attempt_failure::AttemptFailure;
use super::status_conflict::Contest;
use crate::facts::Service;

/// A Service that is known.
#[derive(Debug, Clone)]
pub(super) struct ServiceState {
    pub service: Arc<Service>,
    /// `None` for nearly every Service.
    trouble: Option<Box<ServiceIssues>>,
}

/// Problems and other exceptions of a Service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ServiceIssues {
    /// The reasons why the last turn did not give everything.
    pub notes: Vec<AttemptFailure>,
    /// The message about an address that the Service could not keep.
    pub lost: Option<String>,
    /// The reason why it does not share an address with the others of its sharing key.
    pub apart: Option<String>,
    /// Addresses in its status that another controller wrote. While there are any, this controller must not write the
    /// status.
    pub foreign: Vec<IpAddr>,
    /// The record of another controller that undoes what is written.
    pub contest: Contest,
}

impl ServiceState {
    pub fn new(service: Arc<Service>) -> Self {
        Self { service, trouble: None }
    }

    /// Returns the problems of the Service.
    pub fn trouble(&self) -> &ServiceIssues {
        static NONE: ServiceIssues = ServiceIssues {
            notes: Vec::new(),
            lost: None,
            apart: None,
            foreign: Vec::new(),
            contest: Contest::NONE,
        };
        self.trouble.as_deref().unwrap_or(&NONE)
    }

    /// Changes the problems of the Service.
    pub fn set<T>(&mut self, change: impl FnOnce(&mut ServiceIssues) -> T) -> T {
        let mut trouble = self.trouble.take().unwrap_or_default();
        let result = change(&mut trouble);
        self.trouble = (*trouble != ServiceIssues::default()).then_some(trouble);
        result
    }
}

/// The verdict that was published last, as far as it is needed again: the texts are only compared, by fingerprint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LastPublished {
    pub addresses: Box<[IpAddr]>,
    /// Status of the condition.
    pub status: bool,
    /// Hash of the whole verdict. Two different verdicts have the same hash once in 2^64.
    fingerprint: u64,
}

impl From<&AllocationResult> for LastPublished {
    fn from(verdict: &AllocationResult) -> Self {
        let mut hasher = DefaultHasher::new();
        verdict.hash(&mut hasher);
        Self {
            addresses: verdict.addresses.as_slice().into(),
            status: verdict.condition.status,
            fingerprint: hasher.finish(),
        }
    }
}
