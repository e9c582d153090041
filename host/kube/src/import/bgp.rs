//! Converts BGPPeers, BGPAdvertisements, BFDProfiles and Communities to one Announcer of the plugin bgp. The field names of
//! its configuration are defined by the plugin; this is the only place that must follow them. This module must not know
//! layer 2.
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use outrigger_core::facts::AddressRange;
use outrigger_sdk::Family;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::pools::{Pool, Protocol};
use super::{Item, Work};
use crate::crd::{API_VERSION, LabelSelector};

/// The name of the Announcer, and of its plugin.
const NAME: &str = "bgp";
/// The key of MetalLB's Secrets, which are of type basic-auth.
const PASSWORD: &str = "password";
/// The addresses of the routers of unnumbered peers.
const LINK_LOCAL: &str = "fe80::/10";
/// Instruction that applies to every Secret.
const READABLE: &str = "then allow the nodes to read it: add its name to resourceNames in manifests/bgp-passwords.yaml, and apply that file";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Peer {
    #[serde(rename = "myASN")]
    my_asn: u32,
    #[serde(default, rename = "peerASN")]
    peer_asn: u32,
    #[serde(default, rename = "dynamicASN")]
    dynamic_asn: String,
    #[serde(default, rename = "localASN")]
    local_asn: u32,
    #[serde(default)]
    peer_address: String,
    #[serde(default)]
    interface: String,
    #[serde(default)]
    source_address: String,
    #[serde(default)]
    peer_port: u16,
    #[serde(default)]
    hold_time: String,
    #[serde(default)]
    keepalive_time: String,
    #[serde(default)]
    connect_time: String,
    #[serde(default, rename = "routerID")]
    router_id: String,
    #[serde(default)]
    node_selectors: Vec<LabelSelector>,
    #[serde(default)]
    password: String,
    password_secret: Option<SecretName>,
    #[serde(default)]
    bfd_profile: String,
    #[serde(default)]
    enable_graceful_restart: bool,
    #[serde(default)]
    ebgp_multi_hop: bool,
    #[serde(default)]
    vrf: String,
    #[serde(default, rename = "disableMP")]
    _disable_mp: bool,
    #[serde(default, rename = "dualStackAddressFamily")]
    dual_stack: bool,
}

