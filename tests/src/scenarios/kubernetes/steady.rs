//! Planned operations and failures of the control plane cost the client nothing: of one connection every 20 ms, over IPv4 and
//! IPv6, none is lost, and no Service changes its address.
use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::json;

use super::{CONTAINER, LIMIT, NODE, SYSTEM, Stage, await_rollout, leaders, name_of, pods_of};
use crate::clock;
use crate::kubernetes::Lab;
use crate::kubernetes::objects::items;

/// Time for which the API server is stopped: longer than a Lease, and than a node may be silent.
const SILENCE: Duration = Duration::from_secs(60);
/// Time to keep watching after it resumes: the controller-manager checks the nodes every five seconds.
const AFTERWARDS: Duration = Duration::from_secs(12);
const NEXT_IMAGE: &str = "ghcr.io/outrigger-dev/outrigger:next";

/// Stops the API server for a minute, which must cost nothing. Once it resumes, the controller-manager, which has no recent
/// reports of the nodes, may treat their pods as not ready for some seconds; kube-proxy then has no endpoints. Connections lost
/// in that time must be lost for that reason.
///
/// # Errors
/// When a connection was lost for another reason, or an address changed.
pub fn without_an_api_server(lab: &Lab) -> Result<()> {
    let stage = Stage::set(lab, "silent", 120)?;
    let addresses = stage.service("web", &json!({}))?;
    let silent = disturb(&stage, &addresses, || {
        lab.control_plane().pause_apiserver()?;
        std::thread::sleep(SILENCE);
        Ok(())
    });
    let probers = addresses.iter().map(|address| stage.probe(*address));
    let probers = probers.collect::<Result<Vec<_>>>()?;
    let (unserved, resumed) = Unserved::during(&stage, &addresses, || {
        lab.control_plane().resume_apiserver()?;
        std::thread::sleep(AFTERWARDS);
        lab.await_nodes()?;
        probers.iter().try_for_each(|prober| prober.settled(LIMIT))
    });
    silent.and(resumed)?;
    let mut all_explained = true;
    for (prober, address) in probers.into_iter().zip(&addresses) {
        let probe = prober.finish()?;
        let unexplained = probe.lost_at().filter(|at| !unserved.explains(*address, *at)).count();
        ensure!(
            unexplained == 0,
            "{address}: {unexplained} lost while kube-proxy had endpoints: {}",
            probe.summary()
        );
        all_explained &= probe.lost() == 0 || unserved.emptied;
    }
    ensure!(all_explained, "kube-proxy had no endpoints though the API server had some");
    stage.keeps("web", &addresses)
}

/// Times at which kube-proxy of a node had rules for "no endpoints", by address.
#[derive(Default)]
struct Unserved {
    seen: Vec<(Instant, IpAddr)>,
    /// True if the API server also had no ready endpoint at some time.
    emptied: bool,
}

impl Unserved {
    /// Largest distance of a lost connection to such a time: a connection is pending for up to 0.9 s, and rules are checked
    /// several times per second.
    const NEAR: Duration = Duration::from_secs(2);

    fn during<T: Send>(
        stage: &Stage<'_>,
        addresses: &[IpAddr],
        happens: impl FnOnce() -> Result<T> + Send,
    ) -> (Self, Result<T>) {
        std::thread::scope(|scope| {
            let happening = scope.spawn(happens);
            let mut unserved = Self::default();
            while !happening.is_finished() {
                unserved.look(stage, addresses);
                std::thread::sleep(Duration::from_millis(100));
            }
            let happened =
                happening.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            (unserved, happened)
        })
    }

    fn look(&mut self, stage: &Stage<'_>, addresses: &[IpAddr]) {
        for node in stage.lab.nodes() {
            for family in ["ip", "ip6"] {
                let mut nft = node.namespace().command("nft");
                nft.args(["list", "map", family, "kube-proxy", "no-endpoint-services"]);
                let rules = nft.output().map(|output| output.stdout).unwrap_or_default();
                let rules = String::from_utf8_lossy(&rules).into_owned();
                let listed = |address: &&IpAddr| rules.contains(&format!("{address} . "));
                let now = clock::now();
                self.seen.extend(addresses.iter().filter(listed).map(|address| (now, *address)));
            }
        }
        let slices = ["endpointslices", "--namespace", stage.name, "--request-timeout=2s"];
        // The API server does not answer yet.
        let Ok(slices) = stage.lab.get_json(&slices) else { return };
        let endpoints = items(&slices).iter().flat_map(|slice| slice["endpoints"].as_array());
        self.emptied |= !endpoints.flatten().any(|it| it["conditions"]["ready"] == true);
    }

