//! Controller beside a real API server without nodes: its decisions for many Services, and its messages about bad ones.
use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{SYSTEM, leaders, manifest};
use crate::kubernetes::Lab;
use crate::kubernetes::controllers::Controller;
use crate::kubernetes::objects::{ingress, items};
use crate::wait;

/// Time limit for many Services, with a change of leader.
const MANY: Duration = Duration::from_secs(180);
const LIMIT: Duration = Duration::from_secs(60);
/// Number of Services created at once, and afterwards; a soak sets another number for the second in `OUTRIGGER_TEST_SERVICES`.
const AT_ONCE: usize = 300;
const THEN: usize = 1000;

/// Creates 300 Services at once, then many more, and kills the leader in between. Checks that every one gets an address, and no
/// two the same.
///
/// # Errors
/// When one gets none, or two get one, or one changes.
pub fn many_services(lab: &Lab) -> Result<()> {
    prepare(lab, "many")?;
    let mut controllers =
        vec![Controller::start(lab, "many-1")?, Controller::start(lab, "many-2")?];
    lab.apply(&pool("many", &["10.90.0.0/16"]).to_string())?;
    create(lab, "many", 0..AT_ONCE)?;
    let first = await_addresses(lab, "many", AT_ONCE)?;
    let then = std::env::var("OUTRIGGER_TEST_SERVICES").ok().and_then(|text| text.parse().ok());
    let then: usize = then.unwrap_or(THEN);
    std::thread::scope(|scope| -> Result<()> {
        let created = scope.spawn(|| create(lab, "many", AT_ONCE..then));
        wait::until("some of the Services exist", MANY, || {
            Ok((addresses(lab, "many")?.len() > AT_ONCE + (then - AT_ONCE) / 4).then_some(()))
        })?;
        let leader = leader(lab, &controllers)?;
        controllers.remove(leader).kill()?;
        created.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })?;
    let all = await_addresses(lab, "many", then)?;
    ensure!(first.is_subset(&all), "Services changed their addresses");
    // In one request: kubectl would take as long to delete them as all steps before. The API server aborts a request after a
    // minute, and deletions up to then are kept.
    wait::until("all of them are deleted", MANY, || {
        let deleted = lab.kubectl(&["delete", "--raw", "/api/v1/namespaces/many/services"]);
        Ok(deleted.is_ok().then_some(()))
    })
}

/// Checks that every Service that cannot be served has the reason and the remedy in its condition and in an Event, and that its
/// neighbour is still served.
///
/// # Errors
/// When a Service does not report it, or its neighbour is not served.
pub fn bad_services(lab: &Lab) -> Result<()> {
    prepare(lab, "bad")?;
    let _controller = Controller::start(lab, "bad-1")?;
    lab.apply(&pool("bad", &["10.91.0.0/30"]).to_string())?;
    let mut reserved = pool("reserved", &["10.92.0.0/30"]);
    reserved["spec"]["namespaces"] = json!(["elsewhere"]);
    lab.apply(&reserved.to_string())?;
    apply(lab, "first", &json!({ "outrigger.dev/addresses": "10.91.0.1" }))?;
    await_condition(lab, "first", &["10.91.0.1"])?;
    for (name, annotations, words) in [
        ("outside", json!({ "outrigger.dev/addresses": "198.51.100.7" }), &["198.51.100.7"][..]),
        ("taken", json!({ "outrigger.dev/addresses": "10.91.0.1" }), &["10.91.0.1", "bad/first"]),
        ("not-admitted", json!({ "outrigger.dev/pool": "reserved" }), &["reserved", "namespace"]),
        ("no-such-pool", json!({ "outrigger.dev/pool": "typo" }), &["typo"]),
        ("other-family", json!({ "outrigger.dev/addresses": "2001:db8::1" }), &["2001:db8::1"]),
        ("rubbish", json!({ "outrigger.dev/addresses": "one please" }), &["one please"]),
    ] {
        apply(lab, name, &annotations)?;
        await_condition(lab, name, words)?;
        await_event(lab, name, words)?;
    }
    apply(lab, "last", &json!({}))?;
    await_condition(lab, "last", &["10.91.0."])?;
    let service = lab.get_json(&["service", "first", "--namespace", "bad"])?;
    ensure!(ingress(&service) == ["10.91.0.1".parse::<std::net::IpAddr>()?], "the address changed");
    lab.kubectl(&["delete", "--raw", "/api/v1/namespaces/bad/services"]).map(drop)
}

/// Deletes a Service and changes the type of another from LoadBalancer while no controller runs. Checks that the next
/// controller reuses the first one's address, clears the second one's status, and changes nothing else.
///
/// # Errors
/// When one of these conditions does not hold.
pub fn changes_while_nobody_leads(lab: &Lab) -> Result<()> {
    prepare(lab, "bad")?;
    let controller = Controller::start(lab, "away-1")?;
    lab.apply(&pool("away", &["10.93.0.0/28"]).to_string())?;
    let asks = |address: &str| json!({ "outrigger.dev/addresses": address });
    for (name, address) in [("gone", "10.93.0.4"), ("retired", "10.93.0.5"), ("kept", "10.93.0.6")]
    {
        apply(lab, name, &asks(address))?;
        await_condition(lab, name, &[address])?;
    }
    let version = |name: &str| -> Result<Value> {
        Ok(lab.get_json(&["service", name, "--namespace", "bad"])?["metadata"]["resourceVersion"]
            .clone())
    };
    let before = version("kept")?;
    controller.kill()?;
    lab.kubectl(&["delete", "service", "gone", "--namespace", "bad"])?;
    let retire = r#"{"spec":{"type":"ClusterIP","allocateLoadBalancerNodePorts":null}}"#;
    lab.kubectl(&["patch", "service", "retired", "--namespace", "bad", "--patch", retire])?;
    let _next = Controller::start(lab, "away-2")?;
    apply(lab, "new", &asks("10.93.0.4"))?;
    await_condition(lab, "new", &["10.93.0.4 from pool"])?;
    wait::until("what was left in the retired Service is taken out", LIMIT, || {
        let service = lab.get_json(&["service", "retired", "--namespace", "bad"])?;
        let left = service["status"]["conditions"].as_array().is_some_and(|left| !left.is_empty());
        Ok((!left && ingress(&service).is_empty()).then_some(()))
    })?;
    ensure!(version("kept")? == before, "an unchanged Service was written");
    lab.kubectl(&["delete", "--raw", "/api/v1/namespaces/bad/services"]).map(drop)
}

