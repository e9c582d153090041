//! Trial of a candidate on one node: its effects are reviewed before they happen, and it is decided whether it may
//! continue. Effects that a good build would not have do not happen at all, so that a rollback costs nothing. Must not
//! know the consequences of the verdict.
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use outrigger_core::guard::{Granted, Guard, OpenEndpoints, Reason};
use outrigger_core::rollout::too_many;
use outrigger_runtime::{CompileError, Fault, Incident, LoadError, SwapError, SwapStep};
use outrigger_sdk::{AnnouncementState, Endpoint, LinkIndex, Report};

/// Number of refused effects above which a candidate fails.
const MOST_DENIED: u64 = 100;

/// A link and an address that is answered for on it.
type LinkAddress = (LinkIndex, IpAddr);
/// Active answers of an instance, by their numbers.
pub type AnswerOffloads = BTreeMap<Endpoint, LinkAddress>;

/// Reason why a candidate is rolled back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrialFailure {
    /// Reason as one CamelCase word.
    pub reason: &'static str,
    /// Message for people.
    pub message: String,
}

/// State of a running trial.
#[derive(Debug)]
pub struct Trial {
    digest: String,
    /// Refusals before the trial, by reason.
    denied: BTreeMap<Reason, u64>,
    /// Effects that would withdraw addresses that are still desired. They happen when the trial succeeds.
    withheld: Vec<Granted>,
    /// Answers that the withheld effects would end.
    going: BTreeSet<LinkAddress>,
    /// Endpoints before the trial, with the routes that peers were sent.
    told: OpenEndpoints,
    failed: Option<TrialFailure>,
}

impl Trial {
    /// Begins a trial.
    pub fn new(digest: &str, guard: &Guard) -> Self {
        let (digest, denied) = (digest.to_owned(), guard.denied().clone());
        let (withheld, going, told) = (Vec::new(), BTreeSet::new(), guard.endpoints().clone());
        Self { digest, denied, withheld, going, told, failed: None }
    }

    /// Returns the digest of the candidate and the verdict. `None` if it has not failed.
    pub fn failed(&self) -> Option<(&str, &TrialFailure)> {
        Some((&self.digest, self.failed.as_ref()?))
    }

    /// Fails the trial on a fault, even if the supervisor recovered from it.
    pub fn incidents(&mut self, incidents: &[Incident]) {
        let verdict = incidents.iter().find_map(|incident| match incident {
            Incident::Restarted { why }
            | Incident::Quarantined { why, .. }
            | Incident::FellBack { why, .. } => Some(of_fault(why)),
            Incident::Held { why, .. } => {
                Some(TrialFailure { reason: "Trapped", message: why.clone() })
            }
            Incident::Revived { .. } | Incident::Swapped { .. } => None,
        });
        self.failed = self.failed.take().or(verdict);
    }

    /// Returns the granted effects of a reply that may happen now. There are none if the reply fails the trial.
    pub fn review(
        &mut self,
        granted: Vec<Granted>,
        answers: &AnswerOffloads,
        guard: &Guard,
    ) -> Vec<Granted> {
        if self.failed.is_some() {
            return Vec::new();
        }
        let (going, announced) = self.gone_after(&granted, answers, guard);
        self.failed = flooding(&self.denied, guard.denied())
            .or_else(|| withdrawing(&going, announced))
            .or_else(|| self.taking_back(&granted, guard));
        if self.failed.is_some() {
            return Vec::new();
        }
        let takes = |effect: &Granted| match effect {
            Granted::Report(Report::Address(report)) => {
                !matches!(report.state, AnnouncementState::Announced | AnnouncementState::Standby)
                    && going.iter().any(|(_, address)| *address == report.address)
            }
            effect => {
                let before = number(effect).and_then(|id| answers.get(&id));
                before.is_some_and(|spot| going.contains(spot))
            }
        };
        let (withheld, now): (Vec<_>, Vec<_>) = granted.into_iter().partition(takes);
        // Only the last use of a number counts.
        let used: BTreeSet<Endpoint> = now.iter().filter_map(number).collect();
        self.withheld.retain(|effect| number(effect).is_none_or(|id| !used.contains(&id)));
        self.withheld.extend(withheld);
        // Answers that came back, or are no longer desired, are not withheld any more.
        self.going = going;
        now
    }

    /// Checks the routes that a reply withdraws. They cannot be withheld, because writes to a stream keep their order:
    /// a few may be withdrawn, many fail the trial.
    fn taking_back(&self, granted: &[Granted], guard: &Guard) -> Option<TrialFailure> {
        let ends = |effect: &Granted| match effect {
            Granted::Close(id) | Granted::Abort(id) => Some(*id),
            _ => None,
        };
        let closed: BTreeSet<Endpoint> = granted.iter().filter_map(ends).collect();
        if closed.is_empty() && !granted.iter().any(|effect| matches!(effect, Granted::Write(_))) {
            return None;
        }
        let (told, gone) = guard.taken_back(&self.told, &closed);
        let count = u32::try_from(gone.len()).unwrap_or(u32::MAX);
        too_many(told, count).then(|| TrialFailure {
            reason: "Withdrawing",
            message: format!(
                "it would withdraw {count} of {told} routes that are still desired, including {}; the whole reply was discarded",
                gone.first().map(ToString::to_string).unwrap_or_default()
            ),
        })
    }

