//! The explanation of the address that a Service has, or of its lack: every pool, in the order in which they are
//! tried, with what it gave, or why it was passed over and what to change. It evaluates the same conditions as an
//! allocation, but changes nothing and asks no policy.
use std::net::IpAddr;
use std::sync::Arc;

use outrigger_sdk::{Pool as _, Time};

use super::attempt_failure::obstacle;
use super::pool_match::Unsuited;
use super::{AllocationResult, Allocations, addresses};
use crate::facts::{Pool, Service, ServiceKey};
use crate::ledger::PoolView;

/// Maximum number of names in one message.
const NAMES_SHOWN: usize = 5;

/// The explanation for one pool and a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolWord {
    /// Name of the pool.
    pub pool: String,
    /// The outcome for the Service.
    pub outcome: PoolOutcome,
    /// The outcome as text for a person.
    pub message: String,
    /// Alternative changes after which the pool would give an address; empty if no change is needed.
    pub fixes: Vec<String>,
}

/// The outcome of one pool for a Service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolOutcome {
    /// The Service has an address of the pool.
    Gave,
    /// The pool may give an address, and none is lacking.
    NotNeeded,
    /// The pool may give an address, and one is lacking: only its policy can decide further.
    Undecided,
    /// The pool may give an address, one is lacking, and its policy did not give it.
    Refused,
    /// The pool may not be used by Services of this namespace.
    NotForItsNamespace,
    /// The pool may not be used by this Service, for another reason.
    NotForIt,
    /// The pool may only be used by Services that ask for it, and this one does not.
    OnRequest,
    /// The pool may be used, but has no address to give.
    NothingToGive,
}

impl Allocations {
    /// Returns the current verdict on a Service; `None` if there is no such Service.
    pub fn verdict_on(&self, key: &ServiceKey) -> Option<AllocationResult> {
        self.services.get(key).map(|known| self.verdict(known))
    }

    /// Returns true if no address is requested for a Service, because another controller owns its status or its
    /// manifest is unclear.
    pub fn is_left_alone(&self, key: &ServiceKey) -> bool {
        self.is_foreign(key) || self.services.get(key).is_some_and(|known| known.is_unclear())
    }

    /// Returns the explanation for every existing pool: the active ones in their order, then the others.
    pub fn pool_words(&self, key: &ServiceKey, now: Time) -> Vec<PoolWord> {
        let Some(known) = self.services.get(key) else { return Vec::new() };
        let service = &known.service;
        let in_force = self.order.iter().map(|pool| self.pool_word(pool, service, now));
        let is_in_order = |name: &str| self.order.iter().any(|pool| pool.name == name);
        let others = self.pools.offered().values().filter(|pool| !is_in_order(&pool.name));
        in_force.chain(others.map(|pool| self.word_out_of_order(pool, key))).collect()
    }

    fn pool_word(&self, pool: &Arc<Pool>, service: &Arc<Service>, now: Time) -> PoolWord {
        let name = &pool.name;
        if let Some(word) = self.gave(name, &service.key) {
            return word;
        }
        let lacking = self.lacks(&service.key);
        let families = if lacking.is_empty() { service.families.as_slice() } else { &lacking };
        let mut first: Option<PoolWord> = None;
        for family in families {
            let word = match self.unsuited(pool, service, *family) {
                Some(reason) => not_for_it(pool, service, &reason),
                None if lacking.is_empty() => {
                    let message = "not needed: the Service has all addresses that it requests";
                    word(name, PoolOutcome::NotNeeded, message, "")
                }
                None => {
                    let view =
                        PoolView::new(self.ledger.clone(), name.clone(), service.clone(), now);
                    match obstacle(&view, pool, service, *family) {
                        Some(note) => {
                            let taken = taken(&view, service);
                            taken.unwrap_or_else(|| {
                                self.nothing_to_give(pool, service, &note.reason, &note.message)
                            })
                        }
                        None => {
                            let message = format!("could give an {family} address");
                            word(name, PoolOutcome::Undecided, message, "")
                        }
                    }
                }
            };
            if word.outcome == PoolOutcome::Undecided {
                return word;
            }
            first.get_or_insert(word);
        }
        first.unwrap_or_else(|| word(name, PoolOutcome::NotNeeded, "no address is requested", ""))
    }

    /// Returns the outcome of a pool that the Service holds addresses of; `None` if it holds none.
    fn gave(&self, name: &str, key: &ServiceKey) -> Option<PoolWord> {
        let is_from =
            |at: &&IpAddr| self.ledger.pool_of(**at).is_some_and(|stock| stock.pool().name == name);
        let held: Vec<IpAddr> = self.ledger.held(key).iter().filter(is_from).copied().collect();
        if held.is_empty() {
            return None;
        }
        Some(word(name, PoolOutcome::Gave, format!("gave {}", addresses(&held)), ""))
    }

    /// Returns the outcome of a pool that assigns nothing to any Service.
    fn word_out_of_order(&self, pool: &Pool, key: &ServiceKey) -> PoolWord {
        let name = &pool.name;
        if let Some(word) = self.gave(name, key) {
            return word;
        }
        if pool.draining {
            let message = "passed over: it is being deleted, and assigns no new addresses";
            return word(name, PoolOutcome::NotForIt, message, "");
        }
        let problem = self.pools.problems().get(name).cloned().unwrap_or_default();
        let message = format!("passed over: it is not active: {problem}");
        word(name, PoolOutcome::NotForIt, message, problem)
    }

