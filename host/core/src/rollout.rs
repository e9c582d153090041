//! How a new build of a plugin comes to every node, and back: first to one node, then to a quarter, then to the rest, each
//! once those before have run it well for a while; back everywhere as soon as it does harm anywhere. Must not know how a
//! build gets to a node, nor how a node judges it: it is told.
use std::collections::{BTreeMap, BTreeSet};

use crate::facts::{Build, NodeName};

#[cfg(test)]
mod tests;

/// Of the nodes that are up, the second batch is one in so many.
const SECOND_BATCH: usize = 4;
/// So many addresses at least must be missing before that says anything about a build ...
const MISSING: u32 = 2;
/// ... and more than one in so many.
const MISSING_SHARE: u32 = 10;

/// A node went away before it had confirmed the candidate, or found after its restart that it had been trying it.
pub const CRASHED: &str = "Crashed";

/// What is decided about a plugin, and is kept where the next leader finds it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// Counts candidates: what a node says of an earlier one is old.
    pub attempt: u32,
    /// What every node runs, unless it tries the candidate. `None`: nothing is known under this name yet.
    pub active: Option<Build>,
    /// What was active before.
    pub previous: Option<Build>,
    /// What some nodes try.
    pub candidate: Option<Candidate>,
    /// The last delivery that came to nothing; it is not tried again.
    pub failed: Option<Failure>,
}

/// A build that some nodes try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The build.
    pub build: Build,
    /// The delivery it came with.
    pub delivery: String,
    /// Who may run it.
    pub nodes: BTreeSet<NodeName>,
}

/// Why a delivery came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The build.
    pub build: Build,
    /// The delivery it came with.
    pub delivery: String,
    /// Where.
    pub node: NodeName,
    /// In one CamelCase word.
    pub reason: String,
    /// For a person.
    pub message: String,
}

/// What is to be active.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offer {
    /// Nothing new: what is under way goes on.
    Keep,
    /// Nothing usable: what is under way ends, and what is active stays.
    Nothing,
    /// This build. Another delivery of a build that failed is another chance.
    Build {
        /// The build.
        build: Build,
        /// Changes whenever somebody delivers anew.
        delivery: String,
    },
}

/// A node, as far as a roll-out is concerned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Member {
    /// It is there: somebody who should know hears it.
    pub up: bool,
    /// Addresses that it answers for with this plugin.
    pub announces: u32,
    /// What it says of the candidate.
    pub standing: Standing,
}

/// What a node says of the candidate of this attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Standing {
    /// Nothing yet.
    #[default]
    Silent,
    /// It runs.
    Running {
        /// Addresses that the node is to answer for with it.
        wanted: u32,
        /// Those among them for which it does not.
        missing: u32,
    },
    /// It was tried and put aside.
    Failed {
        /// In one CamelCase word.
        reason: String,
        /// For a person.
        message: String,
    },
}

/// How patient a roll-out is, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// So long a node must have run the candidate well.
    pub settle_us: u64,
    /// So long it may take until it does.
    pub patience_us: u64,
}

/// The roll-outs of one plugin, one after the other.
#[derive(Debug)]
pub struct Rollout {
    record: Record,
    settings: Settings,
    /// Since when a node runs the candidate well.
    well_since: BTreeMap<NodeName, u64>,
    /// Nodes that have run it well for long enough.
    confirmed: BTreeSet<NodeName>,
    /// Nodes that said nothing for too long: they are not waited for.
    skipped: BTreeSet<NodeName>,
    /// Nodes of the batch that were up since this attempt began, or since this leader did.
    seen: BTreeSet<NodeName>,
    /// When the last batch began.
    since: u64,
}

impl Rollout {
    /// Goes on from what was decided before.
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

    /// What is decided.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// How many nodes have run the candidate well for long enough.
    pub fn confirmed(&self) -> usize {
        self.confirmed.len()
    }

