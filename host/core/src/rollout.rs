//! The roll-out of a new build of a plugin to every node, and its rollback: first to one node, then to a quarter,
//! then to the rest, each step once the nodes before have run it well for long enough; back everywhere as soon as it
//! does harm anywhere. Must not know how a build gets to a node, nor how a node judges it: both are reported to it.
use std::collections::{BTreeMap, BTreeSet};

use crate::facts::{Build, NodeName};

#[cfg(test)]
mod tests;

/// The second batch is one in this many of the nodes that are up.
const SECOND_BATCH: usize = 4;
/// At least this many addresses must be missing before that counts against a build ...
const MISSING: u32 = 2;
/// ... and more than one in this many.
const MISSING_SHARE: u32 = 10;

/// Failure reason: a node went away before it had confirmed the candidate, or found after its restart that it had
/// been trying it.
pub const CRASHED: &str = "Crashed";

/// The decisions about a plugin, stored where the next leader finds them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// Number of the candidate: reports from nodes about an earlier one are outdated.
    pub attempt: u32,
    /// The build that every node runs, unless it tries the candidate; `None` if nothing is known under this name yet.
    pub active: Option<Build>,
    /// The build that was active before.
    pub previous: Option<Build>,
    /// The build that some nodes try.
    pub candidate: Option<Candidate>,
    /// The last delivery that failed; it is not tried again.
    pub failed: Option<Failure>,
}

/// A build that some nodes try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The build.
    pub build: Build,
    /// The delivery it came with.
    pub delivery: String,
    /// The nodes that may run it.
    pub nodes: BTreeSet<NodeName>,
}

/// The failure of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The build.
    pub build: Build,
    /// The delivery it came with.
    pub delivery: String,
    /// The node on which it failed.
    pub node: NodeName,
    /// The reason, in one CamelCase word.
    pub reason: String,
    /// The message for a person.
    pub message: String,
}

/// The build that is to be active.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offer {
    /// Nothing new: the current roll-out continues.
    Keep,
    /// Nothing usable: the current roll-out ends, and the active build stays.
    Nothing,
    /// This build. Another delivery of a build that failed is another chance.
    Build {
        /// The build.
        build: Build,
        /// Identifies the delivery; changes with every new delivery.
        delivery: String,
    },
}

/// The state of a node that matters for a roll-out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RolloutMember {
    /// True if the node is up, as observed from outside: a report does not show whether its writer is still running.
    pub up: bool,
    /// Number of addresses that it answers for with this plugin.
    pub announces: u32,
    /// The node's report on the candidate.
    pub standing: CandidateState,
}

/// The report of a node on the candidate of this attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum CandidateState {
    /// The node has not reported anything yet.
    #[default]
    Silent,
    /// The candidate runs.
    Running {
        /// Number of addresses that the node is to answer for with it.
        wanted: u32,
        /// Number of these addresses that it does not answer for.
        missing: u32,
    },
    /// The candidate was tried and rejected.
    Failed {
        /// The reason, in one CamelCase word.
        reason: String,
        /// The message for a person.
        message: String,
    },
}

/// The timing of a roll-out, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Time for which a node must have run the candidate well.
    pub settle_us: u64,
    /// Timeout for a node to run the candidate well.
    pub patience_us: u64,
}

/// The roll-outs of one plugin, one after the other.
#[derive(Debug)]
pub struct Rollout {
    record: Record,
    settings: Settings,
    /// Time since which each node runs the candidate well.
    well_since: BTreeMap<NodeName, u64>,
    /// Nodes that have run it well for long enough.
    confirmed: BTreeSet<NodeName>,
    /// Nodes that reported nothing until the timeout: they are not waited for.
    skipped: BTreeSet<NodeName>,
    /// Nodes of the batch that were up at some time since this attempt began, or since this leader took over.
    seen: BTreeSet<NodeName>,
    /// Time at which the last batch began.
    since: u64,
}

