//! Converts back: returns the objects to apply so that MetalLB again serves what Outrigger serves. These are the originals
//! if nothing was changed since the import, and otherwise Outrigger's objects as far as MetalLB can express them. This
//! module must not know who applies the result.
use std::collections::{BTreeMap, BTreeSet};

use outrigger_core::facts::AddressRange;
use serde_json::{Value, json};

use super::{Imported, METALLB_NAMESPACE, ORIGINALS, Original, Work, layer2, metallb, read_values};
use crate::crd::{AddressPool, Announcer, FailurePolicy};

/// Converts Outrigger's objects, including the kept originals, back to MetalLB's.
pub fn undo(ours: &[Original], namespace: Option<&str>) -> Imported {
    let mut work = Work::default();
    let kept = kept(ours);
    let expected = metallb(&kept, namespace);
    let is_configuration =
        |object: &Value| matches!(object["kind"].as_str(), Some("AddressPool" | "Announcer"));
    let specs = |objects: &mut dyn Iterator<Item = &Value>| -> BTreeMap<String, Value> {
        let ours = objects.filter(|object| is_configuration(object));
        ours.map(|object| (title(object), normal(object))).collect()
    };
    let now = specs(&mut ours.iter().map(|one| &one.object));
    let then = specs(&mut expected.objects.iter());
    services(&mut work, ours);
    passwords(&mut work, ours, &kept);
    let originals: Vec<Value> = kept.iter().map(|one| one.object.clone()).collect();
    if !kept.is_empty() && now == then {
        return Imported { objects: originals, left_out: work.left_out };
    }
    if !kept.is_empty() {
        let differing: BTreeSet<&String> =
            now.keys().chain(then.keys()).filter(|key| now.get(*key) != then.get(*key)).collect();
        let differing = differing.into_iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let message = "changed since the import: pools and L2Advertisements are generated from the current objects, and all other originals are printed unchanged";
        work.leave(&differing, "", message);
    }
    let namespace = namespace.unwrap_or(METALLB_NAMESPACE);
    let has_bgp = originals.iter().any(|object| object["kind"] == "BGPPeer");
    let mut objects = from_ours(&mut work, ours, namespace, has_bgp);
    let replaced = ["IPAddressPool", "L2Advertisement", "ConfigMap"];
    let kind = |object: &Value| object["kind"].as_str().unwrap_or_default().to_owned();
    objects
        .extend(originals.into_iter().filter(|object| !replaced.contains(&kind(object).as_str())));
    Imported { objects, left_out: work.left_out }
}

/// Returns the originals that the import kept.
fn kept(ours: &[Original]) -> Vec<Original> {
    let (name, key) = ORIGINALS;
    let is_kept = |one: &&Original| {
        one.object["kind"] == "ConfigMap" && one.object["metadata"]["name"] == name
    };
    let text = ours.iter().find(is_kept).and_then(|one| one.object["data"][key].as_str());
    let objects = text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    read_values("", objects)
}

fn title(object: &Value) -> String {
    let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default();
    format!("{} {}", text("/kind"), text("/metadata/name"))
}

/// Normalizes an object, so that it compares equal with or without the API server's defaults.
fn normal(object: &Value) -> Value {
    match object["kind"].as_str() {
        Some("AddressPool") => serde_json::from_value::<AddressPool>(object.clone())
            .map_or(Value::Null, |one| json!(one.spec)),
        _ => {
            // Plaintext passwords are not kept, so that their Secrets cannot be expected.
            let mut spec = object["spec"].clone();
            let peers = spec.pointer_mut("/config/peers").and_then(Value::as_array_mut);
            for peer in peers.into_iter().flatten().filter_map(Value::as_object_mut) {
                peer.remove("md5");
            }
            spec.as_object_mut().map(|spec| spec.remove("secretRefs"));
            spec
        }
    }
}