    fn explains(&self, address: IpAddr, lost: Instant) -> bool {
        self.seen.iter().any(|(at, unserved)| {
            let apart = at.saturating_duration_since(lost) + lost.saturating_duration_since(*at);
            *unserved == address && apart < Self::NEAR
        })
    }
}

/// Kills etcd and starts it again.
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

/// Deletes the leader's pod, and waits until another one leads.
///
/// # Errors
/// When a connection was lost, an address changed, or no pod leads.
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

/// Restarts the daemon on every node, one after the other.
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

/// Rolls the DaemonSet to another image, and back.
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

/// Cordons the node that holds an address, and checks that another one takes over and keeps the address afterwards.
///
/// # Errors
/// When a connection was lost, an address changed, or the node keeps the address.
pub fn cordoned(lab: &Lab) -> Result<()> {
    let stage = Stage::set(lab, "cordoned", 240)?;
    // The answering pod is on the node that holds the address.
    let addresses = stage.service("web", &json!({ "externalTrafficPolicy": "Local" }))?;
    let mut holders = Vec::new();
    for address in &addresses {
        holders.push(stage.answer(*address, |_| true)?);
    }
    let left = disturb(&stage, &addresses, || {
        for (address, holder) in addresses.iter().zip(&holders) {
            lab.kubectl(&["cordon", holder])?;
            let moved = stage.answer(*address, |answer| answer != holder);
            lab.kubectl(&["uncordon", holder])?;
            moved.with_context(|| format!("{holder} is cordoned and still announces"))?;
        }
        Ok(())
    });
    // In any case: the next scenario needs the nodes.
    for node in lab.nodes() {
        lab.kubectl(&["uncordon", &node.name()])?;
    }
    left?;
    stage.keeps("web", &addresses)
}

/// Freezes kube-proxy on the node that holds an address, and checks that another node takes it over because traffic may be lost
/// there, and that the client loses nothing.
///
/// # Errors
/// When the address stays, or a connection is lost.
pub fn without_kube_proxy(lab: &Lab) -> Result<()> {
    let stage = Stage::set(lab, "unproxied", 245)?;
    let addresses = stage.service("web", &json!({ "externalTrafficPolicy": "Local" }))?;
    let proxy_of = |holder: &str| {
        let node = lab.nodes().find(|node| node.name() == holder);
        Ok::<_, anyhow::Error>(
            node.with_context(|| format!("no node {holder}"))?.process("kube-proxy"),
        )
    };
    disturb(&stage, &addresses, || {
        for address in &addresses {
            let holder = stage.answer(*address, |_| true)?;
            let proxy = proxy_of(&holder)?;
            proxy.signal_all(Signal::SIGSTOP)?;
            let moved = stage.answer(*address, |answer| answer != holder);
            proxy.signal_all(Signal::SIGCONT)?;
            moved.with_context(|| {
                format!("kube-proxy of {holder} is stopped, and the node still announces")
            })?;
        }
        Ok(())
    })?;
    stage.keeps("web", &addresses)
}

/// Checks that the client loses nothing while `happens` runs, and that after `afterwards` it is served by the same addresses.
fn undisturbed(
    lab: &Lab,
    name: &'static str,
    first: u8,
    happens: impl FnOnce() -> Result<()>,
    afterwards: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let stage = Stage::set(lab, name, first)?;
    let addresses = stage.service("web", &json!({}))?;
    let happened = disturb(&stage, &addresses, happens);
    // In any case: the next scenario needs a whole cluster.
    let mended = afterwards();
    happened.and(mended)?;
    for address in &addresses {
        stage.answer(*address, |_| true)?;
    }
    stage.keeps("web", &addresses)
}

/// Fails if a client of these addresses loses a connection while `happens` runs.
pub(super) fn disturb(
    stage: &Stage<'_>,
    addresses: &[IpAddr],
    happens: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let probers =
        addresses.iter().map(|address| stage.probe(*address)).collect::<Result<Vec<_>>>()?;
    probers.iter().try_for_each(|prober| prober.settled(LIMIT))?;
    let skipped: Vec<_> = probers.iter().map(|prober| prober.so_far().requests()).collect();
    let happened = happens();
    // Late effects appear while the client still sends requests.
    std::thread::sleep(Duration::from_secs(3));
    let mut lost = String::new();
    for ((prober, skip), address) in probers.into_iter().zip(skipped).zip(addresses) {
        if let Err(error) = prober.finish()?.from(skip).nothing_lost() {
            lost += &format!("{address}: {error}\n");
        }
    }
    happened?;
    ensure!(lost.is_empty(), "{lost}");
    Ok(())
}
