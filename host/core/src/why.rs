//! Explains for a Service why it has or lacks an address and which nodes answer: the decision, its inputs, and the
//! reason why every other pool and node was passed over, with the possible fixes. Uses facts and the last reports;
//! decides nothing.
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use outrigger_sdk::{Time, TrafficPolicy};

use crate::allocation::{AllocationResult, Allocations, Condition, PoolOutcome, PoolWord};
use crate::facts::{Change, Cluster, Fact, Pool, Service, ServiceKey};
use crate::plan::{AddressWhy, NodeRole, Observations, why_address};

mod foreign;
mod policy;
#[cfg(test)]
mod tests;

/// Prefixes of the line of a pool that gave no address: the second one is used if later pools were not tried because of
/// it.
const PASSED_OVER: &str = "passed over: ";
const WAITED_FOR: &str = "waited for: ";
/// Length above which a repeated text is printed only once in a table.
const LONG: usize = 160;

/// All inputs of an explanation.
pub struct Inputs {
    /// The facts.
    pub cluster: Cluster,
    /// The last reports of the nodes.
    pub heard: Observations,
    /// The last condition that the controller wrote on each Service.
    pub conditions: BTreeMap<ServiceKey, PublishedCondition>,
    allocations: Allocations,
    now: Time,
}

/// A condition, with the time since which it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedCondition {
    /// The condition.
    pub condition: Condition,
    /// The time since which it holds in readable form, "" if it is unknown.
    pub since: String,
}

/// The complete explanation of a Service.
#[derive(Debug, Clone, PartialEq)]
pub struct Why {
    /// Name of the Service.
    pub service: ServiceKey,
    /// A summary in one or two sentences.
    pub headline: String,
    /// Changes to make; empty if nothing needs to be changed.
    pub fixes: Vec<String>,
    /// A description of what the Service requests.
    pub asked: String,
    /// The controller's last condition; `None` if there is none.
    pub said: Option<PublishedCondition>,
    /// The outcome of every pool.
    pub pools: Vec<PoolWord>,
    /// An explanation of every address that the Service has.
    pub addresses: Vec<AddressWhy>,
}

impl Inputs {
    /// Creates the inputs from facts and the last reports.
    pub fn new(
        cluster: Cluster,
        heard: Observations,
        conditions: BTreeMap<ServiceKey, PublishedCondition>,
        now: Time,
    ) -> Self {
        let mut allocations = Allocations::default();
        let facts = cluster.nodes.values().cloned().map(Fact::Node);
        let facts = facts
            .chain(cluster.namespaces.values().cloned().map(Fact::Namespace))
            .chain(cluster.pools.values().cloned().map(Fact::Pool))
            .chain(cluster.announcers.values().cloned().map(Fact::Announcer))
            .chain(cluster.services.values().cloned().map(Fact::Service));
        for fact in facts {
            allocations.apply(&Change::Upsert(fact), now);
        }
        allocations.apply(&Change::Synced, now);
        Self { cluster, heard, conditions, allocations, now }
    }

    /// Returns the allocations: the number of addresses used in each pool, and the Services that hold them.
    pub fn allocations(&self) -> &Allocations {
        &self.allocations
    }

    /// Explains the state of a Service; `None` if the Service does not exist or is not managed by this daemon.
    pub fn service(&self, key: &ServiceKey) -> Option<Why> {
        let service = self.cluster.services.get(key)?;
        let said = self.conditions.get(key);
        let pools = self.allocations.pool_words(key, self.now);
        let pools: Vec<PoolWord> = pools.into_iter().map(|one| self.by_policy(one, said)).collect();
        let addresses: Vec<AddressWhy> = service
            .ingress
            .iter()
            .map(|address| why_address(&self.cluster, &self.heard, *address))
            .collect();
        let (mut headline, mut fixes) = self.allocation(service, &pools);
        let is_ours = !self.allocations.is_left_alone(key);
        for why in &addresses {
            headline.push(' ');
            match is_ours || !why.answered_by.is_empty() {
                true => headline.push_str(&why.headline),
                false => headline.push_str(&format!(
                    "Outrigger does not answer for {}; the other controller may.",
                    why.address
                )),
            }
            // Another controller's ownership of the status is the more important message.
            fixes.extend(why.fixes.iter().filter(|_| is_ours).cloned());
        }
        let mut seen = std::collections::BTreeSet::new();
        fixes.retain(|fix| seen.insert(fix.clone()));
        Some(Why {
            service: key.clone(),
            headline,
            fixes,
            asked: asked(service),
            said: said.cloned(),
            pools,
            addresses,
        })
    }

