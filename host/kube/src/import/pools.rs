//! Converts IPAddressPools to AddressPools. This module must not know their announcers, which are filled in later.
use std::collections::BTreeMap;

use outrigger_core::facts::{AddressRange, Fact, Selector};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::selectors::alternatives;
use super::{Item, Work, config_map};
use crate::convert;
use crate::crd::{AddressPool, AddressPoolSpec, AllocatorSpec, LabelSelector};

/// A pool during the conversion.
#[derive(Debug)]
pub(super) struct Pool {
    pub name: String,
    /// Labels for the selectors of advertisements, and for the AddressPool.
    pub labels: BTreeMap<String, String>,
    pub spec: AddressPoolSpec,
    pub ranges: Vec<AddressRange>,
    /// The protocol of a pool of the 0.9 ConfigMap, which determines its announcer; `None` for an IPAddressPool.
    pub protocol: Option<Protocol>,
}

/// The protocol that announces a pool of the 0.9 ConfigMap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Layer2,
    Bgp,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default)]
    addresses: Vec<String>,
    auto_assign: Option<bool>,
    #[serde(default, rename = "avoidBuggyIPs")]
    avoid_buggy_ips: bool,
    service_allocation: Option<Allocation>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Allocation {
    #[serde(default)]
    priority: u32,
    #[serde(default)]
    namespaces: Vec<String>,
    #[serde(default)]
    namespace_selectors: Vec<LabelSelector>,
    #[serde(default)]
    service_selectors: Vec<LabelSelector>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl Pool {
    /// Returns the AddressPool object.
    pub fn object(&self) -> Value {
        let mut metadata = json!({ "name": self.name });
        if !self.labels.is_empty() {
            metadata["labels"] = json!(self.labels);
        }
        let mut spec = json!(self.spec);
        let usual = [
            ("autoAssign", json!(true)),
            ("avoidBuggyIPs", json!(false)),
            ("priority", json!(0)),
            ("allocator", json!(AllocatorSpec::default())),
        ];
        if let Some(fields) = spec.as_object_mut() {
            fields.retain(|field, value| {
                !usual.iter().any(|(name, usual)| name == field && usual == value)
            });
        }
        json!({
            "apiVersion": crate::crd::API_VERSION, "kind": "AddressPool",
            "metadata": metadata, "spec": spec,
        })
    }

    /// Adds an announcer unless the pool already has it.
    pub fn announced_by(&mut self, name: &str) {
        let announcers = self.spec.announcers.get_or_insert_default();
        if !announcers.iter().any(|known| known == name) {
            announcers.push(name.to_owned());
        }
    }

    /// Returns true if an advertisement with these pool names and selectors includes this pool. An advertisement without
    /// any includes all pools.
    pub fn is_meant(&self, names: &[String], selectors: &[LabelSelector]) -> bool {
        let selects = |one: &LabelSelector| {
            Selector::try_from(one).is_ok_and(|selector| selector.matches(&self.labels))
        };
        (names.is_empty() && selectors.is_empty())
            || names.contains(&self.name)
            || selectors.iter().any(selects)
    }
}

/// Converts the pools, the custom resources first: if both exist, MetalLB uses them rather than its ConfigMap.
pub(super) fn convert(work: &mut Work) -> Vec<Pool> {
    let mut pools = Vec::new();
    for item in work.of("IPAddressPool") {
        if let Some(pool) = of_item(work, &item) {
            add(work, &mut pools, &item.origin, "", pool);
        }
    }
    config_map::convert(work, &mut pools);
    pools
}

/// Adds a pool unless its name or its addresses conflict with another pool.
pub(super) fn add(work: &mut Work, pools: &mut Vec<Pool>, origin: &str, field: &str, pool: Pool) {
    if pools.iter().any(|other| other.name == pool.name) {
        let message =
            format!("there is another pool {:?}: this one is left out: rename it", pool.name);
        return work.leave(origin, field, message);
    }
    let overlaps = |other: &&Pool| {
        other.ranges.iter().any(|one| pool.ranges.iter().any(|range| range.overlaps(one)))
    };
    if let Some(other) = pools.iter().find(overlaps) {
        let message = format!(
            "pool {:?} overlaps pool {:?}: it is left out: take the common addresses out of one of them",
            pool.name, other.name
        );
        return work.leave(origin, field, message);
    }
    pools.push(pool);
}

/// Checks a pool as if it were applied. Returns `None` after reporting a problem.
pub(super) fn checked(
    work: &mut Work,
    origin: &str,
    field: &str,
    (name, labels): (String, BTreeMap<String, String>),
    spec: AddressPoolSpec,
) -> Option<Pool> {
    let mut object = AddressPool::new(&name, spec.clone());
    object.metadata.labels = Some(labels.clone());
    match convert::address_pool(&object).map(|converted| converted.facts.into_iter().next()) {
        Ok(Some(Fact::Pool(pool))) => {
            Some(Pool { name, labels, spec, ranges: pool.addresses.clone(), protocol: None })
        }
        Ok(_) => None,
        Err(invalid) => {
            let inner = invalid.field.strip_prefix("spec.").unwrap_or(&invalid.field);
            let field = format!("{field}.{inner}");
            let message = format!("{}: pool {name:?} is left out", invalid.problem);
            work.leave(origin, &field, message);
            None
        }
    }
}

fn of_item(work: &mut Work, item: &Item) -> Option<Pool> {
    let spec: Spec = work.spec(item)?;
    let mut ours = AddressPoolSpec {
        addresses: spec.addresses,
        exclude: Vec::new(),
        auto_assign: spec.auto_assign.unwrap_or(true),
        avoid_buggy_ips: spec.avoid_buggy_ips,
        priority: 0,
        namespaces: Vec::new(),
        namespace_selector: None,
        service_selector: None,
        allocator: AllocatorSpec::default(),
        announcers: Some(Vec::new()),
    };
    if let Some(allocation) = spec.service_allocation {
        restrict(work, item, allocation, &mut ours);
    }
    checked(work, &item.origin, "spec", (item.name.clone(), item.labels.clone()), ours)
}

fn restrict(work: &mut Work, item: &Item, allocation: Allocation, ours: &mut AddressPoolSpec) {
    const FIELD: &str = "spec.serviceAllocation";
    work.unknown(&item.origin, FIELD, &allocation.rest);
    ours.priority = allocation.priority;
    ours.namespaces = allocation.namespaces;
    let all = !allocation.namespace_selectors.is_empty()
        && alternatives(&allocation.namespace_selectors).is_empty();
    let mut selectors = alternatives(&allocation.namespace_selectors);
    if ours.namespaces.is_empty() && selectors.is_empty() || all {
        // MetalLB prefers such a pool to one without serviceAllocation. The selector that matches everything has the same effect.
        (ours.namespaces, ours.namespace_selector) = (Vec::new(), Some(LabelSelector::default()));
    } else if selectors.len() == 1 {
        ours.namespace_selector = selectors.pop();
    } else if !selectors.is_empty() {
        let selected = work.namespaces_of(&selectors);
        let named = if selected.is_empty() { "none yet".to_owned() } else { selected.join(", ") };
        ours.namespaces.extend(selected);
        ours.namespaces.sort();
        ours.namespaces.dedup();
        let message = format!(
            "an AddressPool has one namespaceSelector: the namespaces that match now are named instead ({named}); add later ones to spec.namespaces"
        );
        work.leave(&item.origin, &format!("{FIELD}.namespaceSelectors"), message);
        if ours.namespaces.is_empty() {
            ours.namespace_selector = selectors.into_iter().next();
        }
    }
    let mut selectors = alternatives(&allocation.service_selectors).into_iter();
    ours.service_selector = selectors.next();
    if selectors.next().is_some() {
        let message = "an AddressPool has one serviceSelector: the first one is kept; Services of the others keep the address they have, and get no new one from this pool";
        work.leave(&item.origin, &format!("{FIELD}.serviceSelectors"), message);
    }
}

impl Work {
    /// Returns the names of those known namespaces that match one of these selectors.
    fn namespaces_of(&self, selectors: &[LabelSelector]) -> Vec<String> {
        let selected = |namespace: &&Value| {
            let labels = namespace.pointer("/metadata/labels").cloned().unwrap_or_default();
            let labels = serde_json::from_value(labels).unwrap_or_default();
            let matches = |one: &LabelSelector| {
                Selector::try_from(one).is_ok_and(|selector| selector.matches(&labels))
            };
            selectors.iter().any(matches)
        };
        let names = self.namespaces.iter().filter(selected);
        names.filter_map(|one| one["metadata"]["name"].as_str().map(str::to_owned)).collect()
    }
}