impl Rollout {
    /// Continues from the decisions made before.
    pub fn new(record: Record, settings: Settings, now_us: u64) -> Self {
        Self {
            record,
            settings,
            well_since: BTreeMap::new(),
            confirmed: BTreeSet::new(),
            skipped: BTreeSet::new(),
            seen: BTreeSet::new(),
            since: now_us,
        }
    }

    /// Returns the decisions.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Returns the number of nodes that have run the candidate well for long enough.
    pub fn confirmed(&self) -> usize {
        self.confirmed.len()
    }

    /// Sets the build that is to be active from now on, and the timing. After this call [`Rollout::record`] shows if
    /// there is a candidate.
    pub fn offer(&mut self, now_us: u64, offer: &Offer, settings: Settings) {
        self.settings = settings;
        self.begin(now_us, offer);
    }

    /// Advances the roll-out. Returns the time at which it must be called again even if nothing happens; `None` if
    /// there is none.
    pub fn advance(
        &mut self,
        now_us: u64,
        members: &BTreeMap<NodeName, RolloutMember>,
    ) -> Option<u64> {
        self.judge(now_us, members);
        self.widen(now_us, members);
        self.record.candidate.as_ref()?;
        let settled = self.well_since.values().map(|since| since + self.settings.settle_us);
        let later = settled.chain([self.since + self.settings.patience_us]);
        later.filter(|at| *at > now_us).min()
    }

    /// Brings the candidate in line with the offer.
    fn begin(&mut self, now_us: u64, offer: &Offer) {
        let record = &mut self.record;
        let (build, delivery) = match offer {
            Offer::Keep => return,
            Offer::Nothing => return record.candidate = None,
            Offer::Build { build, delivery } => (build, delivery),
        };
        let is_it =
            |candidate: &Candidate| (&candidate.build, &candidate.delivery) == (build, delivery);
        if record.candidate.as_ref().is_some_and(is_it) {
            return;
        }
        record.candidate = None;
        if record.active.as_ref() == Some(build) {
            // The active build is offered again, so the failure of another delivery is no longer reported.
            record.failed.take_if(|failed| failed.delivery != *delivery);
            return;
        }
        let known = |failed: &Failure| failed.build == *build && failed.delivery == *delivery;
        if record.failed.as_ref().is_some_and(known) {
            return;
        }
        record.failed = None;
        record.attempt += 1;
        let (build, delivery) = (build.clone(), delivery.clone());
        record.candidate = Some(Candidate { build, delivery, nodes: BTreeSet::new() });
        self.confirmed.clear();
        self.skipped.clear();
        self.seen.clear();
        self.turn(now_us);
    }

    fn turn(&mut self, now_us: u64) {
        self.since = now_us;
        self.well_since.clear();
    }

    /// Evaluates the reports of the nodes in the batch.
    fn judge(&mut self, now_us: u64, members: &BTreeMap<NodeName, RolloutMember>) {
        let Some(candidate) = &self.record.candidate else { return };
        let late = now_us >= self.since.saturating_add(self.settings.patience_us);
        let mut failed = None;
        for node in &candidate.nodes {
            let member = members.get(node);
            if member.is_some_and(|member| member.up) {
                self.seen.insert(node.clone());
            }
            match member.map(|member| (&member.standing, member.up)) {
                // Counts also for a node that has gone since: the candidate may be the cause.
                Some((CandidateState::Failed { reason, message }, _)) => {
                    failed = Some((node.clone(), reason.clone(), message.clone()));
                    break;
                }
                Some((CandidateState::Running { wanted, missing }, true)) => {
                    if !too_many(*wanted, *missing) {
                        let since = *self.well_since.entry(node.clone()).or_insert(now_us);
                        if now_us >= since.saturating_add(self.settings.settle_us) {
                            self.confirmed.insert(node.clone());
                        }
                        continue;
                    }
                    self.well_since.remove(node);
                    if late {
                        let message = format!(
                            "{node} announces {} of its {wanted} addresses with this build",
                            wanted - missing
                        );
                        failed = Some((node.clone(), "NotAnnouncing".to_owned(), message));
                        break;
                    }
                }
                Some((CandidateState::Silent, true)) => {
                    self.well_since.remove(node);
                    if late {
                        self.skipped.insert(node.clone());
                    }
                }
                // The node went away while it tried the candidate: even if the candidate may not be to blame, no
                // other node must try it.
                None | Some((_, false))
                    if self.seen.contains(node) && !self.confirmed.contains(node) =>
                {
                    let message = format!(
                        "{node} was lost during the trial of this build: deliver the build again to retry"
                    );
                    failed = Some((node.clone(), CRASHED.to_owned(), message));
                    break;
                }
                // A node that was gone before is not waited for.
                None | Some((_, false)) => drop(self.well_since.remove(node)),
            }
        }
        if let Some((node, reason, message)) = failed {
            self.go_back(node, reason, message);
        }
    }