    /// Returns the Services that hold an address.
    ///
    /// # Errors
    /// Returns a sentence that states why no Service holds the address.
    pub fn holders(&self, address: IpAddr) -> Result<Vec<ServiceKey>, String> {
        let services = self.cluster.services.values();
        let holders: Vec<ServiceKey> = services
            .filter(|service| service.ingress.contains(&address))
            .map(|service| service.key.clone())
            .collect();
        if !holders.is_empty() {
            return Ok(holders);
        }
        let has = |pool: &&Arc<Pool>| pool.addresses.iter().any(|range| range.contains(address));
        let excluded = |pool: &Pool| pool.exclude.iter().any(|range| range.contains(address));
        let node = self.cluster.nodes.values().find(|node| node.addresses.contains(&address));
        let wish = self.cluster.services.values().find(|one| one.wanted.contains(&address));
        Err(match (self.cluster.pools.values().find(has), node, wish) {
            (_, Some(node), _) => format!(
                "No Service has {address}: it is the address of node {}, which is never assigned.",
                node.name
            ),
            (None, ..) => format!(
                "No Service has {address}, and no AddressPool contains it: to have it assigned, add it to one (kubectl edit addresspool NAME)."
            ),
            (Some(pool), ..) if excluded(pool) => format!(
                "No Service has {address}: pool {:?} excludes it. To have it assigned, remove it from spec.exclude (kubectl edit addresspool {}).",
                pool.name, pool.name
            ),
            (Some(pool), _, Some(service)) => format!(
                "No Service has {address}, which is in pool {:?}; Service {} requests it. Run: outrigger why {}",
                pool.name, service.key, service.key
            ),
            (Some(pool), ..) => format!(
                "No Service has {address}: it is free, and in pool {:?}. No node answers for an address before a Service has it.",
                pool.name
            ),
        })
    }

    /// Returns the headline about the allocation itself, and the fixes.
    fn allocation(&self, service: &Service, pools: &[PoolWord]) -> (String, Vec<String>) {
        let key = &service.key;
        let said = self.conditions.get(key);
        match self.allocations.verdict_on(key) {
            Some(verdict) if !verdict.writes_ingress => foreign::left_alone(key, &verdict, pools),
            Some(verdict) if !verdict.addresses.is_empty() => held(key, &verdict, pools, said),
            Some(verdict) if self.allocations.is_left_alone(key) => {
                let message = verdict.condition.message;
                (format!("{}.", message.trim_end_matches('.')), vec![after_colon(&message)])
            }
            _ => {
                let headline =
                    format!("Service {key} has no address: {}.", overall(service, pools, said));
                (headline, pending(pools, said))
            }
        }
    }
}

/// Describes a Service that has addresses, possibly fewer than it requests.
fn held(
    key: &ServiceKey,
    verdict: &AllocationResult,
    pools: &[PoolWord],
    said: Option<&PublishedCondition>,
) -> (String, Vec<String>) {
    let gave = pools.iter().filter(|one| one.outcome == PoolOutcome::Gave);
    let gave: Vec<String> = gave.map(|one| format!("{:?}", one.pool)).collect();
    let from = match gave.as_slice() {
        [] => String::new(),
        names => format!(" from pool {}", names.join(" and ")),
    };
    let has = format!("Service {key} has {}{from}.", list(&verdict.addresses));
    let message = &verdict.condition.message;
    match verdict.condition.reason.as_str() {
        // The explanation of each address states whether a node answers.
        "Allocated" | "NoEligibleNode" => (has, Vec::new()),
        "PartlyAllocated" => {
            let lacks = message.split_once("; no ").map_or("", |(_, rest)| rest);
            let family = lacks.split(' ').next().unwrap_or_default();
            (format!("{has} It lacks an {family} address."), pending(pools, said))
        }
        "Draining" => (format!("Service {key} has {message}."), Vec::new()),
        _ => (format!("Service {key} has {message}."), vec![after_colon(message)]),
    }
}

