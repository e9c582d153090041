//! Promises of Outrigger on Kubernetes, each tested once on a real cluster. A scenario creates what it needs, under names of
//! its own, and removes it, so that each can run alone and in any order. It knows the product by what a user has: its image,
//! its manifests, kubectl.
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::kubernetes::objects::{ingress, items};
use crate::kubernetes::prober::Prober;
use crate::kubernetes::{Lab, web};
use crate::{http, product, wait};

pub mod alone;
pub mod asked;
pub mod deaf;
pub mod delivery;
pub mod laboratory;
pub mod leaders;
pub mod leave;
pub mod objects;
pub mod pools;
pub mod relist;
pub mod rest;
pub mod rights;
pub mod routed;
pub mod serve;
pub mod steady;
pub mod uninstall;

/// Namespace of Outrigger's own objects.
pub const SYSTEM: &str = "outrigger-system";
/// Namespace of the Secrets of cluster-scoped announcers.
pub const CONTROLLER: &str = "outrigger-controller";
/// Name of the DaemonSet and of its service account.
pub const NODE: &str = "outrigger-node";
/// Name of the container in the DaemonSet's pods.
pub const CONTAINER: &str = "outrigger";
/// Time limit after which a wait counts as failed. Far more than it takes, for busy machines.
pub const LIMIT: Duration = Duration::from_secs(120);
/// The same limit as an argument of kubectl.
const LIMIT_ARGUMENT: &str = "--timeout=120s";

/// Loads the image, applies `manifests/install.yaml` and waits until everything runs.
///
/// # Errors
/// When that does not happen in time, with the state of the pods.
pub fn install(lab: &Lab, image: &Path) -> Result<()> {
    lab.load(image)?;
    let manifest = manifest();
    lab.kubectl(&["apply", "--filename", &manifest.to_string_lossy()])?;
    await_rollout(lab)
}

/// Returns the path of `manifests/install.yaml`.
pub fn manifest() -> std::path::PathBuf {
    product::root().join("manifests/install.yaml")
}

/// Waits until both roles are rolled out.
///
/// # Errors
/// When that does not happen in time, with the state of the pods.
pub fn await_rollout(lab: &Lab) -> Result<()> {
    let rollout = |what| {
        lab.kubectl(&["--namespace", SYSTEM, "rollout", "status", what, LIMIT_ARGUMENT]).map(drop)
    };
    rollout("deployment/outrigger-controller")
        .and_then(|()| rollout("daemonset/outrigger-node"))
        .with_context(|| explain(lab))
}

/// Returns the state and logs of Outrigger's pods, for a failure.
pub fn explain(lab: &Lab) -> String {
    let ask = |arguments: &[&str]| {
        let all = [&["--namespace", SYSTEM], arguments].concat();
        lab.kubectl(&all).unwrap_or_else(|error| format!("{error:#}\n"))
    };
    [
        ask(&["get", "pods", "--output", "wide"]),
        ask(&["logs", "deployment/outrigger-controller", "--all-pods", "--prefix", "--tail", "30"]),
        ask(&["logs", "daemonset/outrigger-node", "--all-pods", "--prefix", "--tail", "30"]),
    ]
    .concat()
}

/// Returns the pods of Outrigger that have this service account.
///
/// # Errors
/// Returns the error of kubectl.
pub fn pods_of(lab: &Lab, account: &str) -> Result<Vec<Value>> {
    let all = lab.get_json(&["pods", "--namespace", SYSTEM])?;
    let own = |pod: &&Value| {
        pod["spec"]["serviceAccountName"] == account
            && pod["metadata"]["deletionTimestamp"].is_null()
    };
    Ok(items(&all).iter().filter(own).cloned().collect())
}

/// Returns the name of an object.
pub fn name_of(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// Namespace with a workload, and a pool for it alone. Both are removed on drop.
#[derive(Debug)]
pub struct Stage<'a> {
    /// Laboratory of the stage.
    pub lab: &'a Lab,
    /// Name of the namespace and of the pool.
    pub name: &'static str,
}

impl<'a> Stage<'a> {
    /// Creates the namespace with a web server on every node, and the pool: 10.88.0.`first` and nine more, and as many in IPv6,
    /// on the segment for Services. Addresses up to 100 are used by nodes and client.
    ///
    /// # Errors
    /// When the workload does not come up.
    pub fn set(lab: &'a Lab, name: &'static str, first: u8) -> Result<Self> {
        let stage = Self { lab, name };
        let last = first + 9;
        web::deploy(lab, name, u8::try_from(lab.nodes().count())?)?;
        let addresses =
            [format!("10.88.0.{first}-10.88.0.{last}"), format!("fd88::1:{first}-fd88::1:{last}")];
        let pool = json!({
            "apiVersion": "outrigger.dev/v1alpha1",
            "kind": "AddressPool",
            "metadata": { "name": name },
            "spec": { "addresses": addresses, "namespaces": [name] },
        });
        lab.apply(&pool.to_string())?;
        Ok(stage)
    }

