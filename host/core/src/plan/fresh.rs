//! Addresses that have just been given out. Nobody announces one for a moment: whatever forwards its traffic on the nodes
//! (kube-proxy, or what stands in for it) hears of it when we do, and takes longer. A SYN that comes in between is not
//! translated, and its connection tracking entry takes the same port of the same client with it for two minutes
//! (nf_conntrack_tcp_timeout_syn_sent). Must not know who announces.
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

#[derive(Debug, Default)]
pub(super) struct Fresh {
    /// How long the moment is.
    delay_us: u64,
    /// Found since it was last told how late it is.
    new: BTreeSet<IpAddr>,
    /// And until when they wait.
    until: BTreeMap<IpAddr, u64>,
}

impl Fresh {
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

    /// It is now so late. Gives the addresses that have waited long enough.
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
