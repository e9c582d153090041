//! BGPPeers, BGPAdvertisements, BFDProfiles and Communities to one Announcer of the plugin bgp. The words of its configuration
//! are the plugin's: this is the one place that must follow them. Must not know layer 2.
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::pools::Pool;
use super::selectors::alternatives;
use super::{Item, Work};
use crate::crd::{API_VERSION, LabelSelector};

/// The Announcer, and its plugin.
const NAME: &str = "bgp";
/// The key of MetalLB's Secrets, which are of type basic-auth.
const PASSWORD: &str = "password";

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
    #[serde(flatten)]
    rest: Map<String, Value>,
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
    #[serde(flatten)]
    rest: Map<String, Value>,
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
    #[serde(flatten)]
    rest: Map<String, Value>,
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

/// Names the announcer in the pools that are advertised, and gives it.
pub(super) fn convert(work: &mut Work, pools: &mut [Pool]) -> Vec<Value> {
    let aliases = aliases(work);
    let profiles = profiles(work);
    let (mut peers, mut secrets) = (Vec::new(), Vec::new());
    for item in work.of("BGPPeer") {
        let Some(spec) = work.spec::<Peer>(&item) else { continue };
        work.unknown(&item.origin, "spec", &spec.rest);
        let secret = secret(work, &item, &spec);
        let own = peer(work, &item, &spec, secret.as_deref(), &profiles);
        secrets.extend(secret);
        peers.extend(own);
    }
    let mut advertisements = Vec::new();
    for item in work.of("BGPAdvertisement") {
        let Some(spec) = work.spec::<Advertisement>(&item) else { continue };
        work.unknown(&item.origin, "spec", &spec.rest);
        advertisements.extend(advertisement(work, &item, &spec, &aliases, pools));
    }
    if peers.is_empty() && advertisements.is_empty() {
        return Vec::new();
    }
    secrets.sort();
    secrets.dedup();
    let mut spec = json!({
        "plugin": NAME,
        "config": { "peers": peers, "advertisements": advertisements },
    });
    if !secrets.is_empty() {
        spec["secretRefs"] = secrets.iter().map(|name| json!({ "name": name })).collect();
    }
    vec![json!({
        "apiVersion": API_VERSION, "kind": "Announcer", "metadata": { "name": NAME }, "spec": spec,
    })]
}

fn aliases(work: &mut Work) -> BTreeMap<String, String> {
    let mut aliases = BTreeMap::new();
    for item in work.of("Community") {
        let spec: Option<Communities> = work.spec(&item);
        aliases.extend(
            spec.into_iter().flat_map(|spec| spec.communities).map(|one| (one.name, one.value)),
        );
    }
    aliases
}

fn profiles(work: &mut Work) -> BTreeMap<String, Value> {
    let mut profiles = BTreeMap::new();
    for item in work.of("BFDProfile") {
        let Some(spec) = work.spec::<Bfd>(&item) else { continue };
        work.unknown(&item.origin, "spec", &spec.rest);
        if spec.echo_mode {
            work.leave(
                &item.origin,
                "spec.echoMode",
                "BFD's echo function is not there: asynchronous mode is used instead",
            );
        }
        let mut profile = Map::new();
        put(&mut profile, "receiveIntervalMs", spec.receive_interval);
        put(&mut profile, "transmitIntervalMs", spec.transmit_interval);
        put(&mut profile, "detectMultiplier", spec.detect_multiplier);
        put(&mut profile, "passive", spec.passive_mode.then_some(true));
        put(&mut profile, "minimumTtl", spec.minimum_ttl);
        profiles.insert(item.name, Value::Object(profile));
    }
    profiles
}

/// The Secret of a peer. Secrets are copied by a person: what is printed may be kept anywhere.
fn secret(work: &mut Work, item: &Item, spec: &Peer) -> Option<String> {
    let copy_to = crate::api::NAMESPACE;
    if let Some(SecretName { name }) =
        spec.password_secret.as_ref().filter(|one| !one.name.is_empty())
    {
        let message = format!(
            "is not copied: Secret {name} is expected in {copy_to} instead: kubectl -n {} get secret {name} -o json | jq 'del(.metadata)|.metadata.name=\"{name}\"' | kubectl -n {copy_to} apply -f -",
            item.namespace
        );
        work.leave(&item.origin, "spec.passwordSecret", message);
        return Some(name.clone());
    }
    if spec.password.is_empty() {
        return None;
    }
    let name = format!("bgp-{}", item.name);
    let message = format!(
        "a password is not copied in clear: Secret {name} is expected in {copy_to} instead: kubectl -n {copy_to} create secret generic {name} --from-literal={PASSWORD}=…"
    );
    work.leave(&item.origin, "spec.password", message);
    Some(name)
}

