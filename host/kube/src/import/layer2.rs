//! Converts L2Advertisements to Announcers of the plugin layer2. An L2Advertisement without restrictions needs no object,
//! because the built-in announcer does the same. This module must not know BGP.
use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Value, json};

use super::pools::{Pool, Protocol};
use super::selectors::{alternatives, may_overlap};
use super::{Item, Work};
use crate::crd::{Allow, AnnouncerSpec, LabelSelector, PluginConfig};

/// The name of the announcer that needs no object, and of its plugin.
pub(super) const BUILT_IN: &str = "layer2";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default, rename = "ipAddressPools")]
    pools: Vec<String>,
    #[serde(default, rename = "ipAddressPoolSelectors")]
    pool_selectors: Vec<LabelSelector>,
    #[serde(default)]
    node_selectors: Vec<LabelSelector>,
    #[serde(default)]
    interfaces: Vec<String>,
    #[serde(default)]
    service_selectors: Vec<LabelSelector>,
    #[serde(default)]
    preferred_node_selectors: Vec<Value>,
}

/// An announcer that was made from an advertisement, and its pools.
struct Made {
    name: String,
    pools: BTreeSet<String>,
    spec: AnnouncerSpec,
}

impl Made {
    /// Returns true if two announcers may compete. MetalLB combines advertisements, but only one of Outrigger's announcers
    /// answers for an address on an interface.
    fn overlaps(&self, other: &Self) -> bool {
        let (own, theirs) = (&self.spec, &other.spec);
        let interfaces = own.interfaces.is_empty()
            || theirs.interfaces.is_empty()
            || own.interfaces.iter().any(|name| theirs.interfaces.contains(name));
        let may = |one: &Option<_>, other: &Option<_>| may_overlap(one.as_ref(), other.as_ref());
        interfaces
            && !self.pools.is_disjoint(&other.pools)
            && may(&own.node_selector, &theirs.node_selector)
            && may(&own.service_selector, &theirs.service_selector)
    }
}

/// Adds the announcers to the pools, and returns those that need an object.
pub(super) fn convert(work: &mut Work, pools: &mut [Pool]) -> Vec<Value> {
    let layer2 = |pool: &&mut Pool| pool.protocol == Some(Protocol::Layer2);
    pools.iter_mut().filter(layer2).for_each(|pool| pool.announced_by(BUILT_IN));
    let advertisements: Vec<(Item, Spec)> = work.specs("L2Advertisement");
    advertisements.iter().for_each(|(item, spec)| check(work, item, spec, pools));
    let (plain, others): (Vec<_>, Vec<_>) =
        advertisements.into_iter().partition(|(_, spec)| spec.restricts_nothing());
    for pool in pools.iter_mut().filter(|pool| pool.protocol.is_none()) {
        if plain.iter().any(|(_, spec)| pool.is_meant(&spec.pools, &spec.pool_selectors)) {
            pool.announced_by(BUILT_IN);
        }
    }
    let mut objects = Vec::new();
    let mut made: Vec<Made> = Vec::new();
    for (item, spec) in others {
        let meant = |pool: &&mut Pool| {
            // A pool that is announced everywhere needs no further announcer.
            let everywhere = pool.spec.announcers.iter().flatten().any(|name| name == BUILT_IN);
            !everywhere
                && pool.protocol.is_none()
                && pool.is_meant(&spec.pools, &spec.pool_selectors)
        };
        let mut meant: Vec<&mut Pool> = pools.iter_mut().filter(meant).collect();
        if meant.is_empty() {
            continue;
        }
        for (name, announcer) in announcers(&item, &spec) {
            meant.iter_mut().for_each(|pool| pool.announced_by(&name));
            let pools = meant.iter().map(|pool| pool.name.clone()).collect();
            let one = Made { name: name.clone(), pools, spec: announcer.clone() };
            for other in made.iter().filter(|other| one.overlaps(other)) {
                let message = format!(
                    "it overlaps: Announcers {} and {name} share pools and may use the same interface of a node, where one of them answers and the other reports an error: give them different nodes, interfaces or Services, or merge them",
                    other.name
                );
                work.leave(&item.origin, "spec", message);
            }
            made.push(one);
            objects.push(json!({
                "apiVersion": crate::crd::API_VERSION, "kind": "Announcer",
                "metadata": { "name": name }, "spec": announcer,
            }));
        }
    }
    objects
}

/// Returns the built-in announcer as an object, for callers that add settings to it; `None` if no pool names it.
pub(super) fn built_in_object(pools: &[Pool]) -> Option<Value> {
    let is_named = pools.iter().flat_map(|pool| pool.spec.announcers.iter().flatten());
    is_named.into_iter().any(|name| name == BUILT_IN).then(|| {
        json!({
            "apiVersion": crate::crd::API_VERSION, "kind": "Announcer",
            "metadata": { "name": BUILT_IN }, "spec": { "plugin": BUILT_IN },
        })
    })
}

fn check(work: &mut Work, item: &Item, spec: &Spec, pools: &[Pool]) {
    for name in spec.pools.iter().filter(|name| !pools.iter().any(|pool| pool.name == **name)) {
        let message = format!("there is no pool {name:?}, or it was left out: ignored");
        work.leave(&item.origin, "spec.ipAddressPools", message);
    }
    if !spec.preferred_node_selectors.is_empty() {
        let message = "nodes cannot be preferred: all nodes that may answer are equal; to keep an address on some nodes, use nodeSelectors";
        work.leave(&item.origin, "spec.preferredNodeSelectors", message);
    }
}

impl Spec {
    fn restricts_nothing(&self) -> bool {
        alternatives(&self.node_selectors).is_empty()
            && alternatives(&self.service_selectors).is_empty()
            && self.interfaces.is_empty()
    }
}

/// Returns one announcer for each combination of node selectors and service selectors that cannot be merged into one.
fn announcers(item: &Item, spec: &Spec) -> Vec<(String, AnnouncerSpec)> {
    let each = |list: &[LabelSelector]| -> Vec<Option<LabelSelector>> {
        match alternatives(list) {
            all if all.is_empty() => vec![None],
            some => some.into_iter().map(Some).collect(),
        }
    };
    let services = each(&spec.service_selectors);
    let pairs = each(&spec.node_selectors)
        .into_iter()
        .flat_map(|node| services.iter().map(move |service| (node.clone(), service.clone())));
    let own = if item.name == BUILT_IN { "layer2-metallb" } else { &item.name };
    let one = |(at, (node_selector, service_selector)): (usize, _)| {
        let name = if at == 0 { own.to_owned() } else { format!("{own}-{}", at + 1) };
        let spec = AnnouncerSpec {
            plugin: BUILT_IN.to_owned(),
            config: PluginConfig::default(),
            node_selector,
            interfaces: spec.interfaces.clone(),
            service_selector,
            ignore_exclude_label: false,
            election: None,
            allow: Allow::default(),
            secret_refs: Vec::new(),
        };
        (name, spec)
    };
    pairs.enumerate().map(one).collect()
}
