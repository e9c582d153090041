//! One Service on its way through the pools, until it has what it lacks or no pool is left.
//! What can be decided without a policy is: a pool with nothing to give is not asked.
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use outrigger_sdk::{AddressState, Family, Outcome, Pool as _, Refusal, Request, Time};
use sha2::{Digest, Sha256};

use super::queue::Cause;
use super::{Allocations, Question};
use crate::facts::{Pool, Service, ServiceKey};
use crate::ledger::{Blocked, PoolView, REST_US, Violation, why_not};

/// A policy cannot ask to be asked more often than this.
const SOONEST_RETRY_MS: u32 = 1_000;
/// A trap or a timeout may pass by itself.
const FAULT_RETRY_MS: u32 = 10_000;
/// By then what rested when it was answered rests no more.
const REST_RETRY_MS: u32 = (REST_US / 1_000) as u32;
/// Of a policy's own words, so that a condition stays readable.
const LONGEST_MESSAGE: usize = 256;

#[derive(Debug, Clone, Default)]
pub(super) struct Turn {
    id: u64,
    /// Index into the order of pools.
    next: usize,
    /// The first round looks only for addresses of its sharing group, so that the group stays together whatever the order.
    joins: bool,
    got: Vec<(IpAddr, String)>,
    notes: Vec<Note>,
    causes: BTreeSet<Cause>,
    /// Families for which there was a pool to try.
    tried: BTreeSet<Family>,
    /// Families the policy at hand is asked for.
    asked: Vec<Family>,
    /// Something changed meanwhile: if this turn ends short, begin another.
    pub(super) again: bool,
}

/// Why a pool gave nothing, or not everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) reason: String,
    pub(super) message: String,
    retry_ms: u32,
}

impl Turn {
    /// A pool may be tried twice, but says a thing once.
    fn note(&mut self, note: Note) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }
}

impl Note {
    pub(super) fn new(reason: &str, message: String) -> Self {
        Self { reason: reason.to_owned(), message, retry_ms: 0 }
    }
}

impl Allocations {
    /// The next question, in key order of Services. It may ask several before the first answer: every answer is
    /// checked against the ledger as it stands then.
    pub fn poll(&mut self, now: Time) -> Option<Question> {
        if !self.synced {
            return None;
        }
        self.end_rests(now);
        self.end_pauses(now);
        self.queue.wake_due(now.monotonic_us);
        while let Some(key) = self.queue.pop() {
            let turn = self.turns.remove(&key).unwrap_or_else(|| self.new_turn(&key));
            let question = self.advance(&key, turn, now);
            if question.is_some() {
                return question;
            }
        }
        None
    }

    /// Takes the answer to a question, or the fault of the policy. An answer that nobody waits for any more, because
    /// the Service or the pools changed meanwhile, is ignored: the question is asked anew.
    pub fn answer(&mut self, question: Question, result: Result<Outcome, String>, _now: Time) {
        let Question { service: key, pool, view, turn: id, .. } = question;
        drop(view); // or the ledger would be copied at its next change
        let Some(turn) = self.turns.get_mut(&key).filter(|turn| turn.id == id) else { return };
        let Some(known) = self.services.get(&key) else { return };
        let asked = std::mem::take(&mut turn.asked);
        match result {
            Ok(Outcome::Assign(addresses)) => {
                match self.ledger.check(&pool, &known.service, &asked, &addresses) {
                    Ok(()) => {
                        let silent = asked
                            .iter()
                            .filter(|f| !addresses.iter().any(|a| Family::of(a) == **f));
                        turn.notes.extend(silent.map(|family| {
                            Note::new(
                                "PoolExhausted",
                                format!("pool {pool:?}: its policy gave no {family} address"),
                            )
                        }));
                        turn.got.extend(addresses.into_iter().map(|at| (at, pool.clone())));
                    }
                    Err(violation) => turn.note(violated(&pool, &violation)),
                }
            }
            Ok(Outcome::Refuse(refusal)) => turn.note(refused(&pool, refusal)),
            Ok(Outcome::Ask(_)) => {
                turn.note(fault(&pool, "it asks for HTTP requests, which are not carried out"));
            }
            Err(text) => turn.note(fault(&pool, &text)),
        }
        self.queue.push(&key);
    }

    fn new_turn(&mut self, key: &ServiceKey) -> Turn {
        self.next_turn += 1;
        let mut causes = BTreeSet::new();
        let sharing = self.services.get(key).filter(|k| !k.service.sharing_key.is_empty());
        if let Some(known) = sharing {
            causes.insert(group(&known.service));
        }
        Turn { id: self.next_turn, causes, joins: sharing.is_some(), ..Turn::default() }
    }

    /// Goes on to the next pool that may give something; at the end of the order, ends the turn.
    fn advance(&mut self, key: &ServiceKey, mut turn: Turn, now: Time) -> Option<Question> {
        let service = self.services.get(key)?.service.clone();
        let has = |turn: &Turn, family| turn.got.iter().any(|(at, _)| Family::of(at) == family);
        loop {
            let Some(pool) = self.order.get(turn.next).cloned() else {
                if !std::mem::take(&mut turn.joins) {
                    break;
                }
                turn.next = 0;
                continue;
            };
            let mut families = self.lacks(key);
            families.retain(|family| !has(&turn, *family));
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
            turn.tried.extend(families.iter().copied());
            turn.causes.insert(Cause::Pool(pool.name.clone()));
            families.retain(|family| match obstacle(&view, &pool, &service, *family) {
                Some(note) => {
                    turn.note(note);
                    false
                }
                None => true,
            });
            if families.is_empty() {
                continue;
            }
            let question = self.question(&service, &pool, families, &mut turn, view);
            self.turns.insert(key.clone(), turn);
            return Some(question);
        }
        self.conclude(&service, turn, now);
        None
    }