    /// Ends a successful trial and returns the withheld effects.
    pub fn release(self) -> Vec<Granted> {
        self.withheld
    }

    /// Returns the answers for desired addresses that would end, and the number of desired addresses that are answered
    /// for.
    fn gone_after(
        &self,
        granted: &[Granted],
        answers: &AnswerOffloads,
        guard: &Guard,
    ) -> (BTreeSet<LinkAddress>, u32) {
        let desired = |spot: &&LinkAddress| {
            let entry = guard.desired().get(&spot.1);
            guard.links().contains_key(&spot.0) && entry.is_some_and(|it| it.duty.speaks())
        };
        let mut after = answers.clone();
        for effect in self.withheld.iter().chain(granted) {
            let Some(id) = number(effect) else { continue };
            match effect {
                Granted::Answer { link, address, .. } => {
                    after.insert(id, (*link, *address));
                }
                _ => drop(after.remove(&id)),
            }
        }
        let still: BTreeSet<LinkAddress> = after.into_values().collect();
        let before: BTreeSet<LinkAddress> = answers.values().filter(desired).copied().collect();
        let addresses: BTreeSet<IpAddr> = before.iter().map(|spot| spot.1).collect();
        let count = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
        (before.difference(&still).copied().collect(), count)
    }
}

/// Returns the number of the answer or beacon that an effect sets, replaces or ends.
fn number(effect: &Granted) -> Option<Endpoint> {
    match effect {
        Granted::Answer { id, .. } | Granted::Beacon { id, .. } | Granted::Close(id) => Some(*id),
        _ => None,
    }
}

/// Updates the active answers by an effect.
pub fn account(answers: &mut AnswerOffloads, effect: &Granted) {
    let Some(id) = number(effect) else { return };
    match effect {
        Granted::Answer { link, address, .. } => drop(answers.insert(id, (*link, *address))),
        _ => drop(answers.remove(&id)),
    }
}

fn withdrawing(going: &BTreeSet<LinkAddress>, announced: u32) -> Option<TrialFailure> {
    let addresses: BTreeSet<IpAddr> = going.iter().map(|spot| spot.1).collect();
    let count = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    too_many(announced, count).then(|| TrialFailure {
        reason: "Withdrawing",
        message: format!(
            "it would withdraw {count} of {announced} addresses that are still desired, including {}; none was withdrawn",
            addresses.first().map(ToString::to_string).unwrap_or_default()
        ),
    })
}

fn flooding(before: &BTreeMap<Reason, u64>, now: &BTreeMap<Reason, u64>) -> Option<TrialFailure> {
    let more =
        |(reason, count): (&Reason, &u64)| (*reason, count - before.get(reason).unwrap_or(&0));
    let denied: Vec<(Reason, u64)> = now.iter().map(more).filter(|(_, count)| *count > 0).collect();
    let sum: u64 = denied.iter().map(|(_, count)| count).sum();
    let floods = denied.iter().any(|(reason, _)| reason.is_of_budget());
    (floods || sum > MOST_DENIED).then(|| {
        let listed: Vec<_> =
            denied.iter().map(|(reason, count)| format!("{} {count}", reason.name())).collect();
        let message = format!("it requested effects that it may not use: {}", listed.join(", "));
        TrialFailure { reason: if floods { "Flooding" } else { "Denied" }, message }
    })
}

/// Returns the verdict for a fault.
pub fn of_fault(fault: &Fault) -> TrialFailure {
    let reason = match fault {
        Fault::Trap { .. } => "Trapped",
        Fault::Deadline { .. } => "TookTooLong",
        Fault::Memory { .. } => "MemoryLimit",
        Fault::Garbage(_) => "Garbage",
    };
    TrialFailure { reason, message: fault.to_string() }
}

/// Returns the verdict for a failed swap.
pub fn of_swap(error: &SwapError) -> TrialFailure {
    let reason = match (&error.fault, error.step) {
        (Some(fault), _) => of_fault(fault).reason,
        (None, SwapStep::Validate) => "ConfigRefused",
        (None, _) => "StartRefused",
    };
    TrialFailure { reason, message: error.to_string() }
}

/// Returns the verdict for a component that cannot be loaded.
pub fn of_load(error: &LoadError) -> TrialFailure {
    let reason = match error {
        LoadError::Wasi(_) => "ImportsWasi",
        LoadError::Version { .. } => "WrongVersion",
        LoadError::UnknownImports { .. }
        | LoadError::NoWorld(_)
        | LoadError::BothWorlds
        | LoadError::Misfit { .. } => "WrongWorld",
        LoadError::TooLarge { .. } | LoadError::Bomb { .. } => "TooLarge",
        LoadError::Instantiate(fault) => of_fault(fault).reason,
        LoadError::Compile(CompileError::TimedOut { .. }) => "CompileTimeout",
        LoadError::Compile(CompileError::Memory { .. }) => "CompileMemory",
        LoadError::Compile(_) => "CompileFailed",
        LoadError::NotWasm(_)
        | LoadError::Truncated { .. }
        | LoadError::Malformed(_)
        | LoadError::CoreModule
        | LoadError::Precompiled
        | LoadError::Unpack { .. } => "NotAPlugin",
    };
    TrialFailure { reason, message: error.to_string() }
}

#[cfg(test)]
mod tests;
