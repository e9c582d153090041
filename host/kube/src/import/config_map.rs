//! Converts the ConfigMap of MetalLB 0.9 to 0.12: its pools to AddressPools, and the rest to the custom resources that
//! replaced it. The conversion is strict, as MetalLB was: invalid parts are left out as a whole rather than guessed. This
//! module must not know how those resources are converted.
use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::pools::{Pool, Protocol, add, checked};
use super::{Item, METALLB_NAMESPACE, Work};
use crate::convert::{METALLB_KEY, MetallbPool, metallb_sections, recognises_metallb};
use crate::crd::{AddressPoolSpec, AllocatorSpec};

/// The usual name of the ConfigMap.
const NAME: &str = "config";
const FIELD: &str = "data.config";
/// The key with the interfaces that MetalLB excludes.
pub(super) const EXCLUDED_LINKS: &str = "excludel2.yaml";
pub(super) const RAW_FRR: &str = "extras";

/// Returns true if a ConfigMap belongs to MetalLB, even if its text has errors.
pub(super) fn is_metallbs(item: &Item) -> bool {
    let data = &item.object["data"];
    let is_usual = item.name == NAME && ["", METALLB_NAMESPACE].contains(&item.namespace.as_str());
    let says = |text: &str| {
        let protocol =
            |line: &str| line.contains("protocol: layer2") || line.contains("protocol: bgp");
        recognises_metallb(text) || text.lines().any(protocol)
    };
    // Other programs use the same names for a ConfigMap and its key.
    let config = data[METALLB_KEY].as_str();
    config.is_some_and(|text| is_usual || says(text))
        || data[EXCLUDED_LINKS].is_string()
        || (item.name == "bgpextras" && data[RAW_FRR].is_string())
}

/// Adds the pools to `pools`, and the parts for BGP to the items.
pub(super) fn convert(work: &mut Work, pools: &mut Vec<Pool>) {
    for item in work.of("ConfigMap") {
        let Some(text) = item.object["data"][METALLB_KEY].as_str() else { continue };
        match metallb_sections(text) {
            Ok(config) => sections(work, pools, &item, config),
            Err(error) => {
                let message =
                    format!("{error}: all of it is left out: correct it and import again");
                work.leave(&item.origin, FIELD, message);
            }
        }
    }
}

fn sections(work: &mut Work, pools: &mut Vec<Pool>, item: &Item, config: Map<String, Value>) {
    for (key, value) in config {
        let field = format!("{FIELD}.{key}");
        let entries = match value {
            Value::Array(entries) => entries,
            Value::Null => continue,
            Value::Object(map) if key == "bgp-communities" => {
                communities(work, item, map);
                continue;
            }
            _ => {
                work.leave(
                    &item.origin,
                    &field,
                    "is not a list: it is left out: write one entry per dash",
                );
                continue;
            }
        };
        for (at, entry) in entries.into_iter().enumerate() {
            let field = format!("{field}[{at}]");
            match key.as_str() {
                "address-pools" => pool(work, pools, item, &field, entry),
                "peers" => peer(work, item, &field, entry),
                "bfd-profiles" => bfd_profile(work, item, &field, entry),
                _ => {}
            }
        }
        if !["address-pools", "peers", "bfd-profiles"].contains(&key.as_str()) {
            let message = "MetalLB knows no such key: it is left out; there are address-pools, peers, bgp-communities and bfd-profiles";
            work.leave(&item.origin, &field, message);
        }
    }
}

fn pool(work: &mut Work, pools: &mut Vec<Pool>, item: &Item, field: &str, entry: Value) {
    let called = entry["name"].as_str().unwrap_or("without a name").to_owned();
    let old: MetallbPool = match serde_json::from_value(entry) {
        Ok(old) => old,
        Err(error) => {
            let message =
                format!("{error}: pool {called} is left out: correct it and import again");
            return work.leave(&item.origin, field, message);
        }
    };
    let protocol = match old.protocol.as_str() {
        "layer2" => Protocol::Layer2,
        "bgp" => Protocol::Bgp,
        other => {
            let message = format!("{other:?} is neither layer2 nor bgp: pool {called} is left out");
            return work.leave(&item.origin, &format!("{field}.protocol"), message);
        }
    };
    let spec = AddressPoolSpec {
        addresses: old.addresses,
        exclude: Vec::new(),
        auto_assign: old.auto_assign.unwrap_or(true),
        avoid_buggy_ips: old.avoid_buggy_ips,
        priority: 0,
        namespaces: Vec::new(),
        namespace_selector: None,
        service_selector: None,
        allocator: AllocatorSpec::default(),
        announcers: Some(Vec::new()),
    };
    let name = object_name(work, item, field, &old.name);
    let Some(pool) = checked(work, &item.origin, field, (name.clone(), BTreeMap::new()), spec)
    else {
        return;
    };
    add(work, pools, &item.origin, field, Pool { protocol: Some(protocol), ..pool });
    if protocol == Protocol::Bgp {
        let none = vec![Map::new()];
        let advertisements =
            if old.bgp_advertisements.is_empty() { none } else { old.bgp_advertisements };
        for (at, advertisement) in advertisements.into_iter().enumerate() {
            let field = format!("{field}.bgp-advertisements[{at}]");
            let mut spec = camel_case(advertisement);
            spec.insert("ipAddressPools".to_owned(), json!([name]));
            put(work, item, "BGPAdvertisement", &format!("{name}-{}", at + 1), &field, spec);
        }
    }
}

