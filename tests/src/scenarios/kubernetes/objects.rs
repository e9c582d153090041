//! Pools and Announcers that cannot be applied as written: each reports the reason and the remedy in its conditions and in an
//! Event, and the previous version stays active.
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::alone::{pool, prepare, service};
use super::{LIMIT, Stage};
use crate::kubernetes::Lab;
use crate::kubernetes::controllers::Controller;
use crate::kubernetes::objects::{ingress, items};
use crate::wait;

const NAME: &str = "objects";

/// Checks two pools that come to overlap, over a change of leader; a pool that excludes used addresses; and an allocator and an
/// announcer that name a plugin which does not exist.
///
/// # Errors
/// When one does not report it, or a Service is affected.
pub fn bad(lab: &Lab) -> Result<()> {
    prepare(lab, NAME)?;
    let controller = Controller::start(lab, "objects-1")?;
    lab.apply(&pool("ours", &["10.94.0.0/30"]).to_string())?;
    lab.apply(&pool("wide", &["10.94.1.0/30"]).to_string())?;
    await_address(lab, "first", "wide", "10.94.1.0")?;
    await_said(lab, ("addresspool", "wide"), "Ready", &["assigns"])?;

    lab.apply(&pool("wide", &["10.94.0.0/23"]).to_string())?;
    let words = ["overlaps pool \"ours\"", "remove these addresses", "last valid version"];
    await_said(lab, ("addresspool", "wide"), "Overlap", &words)?;
    await_event(lab, "wide", &words)?;
    last_valid(lab, "wide", "10.94.1.0/30")?;
    controller.kill()?;
    let _controller = Controller::start(lab, "objects-2")?;
    // Addresses of the version that its status remembers: the current leader has never seen it active.
    await_address(lab, "second", "wide", "10.94.1.1")?;
    last_valid(lab, "wide", "10.94.1.0/30")?;

    lab.apply(&pool("wide", &["10.94.1.2/31"]).to_string())?;
    let words = ["objects/first", "10.94.1.0", "add these addresses back"];
    await_said(lab, ("addresspool", "wide"), "Shrunk", &words)?;
    await_event(lab, "wide", &words)?;
    last_valid(lab, "wide", "10.94.1.2/31")?;

    let mut typo = pool("typo", &["10.94.4.0/30"]);
    typo["spec"]["allocator"] = json!({ "plugin": "lowest-fre" });
    lab.apply(&typo.to_string())?;
    lab.apply(&announcer("typo", "layer22", &json!({})).to_string())?;
    for (kind, plugin) in [("addresspool", "lowest-fre"), ("announcer", "layer22")] {
        await_said(lab, (kind, "typo"), "Ready", &[plugin, "correct the name"])?;
        await_event(lab, "typo", &[plugin])?;
    }
    await_address(lab, "third", "wide", "10.94.1.2")?;
    for (name, address) in [("first", "10.94.1.0"), ("second", "10.94.1.1")] {
        let service = lab.get_json(&["service", name, "--namespace", NAME])?;
        ensure!(ingress(&service) == [address.parse::<std::net::IpAddr>()?], "{name} changed");
    }
    lab.kubectl(&["delete", "announcer", "typo"])?;
    said_by_plugins(lab)?;
    lab.kubectl(&["delete", "--raw", &format!("/api/v1/namespaces/{NAME}/services")]).map(drop)
}

/// Checks that reports of plugins on two nodes about themselves and about a Service, in the NodeReports of the nodes, become a
/// condition of the Announcer and one Event, however many nodes report it.
fn said_by_plugins(lab: &Lab) -> Result<()> {
    lab.apply(&announcer("lan", "layer2", &json!({})).to_string())?;
    for (node, status) in [("said-1", "True"), ("said-2", "True"), ("said-2", "False")] {
        report(lab, node, status)?;
        let words = match status {
            "True" => "on said-1",
            _ => "on said-2: False Counted, 2 zones; on said-1: True Counted, 2 zones",
        };
        await_said(lab, ("announcer", "lan"), "ZonesServed", &[words])?;
    }
    let events = lab.get_json(&["events.events.k8s.io", "--namespace", NAME])?;
    let said: Vec<_> = items(&events).iter().filter(|it| it["reason"] == "NameTaken").collect();
    ensure!(said.len() == 1, "the same Event from two nodes was recorded as {said:?}");
    ensure!(said[0]["note"] == "its name is taken (announcer lan on said-1)", "{said:?}");
    ensure!(said[0]["regarding"]["name"] == "first" && said[0]["type"] == "Warning", "{said:?}");
    lab.kubectl(&["delete", "nodereport", "said-1", "said-2"])?;
    lab.kubectl(&["delete", "announcer", "lan"]).map(drop)
}