/// Installs the CRDs and namespaces, and creates a namespace to work in.
pub(super) fn prepare(lab: &Lab, namespace: &str) -> Result<()> {
    lab.kubectl(&["apply", "--filename", &manifest().to_string_lossy()])?;
    lab.kubectl(&["delete", "addresspools", "--all", "--wait=false"])?;
    let object =
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } });
    lab.apply(&object.to_string())
}

pub(super) fn pool(name: &str, addresses: &[&str]) -> Value {
    json!({
        "apiVersion": "outrigger.dev/v1alpha1",
        "kind": "AddressPool",
        "metadata": { "name": name },
        "spec": { "addresses": addresses },
    })
}

pub(super) fn service(namespace: &str, name: &str, annotations: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "namespace": namespace, "name": name, "annotations": annotations },
        "spec": {
            "type": "LoadBalancer",
            "allocateLoadBalancerNodePorts": false,
            "ports": [{ "port": 80 }],
        },
    })
}

pub(super) fn apply(lab: &Lab, name: &str, annotations: &Value) -> Result<()> {
    lab.apply(&service("bad", name, annotations).to_string())
}

/// Creates Services with several clients, because each client creates one after the other.
pub(super) fn create(lab: &Lab, namespace: &str, numbers: std::ops::Range<usize>) -> Result<()> {
    const CLIENTS: usize = 4;
    let numbers: Vec<usize> = numbers.collect();
    let clients = numbers.chunks(numbers.len().div_ceil(CLIENTS).max(1)).map(|numbers| {
        let items: Vec<Value> = numbers
            .iter()
            .map(|number| service(namespace, &format!("s{number}"), &json!({})))
            .collect();
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": items });
        let mut command = lab.kubectl_command(&lab.kubeconfig());
        command.args(["create", "--filename", "-"]).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut client = command.spawn().context("cannot run kubectl")?;
        let mut input = client.stdin.take().context("kubectl has no input")?;
        input.write_all(list.to_string().as_bytes())?;
        Ok(client)
    });
    for client in clients.collect::<Result<Vec<_>>>()? {
        let output = client.wait_with_output()?;
        ensure!(output.status.success(), "kubectl create failed: {}", output.status);
    }
    Ok(())
}

pub(super) fn addresses(lab: &Lab, namespace: &str) -> Result<Vec<(String, String)>> {
    let services = lab.get_json(&["services", "--namespace", namespace])?;
    let pairs = items(&services).iter().flat_map(|service| {
        let name = super::name_of(service).to_owned();
        ingress(service).into_iter().map(move |address| (name.clone(), address.to_string()))
    });
    Ok(pairs.collect())
}

fn await_addresses(lab: &Lab, namespace: &str, count: usize) -> Result<BTreeSet<(String, String)>> {
    let all = wait::until(&format!("{count} Services have an address"), MANY, || {
        let all = addresses(lab, namespace)?;
        Ok((all.len() >= count).then_some(all))
    })?;
    let distinct: BTreeSet<&String> = all.iter().map(|(_, address)| address).collect();
    ensure!(distinct.len() == all.len(), "{} addresses for {} Services", distinct.len(), all.len());
    ensure!(all.len() == count, "{} addresses for {count} Services", all.len());
    Ok(all.into_iter().collect())
}

fn leader(lab: &Lab, controllers: &[Controller]) -> Result<usize> {
    let lease = lab.get_json(&["lease", leaders::ACCOUNT, "--namespace", SYSTEM])?;
    let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default();
    let is_it = |controller: &Controller| holder.starts_with(&controller.name);
    controllers
        .iter()
        .position(is_it)
        .with_context(|| format!("the leader {holder:?} is not one of the controllers"))
}

pub(super) fn await_condition(lab: &Lab, name: &str, words: &[&str]) -> Result<()> {
    let mut said = String::new();
    let found = wait::until(&format!("Service {name} says {words:?}"), LIMIT, || {
        let service = lab.get_json(&["service", name, "--namespace", "bad"])?;
        said =
            service["status"]["conditions"][0]["message"].as_str().unwrap_or_default().to_owned();
        Ok(words.iter().all(|word| said.contains(word)).then_some(()))
    });
    found.with_context(|| format!("last condition: {said:?}"))
}

fn await_event(lab: &Lab, name: &str, words: &[&str]) -> Result<()> {
    wait::until(&format!("an Event about Service {name} says {words:?}"), LIMIT, || {
        let events = lab.get_json(&["events.events.k8s.io", "--namespace", "bad"])?;
        let says = |event: &&Value| {
            let note = event["note"].as_str().unwrap_or_default();
            event["regarding"]["name"] == name && words.iter().all(|word| note.contains(word))
        };
        Ok(items(&events).iter().find(says).map(|_| ()))
    })
}