    fn nothing_to_give(
        &self,
        pool: &Pool,
        service: &Service,
        reason: &str,
        message: &str,
    ) -> PoolWord {
        let name = &pool.name;
        // A note names the problem, then the fix.
        let (what, fix) = message.rsplit_once(": ").unwrap_or((message, ""));
        if reason != "PoolExhausted" {
            let first = match fix {
                "" => Some(format!(
                    "remove it from spec.exclude of the pool: kubectl edit addresspool {name}"
                )),
                fix if fix.contains("another") => None,
                fix => Some(fix.to_owned()),
            };
            let fixes = first.into_iter().chain([ask_for_another(&service.key)]).collect();
            let message = format!("passed over: {what}");
            return PoolWord { fixes, ..word(name, PoolOutcome::NothingToGive, message, "") };
        }
        let users = self.ledger.users(name);
        let shown: Vec<String> = users.iter().take(NAMES_SHOWN).map(ToString::to_string).collect();
        let more = match users.len().saturating_sub(NAMES_SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        if shown.is_empty() {
            let message = format!("passed over: {what}");
            return word(name, PoolOutcome::NothingToGive, message, fix);
        }
        let message = format!("passed over: {what}: it is used by {}{more}", shown.join(", "));
        let fixes = vec![
            format!("add addresses to spec.addresses of the pool: kubectl edit addresspool {name}"),
            format!("delete a Service that uses {name}"),
        ];
        PoolWord { fixes, ..word(name, PoolOutcome::NothingToGive, message, "") }
    }
}

/// Returns the outcome for a requested address that another Service holds.
fn taken(view: &PoolView, service: &Service) -> Option<PoolWord> {
    let held = service.wanted.iter().find_map(|at| Some((at, view.in_the_way(*at)?)));
    let (address, (holder, why)) = held?;
    let message = format!("passed over: {address} is requested, but held by Service {holder}");
    let share = match why.as_slice() {
        [only] => format!("let it share {address} with Service {holder}: {only}"),
        steps => {
            let steps = steps.iter().enumerate().map(|(at, step)| format!("{}. {step}", at + 1));
            format!(
                "let it share {address} with Service {holder}; all of these steps are necessary: {}",
                steps.collect::<Vec<_>>().join("; ")
            )
        }
    };
    let word = word(&view.name(), PoolOutcome::NothingToGive, message, "");
    Some(PoolWord { fixes: vec![ask_for_another(&service.key), share], ..word })
}

fn not_for_it(pool: &Pool, service: &Service, reason: &Unsuited) -> PoolWord {
    let (name, namespace) = (&pool.name, service.key.namespace());
    let (message, fix) = match reason {
        Unsuited::OtherPool(asked) => (
            format!("not tried: the Service requests pool {asked:?}"),
            format!("to allow any pool: kubectl -n {namespace} annotate service {} outrigger.dev/pool- (and address-pool of MetalLB, if it is set)", service.key.name()),
        ),
        Unsuited::NotAutomatic => (
            "passed over: its spec.autoAssign is false, so only Services that request it get an address".to_owned(),
            format!("it is for Services that request it: kubectl -n {namespace} annotate service {} outrigger.dev/pool={name}", service.key.name()),
        ),
        Unsuited::Namespace => (
            format!("passed over: it is for {}, and the Service is in {namespace}", whose(pool)),
            format!("add {namespace} to spec.namespaces of the pool (kubectl edit addresspool {name})"),
        ),
        Unsuited::Labels => (
            format!(
                "passed over: its serviceSelector ({}) does not match the labels of the Service",
                pool.service_selector
            ),
            format!("set these labels on Service {}, or change spec.serviceSelector of the pool (kubectl edit addresspool {name})", service.key),
        ),
        Unsuited::Family(family) => (
            format!("passed over: it has no {family} addresses"),
            format!("add {family} addresses to spec.addresses of the pool (kubectl edit addresspool {name})"),
        ),
        Unsuited::Wishes(wanted) => (
            format!("passed over: it does not contain {}, which the Service requests", addresses(wanted)),
            format!("add {} to spec.addresses of the pool (kubectl edit addresspool {name})", addresses(wanted)),
        ),
    };
    let outcome = match reason {
        Unsuited::Namespace => PoolOutcome::NotForItsNamespace,
        Unsuited::NotAutomatic => PoolOutcome::OnRequest,
        _ => PoolOutcome::NotForIt,
    };
    let mut word = word(name, outcome, message, fix);
    if matches!(reason, Unsuited::Wishes(_)) {
        word.fixes.push(ask_for_another(&service.key));
    }
    word
}

/// Returns the fix that tells where a Service requests a specific address.
fn ask_for_another(key: &ServiceKey) -> String {
    format!(
        "request another address for Service {key}: kubectl -n {} edit service {} (its annotation outrigger.dev/addresses or its spec.loadBalancerIP, whichever it has)",
        key.namespace(),
        key.name()
    )
}

/// Describes the namespaces that may use a pool.
fn whose(pool: &Pool) -> String {
    let names: Vec<&str> = pool.namespaces.iter().map(String::as_str).collect();
    let by_label = pool.namespace_selector.as_ref().map(|one| format!("namespaces with {one}"));
    let named = (!names.is_empty()).then(|| format!("namespace {}", names.join(", ")));
    named.into_iter().chain(by_label).collect::<Vec<_>>().join(" and ")
}

fn word(
    pool: &str,
    outcome: PoolOutcome,
    message: impl Into<String>,
    fix: impl Into<String>,
) -> PoolWord {
    let fixes = [fix.into()].into_iter().filter(|fix| !fix.is_empty()).collect();
    PoolWord { pool: pool.to_owned(), outcome, message: message.into(), fixes }
}