/// Returns a valid object name. Names in the ConfigMap were arbitrary; object names are not.
fn object_name(work: &mut Work, item: &Item, field: &str, name: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let own: String = name.chars().map(letter).collect();
    let own = own.trim_matches('-').to_owned();
    if own != name
        && name.contains(|c: char| {
            !c.is_ascii_lowercase() && !c.is_ascii_digit() && c != '-' && c != '.'
        })
    {
        let message = format!(
            "{name:?} is not a valid object name: the pool is named {own:?} instead; Services that request it by annotation must request {own:?}"
        );
        work.leave(&item.origin, &format!("{field}.name"), message);
        return own;
    }
    name.to_owned()
}

fn peer(work: &mut Work, item: &Item, field: &str, entry: Value) {
    let Value::Object(map) = entry else {
        return work.leave(&item.origin, field, "is not a peer: it is left out");
    };
    let name = match map.get("name").and_then(Value::as_str) {
        Some(name) => name.to_owned(),
        None => format!("peer{}", work.of("BGPPeer").len() + 1),
    };
    let mut spec = camel_case(map);
    spec.remove("name");
    put(work, item, "BGPPeer", &name, field, spec);
}

fn bfd_profile(work: &mut Work, item: &Item, field: &str, entry: Value) {
    let Value::Object(map) = entry else {
        return work.leave(&item.origin, field, "is not a BFD profile: it is left out");
    };
    let mut spec = camel_case(map);
    let name = spec.remove("name").and_then(|name| name.as_str().map(str::to_owned));
    put(work, item, "BFDProfile", &name.unwrap_or_default(), field, spec);
}

fn communities(work: &mut Work, item: &Item, map: Map<String, Value>) {
    let list: Vec<Value> =
        map.into_iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    let spec = json!({ "communities": list }).as_object().cloned().unwrap_or_default();
    put(work, item, "Community", "bgp-communities", &format!("{FIELD}.bgp-communities"), spec);
}

fn put(
    work: &mut Work,
    from: &Item,
    kind: &str,
    name: &str,
    field: &str,
    spec: Map<String, Value>,
) {
    work.items.push(Item {
        kind: kind.to_owned(),
        name: name.to_owned(),
        origin: format!("{}: {field}", from.origin),
        spec: Value::Object(spec),
        ..from.clone()
    });
}

/// Renames the keys of the ConfigMap to those of the custom resources.
fn camel_case(map: Map<String, Value>) -> Map<String, Value> {
    let word = |key: &str| match key {
        "my-asn" => "myASN".to_owned(),
        "peer-asn" => "peerASN".to_owned(),
        "router-id" => "routerID".to_owned(),
        "localpref" => "localPref".to_owned(),
        "ebgp-multihop" => "ebgpMultiHop".to_owned(),
        "minimum-ttl" => "minimumTtl".to_owned(),
        "aggregation-length-v6" => "aggregationLengthV6".to_owned(),
        other => {
            let mut parts = other.split('-');
            let first = parts.next().unwrap_or_default().to_owned();
            parts.fold(first, |all, part| {
                let (head, tail) = part.split_at(part.len().min(1));
                all + &head.to_ascii_uppercase() + tail
            })
        }
    };
    let value = |key: &str, value: Value| match (key, value) {
        ("node-selectors", Value::Array(list)) => {
            let selector = |one: Value| match one {
                Value::Object(map) => Value::Object(camel_case(map)),
                other => other,
            };
            Value::Array(list.into_iter().map(selector).collect())
        }
        (_, value) => value,
    };
    map.into_iter().map(|(key, one)| (word(&key), value(&key, one))).collect()
}
