//! One Service on its way through the pools, until it has what it lacks or no pool is left. Cases that need no policy
//! are decided without one: a pool that has nothing to give is not asked.
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use outrigger_sdk::{Family, Outcome, Pool as _, Request, Time};
use sha2::{Digest, Sha256};

use super::attempt_failure::{AttemptFailure, fault, obstacle, refused, violated};
use super::queue::Cause;
use super::{Allocations, Question};
use crate::facts::{FailurePolicy, PluginRef, Pool, Service, ServiceKey};
use crate::ledger::{PoolView, why_not};

/// Name of the built-in policy.
const BUILT_IN: &str = "lowest-free";

#[derive(Debug, Clone, Default)]
pub(super) struct Attempt {
    id: u64,
    /// Index into the order of pools.
    next: usize,
    /// True during the first round, which looks only for addresses of the Service's sharing group, so that the group
    /// stays together regardless of the order of pools.
    joins: bool,
    got: Vec<(IpAddr, String)>,
    notes: Vec<AttemptFailure>,
    causes: BTreeSet<Cause>,
    /// Families for which there was a pool to try.
    tried: BTreeSet<Family>,
    /// Families that the current policy is asked for.
    asked: Vec<Family>,
    /// The pool whose policy failed, so that the built-in one is asked in its place.
    built_in: Option<String>,
    /// True if a policy failed and no other pool may replace it.
    ends: bool,
    /// True if something changed meanwhile: if this turn ends without everything, another one begins.
    pub(super) again: bool,
}

impl Attempt {
    /// Adds a note unless it is there already, since a pool may be tried twice.
    fn note(&mut self, note: AttemptFailure) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Returns true if the turn has no results yet, so that a new turn is equivalent.
    fn is_fresh(&self) -> bool {
        let Self { id: _, next: _, joins, got, notes, causes, tried, asked, built_in, ends, again } =
            self;
        let nothing = got.is_empty() && notes.is_empty() && causes.is_empty() && tried.is_empty();
        nothing && asked.is_empty() && built_in.is_none() && !joins && !ends && !again
    }

    /// Records that a pool was tried for these families.
    fn tried(&mut self, pool: &Pool, families: Vec<Family>) {
        self.tried.extend(families);
        self.causes.insert(Cause::Pool(pool.name.clone()));
    }

    /// Records addresses that a policy gave and that the ledger allows, and notes the families without one.
    fn take(&mut self, pool: &str, asked: &[Family], addresses: Vec<IpAddr>) {
        let silent = asked.iter().filter(|f| !addresses.iter().any(|a| Family::of(a) == **f));
        self.notes.extend(silent.map(|family| {
            let message = format!("pool {pool:?}: its policy gave no {family} address");
            AttemptFailure::new("PoolExhausted", message)
        }));
        self.got.extend(addresses.into_iter().map(|at| (at, pool.to_owned())));
    }

    /// Records that the policy of a pool failed. By default no other policy decides in its place: an address of the
    /// next pool may be one that its owner never meant for this Service. Returns true if the built-in policy is to be
    /// asked for the same pool.
    fn failed(&mut self, pool: &str, note: AttemptFailure, failure_policy: FailurePolicy) -> bool {
        self.note(note);
        match failure_policy {
            FailurePolicy::Wait => self.ends = true,
            FailurePolicy::NextPool => {}
            FailurePolicy::Builtin => self.built_in = Some(pool.to_owned()),
        }
        failure_policy == FailurePolicy::Builtin
    }
}

/// A pool that may have an address for the Service.
struct Candidate {
    pool: Arc<Pool>,
    /// The families that the pool was tried for.
    tried: Vec<Family>,
    /// The families among them that the pool may have an address for.
    families: Vec<Family>,
    view: PoolView,
}

impl Allocations {
    /// Returns the next question to a policy, or `None` if there is none. Pools take turns by the time that their
    /// policies have used, the Services of one pool by their keys. Several questions may be open before the first
    /// answer: every answer is checked against the ledger as it is when the answer arrives.
    pub fn poll(&mut self, now: Time) -> Option<Question> {
        if !self.synced {
            return None;
        }
        self.end_rests(now);
        self.end_pauses(now);
        self.queue.wake_due(now.monotonic_us);
        loop {
            while let Some(key) = self.queue.pop() {
                self.fair.leave(&key);
                let turn = self.turns.remove(&key).unwrap_or_else(|| self.new_turn(&key));
                if let Some((turn, candidate)) = self.advance(&key, turn, now) {
                    self.stand_in_line(&key, turn, &candidate.pool);
                }
            }
            let (pool, key) = self.fair.pop()?;
            let turn = self.turns.remove(&key).unwrap_or_else(|| self.new_turn(&key));
            match self.advance(&key, turn, now) {
                Some((turn, candidate)) if candidate.pool.name == *pool => {
                    return self.question(&key, turn, candidate, now);
                }
                Some((turn, candidate)) => self.stand_in_line(&key, turn, &candidate.pool),
                None => {}
            }
        }
    }