    /// What is to be active from now on, and how patiently. Whether there is a candidate is known after this.
    pub fn offer(&mut self, now_us: u64, offer: &Offer, settings: Settings) {
        self.settings = settings;
        self.begin(now_us, offer);
    }

    /// Decides. Gives the time at which it wants to be asked again even if nothing happens.
    pub fn advance(&mut self, now_us: u64, members: &BTreeMap<NodeName, Member>) -> Option<u64> {
        self.judge(now_us, members);
        self.widen(now_us, members);
        self.record.candidate.as_ref()?;
        let settled = self.well_since.values().map(|since| since + self.settings.settle_us);
        let later = settled.chain([self.since + self.settings.patience_us]);
        later.filter(|at| *at > now_us).min()
    }

    /// The candidate in line with the offer.
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
            // Whoever takes back what failed is not told of it any longer.
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

    /// What the nodes of the batch say.
    fn judge(&mut self, now_us: u64, members: &BTreeMap<NodeName, Member>) {
        let Some(candidate) = &self.record.candidate else { return };
        let late = now_us >= self.since.saturating_add(self.settings.patience_us);
        let mut failed = None;
        for node in &candidate.nodes {
            let member = members.get(node);
            if member.is_some_and(|member| member.up) {
                self.seen.insert(node.clone());
            }
            match member.map(|member| (&member.standing, member.up)) {
                // Also of a node that is gone since: it may be gone because of it.
                Some((Standing::Failed { reason, message }, _)) => {
                    failed = Some((node.clone(), reason.clone(), message.clone()));
                    break;
                }
                Some((Standing::Running { wanted, missing }, true)) => {
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
                            "with it {node} answers for {} of the {wanted} addresses that it is to answer for",
                            wanted - missing
                        );
                        failed = Some((node.clone(), "NotAnnouncing".to_owned(), message));
                        break;
                    }
                }
                Some((Standing::Silent, true)) => {
                    self.well_since.remove(node);
                    if late {
                        self.skipped.insert(node.clone());
                    }
                }
                // Gone with the candidate in it: whether or not it is to blame, no other node is to find out.
                None | Some((_, false))
                    if self.seen.contains(node) && !self.confirmed.contains(node) =>
                {
                    let message = format!(
                        "{node} went away while it tried it; deliver it anew to try once more"
                    );
                    failed = Some((node.clone(), CRASHED.to_owned(), message));
                    break;
                }
                // One that was gone before is not waited for.
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

    /// To more nodes, once those that have it are not waited for any longer.
    fn widen(&mut self, now_us: u64, members: &BTreeMap<NodeName, Member>) {
        let Some(candidate) = &self.record.candidate else { return };
        let up = || members.iter().filter(|(_, member)| member.up);
        let waits = |(node, _): &(&NodeName, &Member)| {
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

    /// One node, which has something to lose, but little: at least two addresses, so that their loss would show.
    fn choose_first(&mut self, now_us: u64, members: &BTreeMap<NodeName, Member>) {
        let Some(candidate) = &mut self.record.candidate else { return };
        let untried =
            |(node, member): &(&NodeName, &Member)| member.up && !self.skipped.contains(*node);
        let tells = |(_, member): &(&NodeName, &Member)| member.announces >= MISSING;
        let least = members.iter().filter(untried).filter(tells).min_by_key(|it| it.1.announces);
        let most = || members.iter().filter(untried).rev().max_by_key(|it| it.1.announces);
        match least.or_else(most) {
            Some((node, _)) if candidate.nodes.contains(node) => {}
            Some((node, _)) => {
                self.seen.insert(node.clone());
                candidate.nodes = [node.clone()].into();
                self.turn(now_us);
            }
            // Nobody, or nobody who ever said anything: from the beginning, after a while.
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

/// Whether so many missing addresses speak against a build.
pub fn too_many(wanted: u32, missing: u32) -> bool {
    missing >= MISSING && missing.saturating_mul(MISSING_SHARE) > wanted
}