/// Returns the reason that all pools share, or the most important one.
fn overall(service: &Service, pools: &[PoolWord], said: Option<&PublishedCondition>) -> String {
    let of = |outcome| pools.iter().filter(move |one| one.outcome == outcome);
    if let Some(pool) = of(PoolOutcome::Refused).next() {
        return strip(&pool.message).to_owned();
    }
    if let Some(pool) = of(PoolOutcome::Undecided).next() {
        return match said {
            Some(said) => {
                format!("pool {:?} could give one, but: {}", pool.pool, own_words(service, said))
            }
            None => {
                format!("pool {:?} could give one, and no controller has decided yet", pool.pool)
            }
        };
    }
    let empty: Vec<&PoolWord> = of(PoolOutcome::NothingToGive).collect();
    match (pools, empty.as_slice()) {
        ([], _) => "there is no AddressPool".to_owned(),
        (_, [one]) => strip(&one.message).to_owned(),
        (_, [first, rest @ ..]) => match rest.iter().all(|one| one.message.contains("no free")) {
            true => format!("all {} pools that it may use are full", empty.len()),
            false => strip(&first.message).to_owned(),
        },
        ([only], []) => format!("there is one pool, {:?}, {}", only.pool, only.message),
        _ if pools.iter().all(|one| one.outcome == PoolOutcome::NotForItsNamespace) => {
            format!("no pool is for Services of namespace {}", service.key.namespace())
        }
        _ => "there is no pool that it may use".to_owned(),
    }
}

/// Returns the fixes for a Service that lacks an address.
fn pending(pools: &[PoolWord], said: Option<&PublishedCondition>) -> Vec<String> {
    let undecided = pools.iter().find(|one| one.outcome == PoolOutcome::Undecided);
    let refused = pools.iter().any(|one| one.outcome == PoolOutcome::Refused);
    match (pools, undecided.filter(|_| !refused), said) {
        ([], ..) => vec!["create an AddressPool (to see its fields: kubectl explain addresspool.spec)".to_owned()],
        (_, Some(pool), Some(_)) => vec![format!(
            "follow the message of the controller; to see its other messages about pool {}: kubectl describe addresspool {}",
            pool.pool, pool.pool
        )],
        (_, Some(_), None) => vec!["to see whether a controller runs: outrigger status; in a cluster also kubectl -n outrigger-system get pods -l app.kubernetes.io/component=controller".to_owned()],
        _ => fixes(pools),
    }
}

/// Returns the controller's message without the prefix that repeats the headline.
fn own_words(service: &Service, said: &PublishedCondition) -> String {
    let message = &said.condition.message;
    let prefix = format!("Service {} has no address: ", service.key);
    message.strip_prefix(&prefix).unwrap_or(message).to_owned()
}

/// Returns the fixes of the pools that come closest to giving an address.
fn fixes(pools: &[PoolWord]) -> Vec<String> {
    let of = |outcome| {
        let words = pools.iter().filter(move |one| one.outcome == outcome);
        // The pool needs to be named only if there are several.
        words.flat_map(|one| {
            one.fixes.iter().map(|fix| match pools.len() {
                1 => fix.clone(),
                _ => format!("pool {}: {fix}", one.pool),
            })
        })
    };
    let near = of(PoolOutcome::Refused).chain(of(PoolOutcome::NothingToGive));
    let near: Vec<String> = near.chain(of(PoolOutcome::OnRequest)).collect();
    match near.is_empty() {
        true => of(PoolOutcome::NotForIt).chain(of(PoolOutcome::NotForItsNamespace)).collect(),
        false => near,
    }
}