    /// Lets a Service wait in the line of a pool. The pool is tried again when the Service's turn comes, and only
    /// then is checked for addresses. Tens of thousands may wait at once, so a turn without results is not stored.
    fn stand_in_line(&mut self, key: &ServiceKey, mut turn: Attempt, pool: &Pool) {
        turn.next -= 1;
        if !turn.is_fresh() {
            self.turns.insert(key.clone(), turn);
        }
        let stands_back = self.breakers.failed_for(&pool.name, key);
        self.fair.join(&pool.name, key, stands_back);
    }

    /// Applies the answer to a question, or the fault of the policy. An answer that is no longer expected, because
    /// the Service or the pools changed meanwhile, is ignored: the question is asked again.
    pub fn answer(&mut self, question: Question, result: Result<Outcome, String>, now: Time) {
        let Question { service: key, pool, view, turn: id, built_in, asked_us, .. } = question;
        drop(view); // or the ledger would be copied at its next change
        self.fair.charge(&pool, now.monotonic_us.saturating_sub(asked_us));
        // The breakers must not remember a Service or pool that no longer exists.
        if !built_in && self.services.contains_key(&key) && self.ledger.pool(&pool).is_some() {
            match &result {
                Ok(_) => self.breakers.succeeded(&pool, &key),
                Err(text) => self.breakers.failed(&pool, &key, text, now.monotonic_us),
            }
        }
        let Some(turn) = self.turns.get_mut(&key).filter(|turn| turn.id == id) else { return };
        let Some(known) = self.services.get(&key) else { return };
        let asked = std::mem::take(&mut turn.asked);
        let failure = match result {
            Ok(Outcome::Assign(addresses)) => {
                match self.ledger.check(&pool, &known.service, &asked, &addresses) {
                    Ok(()) => {
                        turn.take(&pool, &asked, addresses);
                        None
                    }
                    Err(violation) => Some(violated(&pool, &violation)),
                }
            }
            Ok(Outcome::Refuse(refusal)) => {
                turn.note(refused(&pool, refusal));
                None
            }
            Ok(Outcome::Ask(_)) => {
                Some(fault(&pool, "it requests HTTP calls, which are not supported"))
            }
            Err(text) => Some(fault(&pool, &text)),
        };
        let failure_policy = match built_in {
            true => FailurePolicy::Wait,
            false => self.pools.failure_policy(&pool),
        };
        if failure.is_some_and(|note| turn.failed(&pool, note, failure_policy)) {
            turn.next -= 1;
        }
        self.queue.push(&key);
    }

    fn new_turn(&mut self, key: &ServiceKey) -> Attempt {
        self.next_turn += 1;
        let mut causes = BTreeSet::new();
        let sharing = self.services.get(key).filter(|k| !k.service.sharing_key.is_empty());
        if let Some(known) = sharing {
            causes.insert(group(&known.service));
        }
        Attempt { id: self.next_turn, causes, joins: sharing.is_some(), ..Attempt::default() }
    }

    /// Advances to the next pool that may have an address; at the end of the order, concludes the turn.
    fn advance(
        &mut self,
        key: &ServiceKey,
        mut turn: Attempt,
        now: Time,
    ) -> Option<(Attempt, Candidate)> {
        let service = self.services.get(key)?.service.clone();
        while !turn.ends {
            let Some(pool) = self.order.get(turn.next).cloned() else {
                if !std::mem::take(&mut turn.joins) {
                    break;
                }
                turn.next = 0;
                continue;
            };
            let has = |family| turn.got.iter().any(|(at, _)| Family::of(at) == family);
            let mut families = self.lacks(key);
            families.retain(|family| !has(*family));
            if families.is_empty() {
                break;
            }
            turn.next += 1;
            families.retain(|family| self.suits(&pool, &service, *family));
            if families.is_empty() {
                continue;
            }
            let view = PoolView::new(self.ledger.clone(), pool.name.clone(), service.clone(), now);
            families.retain(|family| !turn.joins || !view.shareable(*family, 1).is_empty());
            if families.is_empty() {
                continue;
            }
            let tried = families.clone();
            families.retain(|family| match obstacle(&view, &pool, &service, *family) {
                Some(note) => {
                    turn.note(note);
                    false
                }
                None => true,
            });
            if !families.is_empty() && self.may_ask(&pool, &mut turn, now) {
                return Some((turn, Candidate { pool, tried, families, view }));
            }
            turn.tried(&pool, tried);
        }
        self.conclude(&service, turn, now);
        None
    }

    /// Returns true if a policy can be asked for this pool: its own, or the built-in one in its place.
    fn may_ask(&self, pool: &Pool, turn: &mut Attempt, now: Time) -> bool {
        if turn.built_in.as_ref() == Some(&pool.name) {
            return true;
        }
        let Some((text, left_us)) = self.breakers.open(&pool.name, now.monotonic_us) else {
            return true;
        };
        let retry_ms = u32::try_from(left_us.div_ceil(1_000)).unwrap_or(u32::MAX);
        let note = AttemptFailure { retry_ms, ..fault(&pool.name, text) };
        turn.failed(&pool.name, note, pool.failure_policy)
    }