    fn question(
        &self,
        service: &Service,
        pool: &Pool,
        families: Vec<Family>,
        turn: &mut Turn,
        view: PoolView,
    ) -> Question {
        turn.asked = families.clone();
        let held = self.ledger.held(&service.key).iter().copied();
        let wanted = service.wanted.iter().filter(|at| families.contains(&Family::of(at)));
        let request = Request {
            service: service.to_sdk(),
            all_families: service.all_families,
            wanted: wanted.copied().collect(),
            holds: held.chain(turn.got.iter().map(|(at, _)| *at)).collect(),
            previous: self.ledger.previous(&service.key).to_vec(),
            sharing_key: service.sharing_key.clone(),
            config: pool.allocator.config.clone(),
            seed: seed(service, &pool.name),
            families,
            ext: Vec::new(),
        };
        Question {
            service: service.key.clone(),
            pool: pool.name.clone(),
            plugin: pool.allocator.clone(),
            request,
            view,
            turn: turn.id,
        }
    }

    /// The last pool was tried: holds what was got, and waits for what is lacking.
    fn conclude(&mut self, service: &Arc<Service>, mut turn: Turn, now: Time) {
        let key = &service.key;
        let families = self.lacks(key);
        let untried = families.iter().filter(|family| !turn.tried.contains(family));
        turn.notes.extend(untried.map(|family| self.no_candidate(service, *family)));
        let lacking = families.len();
        if service.all_families && turn.got.len() < lacking {
            turn.got.clear();
        }
        let still_good = |(at, pool): &(IpAddr, String)| {
            self.ledger.check(pool, service, &[Family::of(at)], &[*at]).is_ok()
        };
        if !turn.got.iter().all(still_good) {
            // Somebody else was faster: begin again.
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

    /// Why a Service with a sharing key was given an address of its own though its group has one.
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
            "it does not share {other} with {holder}, which has its sharing key {key:?}: {why}"
        ))
    }
}

/// Why a pool has nothing to give, whatever its policy would say.
pub(super) fn obstacle(
    view: &PoolView,
    pool: &Pool,
    service: &Service,
    family: Family,
) -> Option<Note> {
    let name = &pool.name;
    let wanted = service.wanted.iter().filter(|at| Family::of(at) == family);
    let mut why_not = None;
    for &address in wanted {
        match view.state(address) {
            AddressState::Free | AddressState::Shareable => return None,
            AddressState::Outside => {}
            AddressState::Excluded => {
                let message = match view.blocked(address) {
                    Some(Blocked::Node(node)) => {
                        format!(
                            "{address} is asked for, but is the address of node {node}: ask for another"
                        )
                    }
                    _ => format!("{address} is asked for, but pool {name:?} excludes it"),
                };
                why_not = Some(Note::new("AddressExcluded", message));
            }
            AddressState::Taken => why_not = Some(taken(view, address)),
        }
    }
    let count = view.count(family);
    if why_not.is_some()
        || count.free > 0
        || view.may_return(family)
        || !view.shareable(family, 1).is_empty()
    {
        return why_not;
    }
    let message = match count.total {
        0 => format!("pool {name:?} excludes all of its {family} addresses: exclude less"),
        total => format!(
            "pool {name:?} has no free {family} address (all {total} held): add addresses or delete Services"
        ),
    };
    Some(Note::new("PoolExhausted", message))
}

fn taken(view: &PoolView, address: IpAddr) -> Note {
    let Some((holder, why)) = view.in_the_way(address) else {
        let message = format!(
            "{address} is asked for, but was given back a moment ago and may still be announced: it is given out when the network has let go of it"
        );
        return Note::new("AddressTaken", message);
    };
    let message = format!(
        "{address} is asked for, but held by {holder} and may not be shared: {}",
        why.join("; and ")
    );
    Note::new("AddressTaken", message)
}

fn group(service: &Service) -> Cause {
    Cause::Group(service.key.namespace().to_owned(), service.sharing_key.clone())
}

fn fault(pool: &str, text: &str) -> Note {
    let message = format!("pool {pool:?}: its policy failed: {}", printable(text));
    Note { retry_ms: FAULT_RETRY_MS, ..Note::new("PolicyFault", message) }
}

/// Asking again would give the same answer, unless it is only a matter of time.
fn violated(pool: &str, violation: &Violation) -> Note {
    let message = format!("pool {pool:?}: {violation} ({})", violation.reason());
    let retry_ms = match violation {
        Violation::Resting { .. } => REST_RETRY_MS,
        _ => 0,
    };
    Note { retry_ms, ..Note::new("PolicyAnswerRefused", message) }
}

/// A refusal is a plugin's own words: they become a condition's reason only if Kubernetes would take them.
fn refused(pool: &str, refusal: Refusal) -> Note {
    let reason = &refusal.reason;
    let is_camel_case = reason.starts_with(|c: char| c.is_ascii_uppercase())
        && reason.len() <= 64
        && reason.chars().all(|c| c.is_ascii_alphanumeric());
    let retry_ms = match refusal.retry_after_ms {
        0 => 0,
        ms => ms.max(SOONEST_RETRY_MS),
    };
    let message = format!("pool {pool:?}: {}", printable(&refusal.message));
    Note { retry_ms, ..Note::new(if is_camel_case { reason } else { "PolicyRefused" }, message) }
}

fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(LONGEST_MESSAGE).collect()
}

/// The same request in the same ledger gets the same seed, on whichever leader. Names cannot contain the separator.
pub(super) fn seed(service: &Service, pool: &str) -> Vec<u8> {
    let key = service.key.to_string();
    Sha256::digest([&service.uid, &key, pool].map(str::as_bytes).join(&0)).to_vec()
}
