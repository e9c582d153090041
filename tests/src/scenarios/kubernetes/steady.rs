//! What is planned, and what happens to the control plane, costs the client nothing: one connection every 20 ms, over
//! IPv4 and IPv6, and none of them lost; and no Service changes its address.
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::{CONTAINER, LIMIT, NODE, SYSTEM, Stage, await_rollout, leaders, name_of, pods_of};
use crate::kubernetes::Lab;

/// How long the API server is stopped: longer than a Lease, and than a node may be silent.
const SILENCE: Duration = Duration::from_secs(60);
const NEXT_IMAGE: &str = "ghcr.io/outrigger-dev/outrigger:next";

/// The API server is stopped for a minute. Once it goes on, the controller-manager, which has not heard of the nodes, takes
/// them and their pods for dead for a moment, and kube-proxy has nowhere to send connections to; so only the silence is
/// judged, and that the client is served again.
///
/// # Errors
/// When a connection was lost or an address changed.
pub fn without_an_api_server(lab: &Lab) -> Result<()> {
    let silence = || {
        lab.control_plane().pause_apiserver()?;
        std::thread::sleep(SILENCE);
        Ok(())
    };
    undisturbed(lab, "silent", 120, silence, || {
        lab.control_plane().resume_apiserver()?;
        lab.await_nodes()
    })
}

/// etcd is killed and started again.
///
/// # Errors
/// When a connection was lost or an address changed.
pub fn without_etcd(lab: &Lab) -> Result<()> {
    let killed = || {
        lab.control_plane().kill_etcd()?;
        std::thread::sleep(Duration::from_secs(2));
        lab.control_plane().restart_etcd()
    };
    undisturbed(lab, "no-etcd", 130, killed, || lab.await_nodes())
}

/// The pod of the leader is deleted; another one leads.
///
/// # Errors
/// When a connection was lost, an address changed, or nobody leads.
pub fn without_its_leader(lab: &Lab) -> Result<()> {
    undisturbed(
        lab,
        "no-leader",
        140,
        || {
            let leader = leaders::leader(lab)?;
            lab.kubectl(&["--namespace", SYSTEM, "delete", "pod", &leader, "--wait=false"])?;
            leaders::await_another(lab, &leader)?;
            await_rollout(lab)
        },
        || Ok(()),
    )
}

/// The daemon is restarted on every node, one after the other.
///
/// # Errors
/// When a connection was lost or an address changed.
pub fn restarted_node_by_node(lab: &Lab) -> Result<()> {
    undisturbed(
        lab,
        "restarted",
        150,
        || {
            for pod in pods_of(lab, NODE)? {
                lab.kubectl(&["--namespace", SYSTEM, "delete", "pod", name_of(&pod)])?;
                await_rollout(lab)?;
            }
            Ok(())
        },
        || Ok(()),
    )
}

/// The DaemonSet is rolled to another image, and back.
///
/// # Errors
/// When a connection was lost or an address changed.
pub fn rolled_to_another_image(lab: &Lab) -> Result<()> {
    let daemonset = ["daemonset", NODE, "--namespace", SYSTEM];
    let daemonset = lab.get_json(&daemonset)?;
    let image = daemonset["spec"]["template"]["spec"]["containers"][0]["image"]
        .as_str()
        .context("the DaemonSet has no image")?;
    lab.tag(image, NEXT_IMAGE)?;
    undisturbed(
        lab,
        "rolled",
        160,
        || {
            for image in [NEXT_IMAGE, image] {
                let set = format!("{CONTAINER}={image}");
                lab.kubectl(&[
                    "--namespace",
                    SYSTEM,
                    "set",
                    "image",
                    "daemonset/outrigger-node",
                    &set,
                ])?;
                await_rollout(lab)?;
            }
            Ok(())
        },
        || Ok(()),
    )
}

/// While `happens` happens, the client loses nothing; after `afterwards` it is served, by the same addresses.
fn undisturbed(
    lab: &Lab,
    name: &'static str,
    first: u8,
    happens: impl FnOnce() -> Result<()>,
    afterwards: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let stage = Stage::set(lab, name, first)?;
    let addresses = stage.service("web", &json!({}))?;
    let probers =
        addresses.iter().map(|address| stage.probe(*address)).collect::<Result<Vec<_>>>()?;
    probers.iter().try_for_each(|prober| prober.settled(LIMIT))?;
    let skipped: Vec<_> = probers.iter().map(|prober| prober.so_far().requests()).collect();
    let happened = happens();
    // What comes late, comes while somebody still asks.
    std::thread::sleep(Duration::from_secs(3));
    let mut lost = String::new();
    for ((prober, skip), address) in probers.into_iter().zip(skipped).zip(&addresses) {
        if let Err(error) = prober.finish()?.from(skip).nothing_lost() {
            lost += &format!("{address}: {error}\n");
        }
    }
    // Whatever came of it: the next scenario needs a whole cluster.
    let mended = afterwards();
    happened.and(mended)?;
    ensure!(lost.is_empty(), "{lost}");
    for address in &addresses {
        stage.answer(*address, |_| true)?;
    }
    stage.keeps("web", &addresses)
}