    fn question(
        &mut self,
        key: &ServiceKey,
        mut turn: Attempt,
        candidate: Candidate,
        now: Time,
    ) -> Option<Question> {
        let Candidate { pool, tried, families, view } = candidate;
        turn.tried(&pool, tried);
        let service = &self.services.get(key)?.service;
        let built_in = turn.built_in.as_ref() == Some(&pool.name);
        let plugin = match built_in {
            true => PluginRef { plugin: BUILT_IN.to_owned(), config: "{}".to_owned() },
            false => pool.allocator.clone(),
        };
        let held = self.ledger.held(key).iter().copied();
        let wanted = service.wanted.iter().filter(|at| families.contains(&Family::of(at)));
        let request = Request {
            service: service.to_sdk(),
            all_families: service.all_families,
            wanted: wanted.copied().collect(),
            holds: held.chain(turn.got.iter().map(|(at, _)| *at)).collect(),
            previous: self.ledger.previous(key).to_vec(),
            sharing_key: service.sharing_key.clone(),
            config: plugin.config.clone(),
            seed: seed(service, &pool.name),
            families: families.clone(),
            ext: Vec::new(),
        };
        turn.asked = families;
        let (service, pool) = (key.clone(), pool.name.clone());
        let (id, asked_us) = (turn.id, now.monotonic_us);
        self.turns.insert(service.clone(), turn);
        Some(Question { service, pool, plugin, built_in, request, view, turn: id, asked_us })
    }

    /// Ends a turn after the last pool: holds the addresses that it got, and lets the Service wait for what is
    /// lacking.
    fn conclude(&mut self, service: &Arc<Service>, mut turn: Attempt, now: Time) {
        let key = &service.key;
        let families = self.lacks(key);
        let untried = |family: &&Family| !turn.ends && !turn.tried.contains(family);
        let untried = families.iter().filter(untried);
        turn.notes.extend(untried.map(|family| self.no_candidate(service, *family)));
        let lacking = families.len();
        if service.all_families && turn.got.len() < lacking {
            turn.got.clear();
        }
        let still_good = |(at, pool): &(IpAddr, String)| {
            self.ledger.check(pool, service, &[Family::of(at)], &[*at]).is_ok()
        };
        if !turn.got.iter().all(still_good) {
            // Another Service took an address first: begin again.
            return self.queue.push(key);
        }
        let got = turn.got.len();
        for (address, pool) in turn.got {
            let held = Arc::make_mut(&mut self.ledger).hold(service, Some(&pool), address);
            debug_assert_eq!(held, Ok(()), "checked above");
        }
        self.unsaid.insert(key.clone());
        if got < lacking && turn.again {
            self.queue.push(key);
        } else if got < lacking {
            let retry = turn.notes.iter().map(|note| note.retry_ms).filter(|ms| *ms > 0).min();
            let deadline = retry.map(|ms| now.monotonic_us.saturating_add(u64::from(ms) * 1000));
            self.queue.wait(key, turn.causes, deadline);
        } else {
            turn.notes.clear();
        }
        if got > 0 && !service.sharing_key.is_empty() {
            self.queue.wake(&group(service));
        }
        let apart = if got > 0 { self.apart(service) } else { None };
        if let Some(known) = self.services.get_mut(key) {
            known.set(|trouble| {
                trouble.notes = turn.notes;
                if got > 0 {
                    trouble.apart = apart;
                }
            });
        }
    }

    /// Returns the reason why a Service with a sharing key got a separate address although its group has one.
    fn apart(&self, service: &Service) -> Option<String> {
        let held = self.ledger.held(&service.key);
        let mut others = self.ledger.group_addresses(service).filter(|at| {
            let alike = |other: &IpAddr| Family::of(other) == Family::of(at);
            !held.contains(at) && held.iter().any(alike) && !service.wanted.iter().any(alike)
        });
        let other = others.next()?;
        let holder = self.ledger.may_hold(service, other).err()?;
        let why = why_not(service, self.ledger.holder(holder)?)?.join("; and ");
        let key = &service.sharing_key;
        Some(format!(
            "it does not share {other} with {holder}, which has the same sharing key {key:?}: {why}"
        ))
    }
}

fn group(service: &Service) -> Cause {
    Cause::Group(service.key.namespace().to_owned(), service.sharing_key.clone())
}

/// Returns the seed of a request, the same on every leader for the same Service and pool. Names cannot contain the
/// separator.
pub(super) fn seed(service: &Service, pool: &str) -> Vec<u8> {
    let key = service.key.to_string();
    Sha256::digest([&service.uid, &key, pool].map(str::as_bytes).join(&0)).to_vec()
}
