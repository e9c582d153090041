//! Addresses that have just been assigned. No node announces one before a short delay, because the component that
//! forwards its traffic on the nodes (kube-proxy, or its replacement) receives the change at the same time as this
//! daemon and takes longer to apply it. A SYN that arrives in between is not translated, and its connection tracking
//! entry captures further packets from the same port of the same client for two minutes
//! (nf_conntrack_tcp_timeout_syn_sent). Must not know which node announces.
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

#[derive(Debug, Default)]
pub(super) struct AnnounceDelay {
    /// Length of the delay.
    delay_us: u64,
    /// Addresses added since the time was last set.
    new: BTreeSet<IpAddr>,
    /// Addresses that wait, each with the end of its delay.
    until: BTreeMap<IpAddr, u64>,
}

impl AnnounceDelay {
    pub fn with_delay(delay_us: u64) -> Self {
        Self { delay_us, ..Self::default() }
    }

    pub fn add(&mut self, address: IpAddr) {
        if self.delay_us > 0 {
            self.new.insert(address);
        }
    }

    pub fn forget(&mut self, address: IpAddr) {
        self.new.remove(&address);
        self.until.remove(&address);
    }

    pub fn waits(&self, address: IpAddr) -> bool {
        self.until.contains_key(&address)
    }

    /// Sets the current time. Returns the addresses that have waited long enough.
    pub fn time(&mut self, now_us: u64) -> Vec<IpAddr> {
        let until = now_us.saturating_add(self.delay_us);
        self.until
            .extend(std::mem::take(&mut self.new).into_iter().map(|address| (address, until)));
        self.until.extract_if(.., |_, until| *until <= now_us).map(|(address, _)| address).collect()
    }

    pub fn next(&self) -> Option<u64> {
        self.until.values().copied().min()
    }
}