fn peer(
    work: &mut Work,
    item: &Item,
    spec: &Peer,
    secret: Option<&str>,
    profiles: &BTreeMap<String, Value>,
) -> Vec<Value> {
    let mut peer = Map::new();
    let text = |text: &String| (!text.is_empty()).then(|| text.clone());
    let number = |number: u32| (number > 0).then_some(number);
    put(&mut peer, "address", text(&spec.peer_address));
    put(&mut peer, "interface", text(&spec.interface));
    put(
        &mut peer,
        "localAsn",
        number(if spec.local_asn > 0 { spec.local_asn } else { spec.my_asn }),
    );
    put(&mut peer, "asn", number(spec.peer_asn));
    put(&mut peer, "asn", text(&spec.dynamic_asn));
    put(&mut peer, "port", number(spec.peer_port.into()));
    put(&mut peer, "sourceAddress", text(&spec.source_address));
    put(&mut peer, "routerId", text(&spec.router_id));
    for (ours, theirs, value) in [
        ("holdTimeSeconds", "holdTime", &spec.hold_time),
        ("keepaliveSeconds", "keepaliveTime", &spec.keepalive_time),
        ("connectRetrySeconds", "connectTime", &spec.connect_time),
    ] {
        match seconds(value) {
            Some(seconds) => put(&mut peer, ours, Some(seconds)),
            None if value.is_empty() => {}
            None => {
                let message = format!("{value:?} is no time in whole seconds: the default is used");
                work.leave(&item.origin, &format!("spec.{theirs}"), message);
            }
        }
    }
    put(&mut peer, "password", secret.map(|name| json!({ "secret": name, "key": PASSWORD })));
    put(&mut peer, "multihop", spec.ebgp_multi_hop.then_some(true));
    put(&mut peer, "gracefulRestart", spec.enable_graceful_restart.then_some(true));
    if spec.dual_stack {
        put(&mut peer, "families", Some(json!(["ipv4", "ipv6"])));
    }
    match profiles.get(&spec.bfd_profile) {
        Some(profile) => put(&mut peer, "bfd", Some(profile.clone())),
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
    if !spec.vrf.is_empty() {
        let message = format!(
            "sessions in VRF {:?} are not there: the session is made in the default VRF",
            spec.vrf
        );
        work.leave(&item.origin, "spec.vrf", message);
    }
    each(alternatives(&spec.node_selectors), &item.name, "nodeSelector", &peer)
}

fn advertisement(
    work: &mut Work,
    item: &Item,
    spec: &Advertisement,
    aliases: &BTreeMap<String, String>,
    pools: &mut [Pool],
) -> Vec<Value> {
    let meant = pools.iter_mut().filter(|pool| {
        // A pool of the 0.9 ConfigMap is announced as it says itself.
        pool.protocol != Some(super::pools::Protocol::Layer2)
            && pool.is_meant(&spec.pools, &spec.pool_selectors)
    });
    let mut names = Vec::new();
    for pool in meant {
        pool.announced_by(NAME);
        names.push(pool.name.clone());
    }
    if names.is_empty() {
        work.leave(
            &item.origin,
            "spec.ipAddressPools",
            "selects no pool that is imported: left out",
        );
        return Vec::new();
    }
    let mut own = Map::new();
    put(&mut own, "pools", Some(names));
    put(&mut own, "aggregationLengthV4", spec.aggregation_length.filter(|length| *length != 32));
    put(
        &mut own,
        "aggregationLengthV6",
        spec.aggregation_length_v6.filter(|length| *length != 128),
    );
    put(&mut own, "localPref", (spec.local_pref > 0).then_some(spec.local_pref));
    let mut communities = Vec::new();
    for one in &spec.communities {
        match aliases.get(one).or(Some(one).filter(|one| one.contains(':'))) {
            Some(value) => {
                communities.push(value.strip_prefix("large:").unwrap_or(value).to_owned())
            }
            None => {
                let message = format!("no Community is called {one:?}: left out");
                work.leave(&item.origin, "spec.communities", message);
            }
        }
    }
    put(&mut own, "communities", (!communities.is_empty()).then_some(communities));
    put(&mut own, "peers", (!spec.peers.is_empty()).then(|| spec.peers.clone()));
    let by_node = each(alternatives(&spec.node_selectors), &item.name, "nodeSelector", &own);
    let services = alternatives(&spec.service_selectors);
    let with_services = |one: Value| {
        let Value::Object(map) = one else { return Vec::new() };
        let name = map["name"].as_str().unwrap_or_default().to_owned();
        each(services.clone(), &name, "serviceSelector", &map)
    };
    by_node.into_iter().flat_map(with_services).collect()
}

/// One entry for each selector, or one without any; the first keeps the name.
fn each(
    selectors: Vec<LabelSelector>,
    name: &str,
    field: &str,
    entry: &Map<String, Value>,
) -> Vec<Value> {
    let with = |at: usize, selector: Option<LabelSelector>| {
        let mut entry = entry.clone();
        let name = if at == 0 { name.to_owned() } else { format!("{name}-{}", at + 1) };
        entry.insert("name".to_owned(), json!(name));
        put(&mut entry, field, selector);
        Value::Object(entry)
    };
    if selectors.is_empty() {
        return vec![with(0, None)];
    }
    selectors.into_iter().enumerate().map(|(at, one)| with(at, Some(one))).collect()
}

fn put<T: serde::Serialize>(map: &mut Map<String, Value>, field: &str, value: Option<T>) {
    if let Some(value) = value {
        map.insert(field.to_owned(), json!(value));
    }
}

/// A Go duration of whole seconds: "90s", "1m30s".
fn seconds(text: &str) -> Option<u32> {
    let mut total = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, unit) = rest.split_at(digits);
        let number: u32 = number.parse().ok()?;
        let (factor, length) = match unit {
            _ if unit.starts_with("ms") => return None,
            _ if unit.starts_with('h') => (3600, 1),
            _ if unit.starts_with('m') => (60, 1),
            _ if unit.starts_with('s') => (1, 1),
            _ => return None,
        };
        total += number.checked_mul(factor)?;
        rest = &unit[length..];
    }
    (!text.is_empty()).then_some(total)
}
