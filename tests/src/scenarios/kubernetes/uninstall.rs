//! Outrigger is uninstalled, and upgraded to a newer version.
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::{
    CONTROLLER, LIMIT, NODE, SYSTEM, Stage, install, leaders, manifest, name_of, pods_of, steady,
};
use crate::kubernetes::Lab;
use crate::kubernetes::objects::items;
use crate::{product, wait};

/// Time after which no object may be Terminating.
const GONE: Duration = Duration::from_secs(60);
/// Name of the image, as in manifests/base.
const IMAGE: &str = concat!("ghcr.io/outrigger-dev/outrigger:", env!("CARGO_PKG_VERSION"));
const PREVIOUS_IMAGE: &str = "ghcr.io/outrigger-dev/outrigger:previous";

/// Runs `outrigger uninstall` and deletes the manifests, with a pool in use and without. Checks that no object of the product
/// is left, and that with `--keep-addresses` the Services keep their addresses in their status. Installs it again afterwards.
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

/// Uninstalls as described in the README.
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
    wait::until("all objects are gone", GONE, || {
        let left = left(lab)?;
        Ok(left.is_empty().then_some(()))
    })
    .with_context(|| format!("remaining objects: {:?}", left(lab).unwrap_or_default()))
}

/// Returns the remaining objects of the product.
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

/// Upgrades from an earlier version to this one, and checks that no connection is lost, the addresses stay, and a pod of this
/// version leads. The earlier version is that in `OUTRIGGER_PREVIOUS`. Without that it is this tree's own under another tag,
/// with a definition that has fewer fields, so that definitions, both roles' pods and the Lease change all the same.
///
/// # Errors
/// When a connection was lost or an address changed.
pub fn upgraded(lab: &Lab, image: &Path) -> Result<()> {
    uninstall(lab, &[])?;
    install_previous(lab, image)?;
    let stage = Stage::set(lab, "upgraded", 220)?;
    let addresses = stage.service("web", &json!({}))?;
    steady::disturb(&stage, &addresses, || install(lab, image))?;
    for account in [NODE, leaders::ACCOUNT] {
        for pod in pods_of(lab, account)? {
            let image = pod["spec"]["containers"][0]["image"].as_str().unwrap_or_default();
            ensure!(image != PREVIOUS_IMAGE, "{} runs the old image", name_of(&pod));
        }
    }
    stage.keeps("web", &addresses)?;
    wait::until(
        "a pod of this version is the leader and has written the status of the pool",
        LIMIT,
        || {
            leaders::leader(lab)?;
            let pool = lab.get_json(&["addresspool", stage.name])?;
            Ok((!pool["status"]["lastValid"].is_null()).then_some(()))
        },
    )
}

/// Installs the earlier version from its own manifest, under a separate tag: all versions before the first release have the
/// same one.
fn install_previous(lab: &Lab, image: &Path) -> Result<()> {
    let previous = product::previous();
    let is_own = previous.is_none();
    let (archive, install) = previous.unwrap_or_else(|| (image.to_owned(), manifest()));
    lab.load(&archive)?;
    lab.tag(IMAGE, PREVIOUS_IMAGE)?;
    let text = std::fs::read_to_string(&install)
        .with_context(|| format!("cannot read {}", install.display()))?;
    ensure!(text.contains(IMAGE), "{} does not name {IMAGE}", install.display());
    let file = lab.folder().join("previous.yaml");
    std::fs::write(&file, text.replace(IMAGE, PREVIOUS_IMAGE))?;
    lab.kubectl(&["apply", "--filename", &file.to_string_lossy()])?;
    if is_own {
        let field =
            "/spec/versions/0/schema/openAPIV3Schema/properties/status/properties/lastValid";
        let forget = json!([{ "op": "remove", "path": field }]).to_string();
        let definition = ["patch", "crd", "addresspools.outrigger.dev"];
        lab.kubectl(&[&definition[..], &["--type=json", "--patch", &forget]].concat())?;
    }
    super::await_rollout(lab)
}
