//! Outrigger is taken away, and replaced by a newer one.
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::{CONTROLLER, LIMIT, SYSTEM, Stage, install, manifest};
use crate::kubernetes::Lab;
use crate::kubernetes::objects::items;
use crate::wait;

/// Nothing may be Terminating after so long.
const GONE: Duration = Duration::from_secs(60);

/// `outrigger uninstall` and the manifests deleted, with a pool in use and without: nothing of ours is left, and with
/// `--keep-addresses` the Services still say their addresses. Installed again afterwards.
///
/// # Errors
/// When something is left.
pub fn leaves_nothing(lab: &Lab, image: &Path) -> Result<()> {
    let stage = Stage::set(lab, "uninstalled", 210)?;
    let addresses = stage.service("web", &json!({}))?;
    uninstall(lab, &["--keep-addresses"])?;
    stage.keeps("web", &addresses)?;
    drop(stage);
    install(lab, image)?;
    uninstall(lab, &[])?;
    install(lab, image)
}

/// As the README says it.
///
/// # Errors
/// When something is left.
pub fn uninstall(lab: &Lab, arguments: &[&str]) -> Result<()> {
    let controller = "deployment/outrigger-controller";
    let uninstall = ["--namespace", SYSTEM, "exec", controller, "--", "/outrigger", "uninstall"];
    lab.kubectl(&[&uninstall[..], arguments].concat())?;
    let manifest = manifest();
    let manifest = manifest.to_string_lossy();
    let delete = ["delete", "--filename", &manifest, "--ignore-not-found", "--wait=false"];
    lab.kubectl(&delete)?;
    wait::until("all of it is gone", GONE, || {
        let left = left(lab)?;
        Ok(left.is_empty().then_some(()))
    })
    .with_context(|| format!("left: {:?}", left(lab).unwrap_or_default()))
}

/// What is still there of ours.
fn left(lab: &Lab) -> Result<Vec<String>> {
    let mut left = Vec::new();
    for kind in ["namespaces", "customresourcedefinitions", "clusterroles", "clusterrolebindings"] {
        let all = lab.get_json(&[kind])?;
        let ours = items(&all).iter().map(super::name_of).filter(|name| {
            [SYSTEM, CONTROLLER].contains(name)
                || name.ends_with(".outrigger.dev")
                || name.starts_with("outrigger")
        });
        left.extend(ours.map(|name| format!("{kind}/{name}")));
    }
    Ok(left)
}

/// From another image to this one: no connection is lost and the addresses stay. The other one is installed by its own
/// manifest.
///
/// # Errors
/// When a connection was lost or an address changed.
pub fn upgraded(lab: &Lab, old: (&Path, &Path), image: &Path) -> Result<()> {
    let (old_image, old_manifest) = old;
    uninstall(lab, &[])?;
    lab.load(old_image)?;
    lab.kubectl(&["apply", "--filename", &old_manifest.to_string_lossy()])?;
    super::await_rollout(lab)?;
    let stage = Stage::set(lab, "upgraded", 220)?;
    let addresses = stage.service("web", &json!({}))?;
    let prober = stage.probe(*addresses.first().context("no address")?)?;
    prober.settled(LIMIT)?;
    let skip = prober.so_far().requests();
    install(lab, image)?;
    let probe = prober.finish()?.from(skip);
    ensure!(probe.requests() > 0, "the upgrade took no time");
    probe.nothing_lost()?;
    stage.keeps("web", &addresses)
}
