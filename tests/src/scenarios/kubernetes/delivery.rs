//! Plugins are delivered as ConfigMaps: how a delivery is applied, and the resulting Plugin object and reports of the nodes.
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::{LIMIT, SYSTEM};
use crate::kubernetes::Lab;
use crate::kubernetes::objects::items;
use crate::namespace::feed;
use crate::wait;

pub mod alone;
pub mod failing;
pub mod rolled_out;

/// Key under which a component is delivered.
#[derive(Debug, Clone, Copy)]
pub enum Packing {
    /// Uncompressed.
    Plain,
    /// Compressed with gzip.
    Gzip,
}

/// Delivers a file as plugin `name` in ConfigMap `config_map`, with annotations.
///
/// # Errors
/// Returns the error of kubectl.
pub fn deliver(
    lab: &Lab,
    config_map: &str,
    name: &str,
    component: &Path,
    packing: Packing,
    annotations: &Value,
) -> Result<()> {
    let (key, file) = match packing {
        Packing::Plain => ("plugin.wasm", component.to_owned()),
        Packing::Gzip => ("plugin.wasm.gz", gzip(lab, component)?),
    };
    let from = format!("--from-file={key}={}", file.display());
    let text = lab.kubectl(&[
        "create",
        "configmap",
        config_map,
        "--namespace",
        SYSTEM,
        &from,
        "--dry-run=client",
        "--output=json",
    ])?;
    let mut object: Value = serde_json::from_str(&text)?;
    object["metadata"]["labels"] = json!({ "outrigger.dev/plugin": name });
    object["metadata"]["annotations"] = annotations.clone();
    lab.apply(&object.to_string())
}

fn gzip(lab: &Lab, file: &Path) -> Result<PathBuf> {
    let packed = lab.folder().join("plugin.wasm.gz");
    let mut command = std::process::Command::new("gzip");
    let output = command.args(["-9", "--no-name", "--stdout"]).arg(file).output()?;
    ensure!(output.status.success(), "gzip failed: {}", output.status);
    std::fs::write(&packed, output.stdout)?;
    Ok(packed)
}

/// Deletes a delivery.
///
/// # Errors
/// Returns the error of kubectl.
pub fn take_back(lab: &Lab, config_map: &str) -> Result<()> {
    let delete = ["delete", "configmap", config_map, "--namespace", SYSTEM, "--ignore-not-found"];
    lab.kubectl(&delete).map(drop)
}

/// Returns the status of a Plugin; null if there is none.
///
/// # Errors
/// Returns the error of kubectl.
pub fn status(lab: &Lab, name: &str) -> Result<Value> {
    let all = lab.get_json(&["plugins.outrigger.dev"])?;
    let own = items(&all).iter().find(|plugin| plugin["metadata"]["name"] == name);
    Ok(own.map_or(Value::Null, |plugin| plugin["status"].clone()))
}

/// Returns reason and message of a Plugin's condition.
pub fn reason(status: &Value) -> (&str, &str) {
    let text = |field| status["conditions"][0][field].as_str().unwrap_or_default();
    (text("reason"), text("message"))
}

/// Waits until a Plugin has the expected status, and returns it.
///
/// # Errors
/// When that does not happen in time, with the last status.
pub fn await_status(
    lab: &Lab,
    name: &str,
    what: &str,
    expected: impl Fn(&Value) -> bool,
) -> Result<Value> {
    let mut last = Value::Null;
    let found = wait::until(&format!("Plugin {name} {what}"), LIMIT, || {
        last = status(lab, name)?;
        Ok(expected(&last).then(|| last.clone()))
    });
    found.with_context(|| format!("last status: {last}"))
}

/// Waits until a Plugin has this reason.
///
/// # Errors
/// When that does not happen in time, with the last status.
pub fn await_reason(lab: &Lab, name: &str, expected: &str) -> Result<Value> {
    await_status(lab, name, &format!("says {expected}"), |status| reason(status).0 == expected)
}

/// Returns the digest that identifies a component, from sha256sum(1).
///
/// # Errors
/// When it cannot be read.
pub fn digest(component: &Path) -> Result<String> {
    let said = feed(std::process::Command::new("sha256sum").arg(component), b"")?;
    Ok(said.split_whitespace().next().context("sha256sum prints nothing")?.to_owned())
}

/// Waits until a build is active everywhere: in the Plugin object, and on each of these nodes by its own report.
///
/// # Errors
/// When that does not happen in time.
pub fn await_active(lab: &Lab, name: &str, digest: &str, nodes: &[String]) -> Result<()> {
    await_status(lab, name, &format!("has {digest:.12} active"), |status| {
        status["active"]["digest"] == digest && status["phase"] == "Active"
    })?;
    for node in nodes {
        await_running(lab, node, name, digest)?;
    }
    Ok(())
}

/// Waits until a node's report shows that a build of a plugin runs.
///
/// # Errors
/// When that does not happen in time, with the last report.
pub fn await_running(lab: &Lab, node: &str, name: &str, digest: &str) -> Result<()> {
    let mut last = Value::Null;
    let runs = wait::until(&format!("{node} runs {name} {digest:.12}"), LIMIT, || {
        let report = lab.get_json(&["nodereport", node])?;
        let announcers = report["status"]["announcers"].as_array().cloned().unwrap_or_default();
        let own = |it: &&Value| it["plugin"] == name;
        let runs = announcers.iter().filter(own).any(|it| it["digest"] == digest);
        last = report["status"].clone();
        Ok(runs.then_some(()))
    });
    runs.with_context(|| format!("last report: {} {}", last["plugins"], last["announcers"]))
}

/// Returns the names of the copies, and checks that each is immutable.
///
/// # Errors
/// When one can be changed.
pub fn copies(lab: &Lab) -> Result<Vec<String>> {
    let selector = "--selector=outrigger.dev/plugin-copy";
    let all = lab.get_json(&["configmaps", "--namespace", SYSTEM, selector])?;
    let name = |copy: &Value| {
        let name = copy["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        if copy["immutable"] != true {
            bail!("ConfigMap {name} can be changed");
        }
        Ok(name)
    };
    items(&all).iter().map(name).collect()
}