fn list(addresses: &[IpAddr]) -> String {
    addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(" and ")
}

fn strip(message: &str) -> &str {
    let bare = [PASSED_OVER, WAITED_FOR].iter().find_map(|it| message.strip_prefix(it));
    bare.unwrap_or(message)
}

/// Returns the fix at the end of a message.
fn after_colon(message: &str) -> String {
    message.rsplit_once(": ").map_or(message, |(_, fix)| fix).to_owned()
}

/// Describes what a Service requests.
fn asked(service: &Service) -> String {
    let families: Vec<String> = service.families.iter().map(ToString::to_string).collect();
    let joined =
        families.join(if service.all_families { " and an " } else { " and, if available, an " });
    let mut text = format!("an {joined} address");
    if !service.wanted.is_empty() {
        let wanted: Vec<String> = service.wanted.iter().map(IpAddr::to_string).collect();
        text.push_str(&format!(", namely {}", wanted.join(" and ")));
    }
    if let Some(pool) = &service.pool {
        text.push_str(&format!(", from pool {pool:?}"));
    }
    if !service.sharing_key.is_empty() {
        text.push_str(&format!(", shared under the key {:?}", service.sharing_key));
    }
    if service.traffic_policy == TrafficPolicy::Local {
        text.push_str("; externalTrafficPolicy is Local");
    }
    text
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}", self.headline)?;
        for (error, names) in self.errors() {
            writeln!(f, "The plugin's last error on {}:\n  \"{error}\"", names.join(", "))?;
        }
        if !self.fixes.is_empty() {
            let one = if self.fixes.len() == 1 { "" } else { ", one of these may be enough" };
            writeln!(f, "\nWhat to change{one}:")?;
            self.fixes.iter().try_for_each(|fix| writeln!(f, "  - {fix}"))?;
        }
        writeln!(f, "\nThe Service requests {}.", self.asked)?;
        if let Some(PublishedCondition { condition, since }) = &self.said {
            let since = if since.is_empty() { String::new() } else { format!(", since {since}") };
            writeln!(
                f,
                "The controller reports{since}: {} ({})",
                condition.message, condition.reason
            )?;
        }
        if !self.pools.is_empty() {
            writeln!(f, "\nPools, in the order in which they are tried:")?;
            let rows = self.pools.iter().map(|one| (one.pool.as_str(), one.message.as_str()));
            table(f, &rows.collect::<Vec<_>>())?;
        }
        for address in &self.addresses {
            writeln!(f, "\nNodes, for {}:", address.address)?;
            let rows =
                address.nodes.iter().map(|(name, why)| (name.as_str(), why.message.as_str()));
            table(f, &rows.collect::<Vec<_>>())?;
        }
        Ok(())
    }
}

impl Why {
    /// Returns the last errors of failed plugins without duplicates, each with the nodes that report it.
    fn errors(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut errors: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let nodes = self.addresses.iter().flat_map(|address| &address.nodes);
        for (name, why) in nodes.filter(|(_, why)| !why.error.is_empty()) {
            let names = errors.entry(&why.error).or_default();
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        errors
    }

    /// Returns true if nothing needs to be changed, and every one of its addresses is answered for by a node.
    pub fn is_well(&self) -> bool {
        let answers =
            |why: &AddressWhy| why.nodes.values().any(|one| one.role == NodeRole::Answers);
        self.fixes.is_empty() && !self.addresses.is_empty() && self.addresses.iter().all(answers)
    }
}

fn table(f: &mut std::fmt::Formatter<'_>, rows: &[(&str, &str)]) -> std::fmt::Result {
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    rows.iter().enumerate().try_for_each(|(at, (name, text))| {
        match rows[..at].iter().find(|(_, other)| other == text && text.len() > LONG) {
            Some((first, _)) => writeln!(f, "  {name:width$}  the same as {first}"),
            None => writeln!(f, "  {name:width$}  {text}"),
        }
    })
}