/// Reports the plaintext passwords of the originals, which are now in Secrets.
fn passwords(work: &mut Work, ours: &[Original], kept: &[Original]) {
    let secrets = ours.iter().flat_map(|one| one.object["spec"]["secretRefs"].as_array().cloned());
    let names: Vec<String> = secrets
        .flatten()
        .filter_map(|secret| secret["name"].as_str()?.strip_prefix("bgp-").map(str::to_owned))
        .collect();
    for name in names {
        let has_secret = |one: &Original| {
            let own =
                one.object["metadata"]["name"] == name.as_str() && one.object["kind"] == "BGPPeer";
            own && one.object["spec"]["passwordSecret"].is_object()
        };
        if !kept.iter().any(has_secret) {
            let message = format!(
                "its password was not stored in clear text: restore it; it is in Secret bgp-{name} of {}",
                crate::api::NAMESPACE
            );
            work.leave(&format!("BGPPeer {name}"), "spec.password", message);
        }
    }
}

fn from_ours(work: &mut Work, ours: &[Original], namespace: &str, has_bgp: bool) -> Vec<Value> {
    let metadata = |name: &str| json!({ "name": name, "namespace": namespace });
    let mut objects = Vec::new();
    let mut advertised: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let (mut pools, mut announcers) = (Vec::new(), Vec::new());
    for one in ours {
        match one.object["kind"].as_str() {
            Some("AddressPool") => pools.extend(parsed::<AddressPool>(work, one)),
            Some("Announcer") => announcers.extend(parsed::<Announcer>(work, one)),
            _ => {}
        }
    }
    let known: Vec<String> =
        announcers.iter().filter_map(|(_, one)| one.metadata.name.clone()).collect();
    for (origin, pool) in pools {
        let name = pool.metadata.name.clone().unwrap_or_default();
        let everybody = || match known.is_empty() {
            true => vec![layer2::BUILT_IN.to_owned()],
            false => known.clone(),
        };
        for announcer in pool.spec.announcers.clone().unwrap_or_else(everybody) {
            advertised.entry(announcer).or_default().push(name.clone());
        }
        objects.push(json!({
            "apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool",
            "metadata": labelled(metadata(&name), &pool), "spec": pool_spec(work, &origin, &pool),
        }));
    }
    if let Some(names) = advertised
        .get(layer2::BUILT_IN)
        .filter(|_| !known.iter().any(|one| one == layer2::BUILT_IN))
    {
        objects.push(json!({
            "apiVersion": "metallb.io/v1beta1", "kind": "L2Advertisement", "metadata": metadata(layer2::BUILT_IN),
            "spec": { "ipAddressPools": names },
        }));
    }
    for (origin, announcer) in announcers {
        let name = announcer.metadata.name.clone().unwrap_or_default();
        let Some(names) = advertised.get(&name) else { continue };
        match announcer.spec.plugin.as_str() {
            layer2::BUILT_IN => objects.push(json!({
                "apiVersion": "metallb.io/v1beta1", "kind": "L2Advertisement",
                "metadata": metadata(&name), "spec": advertisement(&announcer, names),
            })),
            "bgp" if has_bgp => {}
            "bgp" => {
                let message =
                    "is not converted to BGPPeers, because no originals were stored: write them";
                work.leave(&origin, "spec.config", message);
            }
            other => {
                let message = format!("MetalLB has no {other}: left out");
                work.leave(&origin, "spec.plugin", message);
            }
        }
    }
    objects
}

/// Adds the labels of a pool, because the selectors of advertisements may refer to them.
fn labelled(mut metadata: Value, pool: &AddressPool) -> Value {
    if let Some(labels) = pool.metadata.labels.as_ref().filter(|labels| !labels.is_empty()) {
        metadata["labels"] = json!(labels);
    }
    metadata
}

/// Returns the spec of the L2Advertisement with the restrictions of an announcer.
fn advertisement(announcer: &Announcer, pools: &[String]) -> Value {
    let spec = &announcer.spec;
    let list = |selector: &Option<_>| selector.iter().map(|one| json!(one)).collect::<Vec<_>>();
    let mut own = json!({ "ipAddressPools": pools });
    for (field, list) in [
        ("nodeSelectors", list(&spec.node_selector)),
        ("serviceSelectors", list(&spec.service_selector)),
        ("interfaces", spec.interfaces.iter().map(|one| json!(one)).collect()),
    ] {
        if !list.is_empty() {
            own[field] = json!(list);
        }
    }
    own
}

