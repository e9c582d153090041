//! Policies that loop or trap, beside a real API server without nodes: the effects on the Services of their pools and on those
//! of other pools.
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::super::alone::{addresses, apply, await_condition, create, pool, prepare, service};
use super::super::{LIMIT, SYSTEM, leaders};
use super::{Packing, await_status, deliver, digest, take_back};
use crate::guests::Guests;
use crate::kubernetes::Lab;
use crate::kubernetes::controllers::Controller;
use crate::{clock, wait};

/// Number of Services whose policy loops. Each of their decisions takes the whole 100 ms that it has.
const LOOPING: usize = 200;
/// Number of Services of the other pool, created one after the other while the first ones wait.
const OTHERS: usize = 40;
/// Longest time from a Service of the other pool to its address, with kubectl's time on a busy machine: in one queue with the
/// others it would wait for 20 seconds.
const SOON: Duration = Duration::from_secs(10);
const NAMESPACE: &str = "failing";

/// Lets 200 Services wait for a policy that never ends, in the pool that is tried first, while others are created for the pool
/// behind it; then the owner changes the configuration.
///
/// # Errors
/// When a Service of the other pool waits, the Lease changes hands, or one of the 200 gets an address that its owner did not
/// allow.
pub fn policies(lab: &Lab) -> Result<()> {
    prepare(lab, "bad")?;
    prepare(lab, NAMESPACE)?;
    let guests = Guests::build()?;
    let _controllers = [Controller::start(lab, "failing-1")?, Controller::start(lab, "failing-2")?];
    // The policies decide nothing before they are active: a failing candidate would be rolled back.
    for (name, guest) in
        [("looping", &guests.loop_in_allocate), ("trapping", &guests.trap_in_allocate)]
    {
        install(lab, name, guest)?;
    }
    lab.apply(&first("looping", "Wait").to_string())?;
    lab.apply(&second().to_string())?;
    let leads = lease(lab)?;
    create(lab, NAMESPACE, 0..LOOPING)?;
    let mut slowest = Duration::ZERO;
    for number in 0..OTHERS {
        let begun = clock::now();
        let name = format!("public-{number}");
        apply(lab, &name, &json!({ "outrigger.dev/pool": "public" }))?;
        await_condition(lab, &name, &["192.0.2."])?;
        slowest = slowest.max(clock::since(begun));
    }
    println!("slowest of {OTHERS} Services of the other pool: {slowest:.1?}, with kubectl's time");
    ensure!(lease(lab)? == leads, "the leader changed: {leads} before, {} now", lease(lab)?);
    ensure!(slowest < SOON, "a Service of another pool waited for {slowest:.1?}");
    nobody_has_one(lab)?;
    await_condition_of(lab, "PolicyFailed", &["did not answer within 100 ms", "looping"])?;

    // A policy that traps must not lead to an address of the public pool.
    lab.apply(&first("trapping", "Wait").to_string())?;
    await_condition_of(lab, "PolicyFailed", &["crashed", "trapping"])?;
    nobody_has_one(lab)?;
    for (failure_policy, prefix) in [("NextPool", "192.0.2."), ("Builtin", "10.95.0.")] {
        lab.apply(&first("trapping", failure_policy).to_string())?;
        let name = failure_policy.to_lowercase();
        lab.apply(&service(NAMESPACE, &name, &json!({})).to_string())?;
        wait::until(&format!("{name} has an address of {prefix}"), LIMIT, || {
            let all = addresses(lab, NAMESPACE)?;
            Ok(all.iter().any(|(of, at)| *of == name && at.starts_with(prefix)).then_some(()))
        })?;
    }
    for namespace in ["bad", NAMESPACE] {
        lab.kubectl(&["delete", "--raw", &format!("/api/v1/namespaces/{namespace}/services")])?;
    }
    take_back(lab, "looping")?;
    take_back(lab, "trapping")
}

fn install(lab: &Lab, name: &str, guest: &Path) -> Result<()> {
    let quick = json!({ "outrigger.dev/settle-seconds": "1" });
    deliver(lab, name, name, guest, Packing::Plain, &quick)?;
    let digest = digest(guest)?;
    await_status(lab, name, "is active", |it| it["active"]["digest"] == digest).map(drop)
}

/// Returns the pool that is tried first.
fn first(plugin: &str, failure_policy: &str) -> Value {
    let mut first = pool("dmz", &["10.95.0.0/22"]);
    first["spec"]["priority"] = json!(1);
    first["spec"]["allocator"] = json!({ "plugin": plugin, "failurePolicy": failure_policy });
    first
}

fn second() -> Value {
    let mut second = pool("public", &["192.0.2.0/23"]);
    second["spec"]["priority"] = json!(2);
    second
}

/// Returns the leader and the number of its changes.
fn lease(lab: &Lab) -> Result<String> {
    let lease = lab.get_json(&["lease", leaders::ACCOUNT, "--namespace", SYSTEM])?;
    let holder = lease["spec"]["holderIdentity"].as_str().context("the Lease has no holder")?;
    Ok(format!("{holder} after {} changes", lease["spec"]["leaseTransitions"]))
}

fn nobody_has_one(lab: &Lab) -> Result<()> {
    let given = addresses(lab, NAMESPACE)?;
    ensure!(
        given.is_empty(),
        "addresses were assigned though the policy of their pool failed: {given:?}"
    );
    Ok(())
}

fn await_condition_of(lab: &Lab, kind: &str, words: &[&str]) -> Result<()> {
    wait::until(&format!("the pool's {kind} says {words:?}"), LIMIT, || {
        let pool = lab.get_json(&["addresspool", "dmz"])?;
        let conditions = pool["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let says = |it: &Value| {
            let message = it["message"].as_str().unwrap_or_default();
            it["type"] == kind && words.iter().all(|word| message.contains(word))
        };
        Ok(conditions.iter().any(says).then_some(()))
    })
}
