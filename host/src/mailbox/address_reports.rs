//! The last report of a plugin about each address. Must not know which events the plugin received.
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use outrigger_sdk::{AddressReport, AnnouncementState};

/// Reports by address. Most addresses have equal reports and share them.
#[derive(Debug, Clone, Default)]
pub struct AddressReports {
    of: BTreeMap<IpAddr, LatestReport>,
    last: Option<Arc<ReportBody>>,
}

/// The report about one address.
#[derive(Debug, Clone)]
pub struct LatestReport {
    /// Report without the address.
    pub words: Arc<ReportBody>,
    /// Time at which the address entered its state, in microseconds since 1970.
    pub since_us: u64,
}

/// A report without its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportBody {
    /// State of the announcement.
    pub state: AnnouncementState,
    /// Names of links or peers.
    pub via: Vec<String>,
    /// Reason in CamelCase, "" when announced.
    pub reason: String,
    /// One sentence for people.
    pub message: String,
}

impl AddressReports {
    /// Returns the report about an address.
    pub fn get(&self, address: IpAddr) -> Option<&LatestReport> {
        self.of.get(&address)
    }

    /// Returns true if the address is reported as announced.
    pub fn is_announced(&self, address: IpAddr) -> bool {
        self.get(address).is_some_and(|said| said.words.state == AnnouncementState::Announced)
    }

    /// Returns the reports about all addresses.
    pub fn all(&self) -> impl Iterator<Item = (&IpAddr, &ReportBody)> {
        self.of.iter().map(|(address, said)| (address, &*said.words))
    }

    /// Stores a report. Returns true if it differs from the last one about its address.
    pub fn put(&mut self, report: AddressReport, now_us: u64) -> bool {
        let AddressReport { address, state, via, reason, message } = report;
        let words = ReportBody { state, via, reason, message };
        let known = self.of.get(&address);
        if known.is_some_and(|known| *known.words == words) {
            return false;
        }
        let same_state = known.filter(|known| known.words.state == words.state);
        let since_us = same_state.map_or(now_us, |known| known.since_us);
        let words = match &self.last {
            Some(last) if **last == words => last.clone(),
            _ => Arc::new(words),
        };
        self.last = Some(words.clone());
        self.of.insert(address, LatestReport { words, since_us });
        true
    }

    /// Removes the report about an address.
    pub fn remove(&mut self, address: IpAddr) {
        self.of.remove(&address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_alike_of_many_is_kept_once_and_each_has_its_own_time() {
        let report = |last: u8, state| AddressReport {
            address: [192, 0, 2, last].into(),
            state,
            via: vec!["eth0".to_owned()],
            reason: String::new(),
            message: String::new(),
        };
        let mut said = AddressReports::default();
        let [one, two] = [1, 2].map(|last| IpAddr::from([192, 0, 2, last]));
        assert!(said.put(report(1, AnnouncementState::Announced), 10));
        assert!(said.put(report(2, AnnouncementState::Announced), 20));
        assert!(!said.put(report(1, AnnouncementState::Announced), 30), "nothing new");
        let words = |said: &AddressReports, address| said.get(address).unwrap().words.clone();
        assert!(Arc::ptr_eq(&words(&said, one), &words(&said, two)));
        let since = |said: &AddressReports, address| said.get(address).unwrap().since_us;
        assert_eq!((since(&said, one), since(&said, two)), (10, 20));
        let mut worded = report(1, AnnouncementState::Announced);
        worded.message = "as before".to_owned();
        assert!(said.put(worded, 40));
        assert_eq!((since(&said, one), said.is_announced(one)), (10, true), "the same state");
        assert!(said.put(report(1, AnnouncementState::Failed), 50));
        assert_eq!((since(&said, one), said.is_announced(one)), (50, false));
        said.remove(one);
        assert_eq!(said.all().map(|(address, _)| *address).collect::<Vec<_>>(), [two]);
    }
}
