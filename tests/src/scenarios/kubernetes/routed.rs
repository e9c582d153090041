//! Addresses that no segment has, announced to a router by every node: BIRD in the client's place, with a password.
use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{LIMIT, SYSTEM, Stage, asked, serve};
use crate::bgp::{Family, Kind, Neighbor, Router, Speaker, Who, fib};
use crate::kubernetes::{Lab, web};
use crate::{product, wait};

const NAME: &str = "routed";
const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 88, 0, 100);
const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const ROUTE: &str = "192.0.2.1/32";

/// Checks that a Service has an address, that the client's kernel has an equal path to it through every node except an excluded
/// one, and that `outrigger bgp` reports the same.
///
/// # Errors
/// When one of these conditions does not hold.
pub fn by_every_node(lab: &Lab) -> Result<()> {
    let stage = Stage::set(lab, NAME, 210)?;
    let result = play(lab, &stage);
    serve::include_all(lab)?;
    for what in [
        &["delete", "service", "web", "--namespace", NAME][..],
        &["delete", "announcer", "tor"],
        &["delete", "addresspool", "tor"],
        &["delete", "secret", "outrigger-bgp", "--namespace", SYSTEM],
        &["delete", "--filename", &passwords()],
    ] {
        lab.kubectl(&[what, &["--ignore-not-found", "--timeout=60s"]].concat())?;
    }
    result
}

fn passwords() -> String {
    product::root().join("manifests/bgp-passwords.yaml").to_string_lossy().into_owned()
}

fn play(lab: &Lab, stage: &Stage<'_>) -> Result<()> {
    let mut nodes = Neighbor::new(Who::Range("10.88.0.0/24".to_owned()), 64513);
    nodes.families = vec![Family::V4];
    nodes.password = Some("s3cret".to_owned());
    let speaker = Speaker::new(64512, ROUTER).with(nodes);
    let router = Router::start(Kind::Bird, &speaker, &lab.namespace("client")?, lab.folder())?;
    lab.kubectl(&["apply", "--filename", &passwords()])?;
    lab.apply(&objects().to_string())?;

    let count = lab.nodes().count();
    fib::await_next_hops(router.namespace(), ROUTE, count)
        .with_context(|| format!("{}\n{}", stage.describe("web"), router.explain()))?;
    stage.answer(IpAddr::from(ADDRESS), |_| true)?;
    wait::until("`outrigger bgp peers` says the same of every node", LIMIT, || {
        let said = asked::said(lab, &["bgp", "peers", "-o", "json"])?;
        let peers: Value = serde_json::from_str(&said).with_context(|| said.clone())?;
        let peers = peers.as_array().map(Vec::as_slice).unwrap_or_default();
        let tells = |peer: &&Value| {
            peer["peer"] == "tor-a"
                && peer["state"] == "Established"
                && peer["routes"] == json!([ROUTE])
        };
        Ok((peers.iter().filter(tells).count() == count).then_some(()))
    })?;

    serve::exclude_all_but(lab, Some("n1"))?;
    let hops = fib::await_next_hops(router.namespace(), ROUTE, 1)?;
    ensure!(hops == ["10.88.0.11"], "the next hops are {hops:?}");
    stage.answer(IpAddr::from(ADDRESS), |_| true).map(drop)
}

/// Returns a Service that requests a pool of its own, whose announcer speaks with the router.
fn objects() -> Value {
    let mut service = web::service(NAME, "web", &json!({ "type": "LoadBalancer" }));
    service["spec"]["ipFamilyPolicy"] = json!("SingleStack");
    service["spec"]["ipFamilies"] = json!(["IPv4"]);
    service["metadata"]["annotations"] = json!({ "outrigger.dev/pool": "tor" });
    let of_ours = |kind: &str, spec: Value| {
        json!({
            "apiVersion": "outrigger.dev/v1alpha1", "kind": kind,
            "metadata": { "name": "tor" }, "spec": spec,
        })
    };
    let peer = json!({
        "name": "tor-a", "address": ROUTER, "asn": 64512,
        "md5": { "name": "md5", "key": "password" },
    });
    let announcer = json!({
        "plugin": "bgp",
        "config": { "asn": 64513, "peers": [peer] },
        "allow": { "peers": [ROUTER] },
        "secretRefs": [{ "name": "md5", "secretName": "outrigger-bgp" }],
    });
    let pool = json!({
        "addresses": [ROUTE], "autoAssign": false, "announcers": ["tor"],
    });
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": { "name": "outrigger-bgp", "namespace": SYSTEM },
        "stringData": { "password": "s3cret" },
    });
    let items = [secret, of_ours("Announcer", announcer), of_ours("AddressPool", pool), service];
    json!({ "apiVersion": "v1", "kind": "List", "items": items })
}
