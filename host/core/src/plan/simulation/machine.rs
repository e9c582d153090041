//! One node: its membership, the planner of its loop, and its announcer.
use super::announcer::Instance;
use super::*;

pub(super) struct Machine {
    pub membership: Membership,
    /// Changes that the loop has not handled yet, and the time at which it does.
    pub news: Option<(u64, ViewChange)>,
    pub planner: Planner,
    pub announcer: Instance,
    /// Addresses to announce to the network as soon as the node may answer.
    pub untold: BTreeSet<IpAddr>,
    /// Time at which the answers to each of the node's probes are counted.
    pub probes: BTreeMap<IpAddr, u64>,
    /// Time at which the answers to earlier probes were counted.
    pub probed: BTreeMap<IpAddr, u64>,
}

impl Machine {
    pub fn obey(&mut self, now: u64, planned: &Planned) {
        for change in &planned.changes {
            self.announcer.desire(now, change);
        }
    }

    /// Returns true if the responder may answer now.
    pub fn may_answer(&self, now: u64) -> bool {
        self.membership.lease().is_some_and(|until| now < until)
    }

    /// Returns true if the node answers for an address.
    pub fn answers(&self, address: IpAddr, now: u64) -> bool {
        self.announcer.answers(address) && self.may_answer(now)
    }

    /// Returns true if the node is to answer for any address.
    pub fn speaks(&self) -> bool {
        self.announcer.spoken_for().next().is_some()
    }

    pub fn next(&self) -> u64 {
        let news = self.news.as_ref().map(|(at, _)| *at);
        let probe = self.probes.values().min().copied();
        let (membership, planner) = (self.membership.next_deadline(), self.planner.next_deadline());
        let due = [news, probe, self.announcer.next(), membership, planner];
        due.into_iter().flatten().min().unwrap_or(u64::MAX)
    }

    /// Runs the timers. Returns true if the loop has something to do.
    pub fn timeout(&mut self, now: u64) -> bool {
        let outcome = self.announcer.timeout(now);
        for (address, announced) in &outcome.reported {
            self.planner.reported("layer2", *address, *announced);
        }
        let has_more = !outcome.reported.is_empty() || !outcome.told.is_empty();
        self.untold.extend(outcome.told);
        self.membership.handle_timeout(now);
        let news = self.news.as_ref().map(|(at, _)| *at);
        let probe = self.probes.values().min().copied();
        let loop_at = [news, probe, self.planner.next_deadline()].into_iter().flatten().min();
        has_more || loop_at.is_some_and(|at| at <= now)
    }
}