    fn go_back(&mut self, node: NodeName, reason: String, message: String) {
        if let Some(Candidate { build, delivery, .. }) = self.record.candidate.take() {
            self.record.failed = Some(Failure { build, delivery, node, reason, message });
        }
    }

    /// Extends the candidate to more nodes, once no node that has it is waited for any longer.
    fn widen(&mut self, now_us: u64, members: &BTreeMap<NodeName, RolloutMember>) {
        let Some(candidate) = &self.record.candidate else { return };
        let up = || members.iter().filter(|(_, member)| member.up);
        let waits = |(node, _): &(&NodeName, &RolloutMember)| {
            candidate.nodes.contains(*node)
                && !self.confirmed.contains(*node)
                && !self.skipped.contains(*node)
        };
        if up().any(|member| waits(&member)) {
            return;
        }
        if self.confirmed.is_empty() {
            return self.choose_first(now_us, members);
        }
        let rest: Vec<NodeName> = up()
            .map(|(node, _)| node)
            .filter(|node| !candidate.nodes.contains(*node))
            .cloned()
            .collect();
        if rest.is_empty() {
            return self.promote();
        }
        let (has, quarter) = (candidate.nodes.len(), up().count().div_ceil(SECOND_BATCH));
        let more = if has < quarter { quarter - has } else { rest.len() };
        if let Some(candidate) = &mut self.record.candidate {
            let next = rest.into_iter().take(more);
            next.for_each(|node| {
                self.seen.insert(node.clone());
                candidate.nodes.insert(node);
            });
        }
        self.turn(now_us);
    }

    /// Chooses the first node, which has few addresses to lose, but at least two, so that their loss is noticed.
    fn choose_first(&mut self, now_us: u64, members: &BTreeMap<NodeName, RolloutMember>) {
        let Some(candidate) = &mut self.record.candidate else { return };
        let untried = |(node, member): &(&NodeName, &RolloutMember)| {
            member.up && !self.skipped.contains(*node)
        };
        let tells = |(_, member): &(&NodeName, &RolloutMember)| member.announces >= MISSING;
        let least = members.iter().filter(untried).filter(tells).min_by_key(|it| it.1.announces);
        let most = || members.iter().filter(untried).rev().max_by_key(|it| it.1.announces);
        match least.or_else(most) {
            Some((node, _)) if candidate.nodes.contains(node) => {}
            Some((node, _)) => {
                self.seen.insert(node.clone());
                candidate.nodes = [node.clone()].into();
                self.turn(now_us);
            }
            // There is no node, or none that ever reported: start from the beginning after the timeout.
            None if now_us >= self.since.saturating_add(self.settings.patience_us) => {
                candidate.nodes.clear();
                self.skipped.clear();
                self.turn(now_us);
            }
            None => {}
        }
    }

    fn promote(&mut self) {
        let Some(candidate) = self.record.candidate.take() else { return };
        self.record.previous = self.record.active.replace(candidate.build);
        self.record.failed = None;
    }
}

/// Returns true if this many missing addresses count against a build.
pub fn too_many(wanted: u32, missing: u32) -> bool {
    missing >= MISSING && missing.saturating_mul(MISSING_SHARE) > wanted
}