fn parsed<T: serde::de::DeserializeOwned>(work: &mut Work, one: &Original) -> Option<(String, T)> {
    let origin = title(&one.object);
    match serde_json::from_value(one.object.clone()) {
        Ok(object) => Some((origin, object)),
        Err(error) => {
            work.leave(&origin, "", format!("{error}: left out"));
            None
        }
    }
}

fn pool_spec(work: &mut Work, origin: &str, pool: &AddressPool) -> Value {
    let ours = &pool.spec;
    let mut spec = json!({ "addresses": ours.addresses });
    if !ours.exclude.is_empty() {
        spec["addresses"] = json!(without(&ours.addresses, &ours.exclude));
    }
    if !ours.auto_assign {
        spec["autoAssign"] = json!(false);
    }
    if ours.avoid_buggy_ips {
        spec["avoidBuggyIPs"] = json!(true);
    }
    let mut allocation = serde_json::Map::new();
    if ours.priority > 0 {
        allocation.insert("priority".to_owned(), json!(ours.priority));
    }
    if !ours.namespaces.is_empty() {
        allocation.insert("namespaces".to_owned(), json!(ours.namespaces));
    }
    for (field, selector) in [
        ("namespaceSelectors", &ours.namespace_selector),
        ("serviceSelectors", &ours.service_selector),
    ] {
        let all = |one: &&crate::crd::LabelSelector| **one == crate::crd::LabelSelector::default();
        if let Some(one) = selector.as_ref().filter(|one| !all(one)) {
            allocation.insert(field.to_owned(), json!([one]));
        }
    }
    if !allocation.is_empty() || ours.namespace_selector.is_some() {
        spec["serviceAllocation"] = json!(allocation);
    }
    if ours.allocator.plugin != "lowest-free" {
        let message = format!(
            "MetalLB has no policy {:?}: it allocates the lowest free address",
            ours.allocator.plugin
        );
        work.leave(origin, "spec.allocator.plugin", message);
    }
    if ours.allocator.failure_policy != FailurePolicy::default() {
        let message = "MetalLB has no failure policy: ignored".to_owned();
        work.leave(origin, "spec.allocator.failurePolicy", message);
    }
    spec
}

/// Splits the ranges around the exclusions, which MetalLB does not have. Lines that do not parse are not changed.
fn without(addresses: &[String], exclude: &[String]) -> Vec<String> {
    let holes: Vec<AddressRange> = exclude.iter().filter_map(|line| line.parse().ok()).collect();
    let mut lines = Vec::new();
    for line in addresses {
        let Ok(range) = line.parse::<AddressRange>() else {
            lines.push(line.clone());
            continue;
        };
        let mut parts = vec![range];
        for hole in &holes {
            parts = parts.into_iter().flat_map(|part| part.without(hole)).collect();
        }
        lines.extend(parts.iter().map(ToString::to_string));
    }
    lines
}

/// Reports the annotations and classes of Services that only Outrigger reads. The Services keep their addresses.
fn services(work: &mut Work, ours: &[Original]) {
    for one in ours.iter().filter(|one| one.object["kind"] == "Service") {
        let meta = &one.object["metadata"];
        let (namespace, name) = (
            meta["namespace"].as_str().unwrap_or("default"),
            meta["name"].as_str().unwrap_or_default(),
        );
        let origin = format!("Service {namespace}/{name}");
        for names in crate::convert::OWN_ANNOTATIONS {
            let text = |name: &str| meta["annotations"][name].as_str();
            let (Some(own), [_, theirs, old]) = (text(names[0]), names) else { continue };
            if text(theirs).or(text(old)) == Some(own) {
                continue;
            }
            let message = format!(
                "MetalLB does not read it: kubectl -n {namespace} annotate service {name} --overwrite {theirs}={own}"
            );
            work.leave(&origin, &format!("metadata.annotations[{}]", names[0]), message);
        }
        if let Some(class) = one.object["spec"]["loadBalancerClass"].as_str() {
            let message =
                format!("is {class:?}, which MetalLB serves only with --lb-class={class}");
            work.leave(&origin, "spec.loadBalancerClass", message);
        }
    }
}