    /// Creates a dual-stack Service of type LoadBalancer, and returns its two addresses.
    ///
    /// # Errors
    /// When it does not get both.
    pub fn service(&self, name: &str, spec: &Value) -> Result<Vec<IpAddr>> {
        let mut service = web::service(self.name, name, spec);
        service["spec"]["type"] = json!("LoadBalancer");
        self.lab.apply(&service.to_string())?;
        let what = format!("Service {}/{name} has two addresses", self.name);
        let addresses = wait::until(&what, LIMIT, || {
            let addresses = self.addresses(name)?;
            Ok((addresses.len() == 2).then_some(addresses))
        })
        .with_context(|| self.describe(name))?;
        addresses.iter().try_for_each(|address| self.await_kube_proxy(*address))?;
        Ok(addresses)
    }

    /// Waits until kube-proxy knows an address on every node. It is announced only after kube-proxy has had time for that, but
    /// a busy machine may take longer, and a prober would show that two minutes later (`host/core/src/plan/announce_delay.rs`).
    fn await_kube_proxy(&self, address: IpAddr) -> Result<()> {
        wait::until(&format!("kube-proxy of every node has {address}"), LIMIT, || {
            Ok(self.kube_proxy_knows(address)?.then_some(()))
        })
    }

    /// Returns true if kube-proxy of every node has rules for an address.
    ///
    /// # Errors
    /// When nft cannot be run.
    pub fn kube_proxy_knows(&self, address: IpAddr) -> Result<bool> {
        let family = if address.is_ipv4() { "ip" } else { "ip6" };
        for node in self.lab.nodes() {
            let mut nft = node.namespace().command("nft");
            nft.args(["list", "map", family, "kube-proxy", "service-ips"]);
            let rules = nft.output()?.stdout;
            if !String::from_utf8_lossy(&rules).contains(&format!("{address} . ")) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns the addresses of a Service.
    ///
    /// # Errors
    /// Returns the error of kubectl.
    pub fn addresses(&self, name: &str) -> Result<Vec<IpAddr>> {
        Ok(ingress(&self.lab.get_json(&["service", name, "--namespace", self.name])?))
    }

    /// Returns kubectl's description of a Service.
    pub fn describe(&self, name: &str) -> String {
        let said = self.lab.kubectl(&["describe", "service", name, "--namespace", self.name]);
        said.unwrap_or_else(|error| format!("{error:#}"))
    }

    /// Starts to send requests to an address from the client's network.
    ///
    /// # Errors
    /// When there is no client.
    pub fn probe(&self, address: IpAddr) -> Result<Prober> {
        let client = self.lab.namespace("client")?;
        Ok(Prober::start(&client, SocketAddr::from((address, web::PORT))))
    }

    /// Waits until the client gets an answer from an address that is `expected`, and returns it.
    ///
    /// # Errors
    /// When there is none in time, with the last one.
    pub fn answer(
        &self,
        address: IpAddr,
        expected: impl Fn(&str) -> bool + Sync,
    ) -> Result<String> {
        let target = SocketAddr::from((address, web::PORT));
        self.lab.namespace("client")?.inside(|| {
            let mut last = String::new();
            let answer = wait::until(&format!("the expected answer from {target}"), LIMIT, || {
                last = match http::get(target, Duration::from_millis(500)) {
                    Ok(answer) if expected(&answer) => return Ok(Some(answer)),
                    Ok(answer) => answer,
                    Err(error) => format!("{error:#}"),
                };
                Ok(None)
            });
            answer.with_context(|| format!("the last answer was {last:?}"))
        })
    }

    /// Fails unless a Service has exactly these addresses.
    ///
    /// # Errors
    /// When it has other addresses.
    pub fn keeps(&self, name: &str, had: &[IpAddr]) -> Result<()> {
        let has = self.addresses(name)?;
        ensure!(has == had, "Service {}/{name} had {had:?} and has {has:?}", self.name);
        Ok(())
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        // In this order: a pool in use stays. If an object is not removed, the next scenario of this name fails and reports it.
        for (kind, name) in [("namespace", self.name), ("addresspool", self.name)] {
            let delete = ["delete", kind, name, "--ignore-not-found", LIMIT_ARGUMENT];
            if let Err(error) = self.lab.kubectl(&delete) {
                eprintln!("{kind} {name} is not removed: {error:#}");
            }
        }
    }
}
