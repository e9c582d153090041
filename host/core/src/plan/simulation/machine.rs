//! One node: its membership, and the planner of its loop.
use super::*;

pub(super) struct Machine {
    pub membership: Membership,
    /// What the loop has not taken up yet, and when it does.
    pub news: Option<(u64, ViewChange)>,
    pub planner: Planner,
    pub duties: BTreeMap<IpAddr, Duty>,
    pub announcements: BTreeMap<IpAddr, u32>,
    /// What the network is told as soon as the node may answer.
    pub untold: BTreeSet<IpAddr>,
    pub reports: BTreeMap<IpAddr, u64>,
    /// When the answers of the segment to its probes are counted.
    pub probes: BTreeMap<IpAddr, u64>,
}

impl Machine {
    pub fn obey(&mut self, now: u64, planned: &Planned) {
        for change in &planned.changes {
            for address in &change.remove {
                self.duties.remove(address);
                self.reports.remove(address);
            }
            for entry in &change.upsert {
                let before = self.duties.insert(entry.address, entry.duty.clone());
                let times = self.announcements.insert(entry.address, entry.announcements);
                let spoke = before.as_ref().is_some_and(Duty::speaks);
                let aloud = matches!(entry.duty, Duty::Announce | Duty::TakeOver(_));
                if aloud && (!spoke || times.is_some_and(|times| times != entry.announcements)) {
                    self.untold.insert(entry.address);
                }
                if !entry.duty.speaks() {
                    self.reports.remove(&entry.address);
                } else if !spoke {
                    self.reports.insert(entry.address, now + PLUGIN_US);
                }
            }
        }
    }

    /// What the responder is told.
    pub fn may_answer(&self, now: u64) -> bool {
        self.membership.lease().is_some_and(|until| now < until)
    }

    pub fn next(&self) -> u64 {
        let news = self.news.as_ref().map(|(at, _)| *at);
        let (report, probe) = (self.reports.values().min(), self.probes.values().min());
        let (report, probe) = (report.copied(), probe.copied());
        let due =
            [news, report, probe, self.membership.next_deadline(), self.planner.next_deadline()];
        due.into_iter().flatten().min().unwrap_or(u64::MAX)
    }

    /// Says whether the loop has something to do.
    pub fn timeout(&mut self, now: u64) -> bool {
        let due: Vec<_> = self.reports.extract_if(.., |_, at| *at <= now).collect();
        for (address, _) in &due {
            self.planner.reported("layer2", *address, true);
        }
        self.membership.handle_timeout(now);
        let news = self.news.as_ref().map(|(at, _)| *at);
        let probe = self.probes.values().min().copied();
        let loop_at = [news, probe, self.planner.next_deadline()].into_iter().flatten().min();
        !due.is_empty() || loop_at.is_some_and(|at| at <= now)
    }
}