fn report(lab: &Lab, node: &str, status: &str) -> Result<()> {
    let head = json!({
        "apiVersion": "outrigger.dev/v1alpha1", "kind": "NodeReport",
        "metadata": { "name": node }, "spec": {},
    });
    lab.apply(&head.to_string())?;
    let said = json!({ "status": {
        "node": node, "version": "0", "ready": true,
        "announcers": [{
            "name": "lan", "plugin": "layer2", "digest": "", "phase": "Running", "restarts": 0,
            "quarantined": 0,
            "conditions": [
                { "type": "ZonesServed", "status": status, "reason": "Counted", "message": "2 zones" },
            ],
            "events": [{
                "namespace": NAME, "name": "first", "type": "Warning", "reason": "NameTaken",
                "message": "its name is taken", "at": "2026-11-30T00:00:00Z",
            }],
        }],
    }});
    let path = ["patch", "nodereport", node, "--subresource=status", "--type=merge", "--patch"];
    lab.kubectl(&[&path[..], &[&said.to_string()]].concat()).map(drop)
}

/// Checks that an Announcer with a configuration that its plugin refuses reports it with the nodes and the plugin's message,
/// and that the previous version keeps serving.
///
/// # Errors
/// When one of these conditions does not hold.
pub fn refused_announcer(lab: &Lab) -> Result<()> {
    let stage = Stage::set(lab, "refused", 230)?;
    let addresses = stage.service("web", &json!({}))?;
    let prober = stage.probe(*addresses.first().context("no address")?)?;
    prober.settled(LIMIT)?;
    let skip = prober.so_far().requests();
    let layer2 = |config: Value| lab.apply(&announcer("layer2", "layer2", &config).to_string());
    let object = ("announcer", "layer2");
    let played = layer2(json!({}))
        .and_then(|()| await_said(lab, object, "Ready", &["is active"]))
        .and_then(|()| layer2(json!({ "colour": "red" })))
        .and_then(|()| {
            let nodes: Vec<String> = lab.nodes().map(|node| node.name()).collect();
            let words = ["colour", "stay active", &nodes.join(", ")];
            await_said(lab, object, "Ready", &words)?;
            await_event(lab, "layer2", &words)
        })
        .and_then(|()| layer2(json!({})))
        .and_then(|()| await_said(lab, object, "Ready", &["is active"]));
    lab.kubectl(&["delete", "announcer", "layer2", "--ignore-not-found"])?;
    played?;
    prober.finish()?.from(skip).nothing_lost()?;
    stage.keeps("web", &addresses)
}

fn announcer(name: &str, plugin: &str, config: &Value) -> Value {
    json!({
        "apiVersion": "outrigger.dev/v1alpha1",
        "kind": "Announcer",
        "metadata": { "name": name },
        "spec": { "plugin": plugin, "config": config },
    })
}

/// Waits until a Service that requests a pool has this address.
fn await_address(lab: &Lab, name: &str, pool: &str, address: &str) -> Result<()> {
    let asks = json!({ "outrigger.dev/pool": pool });
    lab.apply(&service(NAME, name, &asks).to_string())?;
    let expected = [address.parse::<std::net::IpAddr>()?];
    let mut object = Value::Null;
    wait::until(&format!("Service {name} has {address}"), LIMIT, || {
        object = lab.get_json(&["service", name, "--namespace", NAME])?;
        Ok((ingress(&object) == expected).then_some(()))
    })
    .with_context(|| format!("its status: {}", object["status"]))
}

fn await_said(lab: &Lab, (kind, name): (&str, &str), aspect: &str, words: &[&str]) -> Result<()> {
    let mut said = Value::Null;
    wait::until(&format!("{kind} {name} says {words:?}"), LIMIT, || {
        said = lab.get_json(&[kind, name])?["status"]["conditions"].clone();
        let message = said.as_array().into_iter().flatten().find(|it| it["type"] == aspect);
        let message = message.and_then(|it| it["message"].as_str()).unwrap_or_default();
        Ok(words.iter().all(|word| message.contains(word)).then_some(()))
    })
    .with_context(|| format!("last condition: {said}"))
}

/// Waits for an Event about an object without a namespace.
///
/// # Errors
/// When there is none in time.
pub fn await_event(lab: &Lab, name: &str, words: &[&str]) -> Result<()> {
    wait::until(&format!("an Event about {name} says {words:?}"), LIMIT, || {
        let events = lab.get_json(&["events.events.k8s.io", "--namespace", "default"])?;
        let says = |event: &&Value| {
            let note = event["note"].as_str().unwrap_or_default();
            event["regarding"]["name"] == name && words.iter().all(|word| note.contains(word))
        };
        Ok(items(&events).iter().find(says).map(|_| ()))
    })
}

fn last_valid(lab: &Lab, name: &str, address: &str) -> Result<()> {
    wait::until(&format!("the last valid version of {name} is {address}"), LIMIT, || {
        let pool = lab.get_json(&["addresspool", name])?;
        Ok((pool["status"]["lastValid"]["addresses"] == json!([address])).then_some(()))
    })
}