#[derive(Deserialize)]
struct SecretName {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Advertisement {
    aggregation_length: Option<u8>,
    aggregation_length_v6: Option<u8>,
    #[serde(default)]
    local_pref: u32,
    #[serde(default)]
    communities: Vec<String>,
    #[serde(default, rename = "ipAddressPools")]
    pools: Vec<String>,
    #[serde(default, rename = "ipAddressPoolSelectors")]
    pool_selectors: Vec<LabelSelector>,
    #[serde(default)]
    node_selectors: Vec<LabelSelector>,
    #[serde(default)]
    peers: Vec<String>,
    #[serde(default)]
    service_selectors: Vec<LabelSelector>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bfd {
    receive_interval: Option<u32>,
    transmit_interval: Option<u32>,
    detect_multiplier: Option<u8>,
    #[serde(default)]
    echo_mode: bool,
    #[serde(default, rename = "echoInterval")]
    _echo_interval: Option<u32>,
    #[serde(default)]
    passive_mode: bool,
    minimum_ttl: Option<u8>,
}

#[derive(Deserialize)]
struct Communities {
    #[serde(default)]
    communities: Vec<Alias>,
}

#[derive(Deserialize)]
struct Alias {
    name: String,
    value: String,
}

/// Adds the announcer to the pools that are advertised, and returns it.
pub(super) fn convert(work: &mut Work, pools: &mut [Pool]) -> Vec<Value> {
    let profiles = profiles(work);
    let peers: Vec<(Item, Peer)> = work.specs("BGPPeer");
    let mut advertisements = Vec::new();
    for (item, spec) in work.specs::<Advertisement>("BGPAdvertisement") {
        advertisements.extend(advertisement(work, &item, &spec, pools));
    }
    let Some((_, first)) = peers.first() else {
        if !advertisements.is_empty() {
            work.leave(
                "BGPAdvertisement",
                "",
                "there is no BGPPeer, so nothing is announced by BGP",
            );
        }
        return Vec::new();
    };
    let mut config = Map::new();
    put(&mut config, "asn", Some(first.my_asn));
    put(&mut config, "routerId", text(&first.router_id));
    let (asn, router_id) = (first.my_asn, first.router_id.clone());
    let (mut entries, mut secrets) = (Vec::new(), Vec::new());
    for (item, spec) in &peers {
        if spec.router_id != router_id {
            let message = "a speaker has one router ID: that of the first BGPPeer is used for all";
            work.leave(&item.origin, "spec.routerID", message);
        }
        let secret = secret(work, item, spec);
        entries.push(peer(work, item, spec, asn, secret.as_deref(), &profiles));
        secrets.extend(secret);
    }
    put(&mut config, "peers", Some(entries));
    put(&mut config, "advertisements", Some(advertisements));
    let aliases = aliases(work);
    put(&mut config, "communityAliases", (!aliases.is_empty()).then_some(aliases));
    let allow = allow(&peers, &config["advertisements"], pools);
    let mut spec = json!({ "plugin": NAME, "config": config, "allow": allow });
    secrets.sort();
    secrets.dedup();
    if !secrets.is_empty() {
        spec["secretRefs"] = secrets.iter().map(|name| json!({ "name": name })).collect();
    }
    vec![json!({
        "apiVersion": API_VERSION, "kind": "Announcer", "metadata": { "name": NAME }, "spec": spec,
    })]
}

/// Returns the grant of the announcer: its peers, and the prefixes of those pools that are announced in prefixes wider than
/// one address.
fn allow(peers: &[(Item, Peer)], advertisements: &Value, pools: &[Pool]) -> Value {
    let remote = |(_, peer): &(Item, Peer)| match peer.peer_address.as_str() {
        "" => LINK_LOCAL.to_owned(),
        address => address.split('%').next().unwrap_or(address).to_owned(),
    };
    let remotes: BTreeSet<String> = peers.iter().map(remote).collect();
    let mut aggregates = BTreeSet::new();
    for advertisement in advertisements.as_array().into_iter().flatten() {
        let named: Vec<_> = advertisement["pools"].as_array().into_iter().flatten().collect();
        let pools = pools.iter().filter(|pool| named.iter().any(|name| **name == *pool.name));
        let is_wide = |range: &&AddressRange| match range.family() {
            Family::Ipv4 => advertisement["aggregationLength"].is_number(),
            Family::Ipv6 => advertisement["aggregationLengthV6"].is_number(),
        };
        let ranges = pools.flat_map(|pool| &pool.ranges).filter(is_wide);
        aggregates.extend(ranges.flat_map(AddressRange::prefixes));
    }
    let mut allow = Map::new();
    put(&mut allow, "peers", Some(remotes));
    put(&mut allow, "aggregates", (!aggregates.is_empty()).then_some(aggregates));
    Value::Object(allow)
}

fn aliases(work: &mut Work) -> BTreeMap<String, String> {
    let mut aliases = BTreeMap::new();
    for (_, spec) in work.specs::<Communities>("Community") {
        aliases.extend(spec.communities.into_iter().map(|one| (one.name, one.value)));
    }
    aliases
}

fn profiles(work: &mut Work) -> BTreeMap<String, Value> {
    let mut profiles = BTreeMap::new();
    for (item, spec) in work.specs::<Bfd>("BFDProfile") {
        if spec.echo_mode {
            let message = "BFD has no echo function here: asynchronous mode is used instead";
            work.leave(&item.origin, "spec.echoMode", message);
        }
        let mut profile = Map::new();
        put(&mut profile, "receiveInterval", spec.receive_interval);
        put(&mut profile, "transmitInterval", spec.transmit_interval);
        put(&mut profile, "detectMultiplier", spec.detect_multiplier);
        put(&mut profile, "passive", spec.passive_mode.then_some(true));
        put(&mut profile, "minimumTtl", spec.minimum_ttl);
        profiles.insert(item.name, Value::Object(profile));
    }
    profiles
}

/// Returns the name of the Secret of a peer. The user must copy the Secret, because the output of the import may be kept anywhere.
fn secret(work: &mut Work, item: &Item, spec: &Peer) -> Option<String> {
    let ours = crate::api::NAMESPACE;
    let named = spec.password_secret.as_ref().map(|secret| secret.name.clone());
    if let Some(name) = named.filter(|name| !name.is_empty()) {
        let message = format!(
            "is not copied: Secret {name} is expected in {ours} instead: kubectl -n {} get secret {name} -o json | jq '.metadata={{name:.metadata.name}}' | kubectl -n {ours} apply -f -; {READABLE}",
            item.namespace
        );
        work.leave(&item.origin, "spec.passwordSecret", message);
        return Some(name);
    }
    if spec.password.is_empty() {
        return None;
    }
    let name = format!("bgp-{}", item.name);
    let message = format!(
        "a password is not copied in clear: Secret {name} is expected in {ours} instead: kubectl -n {ours} create secret generic {name} --from-literal={PASSWORD}=...; {READABLE}"
    );
    work.leave(&item.origin, "spec.password", message);
    Some(name)
}

fn peer(
    work: &mut Work,
    item: &Item,
    spec: &Peer,
    asn: u32,
    secret: Option<&str>,
    profiles: &BTreeMap<String, Value>,
) -> Value {
    let mut peer = Map::new();
    let number = |number: u32| (number > 0).then_some(number);
    let shown = if spec.local_asn > 0 { spec.local_asn } else { spec.my_asn };
    put(&mut peer, "name", text(&item.name));
    put(&mut peer, "address", text(&spec.peer_address));
    put(&mut peer, "interface", text(&spec.interface));
    put(&mut peer, "asn", number(spec.peer_asn));
    put(&mut peer, "asn", text(&spec.dynamic_asn));
    put(&mut peer, "localAsn", number(shown).filter(|shown| *shown != asn));
    put(&mut peer, "port", number(spec.peer_port.into()));
    put(&mut peer, "sourceAddress", text(&spec.source_address));
    put(&mut peer, "vrf", text(&spec.vrf));
    put(&mut peer, "holdTime", text(&spec.hold_time));
    put(&mut peer, "keepaliveTime", text(&spec.keepalive_time));
    put(&mut peer, "connectRetryTime", text(&spec.connect_time));
    put(&mut peer, "md5", secret.map(|name| json!({ "name": name, "key": PASSWORD })));
    put(&mut peer, "multihop", spec.ebgp_multi_hop.then_some(255));
    put(&mut peer, "gracefulRestart", spec.enable_graceful_restart.then(|| json!({})));
    if let Ok(address) = spec.peer_address.parse::<IpAddr>()
        && !spec.dual_stack
    {
        // A session carries only the address family of its own addresses, as in MetalLB.
        let family = if address.is_ipv4() { "ipv4" } else { "ipv6" };
        put(&mut peer, "families", Some([family]));
    }
    match profiles.get(&spec.bfd_profile) {
        Some(profile) => put(&mut peer, "bfd", Some(profile)),
        None if spec.bfd_profile.is_empty() => {}
        None => {
            let message = format!(
                "there is no BFDProfile {:?}: BFD with its defaults is used",
                spec.bfd_profile
            );
            work.leave(&item.origin, "spec.bfdProfile", message);
            put(&mut peer, "bfd", Some(json!({})));
        }
    }
    put(&mut peer, "nodeSelector", some(&spec.node_selectors));
    Value::Object(peer)
}

fn advertisement(
    work: &mut Work,
    item: &Item,
    spec: &Advertisement,
    pools: &mut [Pool],
) -> Option<Value> {
    let mut names = Vec::new();
    // A pool of the 0.9 ConfigMap names its own protocol.
    for pool in pools.iter_mut().filter(|pool| pool.protocol != Some(Protocol::Layer2)) {
        if pool.is_meant(&spec.pools, &spec.pool_selectors) {
            pool.announced_by(NAME);
            names.push(pool.name.clone());
        }
    }
    if names.is_empty() {
        work.leave(
            &item.origin,
            "spec.ipAddressPools",
            "selects no pool that is imported: left out",
        );
        return None;
    }
    let mut own = Map::new();
    put(&mut own, "pools", Some(names));
    put(&mut own, "aggregationLength", spec.aggregation_length.filter(|length| *length != 32));
    put(
        &mut own,
        "aggregationLengthV6",
        spec.aggregation_length_v6.filter(|length| *length != 128),
    );
    put(&mut own, "localPref", (spec.local_pref > 0).then_some(spec.local_pref));
    put(&mut own, "communities", some(&spec.communities));
    put(&mut own, "peers", some(&spec.peers));
    put(&mut own, "nodeSelector", some(&spec.node_selectors));
    put(&mut own, "serviceSelector", some(&spec.service_selectors));
    Some(Value::Object(own))
}

fn text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn some<T>(list: &[T]) -> Option<&[T]> {
    (!list.is_empty()).then_some(list)
}

fn put<T: serde::Serialize>(map: &mut Map<String, Value>, field: &str, value: Option<T>) {
    if let Some(value) = value {
        map.insert(field.to_owned(), json!(value));
    }
}
